package auth

// The keys that the Supabase CLI gives every project on a developer's machine.
// The whole world knows them: they keep nobody out and must never be used
// where strangers can connect.
const (
	LocalJWTSecret      = "super-secret-jwt-token-with-at-least-32-characters-long"
	LocalPublishableKey = "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH"
	LocalSecretKey      = "sb_secret_N7UND0UgjKTVK-Uodkm0Hg_xSvEMPvz"

	localIssuer  = "supabase-demo"
	localExpires = 1983812996 // 2032-11-11
)

// LocalKeys returns the well-known keys, with the anon and service_role keys
// that belong to them.
func LocalKeys() Keys {
	k := Keys{JWTSecret: LocalJWTSecret, Publishable: LocalPublishableKey, Secret: LocalSecretKey}
	if err := k.sign(keyClaims{Issuer: localIssuer, ExpiresAt: localExpires}); err != nil {
		panic(err) // a struct of strings and numbers always marshals
	}
	return k
}
