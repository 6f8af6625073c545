package gateway

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/function"
)

const allowedHeaders = "authorization, x-client-info, apikey, content-type, x-retry-count, x-region, traceparent, tracestate, baggage"

// corsSite is a site whose function answers with a head, to which the body
// "body" belongs; reached counts the requests that come to it.
func corsSite(t *testing.T, origins []string, head string) (s *site, reached *atomic.Int32) {
	reached = new(atomic.Int32)
	w := startWorker(t, "exec-1", answering(func(r *http.Request) string {
		reached.Add(1)
		answer := "HTTP/1.1 " + strings.ReplaceAll(head, "\n", "\r\n")
		if strings.HasPrefix(head, "204") {
			return answer + "\r\n\r\n"
		}
		return answer + "\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nbody"
	}))
	s = startSite(t, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) {
		o.CORS = CORS(origins)
		o.Authenticate = Authenticate(testVerifier(t), every, true)
	})
	return s, reached
}

// headers of an answer as lines; several lines of one name show.
func corsHeads(h http.Header) string {
	var all []string
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Allow-Headers",
		"Access-Control-Allow-Credentials", "Access-Control-Expose-Headers", "Access-Control-Max-Age", "Vary", "X-Own", "Allow", "Content-Type"} {
		for _, v := range h[name] {
			v = strings.ReplaceAll(v, allowedHeaders, "HEADERS")
			v = strings.ReplaceAll(v, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", "METHODS")
			v = strings.ReplaceAll(v, "sb-error-code, sb-request-id", "EXPOSED")
			all = append(all, strings.TrimPrefix(name, "Access-Control-")+": "+v)
		}
	}
	return strings.Join(all, "\n")
}

var preflight = []string{"Origin", "https://app.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization, content-type"}

const (
	byGateway           = "Allow-Origin: *\nAllow-Methods: METHODS\nAllow-Headers: HEADERS\nExpose-Headers: EXPOSED"
	byGatewayConfigured = byGateway + "\nMax-Age: 3600"
)

func TestPreflight(t *testing.T) {
	list := []string{"https://App.example", "https://other.example"}
	stranger := append([]string{"Origin", "https://evil.example"}, preflight[2:]...)
	for _, tc := range []struct {
		name    string
		origins []string
		head    string // the function's
		request []string
		status  int
		body    string
		want    string
		reached int32
	}{
		{"the function's own", nil, "204 X\naccess-control-allow-origin: https://mine\nx-own: 1", preflight, 204, "", "Allow-Origin: https://mine\nX-Own: 1", 1},
		{"the function's own with 200", nil, "200 OK\naccess-control-allow-headers: x-a\naccess-control-allow-headers: x-b", preflight, 200, "body", "Allow-Headers: x-a\nAllow-Headers: x-b\nContent-Type: text/plain", 1},
		{"no answer: 404", nil, "404 X\nx-own: 1", preflight, 204, "", byGateway, 1},
		{"no answer: 405", nil, "405 X\nallow: POST", preflight, 204, "", byGateway, 1},
		{"no answer, and not from a browser", nil, "405 X\nallow: POST", nil, 204, "", byGateway, 1},
		{"half an answer: nothing overwritten or doubled", nil,
			"405 X\naccess-control-allow-origin: https://mine\naccess-control-allow-credentials: true\naccess-control-allow-headers: x-mine\nvary: Origin", preflight, 204, "",
			"Allow-Origin: https://mine\nAllow-Methods: METHODS\nAllow-Headers: x-mine\nAllow-Credentials: true\nVary: Origin", 1},
		{"a failure is an answer", nil, "500 X", preflight, 500, "body", "Content-Type: text/plain", 1},
		{"so is 403", nil, "403 X", preflight, 403, "body", "Content-Type: text/plain", 1},

		{"all origins", []string{"*"}, "500 X", preflight, 204, "", byGatewayConfigured, 0},
		{"an origin of the list", list, "500 X", preflight, 204, "",
			"Allow-Origin: https://app.example\nAllow-Methods: METHODS\nAllow-Headers: HEADERS\nExpose-Headers: EXPOSED\nMax-Age: 3600\nVary: Origin", 0},
		{"another origin", list, "500 X", stranger, 204, "", "Allow-Methods: METHODS\nAllow-Headers: HEADERS\nMax-Age: 3600\nVary: Origin", 0},
		{"OPTIONS that is no preflight", []string{"*"}, "200 OK\nx-own: 1", preflight[:2], 200, "body", "Allow-Origin: *\nExpose-Headers: EXPOSED\nX-Own: 1\nContent-Type: text/plain", 1},
		{"OPTIONS that is no preflight and has no answer", list, "404 X", preflight[:2], 204, "",
			"Allow-Origin: https://app.example\nAllow-Methods: METHODS\nAllow-Headers: HEADERS\nExpose-Headers: EXPOSED\nVary: Origin", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, reached := corsSite(t, tc.origins, tc.head)
			for range 2 { // the connection must be fit for another
				res, body := s.do("OPTIONS", "/functions/v1/hello", nil, tc.request...)
				if res.StatusCode != tc.status || body != tc.body {
					t.Errorf("got %d %q", res.StatusCode, body)
				}
				if got := corsHeads(res.Header); got != tc.want {
					t.Errorf("got\n%s\nwant\n%s", got, tc.want)
				}
				execution := ""
				if tc.reached > 0 {
					execution = "exec-1"
				}
				checkPlatformHeaders(t, res, execution)
				if rec := s.record(); rec.Status != tc.status || rec.Bytes != int64(len(tc.body)) || rec.Err != nil {
					t.Errorf("record %+v", rec)
				}
			}
			if reached.Load() != 2*tc.reached {
				t.Errorf("%d of 2 requests came to the function", reached.Load())
			}
		})
	}
}

func TestCORSOfAnswers(t *testing.T) {
	list := []string{"https://app.example"}
	from := func(origin string) []string {
		return []string{"apikey", "sb_publishable_ACJWlzQHlZjBrEguHvfOxg_3BJgxAaH", "Origin", origin}
	}
	for _, tc := range []struct {
		name    string
		origins []string
		head    string
		origin  string
		want    string
	}{
		{"left to the function", nil, "200 OK", "https://app.example", ""},
		{"the function's own", nil, "200 OK\naccess-control-allow-origin: *", "https://app.example", "Allow-Origin: *"},
		{"404 of another method", nil, "404 X", "https://app.example", ""},
		{"all origins", []string{"*"}, "200 OK\nvary: Accept", "https://app.example", "Allow-Origin: *\nExpose-Headers: EXPOSED\nVary: Accept"},
		{"all origins, from nowhere", []string{"*"}, "200 OK", "", "Allow-Origin: *\nExpose-Headers: EXPOSED"},
		{"all origins, a failure", []string{"*"}, "500 X", "https://app.example", "Allow-Origin: *\nExpose-Headers: EXPOSED"},
		{"all origins, the function's own", []string{"*"}, "200 OK\naccess-control-allow-origin: https://mine\nvary: Origin", "https://app.example", "Allow-Origin: https://mine\nVary: Origin"},
		{"all origins, the function exposes more", []string{"*"}, "200 OK\naccess-control-expose-headers: x-mine", "https://app.example", "Allow-Origin: *\nExpose-Headers: x-mine"},
		{"an origin of the list", list, "200 OK", "https://app.example", "Allow-Origin: https://app.example\nExpose-Headers: EXPOSED\nVary: Origin"},
		{"Vary is added to", list, "200 OK\nvary: Accept\nvary: Accept-Encoding", "https://app.example", "Allow-Origin: https://app.example\nExpose-Headers: EXPOSED\nVary: Accept, Accept-Encoding, Origin"},
		{"Vary says so already", list, "200 OK\nvary: accept, origin", "https://app.example", "Allow-Origin: https://app.example\nExpose-Headers: EXPOSED\nVary: accept, origin"},
		{"another origin", list, "200 OK", "https://evil.example", "Vary: Origin"},
		{"one that begins the same", list, "200 OK", "https://app.example.evil.example", "Vary: Origin"},
		{"a scheme less", list, "200 OK", "http://app.example", "Vary: Origin"},
		{"null", list, "200 OK", "null", "Vary: Origin"},
		{"another origin, the function's own", list, "200 OK\naccess-control-allow-origin: *", "https://evil.example", "Allow-Origin: *"},
		{"no origin", list, "200 OK", "", "Vary: Origin"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _ := corsSite(t, tc.origins, tc.head)
			header := from(tc.origin)
			if tc.origin == "" {
				header = header[:2]
			}
			res, body := s.do("POST", "/hello", strings.NewReader("{}"), header...)
			if want := strings.TrimPrefix(tc.want+"\nContent-Type: text/plain", "\n"); corsHeads(res.Header) != want || body != "body" {
				t.Errorf("got %q\n%s\nwant\n%s", body, corsHeads(res.Header), want)
			}
		})
	}
}

// TestPlatformErrorsAreReadableByBrowsers sends what a browser sends: the
// preflight, which must succeed for the request to be made at all, then the
// request, whose refusal must say that it may be read.
func TestPlatformErrorsAreReadableByBrowsers(t *testing.T) {
	boot := &function.BootError{Slug: "hello", Stage: "load", Message: "x"}
	for name, origins := range map[string][]string{"function": nil, "all": {"*"}, "list": {"https://other.example"}} {
		for _, err := range []error{boot, function.ErrOverloaded, function.ErrClosed, errors.New("x")} {
			t.Run(name, func(t *testing.T) {
				s := startSite(t, &fakePool{err: err}, func(o *Options) { o.CORS = CORS(origins) })
				res, body := s.do("OPTIONS", "/hello", nil, preflight...)
				if res.StatusCode != 204 || body != "" || res.Header.Get("Sb-Error-Code") != "" || res.Header.Get("X-Relay-Error") != "" {
					t.Errorf("preflight: %d %q %v", res.StatusCode, body, res.Header)
				}
				if name != "list" && res.Header.Get("Access-Control-Allow-Headers") != allowedHeaders {
					t.Errorf("preflight: %v", res.Header)
				}
				if rec := s.record(); rec.Status != 204 || name == "function" && !errors.Is(rec.Err, err) {
					t.Errorf("record %+v", rec)
				}
				res, _ = s.do("POST", "/hello", nil, "Origin", "https://app.example")
				if res.StatusCode < 500 || strings.Join(res.Header.Values("Access-Control-Allow-Origin"), "|") != "*" ||
					!strings.HasPrefix(strings.Join(res.Header.Values("Access-Control-Expose-Headers"), "|"), "sb-error-code, sb-request-id") ||
					strings.Contains(res.Header.Get("Access-Control-Expose-Headers"), "retry-after") != (res.Header.Get("Retry-After") != "") {
					t.Errorf("request: %d %v", res.StatusCode, res.Header)
				}
				// OPTIONS that is no preflight is told the truth.
				if res, _ := s.do("OPTIONS", "/hello", nil); res.StatusCode < 500 {
					t.Errorf("OPTIONS: %d", res.StatusCode)
				}
			})
		}
	}
}

// TestPreflightOfAnUnknownFunction: only after a preflight that succeeds can the
// page see that the function is unknown.
func TestPreflightOfAnUnknownFunction(t *testing.T) {
	for name, origins := range map[string][]string{"none": nil, "all": {"*"}, "this": {"https://app.example"}} {
		s, _ := corsSite(t, origins, "200 OK")
		for _, path := range []string{"/nobody", "/functions/v1/no.slug"} {
			res, _ := s.do("OPTIONS", path, nil, preflight...)
			if allow := res.Header.Get("Access-Control-Allow-Origin"); res.StatusCode != 204 || allow != "*" && allow != "https://app.example" {
				t.Errorf("%s, origins %s: preflight %d %v", path, name, res.StatusCode, res.Header)
			}
			res, body := s.do("POST", path, nil, "Origin", "https://app.example")
			checkProblem(t, res, body, 404, "NOT_FOUND", "Requested function was not found", "", false)
			res, body = s.do("OPTIONS", path, nil) // no preflight
			checkProblem(t, res, body, 404, "NOT_FOUND", "Requested function was not found", "", false)
		}
	}
}

// TestPreflightIsNotAuthenticated: browsers send it without a token.
func TestPreflightIsNotAuthenticated(t *testing.T) {
	s, _ := corsSite(t, nil, "204 X\naccess-control-allow-origin: *")
	if res, _ := s.do("OPTIONS", "/hello", nil, preflight...); res.StatusCode != 204 {
		t.Errorf("preflight: %d", res.StatusCode)
	}
	res, _ := s.do("POST", "/hello", nil, "Origin", "https://app.example")
	if res.StatusCode != 401 || res.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("request: %d %v", res.StatusCode, res.Header)
	}
}
