// Package egress knows which addresses functions must not reach, and keeps what
// is built for them from reaching those.
package egress

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Metadata are the addresses where clouds hand out a machine's credentials to
// whoever asks from within it.
var Metadata = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),      // AWS, Google, Azure and others; ECS and EKS credentials
	netip.MustParsePrefix("fd00:ec2::254/128"),   // AWS
	netip.MustParsePrefix("fd00:ec2::23/128"),    // EKS
	netip.MustParsePrefix("fd20:ce::254/128"),    // Google
	netip.MustParsePrefix("100.100.100.200/32"),  // Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),    // Azure's host agent
	netip.MustParsePrefix("192.0.0.192/32"),      // Oracle, of old
	netip.MustParsePrefix("fd00:42::42/128"),     // Scaleway
	netip.MustParsePrefix("fe80::a9fe:a9fe/128"), // OpenStack
}

// A Deny is a list of networks that nothing may connect to. The zero value is
// Metadata, which is always part of it.
type Deny struct{ further []netip.Prefix }

// NewDeny returns Metadata with further networks.
func NewDeny(further []netip.Prefix) Deny { return Deny{slices.Clone(further)} }

func (d Deny) networks() []netip.Prefix { return slices.Concat(Metadata, d.further) }

// Contains reports whether an address is denied, in any form that leads to the
// same machine.
func (d Deny) Contains(a netip.Addr) bool {
	a = plain(a)
	for _, network := range d.networks() {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// Flag returns the list as Deno's --deny-net takes it: it knows IPv4 networks
// and single IPv6 addresses, so larger IPv6 networks are left out.
func (d Deny) Flag() string {
	var items []string
	for _, network := range d.networks() {
		switch {
		case network.Addr().Is4():
			items = append(items, network.String())
		case network.IsSingleIP():
			items = append(items, "["+network.Addr().String()+"]")
		}
	}
	return strings.Join(items, ",")
}

// The prefixes in which an IPv6 address carries an IPv4 one.
var (
	nat64     = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
	sixToFour = netip.MustParsePrefix("2002::/16")    // RFC 3056
	compat    = netip.MustParsePrefix("::/96")        // RFC 4291, deprecated
)

// plain returns the IPv4 address that an IPv6 one carries, or the address
// itself without its zone.
func plain(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if !a.Is6() {
		return a
	}
	b := a.As16()
	switch {
	case nat64.Contains(a), compat.Contains(a) && binary.BigEndian.Uint32(b[12:]) > 1:
		return netip.AddrFrom4([4]byte(b[12:]))
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return a
}

// ParseHost returns the address that a URL's host is, in every form that
// inet_aton(3) and browsers take: decimal, octal and hexadecimal numbers, with
// one to four parts. It reports false for a name.
func ParseHost(host string) (netip.Addr, bool) {
	host = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ".")
	if a, err := netip.ParseAddr(host); err == nil {
		return a, true
	}
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, part := range parts {
		n, ok := parseNumber(part)
		if !ok {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if n > 0xff {
				return netip.Addr{}, false
			}
			sum |= n << (24 - 8*i)
			continue
		}
		if n >= 1<<(8*(5-len(parts))) { // the last one fills what is left
			return netip.Addr{}, false
		}
		sum |= n
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(sum))
	return netip.AddrFrom4(b), true
}

// parseNumber reads a number with the prefixes of C.
func parseNumber(s string) (uint64, bool) {
	base := 10
	switch lower := strings.ToLower(s); {
	case strings.HasPrefix(lower, "0x"):
		s, base = s[2:], 16
		if s == "" {
			return 0, true // as browsers have it
		}
	case len(s) > 1 && s[0] == '0':
		s, base = s[1:], 8
	}
	n, err := strconv.ParseUint(s, base, 33)
	return n, err == nil
}
