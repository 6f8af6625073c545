package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const anyClaims = `{"role":"service_role","exp":4102444800}`

func TestAttackAlgorithmNone(t *testing.T) {
	v := all(t)
	good := sign("HS256", "", hour)
	_, rest, _ := strings.Cut(good, ".")
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "none ", "\u0000none"} {
		header, err := json.Marshal(map[string]string{"alg": alg})
		must(err)
		for _, signature := range [][]byte{nil, []byte("x")} {
			refused(t, v, raw(string(header), anyClaims, signature), CodeUnsupported, "")
		}
		refused(t, v, u(header)+"."+rest, CodeUnsupported, "")
	}
}

func TestAttackEmptySignature(t *testing.T) {
	v := all(t)
	for alg, kid := range map[string]string{"HS256": "", "ES256": "ec", "RS256": "rsa", "PS256": "pss", "EdDSA": "ed"} {
		good := sign(alg, kid, hour)
		code := CodeAsymmetric
		if alg == "HS256" {
			code = CodeLegacy
		}
		stripped := good[:strings.LastIndexByte(good, '.')+1]
		refused(t, v, stripped, code, "no signature")
		refused(t, v, stripped[:len(stripped)-1], CodeFormat, "")
		refused(t, v, stripped+"AA", code, "")
	}
}

// TestAttackPublicKeyAsSecret signs with HS256 and everything of a public key
// that a careless verifier may use as the secret.
func TestAttackPublicKeyAsSecret(t *testing.T) {
	secrets := map[string]string{}
	for _, kid := range []string{"ec", "rsa", "ed"} {
		der, err := x509.MarshalPKIXPublicKey(signers()[kid].Public())
		must(err)
		block := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		j, err := json.Marshal(jwkOf(kid))
		must(err)
		secrets[kid+" DER"], secrets[kid+" PEM"], secrets[kid+" PEM trimmed"] = string(der), block, strings.TrimSpace(block)
		secrets[kid+" JWK"] = string(j)
		switch public := signers()[kid].Public().(type) {
		case *rsa.PublicKey:
			secrets["modulus"], secrets["modulus text"] = string(public.N.Bytes()), u(public.N.Bytes())
		case *ecdsa.PublicKey:
			point, err := public.Bytes()
			must(err)
			secrets["point"] = string(point)
		}
	}
	secrets["JWKS"] = jwks("ec", "rsa", "pss", "ed")
	for _, v := range []*Verifier{all(t), newVerifier(t, Options{JWKS: jwks("ec", "rsa", "pss", "ed")})} {
		for _, kid := range []string{"", "ec", "rsa", "ed"} {
			header := `{"alg":"HS256","typ":"JWT","kid":"` + kid + `"}`
			for name, secret := range secrets {
				t.Run(name, func(t *testing.T) { refused(t, v, hs(header, anyClaims, secret), CodeLegacy, "") })
			}
		}
	}
}

// TestAttackNoSecretIsEmptySecret signs with the empty secret for a server
// that has none.
func TestAttackNoSecretIsEmptySecret(t *testing.T) {
	v := newVerifier(t, Options{JWKS: jwks("ec")})
	refused(t, v, hs(`{"alg":"HS256"}`, anyClaims, ""), CodeLegacy, "no JWT secret")
	refused(t, all(t), hs(`{"alg":"HS256"}`, anyClaims, ""), CodeLegacy, "")
}

// TestAttackSymmetricKeyInKeySet: the Supabase CLI puts the secret into
// SUPABASE_JWKS. It must not verify anything there, least of all where the key
// set is fetched, which everybody can do.
func TestAttackSymmetricKeyInKeySet(t *testing.T) {
	oct := map[string]any{"kty": "oct", "kid": "sym", "alg": "HS256", "k": u([]byte("another-secret"))}
	v := newVerifier(t, Options{JWTSecret: testSecret, JWKS: jwks(oct, "ec")})
	refused(t, v, hs(`{"alg":"HS256","kid":"sym"}`, anyClaims, "another-secret"), CodeLegacy, "")
	if _, err := New(Options{JWKS: jwks(oct)}); err == nil {
		t.Error("a symmetric key counts as one")
	}
}

// TestAttackAlgorithmConfusion presents each signature under each other
// algorithm and each other key's kid.
func TestAttackAlgorithmConfusion(t *testing.T) {
	v := all(t)
	kids := map[string]string{"ES256": "ec", "RS256": "rsa", "PS256": "pss", "EdDSA": "ed"}
	for made, maker := range kids {
		for claimed, kid := range kids {
			if made == claimed {
				continue
			}
			code := CodeAsymmetric
			// Signed with made's method over a header that claims the other.
			for _, as := range []string{maker, kid} {
				header := `{"alg":"` + claimed + `","kid":"` + as + `"}`
				signed := u([]byte(header)) + "." + u([]byte(anyClaims))
				signature, err := jwt.GetSigningMethod(made).Sign(signed, signers()[maker])
				must(err)
				refused(t, v, signed+"."+u(signature), code, "")
			}
		}
	}
	// One RSA key, pinned to RS256, asked for PS256, and the other way round.
	for _, tc := range []struct{ alg, kid string }{{"PS256", "rsa"}, {"RS256", "pss"}} {
		refused(t, v, sign(tc.alg, tc.kid, hour), CodeAsymmetric, "")
		refused(t, v, sign(tc.alg, tc.kid, hour, func(h map[string]any) { delete(h, "kid") }), CodeAsymmetric, "")
	}
}

// TestAttackKidInjection: a kid is compared and nothing else.
func TestAttackKidInjection(t *testing.T) {
	v := all(t)
	for _, kid := range []string{
		"../../../../dev/null", "/dev/null", "file:///dev/null", "http://169.254.169.254/", "ec\x00", "ec' OR '1'='1",
		"ec; true", "%65%63", "EC", " ec", "ec ", "\u0435c", "*", "ec,rsa", "$(id)", "{{7*7}}", strings.Repeat("k", 8000),
	} {
		refused(t, v, sign("ES256", "ec", hour, func(h map[string]any) { h["kid"] = kid }), CodeAsymmetric, "its kid")
		header, err := json.Marshal(map[string]string{"alg": "HS256", "kid": kid})
		must(err)
		refused(t, v, hs(string(header), anyClaims, ""), CodeLegacy, "")
	}
}

// TestAttackKeyInToken: a token cannot bring the key along.
func TestAttackKeyInToken(t *testing.T) {
	v := newVerifier(t, Options{JWKS: jwks("ec")})
	for name, value := range map[string]any{
		"jwk": jwkOf("ec2"), "jku": "https://attacker.example/jwks.json", "x5u": "https://attacker.example/cert",
		"x5c": []string{"MIIB"},
	} {
		refused(t, v, sign("ES256", "ec2", hour, func(h map[string]any) { h[name], h["kid"] = value, "ec" }), CodeAsymmetric, "does not match")
	}
}

// TestAttackBlankECDSASignature: r and s of zero, which Java once accepted
// (CVE-2022-21449).
func TestAttackBlankECDSASignature(t *testing.T) {
	v := all(t)
	header := `{"alg":"ES256","kid":"ec"}`
	for _, n := range []int{1, 63, 64, 65, 128} {
		refused(t, v, raw(header, anyClaims, make([]byte, n)), CodeAsymmetric, "")
	}
	n := make([]byte, 64)
	copy(n, signers()["ec"].Public().(*ecdsa.PublicKey).Params().N.Bytes())
	copy(n[32:], n[:32])
	refused(t, v, raw(header, anyClaims, n), CodeAsymmetric, "")
}

// TestAttackDuplicateMembers: whichever of two a parser takes, the signature
// has to hold.
func TestAttackDuplicateMembers(t *testing.T) {
	v := all(t)
	for _, header := range []string{`{"alg":"HS256","alg":"none"}`, `{"alg":"none","alg":"HS256"}`} {
		_, f := v.VerifyToken(context.Background(), raw(header, anyClaims, nil))
		if f == nil {
			t.Errorf("%s was accepted", header)
		}
	}
	refused(t, v, hs(`{"alg":"HS256"}`, `{"exp":4102444800,"exp":1}`, testSecret), CodeLegacy, "expired")
}

func TestAttackDeeplyNested(t *testing.T) {
	v := all(t)
	const depth = 5000 // what fits into MaxToken
	deep := strings.Repeat(`[`, depth) + strings.Repeat(`]`, depth)
	start := time.Now()
	refused(t, v, raw(`{"alg":`+deep+`}`, `{}`, []byte("x")), CodeFormat, "")
	refused(t, v, raw(deep, `{}`, []byte("x")), CodeFormat, "")
	refused(t, v, raw(strings.Repeat(`{"alg":`, 1500), `{}`, []byte("x")), CodeFormat, "")
	refused(t, v, hs(`{"alg":"HS256"}`, `{"exp":`+deep+`}`, testSecret), CodeLegacy, "its exp is no number")
	accepted(t, v, hs(`{"alg":"HS256"}`, `{"x":`+deep+`}`, testSecret))
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestAttackOversized: the size is looked at before anything that costs.
func TestAttackOversized(t *testing.T) {
	v := all(t)
	huge := strings.Repeat("a", 10<<20) + ".b.c"
	if n := testing.AllocsPerRun(10, func() { v.VerifyToken(context.Background(), huge) }); n > 8 {
		t.Errorf("%v allocations", n)
	}
	refused(t, v, huge, CodeFormat, "10485764 bytes")
	refused(t, v, hs(`{"alg":"HS256"}`, `{"x":"`+strings.Repeat("a", MaxToken)+`"}`, testSecret), CodeFormat, "more than")
}

// TestAttackRefusalsAreNotRemembered: a refusal under one key set must not
// stand in the way of the next, nor a flood of tokens push out good ones.
func TestAttackRefusalsAreNotRemembered(t *testing.T) {
	v := all(t)
	for range 100 {
		v.VerifyToken(context.Background(), hs(`{"alg":"HS256"}`, anyClaims, "wrong"))
	}
	if n := len(v.cache.entries); n != 0 {
		t.Errorf("%d refused tokens are remembered", n)
	}
}
