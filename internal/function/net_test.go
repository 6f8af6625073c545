package function

import (
	"slices"
	"strings"
	"testing"
)

func TestParseAllowNet(t *testing.T) {
	got, err := ParseAllowNet([]string{"api.stripe.com:443", " API.Stripe.com:443 ", "example.com.", "*.example.com:0080", "10.0.0.0/8:5432", "192.168.0.0/16", "127.0.0.1:1", "::1", "[::1]:53", "my_db:5432"})
	want := []string{"api.stripe.com:443", "example.com", "*.example.com:80", "10.0.0.0/8:5432", "192.168.0.0/16", "127.0.0.1:1", "[::1]", "[::1]:53", "my_db:5432"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	if got, err := ParseAllowNet(nil); got == nil || len(got) != 0 || err != nil {
		t.Errorf("nothing is %q, %v; want a list without any", got, err)
	}
}

func TestParseAllowNetRefuses(t *testing.T) {
	for item, says := range map[string]string{
		"":                           "write host:port",
		"*":                          "leave allow_net out",
		"https://api.stripe.com/v1":  "write api.stripe.com:443",
		"postgres://db.example:5432": "write db.example:5432",
		"api.stripe.com/v1":          "path",
		"api.stripe.com:0":           "port",
		"api.stripe.com:70000":       "port",
		"api.stripe.com:https":       "port",
		"api.*.com":                  "first part",
		"a..b":                       "no host name",
		"a b":                        "cannot be part",
		"a,b":                        "cannot be part",
		"unix:/run/x.sock":           "port",
		"bücher.example":             "xn--",
		"10.0.0.1/8":                 "write 10.0.0.0/8",
		"fd00::/8":                   "one by one",
		"[::1":                       "no IPv6 address",
		"[x]:1":                      "no IPv6 address",
		"[fe80::1%eth0]:1":           "no IPv6 address",
		"2852039166":                 "four numbers",
		"0xa9fea9fe:80":              "four numbers",
		"1.2.3":                      "four numbers",
		strings.Repeat("a", 64):      "63",
	} {
		got, err := ParseAllowNet([]string{item})
		if err == nil || !strings.Contains(err.Error(), says) || len(got) != 0 {
			t.Errorf("%q: %q, %v; want an error with %q", item, got, err, says)
		}
	}
}

func TestNetPermits(t *testing.T) {
	n := Net{Allow: []string{"api.example.com:443", "any.example.com", "*.below.example:80", "10.0.0.0/8:5432", "[::1]:53"}}
	for place, want := range map[string]bool{
		"api.example.com:443": true, "API.example.com.:443": true, "api.example.com:80": false, "api.example.com": false,
		"any.example.com:1": true, "any.example.com": true, "x.any.example.com:1": false,
		"a.below.example:80": true, "a.b.below.example:80": true, "below.example:80": false, "abelow.example:80": false, "a.below.example:81": false,
		"10.1.2.3:5432": true, "11.1.2.3:5432": false, "10.1.2.3:5433": false, "[::1]:53": true, "[::2]:53": false,
	} {
		if got := n.Permits(place); got != want {
			t.Errorf("%s: %v", place, got)
		}
	}
	if !(Net{}).Permits("x:1") || (Net{Allow: []string{}}).Permits("x:1") {
		t.Error("no list is everything, and an empty one is nothing")
	}
}
