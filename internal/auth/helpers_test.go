package auth

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSecret = "a-secret-of-this-test-with-forty-characters"

const (
	testPublishable = "sb_publishable_AAAAAAAAAAAAAAAAAAAAAA_BBBBBBBB"
	testOther       = "sb_publishable_CCCCCCCCCCCCCCCCCCCCCC_DDDDDDDD"
	testSecretKey   = "sb_secret_EEEEEEEEEEEEEEEEEEEEEE_FFFFFFFF"
)

// signers are private keys, one a kid. Where it can be done those of a fuzzer's
// processes are the same, so that a token of one is good for another.
var signers = sync.OnceValue(func() map[string]crypto.Signer {
	one, two := sha256.Sum256([]byte("one")), sha256.Sum256([]byte("two"))
	ec, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), one[:])
	must(err)
	ec2, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), two[:])
	must(err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ps, err := rsa.GenerateKey(rand.Reader, 2048)
	must(err)
	ed := ed25519.NewKeyFromSeed(one[:])
	return map[string]crypto.Signer{"ec": ec, "ec2": ec2, "rsa": rs, "pss": ps, "ed": ed}
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func u(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwkOf returns the public JWK of a signer, as a map to be edited.
func jwkOf(kid string) map[string]any {
	j := map[string]any{"kid": kid, "use": "sig", "key_ops": []string{"verify"}}
	switch public := signers()[kid].Public().(type) {
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		must(err)
		j["kty"], j["crv"], j["alg"], j["x"], j["y"] = "EC", "P-256", "ES256", u(point[1:33]), u(point[33:])
	case *rsa.PublicKey:
		j["kty"], j["alg"], j["n"], j["e"] = "RSA", "RS256", u(public.N.Bytes()), u(big.NewInt(int64(public.E)).Bytes())
		if kid == "pss" {
			j["alg"] = "PS256"
		}
	case ed25519.PublicKey:
		j["kty"], j["crv"], j["alg"], j["x"] = "OKP", "Ed25519", "EdDSA", u(public)
	}
	return j
}

// jwks returns a key set of the signers with these kids, or of JWKs.
func jwks(keys ...any) string {
	all := make([]any, len(keys))
	for i, k := range keys {
		if all[i] = k; k != nil {
			if kid, ok := k.(string); ok {
				all[i] = jwkOf(kid)
			}
		}
	}
	text, err := json.Marshal(map[string]any{"keys": all})
	must(err)
	return string(text)
}

// sign makes a token with golang-jwt. kid names the signer and is the header's
// kid; edit changes the header.
func sign(alg, kid string, claims jwt.MapClaims, edit ...func(map[string]any)) string {
	t := jwt.NewWithClaims(jwt.GetSigningMethod(alg), claims)
	var k any = []byte(testSecret)
	if alg[0] != 'H' {
		k, t.Header["kid"] = signers()[kid], kid
	}
	for _, f := range edit {
		f(t.Header)
	}
	s, err := t.SignedString(k)
	must(err)
	return s
}

// raw makes a token of parts as they are.
func raw(header, payload string, signature []byte) string {
	return u([]byte(header)) + "." + u([]byte(payload)) + "." + u(signature)
}

// hs signs parts as they are with the secret.
func hs(header, payload, secret string) string {
	signed := u([]byte(header)) + "." + u([]byte(payload))
	signature, err := jwt.SigningMethodHS256.Sign(signed, []byte(secret))
	must(err)
	return signed + "." + u(signature)
}

func in(d time.Duration) int64 { return time.Now().Add(d).Unix() }

var hour = jwt.MapClaims{"role": "authenticated", "sub": "user-1", "exp": in(time.Hour)}

func newVerifier(t testing.TB, o Options) *Verifier {
	t.Helper()
	v, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

// all is a verifier with a key of every kind.
func all(t testing.TB) *Verifier {
	return newVerifier(t, Options{
		JWTSecret: testSecret, JWKS: jwks("ec", "rsa", "pss", "ed"),
		PublishableKeys: map[string]string{"default": testPublishable, "web": testOther},
		SecretKeys:      map[string]string{"default": testSecretKey},
	})
}

// refused checks that a token is, with the code.
func refused(t *testing.T, v *Verifier, token string, code function.Code, reason string) {
	t.Helper()
	for range 2 { // the second time from what the first one left behind
		id, f := v.VerifyToken(context.Background(), token)
		switch {
		case f == nil:
			t.Fatalf("accepted as %+v: %s", id, token)
		case id != Identity{}:
			t.Errorf("refused, but is %+v", id)
		case f.Code != code || !strings.Contains(f.Reason, reason):
			t.Fatalf("refused with %s (%s), want %s (%s)", f.Code, f.Reason, code, reason)
		}
	}
}

func accepted(t *testing.T, v *Verifier, token string) Identity {
	t.Helper()
	var first Identity
	for i := range 2 {
		id, f := v.VerifyToken(context.Background(), token)
		if f != nil {
			t.Fatalf("refused: %v", f)
		}
		if i == 0 {
			first = id
		} else if id != first {
			t.Errorf("remembered as %+v, was %+v", id, first)
		}
	}
	return first
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
