package auth

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A fakeSite is a transport that answers with a key set.
type fakeSite struct {
	mu      sync.Mutex
	body    string
	status  int
	err     error
	delay   time.Duration
	fetches atomic.Int32
	request *http.Request
}

func (s *fakeSite) set(edit func(*fakeSite)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit(s)
}

func (s *fakeSite) serve(body string) {
	s.set(func(s *fakeSite) { s.body, s.status, s.err, s.delay = body, 200, nil, 0 })
}

func (s *fakeSite) RoundTrip(r *http.Request) (*http.Response, error) {
	s.fetches.Add(1)
	s.mu.Lock()
	body, status, err, delay := s.body, s.status, s.err, s.delay
	s.request = r
	s.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

func (s *fakeSite) fetched(t *testing.T, want int32) {
	t.Helper()
	if got := s.fetches.Load(); got != want {
		t.Fatalf("%d fetches, want %d", got, want)
	}
}

// inBubble runs a test on a verifier of the site, in a time of its own.
func inBubble(t *testing.T, f func(t *testing.T, v *Verifier, s *fakeSite)) {
	signers() // outside: it takes a while, but no time in the bubble
	synctest.Test(t, func(t *testing.T) {
		s := &fakeSite{}
		s.serve(jwks("ec", "rsa"))
		v := newVerifier(t, Options{JWTSecret: testSecret, URL: "https://project.example/", Transport: s})
		time.Sleep(time.Hour) // nothing hangs on when a server was started
		f(t, v, s)
		v.Close()
	})
}

// lasting is a token that no test outlives.
func lasting(kid string) string {
	alg := map[string]string{"ec": "ES256", "ec2": "ES256", "rsa": "RS256"}[kid]
	return sign(alg, kid, jwt.MapClaims{"sub": kid, "exp": in(100 * 24 * time.Hour)})
}

func verdict(v *Verifier, token string) string {
	_, f := v.VerifyToken(context.Background(), token)
	if f == nil {
		return "ok"
	}
	return f.Reason
}

func TestRemoteFetchesOnceWhenNeeded(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		accepted(t, v, sign("HS256", "", jwt.MapClaims{}))
		s.fetched(t, 0)
		for range 3 {
			accepted(t, v, lasting("ec"))
			accepted(t, v, lasting("rsa"))
		}
		s.fetched(t, 1)
		if got := s.request.URL.String(); got != "https://project.example/auth/v1/.well-known/jwks.json" {
			t.Errorf("fetched %s", got)
		}
	})
}

func TestRemoteIsNotUsedWithInline(t *testing.T) {
	s := &fakeSite{}
	v := newVerifier(t, Options{JWKS: jwks("ec"), URL: "https://project.example", Transport: s})
	accepted(t, v, sign("ES256", "ec", hour))
	refused(t, v, sign("ES256", "ec2", hour), CodeAsymmetric, "ec2")
	s.fetched(t, 0)
}

func TestRemoteSharesOneFetch(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		s.set(func(s *fakeSite) { s.delay = time.Second })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got := verdict(v, lasting("ec")); got != "ok" {
					t.Error(got)
				}
			})
		}
		wg.Wait()
		s.fetched(t, 1)
	})
}

func TestRemoteRefreshesOnAnUnknownKidOncePerMinute(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		remembered := lasting("ec")
		accepted(t, v, remembered)
		time.Sleep(time.Minute)
		s.serve(jwks("ec2", "rsa")) // rotated: ec is withdrawn
		accepted(t, v, lasting("ec2"))
		s.fetched(t, 2)
		if got := verdict(v, remembered); !strings.Contains(got, `"ec"`) {
			t.Errorf("the withdrawn key, whose token was remembered: %s", got)
		}
		accepted(t, v, lasting("rsa"))
		for range 100 {
			verdict(v, sign("ES256", "ec", jwt.MapClaims{}, func(h map[string]any) { h["kid"] = "made up" }))
		}
		s.fetched(t, 2)
		time.Sleep(time.Minute - 1)
		verdict(v, lasting("ec"))
		s.fetched(t, 2)
		time.Sleep(time.Nanosecond)
		verdict(v, lasting("ec"))
		s.fetched(t, 3)
	})
}

func TestRemoteDoesNotRefreshForBadSignatures(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		accepted(t, v, lasting("ec"))
		time.Sleep(2 * time.Minute)
		verdict(v, sign("ES256", "ec2", jwt.MapClaims{}, func(h map[string]any) { h["kid"] = "ec" }))
		verdict(v, sign("ES256", "ec2", jwt.MapClaims{}, func(h map[string]any) { delete(h, "kid") }))
		verdict(v, raw(`{"alg":"none","kid":"new"}`, `{}`, nil))
		verdict(v, raw(`{"alg":"HS512","kid":"new"}`, `{}`, []byte("x")))
		verdict(v, raw(`{"alg":"EdDSA"}`, `{}`, []byte("x")))
		s.fetched(t, 1)
	})
}

// TestRemoteBadFetchLocksNobodyOut goes through the ways a fetch can be bad.
func TestRemoteBadFetchLocksNobodyOut(t *testing.T) {
	for name, edit := range map[string]func(*fakeSite){
		"no connection":   func(s *fakeSite) { s.err = errors.New("refused") },
		"500":             func(s *fakeSite) { s.status = 500 },
		"404 with JSON":   func(s *fakeSite) { s.status, s.body = 404, `{"keys":[]}` },
		"a redirect":      func(s *fakeSite) { s.status = 302 },
		"a page":          func(s *fakeSite) { s.body = "<html>" },
		"nothing":         func(s *fakeSite) { s.body = "" },
		"an error":        func(s *fakeSite) { s.body = `{"message":"no"}` },
		"cut":             func(s *fakeSite) { s.body = jwks("ec")[:100] },
		"null":            func(s *fakeSite) { s.body = `{"keys":null}` },
		"empty":           func(s *fakeSite) { s.body = `{"keys":[]}` },
		"only of a kind":  func(s *fakeSite) { s.body = `{"keys":[{"kty":"oct","k":"AAAA"}]}` },
		"too large":       func(s *fakeSite) { s.body = jwks("ec2") + strings.Repeat(" ", maxKeySet) },
		"never an answer": func(s *fakeSite) { s.delay = time.Hour },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
				accepted(t, v, lasting("ec"))
				time.Sleep(time.Minute)
				s.set(edit)
				start := time.Now()
				if got := verdict(v, lasting("ec2")); !strings.Contains(got, `"ec2"`) {
					t.Error(got)
				}
				if took := time.Since(start); took > waitKnown {
					t.Errorf("it took %s", took)
				}
				s.fetched(t, 2)
				for range 3 {
					start := time.Now()
					if got := verdict(v, lasting("ec")); got != "ok" {
						t.Errorf("the known key: %s", got)
					}
					if got := verdict(v, lasting("rsa")); got != "ok" { // not remembered yet
						t.Errorf("the other known key: %s", got)
					}
					if took := time.Since(start); took != 0 {
						t.Errorf("a known key waited %s", took)
					}
					time.Sleep(10 * time.Second)
				}
				// And it recovers.
				s.serve(jwks("ec2"))
				time.Sleep(time.Minute)
				accepted(t, v, lasting("ec2"))
			})
		})
	}
}

// TestRemoteEmptyTwice: keys that are really gone do go.
func TestRemoteEmptyTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		accepted(t, v, lasting("ec"))
		time.Sleep(time.Minute)
		s.serve(`{"keys":[]}`)
		verdict(v, lasting("ec2"))
		accepted(t, v, lasting("ec"))
		time.Sleep(time.Minute)
		verdict(v, lasting("ec2"))
		s.fetched(t, 3)
		if got := verdict(v, lasting("ec")); !strings.Contains(got, "empty") {
			t.Error(got)
		}
	})
}

func TestRemoteColdStart(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		s.set(func(s *fakeSite) { s.err = errors.New("refused") })
		if got := verdict(v, lasting("ec")); !strings.Contains(got, "could not be fetched") {
			t.Error(got)
		}
		s.serve(jwks("ec"))
		start := time.Now()
		verdict(v, lasting("ec"))
		s.fetched(t, 1)
		if time.Since(start) != 0 {
			t.Error("it waited between two fetches")
		}
		time.Sleep(firstPause)
		accepted(t, v, lasting("ec"))
		s.fetched(t, 2)
	})
}

func TestRemoteHangingColdStart(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		s.set(func(s *fakeSite) { s.delay = time.Hour })
		start := time.Now()
		verdict(v, lasting("ec"))
		if took := time.Since(start); took != fetchTimeout {
			t.Errorf("it took %s", took)
		}
		accepted(t, v, sign("HS256", "", jwt.MapClaims{}))
		// A client that leaves does not wait, and does not end the fetch.
		time.Sleep(firstPause)
		s.set(func(s *fakeSite) { s.delay = time.Second })
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		start = time.Now()
		if _, f := v.VerifyToken(ctx, lasting("ec")); f == nil || time.Since(start) != time.Millisecond {
			t.Errorf("after %s: %v", time.Since(start), f)
		}
		accepted(t, v, lasting("ec"))
		s.fetched(t, 2)
	})
}

// TestRemoteAgesBehindTheBack: an old set is refreshed while it is used.
func TestRemoteAgesBehindTheBack(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		remembered := lasting("ec")
		accepted(t, v, remembered)
		old := v.remote.current()
		time.Sleep(maxAge - 1)
		accepted(t, v, remembered)
		synctest.Wait()
		s.fetched(t, 1)
		time.Sleep(time.Nanosecond)
		s.set(func(s *fakeSite) { s.delay = time.Second })
		start := time.Now()
		accepted(t, v, remembered)
		if time.Since(start) != 0 {
			t.Error("it waited for the refresh")
		}
		time.Sleep(2 * time.Second)
		s.fetched(t, 2)
		if v.remote.current() != old {
			t.Error("the same answer made another set, which empties the cache")
		}
		time.Sleep(maxAge)
		s.serve(jwks("rsa"))
		s.set(func(s *fakeSite) { s.delay = time.Second }) // or it may be over before the answer
		if got := verdict(v, remembered); got != "ok" {
			t.Error(got)
		}
		time.Sleep(2 * time.Second)
		if got := verdict(v, remembered); !strings.Contains(got, `"ec"`) {
			t.Errorf("the withdrawn key: %s", got)
		}
	})
}

func TestRemoteCloseEndsAFetch(t *testing.T) {
	inBubble(t, func(t *testing.T, v *Verifier, s *fakeSite) {
		s.set(func(s *fakeSite) { s.delay = time.Hour })
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() { verdict(v, lasting("ec")) })
		synctest.Wait()
		v.Close()
		wg.Wait()
		verdict(v, lasting("ec"))
		if time.Since(start) != 0 {
			t.Error("it waited")
		}
		time.Sleep(time.Hour)
		verdict(v, lasting("ec"))
		s.fetched(t, 1)
	})
}

// TestRemoteOverTheNetwork is the same over real connections.
func TestRemoteOverTheNetwork(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, jwks("ec2")) }))
	defer elsewhere.Close()
	redirect := false
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case redirect:
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case r.URL.Path == "/auth/v1/.well-known/jwks.json":
			io.WriteString(w, jwks("ec"))
		}
	}))
	defer site.Close()
	var log strings.Builder
	v := newVerifier(t, Options{URL: site.URL, Log: slog.New(slog.NewTextHandler(&log, nil))})
	accepted(t, v, sign("ES256", "ec", hour))
	v.Close()

	redirect = true
	v = newVerifier(t, Options{URL: site.URL, Log: slog.New(slog.NewTextHandler(&log, nil))})
	refused(t, v, sign("ES256", "ec2", hour), CodeAsymmetric, "could not be fetched")
	v.Close()
	if !strings.Contains(log.String(), "302 Found") {
		t.Errorf("log: %s", log.String())
	}
}
