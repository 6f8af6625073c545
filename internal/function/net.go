package function

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Net says where a function may connect.
type Net struct {
	// Allow are the places, as ParseAllowNet returns them; nil for anywhere, and
	// empty for nowhere.
	Allow []string
	// DryRun lets the function connect as if there were no list, and says in its
	// log where it does.
	DryRun bool
}

// ParseAllowNet checks a list of places and writes them as Deno takes them:
// names, names below one ("*.example.com"), addresses and IPv4 networks, each
// with a port or for all of them. What it returns is never nil.
func ParseAllowNet(items []string) ([]string, error) {
	allow := []string{}
	var errs []error
	for _, item := range items {
		place, err := parsePlace(strings.ToLower(strings.TrimSpace(item)))
		if err != nil {
			errs = append(errs, fmt.Errorf("%q: %w", item, err))
			continue
		}
		if !slices.Contains(allow, place) {
			allow = append(allow, place)
		}
	}
	return allow, errors.Join(errs...)
}

func parsePlace(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("it is empty; write host:port")
	case s == "*":
		return "", errors.New("it is everything; leave allow_net out to let the function connect anywhere")
	case strings.Contains(s, "://"):
		return "", errors.New("it is a URL; " + insteadOf(s))
	}
	if p, err := netip.ParsePrefix(s); err == nil && !p.Addr().Is4() {
		return "", errors.New("networks can be IPv4 ones only; write IPv6 addresses one by one")
	}
	host, port := s, ""
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() {
		return "[" + s + "]", nil
	}
	if at := strings.LastIndexByte(s, ':'); at >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:at], s[at+1:]
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return "", fmt.Errorf("%q is no port from 1 to 65535; write host:port, and an IPv6 address in brackets", port)
		}
		port = ":" + strings.TrimLeft(port, "0")
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !a.Is6() || a.Zone() != "" {
			return "", errors.New("what is in brackets is no IPv6 address")
		}
		return "[" + a.String() + "]" + port, nil
	}
	if strings.Contains(host, "/") {
		p, err := netip.ParsePrefix(host)
		switch {
		case err != nil:
			return "", errors.New("it has a path or is no network; write host:port, or a network such as 10.0.0.0/8")
		case p.Masked() != p:
			return "", fmt.Errorf("the network has bits beyond its mask; write %s", p.Masked())
		}
		return p.String() + port, nil
	}
	host = strings.TrimSuffix(host, ".")
	if err := checkHost(host); err != nil {
		return "", err
	}
	return host + port, nil
}

// checkHost checks a name, which may begin with "*.", or an IPv4 address.
func checkHost(host string) error {
	name := strings.TrimPrefix(host, "*.")
	labels := strings.Split(name, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return errors.New("it is no host name; write host:port")
		case strings.Contains(label, "*"):
			return errors.New(`a * can stand for the first part of a name only, as in "*.example.com"`)
		case len(label) > 63:
			return errors.New("a part of the name has more than 63 characters")
		}
		for _, c := range label {
			switch {
			case c >= 0x80:
				return errors.New("write names of other scripts in their ASCII form (xn--…)")
			case !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'):
				return fmt.Errorf("%q cannot be part of a host name; write host:port", c)
			}
		}
	}
	// A last part of digits makes it an address, in whatever spelling.
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") {
		if a, err := netip.ParseAddr(host); err != nil || !a.Is4() {
			return errors.New("it is no IPv4 address; write four numbers with dots")
		}
	}
	return nil
}

// insteadOf says what to write in the place of a URL.
func insteadOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return "write host:port"
	}
	host := u.Host
	if u.Port() == "" {
		switch u.Scheme {
		case "https", "wss":
			host += ":443"
		case "http", "ws":
			host += ":80"
		}
	}
	return "write " + host
}

// Permits reports whether the list has a place that a function connects to, by
// host and port as the function names them.
func (n Net) Permits(place string) bool {
	if n.Allow == nil {
		return true
	}
	host, port := splitPlace(strings.ToLower(place))
	addr, addrErr := netip.ParseAddr(strings.Trim(host, "[]"))
	for _, allowed := range n.Allow {
		h, p := splitPlace(allowed)
		if p != "" && p != port {
			continue
		}
		network, err := netip.ParsePrefix(h)
		switch {
		case err == nil && addrErr == nil && network.Contains(addr):
			return true
		case strings.HasPrefix(h, "*.") && addrErr != nil && strings.HasSuffix(host, h[1:]) && len(host) > len(h[1:]):
			return true
		case h == host:
			return true
		}
	}
	return false
}

func splitPlace(s string) (host, port string) {
	if at := strings.LastIndexByte(s, ':'); at >= 0 && !strings.HasSuffix(s, "]") {
		host, port = s[:at], s[at+1:]
	} else {
		host = s
	}
	return strings.TrimSuffix(host, "."), port
}
