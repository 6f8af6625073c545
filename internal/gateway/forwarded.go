package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// An origin is how a request looked where it came in, as far as the server
// sees it itself or is told by proxies that it trusts.
type origin struct {
	// scheme is "http" or "https".
	scheme string
	host   string
	// client is who called, the zero Addr where the connection has no address.
	client netip.Addr
	// ip is client as text.
	ip string
	// chain is the X-Forwarded-For to pass on. It begins with client.
	chain string
	// trusted means that the peer is a proxy that is believed.
	trusted bool
}

// Proxies are the addresses of the proxies in front of the server whose
// forwarding headers are believed. What others send under those names is
// theirs to invent.
type Proxies []netip.Prefix

func (p Proxies) include(a netip.Addr) bool {
	for i := range p {
		if p[i].Contains(a) {
			return true
		}
	}
	return false
}

// outside works out a request's origin. Functions build absolute URLs from it,
// so a value that could not stand in a URL is not believed.
func (p Proxies) outside(r *http.Request) origin {
	o := origin{scheme: "http", host: r.Host}
	if r.TLS != nil {
		o.scheme = "https"
	}
	o.client, o.ip = peer(r.RemoteAddr)
	o.chain = o.ip
	if p.include(o.client) {
		o.trusted = true
		p.believe(&o, r.Header)
	}
	if !validHost(o.host) {
		o.host = "localhost" // HTTP/1.0 needs no Host
	}
	return o
}

// believe takes over what a trusted peer says. Forwarded (RFC 7239) counts
// only where there is none of the older headers: proxies that set those pass a
// client's Forwarded on unread.
func (p Proxies) believe(o *origin, h http.Header) {
	hops, protos, hosts := h["X-Forwarded-For"], h["X-Forwarded-Proto"], h["X-Forwarded-Host"]
	if len(hops) == 0 && len(protos) == 0 && len(hosts) == 0 {
		p.believeForwarded(o, h["Forwarded"])
		return
	}
	o.setScheme(first(protos))
	o.setHost(first(hosts))
	var list string
	switch len(hops) {
	case 0:
		return
	case 1:
		list = hops[0]
	default:
		list = strings.Join(hops, ",")
	}
	// Each proxy appends whom it sees, so the list is true from its end up to
	// the first address that is no trusted proxy's: who that is has been seen,
	// and what stands before it has only been said.
	from := len(list)
	for end := len(list); end >= 0; {
		begin := strings.LastIndexByte(list[:end], ',') + 1
		if item := strings.TrimSpace(list[begin:end]); item != "" {
			a, ok := parseNode(item)
			if !ok {
				break
			}
			from, o.client = begin, a
			if !p.include(a) {
				break
			}
		}
		end = begin - 1
	}
	var room [128]byte
	chain := room[:0]
	for item := range strings.SplitSeq(list[from:], ",") {
		if a, ok := parseNode(strings.TrimSpace(item)); ok {
			chain = append(a.AppendTo(chain), ", "...)
		}
	}
	o.setChain(chain)
}

// setChain makes the chain of the hops before the peer, each followed by a
// comma and a blank; client is the first of them.
func (o *origin) setChain(hops []byte) {
	o.chain = string(append(hops, o.chain...))
	o.ip, _, _ = strings.Cut(o.chain, ",")
}

func (o *origin) setScheme(proto string) {
	switch {
	case strings.EqualFold(proto, "https"):
		o.scheme = "https"
	case strings.EqualFold(proto, "http"):
		o.scheme = "http"
	}
}

func (o *origin) setHost(host string) {
	if validHost(host) {
		o.host = host
	}
}

// believeForwarded is believe for the header of RFC 7239. Scheme and host are
// those that the proxy gives which saw the client.
func (p Proxies) believeForwarded(o *origin, values []string) {
	hops, ok := parseForwarded(values)
	if !ok {
		return
	}
	from := len(hops)
	for from > 0 {
		hop := &hops[from-1]
		o.setScheme(hop.proto)
		o.setHost(hop.host)
		a, ok := parseNode(hop.node)
		if !ok {
			break // unknown, or hidden by the proxy
		}
		from--
		hop.addr, o.client = a, a
		if !p.include(a) {
			break
		}
	}
	var chain []byte
	for _, hop := range hops[from:] {
		chain = append(hop.addr.AppendTo(chain), ", "...)
	}
	o.setChain(chain)
}

// first returns the first item of a header that may hold a list.
func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	item, _, _ := strings.Cut(values[0], ",")
	return strings.TrimSpace(item)
}

// validHost reports whether s can be the authority of a URL as servers see
// them: a name or an address, and a port.
func validHost(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9':
		case b == '.', b == '-', b == '_', b == ':', b == '[', b == ']':
		default:
			return false
		}
	}
	return s != ""
}

// peer returns the address at the other end of the connection, also as text.
func peer(remote string) (netip.Addr, string) {
	ip := remote
	if i := strings.LastIndexByte(remote, ':'); i > 0 {
		ip = strings.Trim(remote[:i], "[]")
	}
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return netip.Addr{}, ip
	}
	if b := plain(a); b != a {
		return b, b.String()
	}
	return a, ip
}

// parseNode reads an address as proxies write it, perhaps with a port: 1.2.3.4,
// 1.2.3.4:80, 2001:db8::1 or [2001:db8::1]:80.
func parseNode(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		return plain(a), true
	}
	if n := len(s); n > 2 && s[0] == '[' && s[n-1] == ']' {
		a, err := netip.ParseAddr(s[1 : n-1])
		return plain(a), err == nil && a.Is6()
	}
	ap, err := netip.ParseAddrPort(s)
	return plain(ap.Addr()), err == nil
}

// plain makes one address of the forms in which a host can be seen.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }
