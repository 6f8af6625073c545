package escape

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// newPlace gives the calling thread, and what it starts, a network in which the
// metadata service answers at its real addresses, and a name that resolves to
// it.
func newPlace(t *testing.T, dir string) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		return onLoopback(t, "it takes root")
	}
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return onLoopback(t, fmt.Sprintf("unshare: %v", err))
	}
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", "169.254.169.254/32", "dev", "lo"},
		{"addr", "add", "169.254.170.2/32", "dev", "lo"},
	} {
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			// Without loopback nothing works in the new network.
			t.Skipf("ip %v: %v: %s", args, err, out)
		}
	}
	p := &place{service: []string{"169.254.169.254", "169.254.170.2"}, port: 80}
	p.spell("169.254.169.254")
	p.targets.ECS = "169.254.170.2"
	if out, err := exec.Command("ip", "-6", "addr", "add", "fd00:ec2::254/128", "dev", "lo", "nodad").CombinedOutput(); err != nil {
		t.Logf("no IPv6: %v: %s", err, out)
	} else {
		p.service, p.targets.IPv6 = append(p.service, "fd00:ec2::254"), "fd00:ec2::254"
	}
	hosts := filepath.Join(dir, "hosts")
	err := os.WriteFile(hosts, []byte("127.0.0.1 localhost\n169.254.169.254 metadata.test\n"), 0o644)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount(hosts, "/etc/hosts", "", unix.MS_BIND, "")
	}
	if err != nil {
		t.Logf("no name for the service: %v", err)
	} else {
		p.targets.Name = "metadata.test"
	}
	return p
}
