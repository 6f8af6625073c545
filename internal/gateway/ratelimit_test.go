package gateway

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/ratelimit"
)

func mustRate(t testing.TB, text string) function.Rate {
	t.Helper()
	r, err := function.ParseRate(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// limited is a site whose function lets through what the rate says.
func limited(t *testing.T, rate string, edit func(*Options)) *site {
	t.Helper()
	w := startWorker(t, "e", answering(func(*http.Request) string { return text(200, "hi") }))
	r := mustRate(t, rate)
	return startSite(t, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) {
		o.CORS = CORS(nil)
		o.Limits = RateLimit(ratelimit.New(0), func(string) function.Rate { return r })
		o.TrustedProxies = Proxies{netip.MustParsePrefix("127.0.0.0/8")}
		if edit != nil {
			edit(o)
		}
	})
}

func TestRateLimitAnswer(t *testing.T) {
	s := limited(t, "2/h", nil)
	for range 2 {
		if res, body := s.do("POST", "/hello", nil); res.StatusCode != 200 || body != "hi" {
			t.Fatalf("%d %q", res.StatusCode, body)
		}
		s.record()
	}
	res, body := s.do("POST", "/hello", nil, "Origin", "https://app.example")
	// It says no relay failed: the gateway did what it is there for.
	checkProblem(t, res, body, 429, "OVERLOADED", "Too many requests, the rate limit of this function is reached", "", false)
	if after, err := strconv.Atoi(res.Header.Get("Retry-After")); err != nil || after < 1700 || after > 1800 {
		t.Errorf("Retry-After %q, want about half an hour", res.Header.Get("Retry-After"))
	}
	var over *function.OverloadError
	if rec := s.record(); !errors.As(rec.Err, &over) || over.Reason != function.RateLimited || rec.Status != 429 || rec.ExecutionID != "" {
		t.Errorf("record %+v", rec)
	}
	// A preflight is no request of the page's, and the gateway answers for a
	// function that is not to be asked any more.
	for range 4 {
		if res, body := s.do("OPTIONS", "/hello", nil, preflight...); res.StatusCode != 204 && (res.StatusCode != 200 || body != "hi") {
			t.Errorf("preflight: %d %q", res.StatusCode, body)
		}
	}
	if n := s.pool.acquired.Load(); n != 4 {
		t.Errorf("the function was called %d times, want twice by requests and twice by preflights", n)
	}
	if res, _ := s.do("GET", "/health", nil); res.StatusCode != 200 {
		t.Errorf("health: %d", res.StatusCode)
	}
}

func TestRateLimitOff(t *testing.T) {
	for _, rate := range []string{"off", "1000000/s"} {
		s := limited(t, rate, nil)
		for range 20 {
			if res, _ := s.do("GET", "/hello", nil); res.StatusCode != 200 {
				t.Errorf("%s: %d", rate, res.StatusCode)
			}
		}
	}
}

func TestRateLimitAppliesToWebSockets(t *testing.T) {
	s := limited(t, "1/h", nil)
	s.do("GET", "/hello", nil)
	if res, _ := s.do("GET", "/hello", nil, "Connection", "Upgrade", "Upgrade", "websocket"); res.StatusCode != 429 {
		t.Errorf("%d", res.StatusCode)
	}
}

// Two requests of which the second is refused are of one caller.
func TestRateLimitCallers(t *testing.T) {
	sign := func(claims map[string]any) []string {
		claims["exp"] = time.Now().Add(time.Hour).Unix()
		token, err := auth.Sign(testJWTSecret, claims)
		if err != nil {
			t.Fatal(err)
		}
		return []string{"Authorization", "Bearer " + token}
	}
	from := func(addr string, h ...string) []string { return append([]string{"X-Forwarded-For", addr}, h...) }
	alice := sign(map[string]any{"role": "authenticated", "sub": "alice"})
	bob := sign(map[string]any{"role": "authenticated", "sub": "bob"})
	anon := sign(map[string]any{"role": "anon"})
	service := sign(map[string]any{"role": "service_role"})
	publishable := []string{"Apikey", auth.LocalPublishableKey}
	secret, other := []string{"Apikey", "sb_secret_one"}, []string{"Apikey", "sb_secret_two"}
	const a, b = "192.0.2.1", "192.0.2.2"
	for name, tc := range map[string]struct {
		first, second []string
		public, same  bool
	}{
		"a user at two addresses":           {from(a, alice...), from(b, alice...), false, true},
		"two users at one address":          {from(a, alice...), from(a, bob...), false, false},
		"a user's two tokens":               {from(a, alice...), from(b, sign(map[string]any{"role": "authenticated", "sub": "alice", "n": 1})...), false, true},
		"the anon key at one address":       {from(a, anon...), from(a, anon...), false, true},
		"the anon key at two addresses":     {from(a, anon...), from(b, anon...), false, false},
		"anon keys with a subject":          {from(a, sign(map[string]any{"role": "anon", "sub": "x"})...), from(a, sign(map[string]any{"role": "anon", "sub": "y"})...), false, true},
		"the publishable key":               {from(a, publishable...), from(b, publishable...), false, false},
		"the publishable and the anon key":  {from(a, publishable...), from(a, anon...), false, true},
		"a secret key at two addresses":     {from(a, secret...), from(b, secret...), false, true},
		"two secret keys":                   {from(a, secret...), from(a, other...), false, false},
		"the service key at two addresses":  {from(a, service...), from(b, service...), false, true},
		"a user and an anonymous one":       {from(a, alice...), from(a, anon...), false, false},
		"unverified: users at one address":  {from(a, alice...), from(a, bob...), true, true},
		"unverified: a user's addresses":    {from(a, alice...), from(b, alice...), true, false},
		"unverified: nobody in particular":  {from(a), from(a), true, true},
		"one IPv6 network":                  {from("2001:db8:1:2::1"), from("2001:db8:1:2:3::4"), true, true},
		"two IPv6 networks":                 {from("2001:db8:1:2::1"), from("2001:db8:1:3::1"), true, false},
		"an address in two forms":           {from(a), from("::ffff:" + a), true, true},
		"an invented hop before the client": {from("10.1.1.1, " + a), from("10.2.2.2, " + a), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := limited(t, "1/h", func(o *Options) {
				v, err := auth.New(auth.Options{JWTSecret: testJWTSecret,
					PublishableKeys: map[string]string{"default": auth.LocalPublishableKey},
					SecretKeys:      map[string]string{"one": "sb_secret_one", "two": "sb_secret_two"}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(v.Close)
				o.Authenticate = Authenticate(v, func(string) bool { return !tc.public }, true)
			})
			if res, body := s.do("GET", "/hello", nil, tc.first...); res.StatusCode != 200 {
				t.Fatalf("the first request got %d %q", res.StatusCode, body)
			}
			want := 200
			if tc.same {
				want = 429
			}
			if res, body := s.do("GET", "/hello", nil, tc.second...); res.StatusCode != want {
				t.Errorf("the second request got %d %q, want %d", res.StatusCode, body, want)
			}
		})
	}
}

// What was not let in takes nothing from anybody's rate.
func TestRateLimitComesAfterAuthentication(t *testing.T) {
	s := limited(t, "1/h", func(o *Options) { o.Authenticate = Authenticate(testVerifier(t), every, true) })
	for range 3 {
		if res, _ := s.do("GET", "/hello", nil); res.StatusCode != 401 {
			t.Errorf("%d", res.StatusCode)
		}
	}
	if res, _ := s.do("GET", "/hello", nil, "Apikey", auth.LocalPublishableKey); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestChain(t *testing.T) {
	var way string
	step := func(name string) Middleware {
		return func(next Handler) Handler {
			return func(w http.ResponseWriter, r *http.Request, c *Call) {
				way += name
				next(w, r, c)
			}
		}
	}
	Chain(step("a"), nil, Chain(step("b"), step("c")))(func(http.ResponseWriter, *http.Request, *Call) { way += "!" })(nil, nil, nil)
	if way != "abc!" {
		t.Errorf("%q", way)
	}
}

func BenchmarkRateLimit(b *testing.B) {
	for _, bc := range []struct {
		rate string
		id   auth.Identity
	}{
		{"off", auth.Identity{}},
		{"1000000/s", auth.Identity{}},
		{"1000000/s", auth.Identity{Kind: auth.KindToken, Role: "authenticated", Subject: "6b8a1a32-0e0c-4f41-9dd8-3b1f2f8b7a11"}},
	} {
		name := "an address"
		if bc.id.Kind != 0 {
			name = "a user"
		}
		b.Run(bc.rate+", "+name, func(b *testing.B) {
			rate := mustRate(b, bc.rate)
			h := RateLimit(ratelimit.New(0), func(string) function.Rate { return rate })(func(http.ResponseWriter, *http.Request, *Call) {})
			r := httptest.NewRequest("GET", "/hello", nil)
			c := &Call{Route: Route{Slug: "hello"}, Identity: bc.id, Start: time.Now()}
			c.origin.client = netip.MustParseAddr("192.0.2.1")
			b.ReportAllocs()
			for b.Loop() {
				c.Start = c.Start.Add(time.Microsecond)
				h(nil, r, c)
			}
		})
	}
}
