package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// keys are a project's, and tokens of its users.
type keys struct {
	Anon         string `json:"anon"`
	Service      string `json:"service"`
	Publishable  string `json:"publishable"`
	Secret       string `json:"secret"`
	User         string `json:"user"`
	UserES256    string `json:"userES256"`
	Expired      string `json:"expired"`
	ExpiredES256 string `json:"expiredES256"`
	// Foreign is signed with another secret.
	Foreign string `json:"foreign"`

	jwtSecret, jwks string
}

// newKeys makes them with a library of tokens, not with the server's own code.
func newKeys(t *testing.T) keys {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	k := keys{
		jwtSecret:   rand.Text() + rand.Text(),
		Publishable: "sb_publishable_" + rand.Text(),
		Secret:      "sb_secret_" + rand.Text(),
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	public, err := private.PublicKey.Bytes() // 4, X, Y
	check(err)
	coordinate := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	jwks, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "test-key",
		"x": coordinate(public[1:33]), "y": coordinate(public[33:]),
	}}})
	check(err)
	k.jwks = string(jwks)

	sign := func(method jwt.SigningMethod, key any, role string, life time.Duration) string {
		now := time.Now()
		token := jwt.NewWithClaims(method, jwt.MapClaims{
			"role": role, "sub": "3f0c5f5e-5d5c-4a53-9d5e-2b1c4f8f7a10", "iat": now.Add(-2 * time.Hour).Unix(), "exp": now.Add(life).Unix(),
		})
		if method == jwt.SigningMethodES256 {
			token.Header["kid"] = "test-key"
		}
		signed, err := token.SignedString(key)
		check(err)
		return signed
	}
	secret := []byte(k.jwtSecret)
	k.Anon = sign(jwt.SigningMethodHS256, secret, "anon", time.Hour)
	k.Service = sign(jwt.SigningMethodHS256, secret, "service_role", time.Hour)
	k.User = sign(jwt.SigningMethodHS256, secret, "authenticated", time.Hour)
	k.UserES256 = sign(jwt.SigningMethodES256, private, "authenticated", time.Hour)
	k.Expired = sign(jwt.SigningMethodHS256, secret, "authenticated", -time.Hour)
	k.ExpiredES256 = sign(jwt.SigningMethodES256, private, "authenticated", -time.Hour)
	k.Foreign = sign(jwt.SigningMethodHS256, []byte(rand.Text()+rand.Text()), "authenticated", time.Hour)
	return k
}

// environ is what the server is told.
func (k keys) environ() []string {
	return []string{
		"JWT_SECRET=" + k.jwtSecret, "ANON_KEY=" + k.Anon, "SERVICE_ROLE_KEY=" + k.Service,
		"SUPABASE_PUBLISHABLE_KEYS=" + k.Publishable, "SUPABASE_SECRET_KEYS=" + k.Secret,
		"SUPABASE_JWKS=" + k.jwks,
	}
}
