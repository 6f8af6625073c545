package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// Leeway is how far a caller's clock may be off from ours.
	Leeway = 30 * time.Second
	// MaxToken bounds a token, in bytes. Supabase's own have 200 to 2,000.
	MaxToken = 16 << 10
	// DefaultCacheSize is how many verified tokens are remembered: about 3 MB
	// when all are in use.
	DefaultCacheSize = 10_000
)

// The prefixes of API keys.
const (
	PublishablePrefix = "sb_publishable_"
	SecretPrefix      = "sb_secret_"
)

// ErrNoKeys means that there is nothing to verify a caller with.
var ErrNoKeys = errors.New("nothing can verify a caller; set JWT_SECRET, SUPABASE_JWKS, SUPABASE_URL, SUPABASE_PUBLISHABLE_KEYS or SUPABASE_SECRET_KEYS, or make keys with `selvedge keys`")

// Options are the keys of a Verifier. All are optional, but not all at once.
type Options struct {
	// JWTSecret verifies HS256 tokens, and nothing else does.
	JWTSecret string
	// JWKS is a JSON Web Key Set whose public keys verify the other tokens.
	// Symmetric keys in it are ignored: a key set is public.
	JWKS string
	// URL is the Supabase project's. Its key set is fetched when the first
	// token needs it, unless JWKS is set.
	URL string
	// PublishableKeys and SecretKeys are API keys by name.
	PublishableKeys, SecretKeys map[string]string

	// CacheSize bounds the verified tokens that are remembered, 0 for
	// DefaultCacheSize.
	CacheSize int
	// Transport fetches the key set, nil for one of its own.
	Transport http.RoundTripper
	// Log is told of key sets that could not be fetched, nil for nowhere.
	Log *slog.Logger
}

// Kind says what a caller presented.
type Kind uint8

// The kinds of Identity.
const (
	KindToken       Kind = iota + 1 // a signed JWT
	KindPublishable                 // an sb_publishable_ key
	KindSecret                      // an sb_secret_ key
)

// String returns a word for logs.
func (k Kind) String() string {
	switch k {
	case KindToken:
		return "token"
	case KindPublishable:
		return "publishable key"
	case KindSecret:
		return "secret key"
	}
	return "nobody"
}

// An Identity is who a verified caller is. Nothing in it is a secret.
type Identity struct {
	Kind Kind
	// Role is the token's "role"; "anon" or "service_role" for API keys, which
	// stand for these.
	Role string
	// Subject is the token's "sub", "" for none.
	Subject string
	// KeyName is the name of the API key.
	KeyName string
	// Expires is the token's "exp"; zero for none.
	Expires time.Time
}

// A Verifier verifies callers. Its methods may be called at the same time. A
// nil Verifier has no keys and accepts nobody.
type Verifier struct {
	secret  []byte
	apiKeys []apiKey
	source  keySource // nil for no asymmetric keys
	remote  *remote   // source, where that is one
	cache   *cache
}

// An apiKey is kept and compared by its digest, so that the comparison takes
// the same time whatever the key's length.
type apiKey struct {
	digest   digest
	identity Identity
}

// New returns a Verifier. It fetches nothing yet. The error is ErrNoKeys, or
// says which key cannot be used; it quotes none.
func New(o Options) (*Verifier, error) {
	v := &Verifier{secret: []byte(o.JWTSecret), cache: newCache(o.CacheSize)}
	if looksPublic(o.JWTSecret) {
		return nil, errors.New("JWT_SECRET holds a public key: whoever knows it could sign HS256 tokens; put it into SUPABASE_JWKS, and a secret here")
	}
	usable := len(v.secret) > 0
	for _, add := range []struct {
		variable, prefix string
		keys             map[string]string
		identity         Identity
	}{
		{"SUPABASE_PUBLISHABLE_KEYS", PublishablePrefix, o.PublishableKeys, Identity{Kind: KindPublishable, Role: "anon"}},
		{"SUPABASE_SECRET_KEYS", SecretPrefix, o.SecretKeys, Identity{Kind: KindSecret, Role: "service_role"}},
	} {
		for _, name := range slices.Sorted(maps.Keys(add.keys)) {
			key := add.keys[name]
			if len(key) <= len(add.prefix) || !strings.HasPrefix(key, add.prefix) {
				return nil, fmt.Errorf("%s: the key %q does not start with %s", add.variable, name, add.prefix)
			}
			add.identity.KeyName = name
			v.apiKeys = append(v.apiKeys, apiKey{digestOf(key), add.identity})
			usable = true
		}
	}
	switch {
	case o.JWKS != "":
		set, err := parseKeySet([]byte(o.JWKS))
		if err != nil {
			return nil, fmt.Errorf("SUPABASE_JWKS: %w", err)
		}
		v.source = inline{set}
		usable = usable || len(set.keys) > 0
	case o.URL != "":
		v.remote = newRemote(strings.TrimRight(o.URL, "/")+"/auth/v1/.well-known/jwks.json", o.Transport, o.Log)
		v.source = v.remote
		usable = true
	}
	if !usable {
		return nil, ErrNoKeys
	}
	return v, nil
}

// Close ends what a fetch has running and waits for it. Verify keeps working
// with the keys that are known.
func (v *Verifier) Close() {
	if v != nil && v.remote != nil {
		v.remote.close()
	}
}

// looksPublic reports whether a secret is a public key in one of the forms
// that people paste.
func looksPublic(secret string) bool {
	secret = strings.TrimSpace(secret)
	return strings.HasPrefix(secret, "-----BEGIN ") || strings.HasPrefix(secret, "ssh-") ||
		strings.HasPrefix(secret, "{") && strings.Contains(secret, `"kty"`)
}
