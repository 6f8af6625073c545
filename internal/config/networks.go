package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// networkWords stand for networks in a list of them.
var networkWords = map[string][]netip.Prefix{
	"loopback": {netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")},
	// RFC 1918 and RFC 4193.
	"private": {netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"),
		netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7")},
}

// setNetworks reads a list of addresses, networks and words, or "none".
func setNetworks(field *[]netip.Prefix, value string) error {
	if strings.TrimSpace(value) == "none" {
		*field = nil
		return nil
	}
	var networks []netip.Prefix
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if item == "none" {
			return errors.New("none goes with nothing else")
		}
		if words, ok := networkWords[strings.ToLower(item)]; ok {
			networks = append(networks, words...)
			continue
		}
		network, err := parseNetwork(item)
		if err != nil {
			return err
		}
		networks = append(networks, network)
	}
	if len(networks) == 0 {
		return errors.New("it names nobody")
	}
	*field = networks
	return nil
}

// parseNetwork reads an address or a network in CIDR notation.
func parseNetwork(s string) (netip.Prefix, error) {
	a, err := netip.ParseAddr(s)
	p := netip.PrefixFrom(a, a.BitLen())
	if err != nil {
		p, err = netip.ParsePrefix(s)
		a = p.Addr()
	}
	switch {
	case err != nil || a.Zone() != "":
		if _, err := strconv.Atoi(s); err == nil {
			return p, fmt.Errorf("%q is no address and no network: the number of proxies is not what counts", s)
		}
		return p, fmt.Errorf("%q is no address and no network", s)
	case a.Is4In6():
		return p, fmt.Errorf("write %q as IPv4", s) // as which connections are seen
	case p.Masked() != p:
		return p, fmt.Errorf("%q has bits beyond its mask; write %s or %s", s, p.Masked(), a)
	}
	return p, nil
}
