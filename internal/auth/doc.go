// Package auth decides whether a request may call a function: it verifies the
// tokens and API keys of the Supabase contract and makes them for
// `selvedge keys`.
//
// Two rules carry everything else. The algorithm is the key's, never the
// token's: a token only says which of the keys at hand it wants to be checked
// with. And whatever is not understood is refused.
package auth
