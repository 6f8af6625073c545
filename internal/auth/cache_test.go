package auth

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestCacheIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	c := newCache(3)
	sum := func(i int) digest { return digestOf(string(byte(i))) }
	for i := range 3 {
		c.put(sum(i), Identity{Subject: fmt.Sprint(i)}, nil)
	}
	d := sum(0)
	if id, _, ok := c.get(&d, time.Now()); !ok || id.Subject != "0" {
		t.Fatalf("got %+v, %v", id, ok)
	}
	c.put(sum(3), Identity{}, nil)
	c.put(sum(3), Identity{Subject: "again"}, nil)
	for i, want := range []bool{true, false, true, true} {
		d := sum(i)
		if _, _, ok := c.get(&d, time.Now()); ok != want {
			t.Errorf("%d is there: %v", i, ok)
		}
	}
	if len(c.entries) != 3 {
		t.Errorf("%d entries", len(c.entries))
	}
}

func TestCacheForgetsExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVerifier(t, Options{JWTSecret: testSecret})
		accepted(t, v, sign("HS256", "", jwt.MapClaims{"exp": in(time.Minute)}))
		time.Sleep(90 * time.Second)
		for d := range v.cache.entries {
			if _, _, ok := v.cache.get(&d, time.Now()); ok {
				t.Error("it is remembered past exp and leeway")
			}
		}
		if len(v.cache.entries) != 0 {
			t.Error("it takes a place")
		}
	})
}

// TestCacheTogether is for the race detector.
func TestCacheTogether(t *testing.T) {
	v := newVerifier(t, Options{JWTSecret: testSecret, CacheSize: 4})
	tokens := make([]string, 8)
	for i := range tokens {
		tokens[i] = sign("HS256", "", jwt.MapClaims{"sub": fmt.Sprint(i), "exp": in(time.Hour)})
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 300 {
				n := (i*7 + g) % len(tokens)
				if id, f := v.VerifyToken(context.Background(), tokens[n]); f != nil || id.Subject != fmt.Sprint(n) {
					t.Errorf("token %d: %+v, %v", n, id, f)
				}
			}
		})
	}
	wg.Wait()
	if n := len(v.cache.entries); n > 4 {
		t.Errorf("%d entries", n)
	}
}

func TestRepeatedTokenCostsLittle(t *testing.T) {
	v := all(t)
	for name, h := range map[string]string{
		"HS256": sign("HS256", "", hour), "ES256": sign("ES256", "ec", hour), "secret key": testSecretKey,
	} {
		header := bearer(h)
		if n := testing.AllocsPerRun(100, func() {
			if _, f := v.Verify(context.Background(), header, time.Now()); f != nil {
				t.Fatal(f)
			}
		}); n > 2 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
