package gateway

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func proxies(list ...string) (p Proxies) {
	for _, s := range list {
		p = append(p, netip.MustParsePrefix(s))
	}
	return p
}

var behindTen = proxies("10.0.0.0/8", "fd00::/8")

func TestOutside(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	forwarded := func(values ...string) http.Header { return http.Header{"Forwarded": values} }
	for _, tc := range []struct {
		name   string
		header http.Header
		want   string // scheme, host and chain
	}{
		{"nothing said", nil, "http here:8000 10.0.0.1"},
		{"one proxy", header("X-Forwarded-Proto", "https", "X-Forwarded-Host", "api.example.com", "X-Forwarded-For", "1.2.3.4"),
			"https api.example.com 1.2.3.4, 10.0.0.1"},
		{"two proxies", header("X-Forwarded-For", "1.2.3.4, 10.9.9.9"), "http here:8000 1.2.3.4, 10.9.9.9, 10.0.0.1"},
		{"what the client made up", header("X-Forwarded-For", "127.0.0.1, 10.1.1.1, 6.6.6.6, 1.2.3.4"), "http here:8000 1.2.3.4, 10.0.0.1"},
		{"a proxy that is not known", header("X-Forwarded-For", "1.2.3.4, 5.5.5.5, 10.9.9.9"), "http here:8000 5.5.5.5, 10.9.9.9, 10.0.0.1"},
		{"several lines", header("X-Forwarded-For", "6.6.6.6", "X-Forwarded-For", "1.2.3.4, 10.9.9.9"), "http here:8000 1.2.3.4, 10.9.9.9, 10.0.0.1"},
		{"only proxies", header("X-Forwarded-For", "10.3.3.3,10.2.2.2"), "http here:8000 10.3.3.3, 10.2.2.2, 10.0.0.1"},
		{"ports", header("X-Forwarded-For", "1.2.3.4:4711, [fd00::2]:80"), "http here:8000 1.2.3.4, fd00::2, 10.0.0.1"},
		{"IPv6", header("X-Forwarded-For", "2001:DB8::1, [2001:db8::2]"), "http here:8000 2001:db8::2, 10.0.0.1"},
		{"IPv4 as IPv6", header("X-Forwarded-For", "1.2.3.4, ::ffff:10.2.2.2"), "http here:8000 1.2.3.4, 10.2.2.2, 10.0.0.1"},
		{"empty items", header("X-Forwarded-For", ",1.2.3.4,, 10.2.2.2, "), "http here:8000 1.2.3.4, 10.2.2.2, 10.0.0.1"},
		{"empty", header("X-Forwarded-For", ""), "http here:8000 10.0.0.1"},
		{"unknown", header("X-Forwarded-For", "1.2.3.4, unknown, 10.2.2.2"), "http here:8000 10.2.2.2, 10.0.0.1"},
		{"nonsense", header("X-Forwarded-For", "1.2.3.4, <script>"), "http here:8000 10.0.0.1"},
		{"lists", header("X-Forwarded-Proto", "HTTPS, http", "X-Forwarded-Host", "a.b:8443 , c"), "https a.b:8443 10.0.0.1"},
		{"values that fit in no URL", header("X-Forwarded-Proto", "javascript", "X-Forwarded-Host", "evil/path?"), "http here:8000 10.0.0.1"},
		{"host with a user", header("X-Forwarded-Host", "api.example.com@evil"), "http here:8000 10.0.0.1"},

		{"Forwarded", forwarded("by=10.0.0.1;for=1.2.3.4;host=api.example.com;proto=https"), "https api.example.com 1.2.3.4, 10.0.0.1"},
		{"Forwarded by two", forwarded(`for=1.2.3.4;proto=https;host="a.b:8443", for="[fd00::2]:80";proto=http`), "https a.b:8443 1.2.3.4, fd00::2, 10.0.0.1"},
		{"Forwarded in lines", forwarded("For=1.2.3.4;Proto=https", "for=10.2.2.2"), "https here:8000 1.2.3.4, 10.2.2.2, 10.0.0.1"},
		{"Forwarded that the client made up", forwarded("for=127.0.0.1;proto=https;host=evil", "for=1.2.3.4"), "http here:8000 1.2.3.4, 10.0.0.1"},
		{"Forwarded hides who", forwarded("for=6.6.6.6, for=_hidden;proto=https, for=10.2.2.2"), "https here:8000 10.2.2.2, 10.0.0.1"},
		{"Forwarded beside the older ones", header("Forwarded", "for=6.6.6.6;host=evil", "X-Forwarded-Proto", "https"), "https here:8000 10.0.0.1"},
		{"Forwarded that is broken", forwarded(`for=1.2.3.4, for="10.2.2.2`), "http here:8000 10.0.0.1"},
	} {
		r := &http.Request{Header: tc.header, Host: "here:8000", RemoteAddr: "10.0.0.1:5555"}
		o := behindTen.outside(r)
		if got := o.scheme + " " + o.host + " " + o.chain; got != tc.want {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
		if o.client.String() != o.ip || !strings.HasPrefix(o.chain, o.ip) || !o.trusted {
			t.Errorf("%s: %+v", tc.name, o)
		}
		r.RemoteAddr = "11.0.0.1:5555"
		if got := behindTen.outside(r); got != (origin{"http", "here:8000", netip.MustParseAddr("11.0.0.1"), "11.0.0.1", "11.0.0.1", false}) {
			t.Errorf("%s, from a stranger: %+v", tc.name, got)
		}
	}
}

func TestOutsideOfAConnection(t *testing.T) {
	for _, tc := range []struct {
		remote string
		tls    bool
		want   origin
	}{
		{"[::1]:1", true, origin{"https", "localhost", netip.MustParseAddr("::1"), "::1", "::1", false}},
		{"[::ffff:10.0.0.1]:1", false, origin{"http", "localhost", netip.MustParseAddr("10.0.0.1"), "10.0.0.1", "10.0.0.1", true}},
		{"[fd00::1%eth0]:1", false, origin{"http", "localhost", netip.MustParseAddr("fd00::1"), "fd00::1", "fd00::1", true}},
		{"@", false, origin{"http", "localhost", netip.Addr{}, "@", "@", false}},
		{"", false, origin{scheme: "http", host: "localhost"}},
	} {
		r := &http.Request{RemoteAddr: tc.remote}
		if tc.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if got := behindTen.outside(r); got != tc.want {
			t.Errorf("%q: %+v, want %+v", tc.remote, got, tc.want)
		}
	}
}

func TestParseForwarded(t *testing.T) {
	for value, want := range map[string]string{
		"for=a":                            "a||",
		`FOR="a;,\"\\b";proto=x; HOST=y`:   `a;,"\b|x|y`,
		"for=a,for=b":                      "a|| b||",
		" , for=a , ,;for=b;, ":            "a|| b||",
		"by=z":                             "||",
		"secret=1;for=[2001:db8::1]:80":    "[2001:db8::1]:80||",
		"for=a;for=b":                      "", // which?
		"for=":                             "",
		`for=""`:                           "",
		"for":                              "",
		"=a":                               "",
		"for =a":                           "",
		"for= a":                           "",
		"for=a b":                          "",
		`for="a`:                           "",
		`for="a\`:                          "",
		`for="a"b`:                         "",
		"for=a/b":                          "",
		"":                                 "",
		";":                                "",
		"for=\"a\x00\";proto=http\x7f":     "",
		`for=192.0.2.1;proto="http";x="1"`: "192.0.2.1|http|",
	} {
		hops, ok := parseForwarded([]string{value})
		var got []string
		for _, h := range hops {
			got = append(got, h.node+"|"+h.proto+"|"+h.host)
		}
		if strings.Join(got, " ") != want || ok != (want != "") {
			t.Errorf("%q: %q, %t; want %q", value, got, ok, want)
		}
	}
}

// FuzzForwarded checks that nothing a client writes into the headers lets it
// choose its address: the chain holds addresses only, all but the first of
// them trusted, and ends in the peer's.
func FuzzForwarded(f *testing.F) {
	f.Add("1.2.3.4, 10.0.0.2", "https", "api.example.com", "")
	f.Add("", "", "", `for="[2001:db8::1]:4711";proto=https;host="a:1", for=10.0.0.2`)
	f.Add("a,,b:1,[::1%x],\x00", "HTTP,", "[::1]:80", "for=_x;;,=\"\\")
	f.Fuzz(func(t *testing.T, hops, proto, host, forwarded string) {
		h := http.Header{}
		for name, value := range map[string]string{"X-Forwarded-For": hops, "X-Forwarded-Proto": proto, "X-Forwarded-Host": host, "Forwarded": forwarded} {
			if value != "" {
				h[name] = strings.Split(value, "\n")
			}
		}
		r := &http.Request{Header: h, Host: "here", RemoteAddr: "10.0.0.1:5"}
		o := behindTen.outside(r)
		if o.scheme != "http" && o.scheme != "https" || !validHost(o.host) || o.client.String() != o.ip {
			t.Fatalf("%+v", o)
		}
		chain := strings.Split(o.chain, ", ")
		if chain[0] != o.ip || chain[len(chain)-1] != "10.0.0.1" {
			t.Fatalf("%+v", o)
		}
		for i, item := range chain {
			a, err := netip.ParseAddr(item)
			if err != nil || i > 0 && !behindTen.include(a) {
				t.Fatalf("%+v: item %d", o, i)
			}
		}
		if o.host != "here" && !strings.Contains(host+forwarded, o.host) && !strings.Contains(forwarded, `\`) {
			t.Fatalf("%+v: nobody said that host", o)
		}
		r.RemoteAddr = "192.0.2.1:5"
		if o := behindTen.outside(r); o.chain != "192.0.2.1" || o.ip != o.chain || o.host != "here" || o.scheme != "http" {
			t.Fatalf("from a stranger: %+v", o)
		}
	})
}

func TestForgedForwardingHeaders(t *testing.T) {
	requests := make(chan *http.Request, 1)
	w := startWorker(t, "e", answering(func(r *http.Request) string {
		requests <- r
		return text(200, "hi")
	}))
	sent := []string{"X-Forwarded-For", "6.6.6.6", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example",
		"X-Forwarded-Port", "443", "X-Forwarded-Prefix", "/admin", "X-Forwarded-Ssl", "on", "X-Forwarded", "for=6.6.6.6",
		"Forwarded", "for=6.6.6.6;host=evil.example", "X-Real-Ip", "6.6.6.6", "X_forwarded_for", "6.6.6.6"}
	check := func(s *site, want map[string]string) {
		t.Helper()
		s.do("GET", "/hello", nil, sent...)
		r := <-requests
		for name, value := range want {
			if name == "URL" {
				if !strings.HasPrefix(r.RequestURI, value) {
					t.Errorf("URL is %s, want %s", r.RequestURI, value)
				}
			} else if got := strings.Join(r.Header.Values(name), "|"); got != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
		if rec := s.record(); rec.ClientIP != want["X-Real-Ip"] {
			t.Errorf("the client is %s, want %s", rec.ClientIP, want["X-Real-Ip"])
		}
	}
	var log bytes.Buffer
	s := startSite(t, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) {
		o.TrustedProxies = behindTen
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	for range 2 {
		check(s, map[string]string{
			"URL": "http://" + s.addr + "/", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": s.addr,
			"X-Forwarded-Port": "", "X-Forwarded-Prefix": "", "X-Forwarded-Ssl": "", "Forwarded": "", "X-Real-Ip": "127.0.0.1",
			// Nothing in front of a function takes an underscore for a dash.
			"X_forwarded_for": "6.6.6.6", "X-Forwarded": "for=6.6.6.6",
		})
	}
	s.shutdown(0)
	if said := log.String(); strings.Count(said, "--trusted-proxies") != 1 || !strings.Contains(said, "header=X-Forwarded-Proto from=127.0.0.1") {
		t.Errorf("the log says %q", said)
	}

	s = startSite(t, &fakePool{workers: []*fakeWorker{w}}, func(o *Options) { o.TrustedProxies = proxies("127.0.0.0/8") })
	check(s, map[string]string{
		"URL": "https://evil.example/", "X-Forwarded-For": "6.6.6.6, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example",
		"X-Forwarded-Port": "443", "X-Forwarded-Prefix": "/admin", "Forwarded": "", "X-Real-Ip": "6.6.6.6",
	})
}
