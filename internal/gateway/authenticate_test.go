package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/auth"
)

const testJWTSecret = "a-secret-of-this-test-with-forty-characters"

func testVerifier(t testing.TB) *auth.Verifier {
	t.Helper()
	v, err := auth.New(auth.Options{JWTSecret: testJWTSecret,
		PublishableKeys: map[string]string{"default": auth.LocalPublishableKey}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.Close)
	return v
}

func testToken(t testing.TB, exp time.Duration) string {
	t.Helper()
	token, err := auth.Sign(testJWTSecret, map[string]any{"role": "anon", "exp": time.Now().Add(exp).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func every(string) bool { return true }

func TestAuthenticate(t *testing.T) {
	var reached atomic.Int32
	w := startWorker(t, "e", answering(func(r *http.Request) string {
		reached.Add(1)
		return text(200, r.Header.Get("Authorization")+"|"+r.Header.Get("Apikey"))
	}))
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) {
		o.Authenticate = Authenticate(testVerifier(t), every, true)
	})
	good, expired := testToken(t, time.Hour), testToken(t, -time.Hour)
	for _, tc := range []struct {
		name, method, path, header, value string
		status                            int
		body                              string
	}{
		{"nothing sent", "POST", "/hello", "", "", 401, `{"code":"UNAUTHORIZED_NO_AUTH_HEADER","message":"Missing authorization header","msg":"Missing authorization header"}`},
		{"not Bearer", "POST", "/functions/v1/hello", "Authorization", "Basic eA==", 401, `{"code":"UNAUTHORIZED_INVALID_JWT_FORMAT","message":"Invalid JWT format","msg":"Invalid JWT format"}`},
		{"expired", "GET", "/hello/x", "Authorization", "Bearer " + expired, 401, `{"code":"UNAUTHORIZED_LEGACY_JWT","message":"Invalid JWT","msg":"Invalid JWT"}`},
		{"ES256", "GET", "/hello", "Authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.e30.eA", 401, `{"code":"UNAUTHORIZED_ASYMMETRIC_JWT","message":"Invalid JWT","msg":"Invalid JWT"}`},
		{"none", "GET", "/hello", "Authorization", "Bearer eyJhbGciOiJub25lIn0.e30.", 401, `{"code":"UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM","message":"Unsupported JWT algorithm none","msg":"Unsupported JWT algorithm none"}`},
		{"HEAD", "HEAD", "/hello", "", "", 401, ""},
		{"a token", "POST", "/hello", "Authorization", "Bearer " + good, 200, "Bearer " + good + "|"},
		{"apikey", "POST", "/hello", "apikey", auth.LocalPublishableKey, 200, "|" + auth.LocalPublishableKey},
		{"OPTIONS", "OPTIONS", "/hello", "", "", 200, "|"},
		{"an unknown function", "POST", "/nobody", "", "", 404, `{"code":"NOT_FOUND","message":"Requested function was not found"}`},
		{"a wrong method", "TRACE", "/hello", "", "", 405, `{"code":"METHOD_NOT_ALLOWED","message":"Method is not allowed"}`},
		{"health", "GET", "/health", "", "", 200, `{"message":"ok"}`},
		{"metric", "HEAD", "/_internal/metric", "", "", 200, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := reached.Load()
			var header []string
			if tc.header != "" {
				header = []string{tc.header, tc.value}
			}
			res, body := s.do(tc.method, tc.path, nil, header...)
			if res.StatusCode != tc.status || body != tc.body {
				t.Errorf("got %d %s", res.StatusCode, body)
			}
			rec := s.record()
			if tc.status != 401 {
				return
			}
			var failure *auth.Failure
			if reached.Load() != before || rec.Status != 401 || !errors.As(rec.Err, &failure) {
				t.Errorf("reached %v, record %+v", reached.Load() != before, rec)
			}
			checkPlatformHeaders(t, res, "")
			if res.Header.Get("Sb-Error-Code") != string(failure.Code) || res.Header.Get("Access-Control-Allow-Origin") != "*" ||
				res.Header.Get("Access-Control-Expose-Headers") != "sb-error-code, sb-request-id" ||
				res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Www-Authenticate") != "Bearer" ||
				res.Header["X-Relay-Error"] != nil {
				t.Errorf("headers %v", res.Header)
			}
		})
	}
}

func TestAuthenticatePerFunction(t *testing.T) {
	w := startWorker(t, "e", answering(func(r *http.Request) string { return text(200, "hi") }))
	for _, tc := range []struct {
		name     string
		v        Verifier
		verify   bool
		required bool
		status   int
	}{
		{"verify_jwt", testVerifier(t), true, true, 401},
		{"verify_jwt = false", testVerifier(t), false, true, 200},
		{"REQUIRE_AUTH=false", testVerifier(t), true, false, 200},
		{"no verifier", nil, true, true, 401},
		{"a verifier without keys", (*auth.Verifier)(nil), true, true, 401},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) {
				o.Authenticate = Authenticate(tc.v, func(slug string) bool { return slug != "hello" || tc.verify }, tc.required)
			})
			if res, body := s.do("GET", "/hello", nil); res.StatusCode != tc.status {
				t.Errorf("got %d %s", res.StatusCode, body)
			}
		})
	}
}

// TestAuthenticateTellsWho: what comes after it can tell callers apart.
func TestAuthenticateTellsWho(t *testing.T) {
	got := make(chan auth.Identity, 1)
	s := startSite(t, &fakePool{}, func(o *Options) {
		o.Authenticate = Authenticate(testVerifier(t), every, true)
		o.Limits = func(Handler) Handler {
			return func(w http.ResponseWriter, _ *http.Request, c *Call) {
				got <- c.Identity
				c.write(w, 200, nil)
			}
		}
	})
	s.do("GET", "/hello", nil, "apikey", auth.LocalPublishableKey)
	if id := <-got; id.KeyName != "default" || id.Role != "anon" {
		t.Errorf("got %+v", id)
	}
}

// TestAuthenticateBeforeUpgrade: a socket without a token is refused by an
// HTTP answer, and the function never sees it.
func TestAuthenticateBeforeUpgrade(t *testing.T) {
	var reached atomic.Int32
	w := startWorker(t, "e", func(nc *net.UnixConn, r *bufio.Reader) {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		reached.Add(1)
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	})
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) {
		o.Authenticate = Authenticate(testVerifier(t), every, true)
		o.CORS = CORS([]string{"*"})
	})
	const upgrade = "GET /hello HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	_, r := s.dial(upgrade + "\r\n")
	res, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 401 || res.Header.Get("Sb-Error-Code") != "UNAUTHORIZED_NO_AUTH_HEADER" || reached.Load() != 0 {
		t.Errorf("got %d %v, reached %d", res.StatusCode, res.Header, reached.Load())
	}
	_, r = s.dial(upgrade + "Authorization: Bearer " + testToken(t, time.Hour) + "\r\n\r\n")
	if res, err = http.ReadResponse(r, nil); err != nil || res.StatusCode != 101 {
		t.Errorf("with a token: %v, %v", res, err)
	}
	if _, ok := res.Header["Access-Control-Allow-Origin"]; ok {
		t.Error("CORS has no say over a socket")
	}
}

// TestAuthenticateReadsNoBody: a refused upload is not waited for.
func TestAuthenticateReadsNoBody(t *testing.T) {
	s := startSite(t, &fakePool{}, func(o *Options) { o.Authenticate = Authenticate(testVerifier(t), every, true) })
	_, r := s.dial("POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nstart")
	line, err := r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 401 ") {
		t.Errorf("got %q, %v", line, err)
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	r, err := http.NewRequestWithContext(context.Background(), "GET", "/hello", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+testToken(b, time.Hour))
	h := Authenticate(testVerifier(b), every, true)(func(http.ResponseWriter, *http.Request, *Call) {})
	c := &Call{Route: Route{Kind: RouteFunction, Slug: "hello"}}
	b.ReportAllocs()
	for b.Loop() {
		h(nil, r, c)
	}
	if c.Identity.Role != "anon" {
		b.Fatal(c.Err)
	}
}
