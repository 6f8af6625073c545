package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/admin"
	"github.com/selvedge-dev/selvedge/internal/worker"
)

// serverFlag adds --server, which chooses a running server.
func serverFlag(cmd *cobra.Command, which *string) {
	cmd.Flags().StringVar(which, "server", "", "which server, where several run: its `ADDR`, port, process id, or unix:/path of an admin socket")
}

// attach finds the server that a command asks.
func attach(ctx context.Context, which string) (*admin.Client, error) {
	if path, ok := strings.CutPrefix(which, "unix:"); ok {
		c, err := admin.Dial(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("--server %s: %w", which, err)
		}
		return c, nil
	}
	found, unreadable, err := admin.Find(ctx, worker.RunDirs())
	if len(found) == 0 {
		return nil, nobody(unreadable, err)
	}
	if which == "" {
		if len(found) == 1 {
			return found[0], nil
		}
		return nil, usage(fmt.Errorf("several servers run here; choose one with --server:\n%s", listServers(found)))
	}
	var chosen []*admin.Client
	for _, c := range found {
		if isMeant(c.About, which) {
			chosen = append(chosen, c)
		}
	}
	switch len(chosen) {
	case 1:
		return chosen[0], nil
	case 0:
		return nil, usage(fmt.Errorf("--server %s: it is none of those that run here:\n%s", which, listServers(found)))
	default:
		return nil, usage(fmt.Errorf("--server %s: several are meant; use the process id:\n%s", which, listServers(chosen)))
	}
}

// nobody says why no server is asked, and what to do.
func nobody(unreadable []string, err error) error {
	switch {
	case err != nil:
		return fmt.Errorf("the server that runs here does not answer: %w", err)
	case len(unreadable) > 0:
		return fmt.Errorf("no server of this user is running here, and those of others cannot be asked (%s): use their user, or sudo", strings.Join(unreadable, ", "))
	default:
		return fmt.Errorf("no server is running here: start one with `selvedge dev`; one that was started with another TMPDIR than %s is only found with the same", os.TempDir())
	}
}

func listServers(all []*admin.Client) string {
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "  --server %-8d %s  %s  (%s, since %s)\n", c.About.PID, plain(c.About.URL), plain(c.About.Functions), plain(c.About.Command), c.About.Started.Local().Format(time.DateTime))
	}
	return strings.TrimRight(b.String(), "\n")
}

// isMeant reports whether --server names the server: by process id, address,
// URL or port.
func isMeant(about admin.About, which string) bool {
	which = strings.TrimRight(which, "/")
	if which == strconv.Itoa(about.PID) || which == about.Listen || which == about.URL {
		return true
	}
	_, port, err := net.SplitHostPort(about.Listen)
	if err != nil {
		return false
	}
	for _, prefix := range []string{"http://", "https://"} {
		which = strings.TrimPrefix(which, prefix)
	}
	for _, host := range []string{"", ":", "localhost:", "127.0.0.1:", "[::1]:"} {
		if which == host+port {
			return true
		}
	}
	return false
}
