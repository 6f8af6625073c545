package auth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestHeaders(t *testing.T) {
	v := all(t)
	token := sign("HS256", "", hour)
	other := sign("ES256", "ec", jwt.MapClaims{"role": "anon"})
	for _, tc := range []struct {
		name string
		h    http.Header
		code function.Code // "" for accepted
		role string
	}{
		{"nothing", http.Header{}, CodeMissing, ""},
		{"empty ones", http.Header{"Authorization": {""}, "Apikey": {" "}}, CodeMissing, ""},
		{"bearer", bearer(token), "", "authenticated"},
		{"the scheme in small letters", http.Header{"Authorization": {"bearer  " + token + " "}}, "", "authenticated"},
		{"apikey alone", http.Header{"Apikey": {token}}, "", "authenticated"},
		{"apikey beside an empty header", http.Header{"Authorization": {""}, "Apikey": {token}}, "", "authenticated"},
		{"Authorization wins", http.Header{"Authorization": {"Bearer " + other}, "Apikey": {testSecretKey}}, "", "anon"},
		{"a good apikey does not mend a bad token", http.Header{"Authorization": {"Bearer x"}, "Apikey": {testSecretKey}}, CodeFormat, ""},
		{"another scheme", http.Header{"Authorization": {"Basic " + token}, "Apikey": {token}}, CodeFormat, ""},
		{"no scheme", http.Header{"Authorization": {token}}, CodeFormat, ""},
		{"no token", http.Header{"Authorization": {"Bearer"}}, CodeFormat, ""},
		{"no token but spaces", http.Header{"Authorization": {"Bearer   "}}, CodeFormat, ""},
		{"two headers", http.Header{"Authorization": {"Bearer " + token, "Bearer x"}}, CodeFormat, ""},
		{"two apikeys", http.Header{"Apikey": {token, "x"}}, CodeFormat, ""},
		{"two tokens", http.Header{"Authorization": {"Bearer " + token + ", Bearer x"}}, CodeFormat, ""},
		{"publishable key", http.Header{"Apikey": {testPublishable}}, "", "anon"},
		{"publishable key as bearer", bearer(testPublishable), "", "anon"},
		{"secret key", http.Header{"Apikey": {testSecretKey}}, "", "service_role"},
		{"secret key as bearer", bearer(testSecretKey), "", "service_role"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, f := v.Verify(context.Background(), tc.h, time.Now())
			switch {
			case tc.code == "" && (f != nil || id.Role != tc.role):
				t.Errorf("got %+v, %v", id, f)
			case tc.code != "" && (f == nil || f.Code != tc.code || id != Identity{}):
				t.Errorf("got %+v, %v, want %s", id, f, tc.code)
			}
		})
	}
}

func TestEveryAlgorithm(t *testing.T) {
	v := all(t)
	exp := time.Unix(in(time.Hour), 0)
	for alg, kid := range map[string]string{"HS256": "", "ES256": "ec", "RS256": "rsa", "PS256": "pss", "EdDSA": "ed"} {
		t.Run(alg, func(t *testing.T) {
			claims := jwt.MapClaims{"role": "authenticated", "sub": "user-1", "exp": exp.Unix()}
			want := Identity{Kind: KindToken, Role: "authenticated", Subject: "user-1", Expires: exp}
			if id := accepted(t, v, sign(alg, kid, claims)); id != want {
				t.Errorf("got %+v", id)
			}
			code := CodeAsymmetric
			if alg == "HS256" {
				code = CodeLegacy
			}
			expired := sign(alg, kid, jwt.MapClaims{"exp": in(-time.Hour)})
			refused(t, v, expired, code, "it expired 1h0m")
			good := sign(alg, kid, claims)
			bad := []byte(good)
			at := strings.LastIndexByte(good, '.') + 10
			bad[at] = 'A' + (bad[at]-'A'+1)%26
			refused(t, v, string(bad), code, "")
		})
	}
	t.Run("without kid", func(t *testing.T) {
		v := newVerifier(t, Options{JWKS: jwks("ec2", "ec")})
		accepted(t, v, sign("ES256", "ec", hour, func(h map[string]any) { delete(h, "kid") }))
	})
}

func TestAPIKeys(t *testing.T) {
	v := all(t)
	for key, want := range map[string]Identity{
		testPublishable: {Kind: KindPublishable, Role: "anon", KeyName: "default"},
		testOther:       {Kind: KindPublishable, Role: "anon", KeyName: "web"},
		testSecretKey:   {Kind: KindSecret, Role: "service_role", KeyName: "default"},
	} {
		if id := accepted(t, v, key); id != want {
			t.Errorf("%s is %+v", key, id)
		}
	}
	for _, key := range []string{
		testPublishable[:len(testPublishable)-1], testPublishable + "x", strings.ToUpper(testPublishable),
		PublishablePrefix, SecretPrefix, "sb_secret_" + testPublishable[len(PublishablePrefix):],
	} {
		refused(t, v, key, CodeFormat, "")
	}
}

func TestRefusals(t *testing.T) {
	v := all(t)
	long := raw(`{"alg":"HS256"}`, `{"x":"`+strings.Repeat("a", MaxToken)+`"}`, []byte("x"))
	for _, tc := range []struct {
		name, token string
		code        function.Code
		message     string
	}{
		{"a word", "x", CodeFormat, "Invalid JWT format"},
		{"two parts", "a.b", CodeFormat, "Invalid JWT format"},
		{"four parts", sign("HS256", "", hour) + ".x", CodeFormat, "Invalid JWT format"},
		{"five parts, as encrypted ones have", "a.b.c.d.e", CodeFormat, "Invalid JWT format"},
		{"dots", "..", CodeFormat, "Invalid JWT format"},
		{"padding", sign("HS256", "", hour) + "=", CodeFormat, "Invalid JWT format"},
		{"plain base64", "e30.e30.+/+/", CodeFormat, "Invalid JWT format"},
		{"a line break", sign("HS256", "", hour) + "\n", CodeFormat, "Invalid JWT format"},
		{"header is no JSON", raw(`{"alg":`, `{}`, []byte("x")), CodeFormat, "Invalid JWT format"},
		{"header is an array", raw(`["HS256"]`, `{}`, []byte("x")), CodeFormat, "Invalid JWT format"},
		{"header is null", raw(`null`, `{}`, []byte("x")), CodeFormat, "Invalid JWT format"},
		{"header goes on", raw(`{"alg":"HS256"} {}`, `{}`, []byte("x")), CodeFormat, "Invalid JWT format"},
		{"no alg", raw(`{}`, `{}`, []byte("x")), CodeFormat, "Invalid JWT format"},
		{"empty alg", raw(`{"alg":""}`, `{}`, []byte("x")), CodeFormat, "Invalid JWT format"},
		{"alg is a number", raw(`{"alg":1}`, `{}`, []byte("x")), CodeFormat, "Invalid JWT format"},
		{"alg is null", raw(`{"alg":null}`, `{}`, []byte("x")), CodeFormat, "Invalid JWT format"},
		{"ALG is not alg", hs(`{"ALG":"HS256"}`, `{}`, testSecret), CodeFormat, "Invalid JWT format"},
		{"oversized", long, CodeFormat, "Invalid JWT format"},
		{"none", raw(`{"alg":"none"}`, `{}`, nil), CodeUnsupported, "Unsupported JWT algorithm none"},
		{"HS512", sign("HS512", "", hour), CodeUnsupported, "Unsupported JWT algorithm HS512"},
		{"hs256 is not HS256", hs(`{"alg":"hs256"}`, `{}`, testSecret), CodeUnsupported, "Unsupported JWT algorithm hs256"},
		{"ES384", raw(`{"alg":"ES384"}`, `{}`, []byte("x")), CodeUnsupported, "Unsupported JWT algorithm ES384"},
		{"a name to write into a page", raw(`{"alg":"<script>alert(1)</script> and much more of it"}`, `{}`, []byte("x")), CodeUnsupported, "Unsupported JWT algorithm ?script?alert?1???script??and?mu"},
		{"a wrong secret", hs(`{"alg":"HS256"}`, `{}`, testSecret+"x"), CodeLegacy, "Invalid JWT"},
		{"payload is no object", hs(`{"alg":"HS256"}`, `[]`, testSecret), CodeLegacy, "Invalid JWT"},
		{"payload is null", hs(`{"alg":"HS256"}`, `null`, testSecret), CodeLegacy, "Invalid JWT"},
		{"payload is empty", hs(`{"alg":"HS256"}`, ``, testSecret), CodeLegacy, "Invalid JWT"},
		{"exp is text", hs(`{"alg":"HS256"}`, `{"exp":"4102444800"}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"exp is null", hs(`{"alg":"HS256"}`, `{"exp":null}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"exp beyond every number", hs(`{"alg":"HS256"}`, `{"exp":1e999}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"exp long before", hs(`{"alg":"HS256"}`, `{"exp":-1e300}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"exp at the time that stands for none", hs(`{"alg":"HS256"}`, `{"exp":-62135596800}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"exp 0", hs(`{"alg":"HS256"}`, `{"exp":0}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"nbf far off", hs(`{"alg":"HS256"}`, `{"nbf":1e300}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"nbf is text", hs(`{"alg":"HS256"}`, `{"nbf":"0"}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"critical extensions", hs(`{"alg":"HS256","crit":["b64"],"b64":false}`, `{}`, testSecret), CodeLegacy, "Invalid JWT"},
		{"kid is no text", sign("ES256", "ec", hour, func(h map[string]any) { h["kid"] = 1 }), CodeAsymmetric, "Invalid JWT"},
		{"kid is not known", sign("ES256", "ec", hour, func(h map[string]any) { h["kid"] = "x" }), CodeAsymmetric, "Invalid JWT"},
		{"kid of another key", sign("ES256", "ec", hour, func(h map[string]any) { h["kid"] = "rsa" }), CodeAsymmetric, "Invalid JWT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			refused(t, v, tc.token, tc.code, "")
			if _, f := v.VerifyToken(context.Background(), tc.token); f.Message != tc.message {
				t.Errorf("message %q, want %q", f.Message, tc.message)
			} else if len(f.Reason) > 200 {
				t.Errorf("a reason of %d bytes", len(f.Reason))
			}
		})
	}
}

func TestAcceptedOddities(t *testing.T) {
	v := all(t)
	for name, token := range map[string]string{
		"no exp":                      hs(`{"alg":"HS256"}`, `{}`, testSecret),
		"a fraction":                  hs(`{"alg":"HS256"}`, `{"exp":4102444800.5,"nbf":0.25}`, testSecret),
		"exp in the next millenniums": hs(`{"alg":"HS256"}`, `{"exp":1e300}`, testSecret),
		"another typ":                 hs(`{"alg":"HS256","typ":"at+jwt"}`, `{}`, testSecret),
		"a role of another type":      hs(`{"alg":"HS256"}`, `{"role":["a"],"sub":7}`, testSecret),
		"EXP is not exp":              hs(`{"alg":"HS256"}`, `{"EXP":1,"Nbf":1e300}`, testSecret),
		"kid with a secret":           hs(`{"alg":"HS256","kid":"whatever"}`, `{}`, testSecret),
	} {
		t.Run(name, func(t *testing.T) { accepted(t, v, token) })
	}
}

func TestWithoutTheKeys(t *testing.T) {
	keys := Options{PublishableKeys: map[string]string{"default": testPublishable}}
	v := newVerifier(t, keys)
	refused(t, v, sign("HS256", "", hour), CodeLegacy, "no JWT secret")
	refused(t, v, sign("ES256", "ec", hour), CodeAsymmetric, "no key set")
	refused(t, v, sign("RS256", "rsa", hour), CodeAsymmetric, "no key set")
	refused(t, v, sign("PS256", "pss", hour), CodeUnsupported, "PS256")
	refused(t, v, sign("EdDSA", "ed", hour), CodeUnsupported, "EdDSA")

	v = newVerifier(t, Options{JWTSecret: testSecret, JWKS: `{"keys":[]}`})
	refused(t, v, sign("ES256", "ec", hour), CodeAsymmetric, "is empty")
	refused(t, v, sign("EdDSA", "ed", hour), CodeUnsupported, "EdDSA")

	v = newVerifier(t, Options{JWKS: jwks("rsa")})
	refused(t, v, sign("ES256", "ec", hour, func(h map[string]any) { delete(h, "kid") }), CodeAsymmetric, "no key for its algorithm")
	refused(t, v, sign("PS256", "pss", hour), CodeUnsupported, "PS256")

	var none *Verifier
	refused(t, none, sign("HS256", "", hour), CodeLegacy, "")
	refused(t, none, testPublishable, CodeFormat, "")
	none.Close()
}

func TestNewRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		o    Options
		want string
	}{
		"nothing":               {Options{}, ErrNoKeys.Error()},
		"a set without keys":    {Options{JWKS: `{"keys":[]}`}, ErrNoKeys.Error()},
		"a broken set":          {Options{JWKS: `{"keys":`}, "SUPABASE_JWKS"},
		"a PEM as the secret":   {Options{JWTSecret: "-----BEGIN PUBLIC KEY-----\nMFkw"}, "public key"},
		"a JWK as the secret":   {Options{JWTSecret: ` {"kty":"RSA","n":"x"}`}, "public key"},
		"a key of neither":      {Options{PublishableKeys: map[string]string{"web": "eyJhbGciOi"}}, `SUPABASE_PUBLISHABLE_KEYS: the key "web"`},
		"swapped":               {Options{PublishableKeys: map[string]string{"default": testSecretKey}}, "sb_publishable_"},
		"swapped the other way": {Options{SecretKeys: map[string]string{"default": testPublishable}}, "sb_secret_"},
		"only the prefix":       {Options{SecretKeys: map[string]string{"default": SecretPrefix}}, "sb_secret_"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.o)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v", err)
			}
			if (tc.want == ErrNoKeys.Error()) != errors.Is(err, ErrNoKeys) {
				t.Errorf("%v is ErrNoKeys", err)
			}
			for _, key := range []string{testSecretKey, testPublishable, "eyJhbGciOi", "MFkw"} {
				if strings.Contains(err.Error(), key) {
					t.Errorf("%q quotes a key", err)
				}
			}
		})
	}
}

// TestLeeway goes through the seconds around exp and nbf, with a cache that
// knows the token and without.
func TestLeeway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, Options{JWTSecret: testSecret})
		start := time.Now()
		token := sign("HS256", "", jwt.MapClaims{"nbf": in(time.Minute), "exp": in(2 * time.Minute)})
		for _, tc := range []struct {
			at   time.Duration
			want string
		}{
			{0, "it is not valid for another 1m0s"},
			{30*time.Second - 1, "not valid"},
			{30 * time.Second, ""},
			{90 * time.Second, ""},
			{150*time.Second - 1, ""},
			{150 * time.Second, "it expired 30s ago"},
			{time.Hour, "it expired 58m0s ago"},
		} {
			time.Sleep(time.Until(start.Add(tc.at)))
			fresh := newVerifier(t, Options{JWTSecret: testSecret})
			for _, v := range []*Verifier{v, fresh} {
				_, f := v.VerifyToken(t.Context(), token)
				if (f == nil) != (tc.want == "") || f != nil && (f.Code != CodeLegacy || !strings.Contains(f.Reason, tc.want)) {
					t.Errorf("at %s: %v, want %q", tc.at, f, tc.want)
				}
			}
		}
	})
}
