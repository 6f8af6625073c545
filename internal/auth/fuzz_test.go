package auth

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzVerify: nothing that is not signed ever passes. What is signed are the
// seeds; no other header and payload can be, as the fuzzer has no key.
func FuzzVerify(f *testing.F) {
	v := all(f)
	claims := jwt.MapClaims{"role": "anon", "exp": int64(4102444800)}
	signed := map[string]bool{}
	keys := map[string]bool{testPublishable: true, testOther: true, testSecretKey: true}
	for key := range keys {
		f.Add("Bearer "+key, "")
		f.Add("", key)
	}
	for alg, kid := range map[string]string{"HS256": "", "ES256": "ec", "RS256": "rsa", "PS256": "pss", "EdDSA": "ed"} {
		token := sign(alg, kid, claims)
		signed[token[:strings.LastIndexByte(token, '.')]] = true
		f.Add("Bearer "+token, "")
		f.Add("", token)
		// Tokens that were signed by somebody else, or not at all.
		f.Add("Bearer "+token[:strings.LastIndexByte(token, '.')+1], token)
		f.Add("bearer "+raw(`{"alg":"`+alg+`","kid":"`+kid+`"}`, anyClaims, []byte("signature")), "")
	}
	for _, token := range []string{
		raw(`{"alg":"none"}`, anyClaims, nil), hs(`{"alg":"HS256","kid":"ec"}`, anyClaims, ""),
		raw(`{"alg":"ES256","kid":"../ec"}`, anyClaims, make([]byte, 64)), "..", "a.b.c", "sb_secret_", "",
	} {
		f.Add("Bearer "+token, token)
	}
	f.Fuzz(func(t *testing.T, authorization, apikey string) {
		h := http.Header{}
		if authorization != "" {
			h["Authorization"] = []string{authorization}
		}
		if apikey != "" {
			h["Apikey"] = []string{apikey}
		}
		id, failure := v.Verify(context.Background(), h, time.Now())
		if (failure == nil) == (id == Identity{}) {
			t.Fatalf("both or neither: %+v, %v", id, failure)
		}
		if failure != nil {
			if failure.Code == "" || failure.Message == "" || len(failure.Message) > 80 || len(failure.Reason) > 300 {
				t.Fatalf("failure %+v", failure)
			}
			return
		}
		token := strings.TrimSpace(apikey)
		if authorization != "" {
			token = strings.TrimSpace(strings.TrimSpace(authorization)[len("Bearer "):])
		}
		if keys[token] {
			return
		}
		if i := strings.LastIndexByte(token, '.'); i < 0 || !signed[token[:i]] {
			t.Fatalf("accepted %+v: %q", id, token)
		}
	})
}

// FuzzSigned gives the verifier headers and payloads that are signed all
// right: those it accepts, golang-jwt accepts as well.
func FuzzSigned(f *testing.F) {
	v := newVerifier(f, Options{JWTSecret: testSecret})
	for _, header := range []string{`{"alg":"HS256"}`, `{"alg":"HS256","crit":["x"]}`, `{"alg":"none"}`, `{"ALG":"HS256"}`, `{"alg":"HS256","kid":1}`} {
		for _, payload := range []string{anyClaims, `{}`, `null`, `{"exp":1}`, `{"nbf":9e99}`, `{"exp":"1"}`, `{"exp":null}`, `{"exp":1e400}`, `{"exp":4102444800.5}`, `[`} {
			f.Add(header, payload)
		}
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithLeeway(Leeway+time.Second))
	f.Fuzz(func(t *testing.T, header, payload string) {
		token := hs(header, payload, testSecret)
		if _, failure := v.VerifyToken(context.Background(), token); failure != nil {
			return
		}
		_, err := parser.Parse(token, func(*jwt.Token) (any, error) { return []byte(testSecret), nil })
		// Times beyond the year 9999 are the one thing it sees otherwise.
		var times struct{ Exp, Nbf any }
		_ = json.Unmarshal([]byte(payload), &times)
		for _, at := range []any{times.Exp, times.Nbf} {
			if seconds, ok := at.(float64); ok && math.Abs(seconds) > 253402300799 {
				return
			}
		}
		if err != nil {
			t.Fatalf("accepted %q %q; golang-jwt: %v", header, payload, err)
		}
	})
}

// FuzzKeySet: a key set from anywhere is read or refused, and what is read can
// be used.
func FuzzKeySet(f *testing.F) {
	f.Add(jwks("ec", "rsa", "pss", "ed"))
	f.Add(`{"keys":[{"kty":"oct","k":"AAAA"},null,7]}`)
	f.Add(`{"keys":null}`)
	token := sign("ES256", "ec2", hour)
	f.Fuzz(func(t *testing.T, text string) {
		set, err := parseKeySet([]byte(text))
		if err != nil {
			return
		}
		if len(set.keys)+len(set.ignored) > maxKeys {
			t.Fatal("too many keys")
		}
		v := &Verifier{source: inline{set}}
		if id, failure := v.VerifyToken(context.Background(), token); failure == nil {
			t.Fatalf("accepted %+v", id)
		}
	})
}
