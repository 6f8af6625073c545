package egress

import (
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContains(t *testing.T) {
	d := NewDeny([]netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fc00::/7")})
	for a, want := range map[string]bool{
		"169.254.169.254": true, "169.254.170.2": true, "169.254.0.0": true, "169.253.255.255": false, "169.255.0.0": false,
		"::ffff:169.254.169.254": true, "64:ff9b::a9fe:a9fe": true, "2002:a9fe:a9fe::1": true, "::169.254.169.254": true,
		"fd00:ec2::254": true, "fd00:ec2::23": true, "fe80::a9fe:a9fe%eth0": true, "fd20:ce::254": true,
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "fd12::1": true, "11.0.0.1": false,
		"127.0.0.1": false, "::1": false, "::": false, "2001:db8::1": false,
	} {
		if got := d.Contains(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
	if NewDeny(nil).Contains(netip.MustParseAddr("10.1.2.3")) {
		t.Error("10.1.2.3 is denied by default")
	}
	flag := d.Flag()
	if !strings.HasPrefix(flag, "169.254.0.0/16,[fd00:ec2::254],") || !strings.HasSuffix(flag, ",10.0.0.0/8") || strings.Contains(flag, "fc00::") {
		t.Error(flag)
	}
}

func TestParseHost(t *testing.T) {
	for host, want := range map[string]string{
		"169.254.169.254": "169.254.169.254", "2852039166": "169.254.169.254", "0xa9fea9fe": "169.254.169.254", "0XA9.0xFE.0xa9.0xFe": "169.254.169.254",
		"0251.0376.0251.0376": "169.254.169.254", "169.254.43518": "169.254.169.254", "169.16689662": "169.254.169.254", "169.254.169.254.": "169.254.169.254",
		"[::ffff:169.254.169.254]": "::ffff:169.254.169.254", "[fd00:ec2::254]": "fd00:ec2::254", "127.1": "127.0.0.1", "0": "0.0.0.0", "0x": "0.0.0.0",
		"4294967296": "", "256.1.1.1": "", "1.2.3.4.5": "", "1.2.3.256": "", "": "", "a": "", "example.com": "", "1.2.3.x": "", "1..2": "", "08": "", "-1": "", "+1": "", "1_0": "",
	} {
		a, ok := ParseHost(host)
		if ok != (want != "") || ok && a.String() != want {
			t.Errorf("%q: %v %v, want %q", host, a, ok, want)
		}
	}
}

func FuzzParseHost(f *testing.F) {
	f.Add("0x7f.1")
	f.Add("[::1]")
	f.Fuzz(func(t *testing.T, host string) {
		if a, ok := ParseHost(host); ok && !a.IsValid() {
			t.Errorf("%q", host)
		}
	})
}
