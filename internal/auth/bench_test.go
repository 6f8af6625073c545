package auth

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func BenchmarkVerify(b *testing.B) {
	v := all(b)
	for _, bc := range []struct{ name, token string }{
		{"HS256", sign("HS256", "", hour)}, {"ES256", sign("ES256", "ec", hour)}, {"key", testSecretKey},
	} {
		h := bearer(bc.token)
		b.Run("again/"+bc.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, f := v.Verify(context.Background(), h, time.Now()); f != nil {
					b.Fatal(f)
				}
			}
		})
		b.Run("together/"+bc.name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					v.Verify(context.Background(), h, time.Now())
				}
			})
		})
	}
	uncached := all(b)
	uncached.cache = nil
	for alg, kid := range map[string]string{"HS256": "", "ES256": "ec", "RS256": "rsa", "PS256": "pss", "EdDSA": "ed"} {
		token := sign(alg, kid, hour)
		b.Run("first/"+alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, f := uncached.VerifyToken(context.Background(), token); f != nil {
					b.Fatal(f)
				}
			}
		})
	}
	for name, token := range map[string]string{
		"unsigned": raw(`{"alg":"none"}`, anyClaims, nil), "forged HS256": hs(`{"alg":"HS256"}`, anyClaims, "x"),
		"forged ES256": sign("ES256", "ec2", hour, func(h map[string]any) { h["kid"] = "ec" }),
	} {
		b.Run("refused/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				v.VerifyToken(context.Background(), token)
			}
		})
	}
}

// BenchmarkCacheFull reports what a full cache holds on to.
func BenchmarkCacheFull(b *testing.B) {
	tokens := make([]string, DefaultCacheSize)
	for i := range tokens {
		tokens[i] = sign("HS256", "", jwt.MapClaims{"role": "authenticated", "sub": fmt.Sprintf("%036d", i), "exp": 4102444800})
	}
	b.ReportAllocs()
	for b.Loop() {
		v, err := New(Options{JWTSecret: testSecret})
		must(err)
		for _, token := range tokens {
			v.VerifyToken(context.Background(), token)
		}
	}
}
