package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/admin"
	"github.com/selvedge-dev/selvedge/internal/metrics"
	"github.com/selvedge-dev/selvedge/internal/observe"
)

// adminPatience is how long a scrape may take when the server stops.
const adminPatience = 500 * time.Millisecond

// An adminServer is an admin address as it is served.
type adminServer struct {
	*admin.Server
	addr net.Addr
	done chan struct{} // closed when nothing is served any more
}

// newMetrics returns metrics that ask the server's parts, which must be there
// at the first request.
func (s *server) newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Sources{
		Version:    currentVersion(),
		Known:      func(slug string) bool { return s.pool.Exists(slug) },
		Functions:  func() int { return s.pool.Stats().Functions },
		InFlight:   func() int64 { return s.gateway.InFlight() },
		Upgraded:   func() int64 { return s.gateway.Upgraded() },
		Prestarted: func() int { return s.pool.Prestarted() },
		Usage: func() []metrics.Usage {
			all := s.pool.Usage()
			out := make([]metrics.Usage, len(all))
			for i, u := range all {
				out[i] = metrics.Usage(u)
			}
			return out
		},
		LogErrors: func() uint64 { return observe.WriteErrors(s.log) },
		Problems:  func() []string { return s.health().Problems },
	})
}

// openAdmin serves the admin address, if there is to be one, and the socket by
// which `selvedge logs`, `ps` and `top` find the server.
func (s *server) openAdmin() error {
	options := admin.Options{Health: s.adminHealth, Log: s.log, Private: s.private()}
	if s.metrics != nil {
		options.Metrics = s.metrics.Handler()
	}
	socket, err := admin.Listen("unix:" + filepath.Join(s.engine.runDir.Path, admin.SocketName))
	if err != nil {
		s.log.Warn("this server cannot be looked into: `selvedge logs`, `ps` and `top` will not find it", "err", err)
	} else {
		s.inside = s.serveAdmin(socket, options)
	}
	if s.cfg.Admin == "" {
		return nil
	}
	l, err := admin.Listen(s.cfg.Admin)
	if errors.Is(err, syscall.EADDRINUSE) {
		return usage(fmt.Errorf("%w; stop the other program or choose another address with --admin", err))
	}
	if err != nil {
		return usage(fmt.Errorf("%w; choose another address with --admin", err))
	}
	s.admin = s.serveAdmin(l, options)
	return nil
}

func (s *server) serveAdmin(l net.Listener, options admin.Options) *adminServer {
	a := &adminServer{Server: admin.New(l, options), addr: l.Addr(), done: make(chan struct{})}
	go func() {
		defer close(a.done)
		if err := a.Serve(); err != nil {
			// No reason to stop answering those who call functions.
			s.log.Error("the admin address does not answer any more", "err", err)
		}
	}()
	return a
}

// closeAdmin is called after all else has ended, so that metrics and logs can
// be read while the server drains.
func (s *server) closeAdmin() error {
	ctx, cancel := context.WithTimeout(context.Background(), adminPatience)
	defer cancel()
	var all error
	for _, a := range []*adminServer{s.admin, s.inside} {
		if a != nil {
			all = errors.Join(all, a.Close(ctx))
			<-a.done
		}
	}
	return all
}

// private is what the server tells its owner.
func (s *server) private() *admin.Private {
	return &admin.Private{
		About: admin.About{
			PID: os.Getpid(), Version: currentVersion(), Command: string(s.cfg.Command),
			URL: s.url(), Listen: s.listener.Addr().String(), Functions: s.cfg.Functions, Started: time.Now(),
		},
		Workers:   s.listWorkers,
		Functions: s.listFunctions,
		Logs:      s.recent,
	}
}

func (s *server) listWorkers(pss bool) []admin.Worker {
	now := time.Now()
	all := s.pool.Workers()
	out := make([]admin.Worker, len(all))
	for i, w := range all {
		out[i] = admin.Worker{
			Function: w.Slug, State: w.State, Reason: w.Reason, Version: w.Version, Requests: w.Requests, InFlight: w.InFlight,
			AgeSeconds: now.Sub(w.Started).Seconds(),
		}
		if w.Process == nil {
			continue
		}
		cpu, _ := w.Process.CPU()
		out[i].ExecutionID, out[i].PID = w.Process.ID, w.Process.PID()
		out[i].CPUSeconds = cpu.Seconds()
		out[i].MemoryBytes, _ = w.Process.Memory()
		if pss {
			out[i].PSSBytes, _ = w.Process.PSS()
		}
	}
	slices.SortStableFunc(out, func(a, b admin.Worker) int {
		if (a.Function == "") != (b.Function == "") { // what waits to be a function comes last
			return cmp.Compare(b.Function, a.Function)
		}
		return cmp.Or(cmp.Compare(a.Function, b.Function), cmp.Compare(b.AgeSeconds, a.AgeSeconds))
	})
	return out
}

func (s *server) listFunctions() []admin.Function {
	all := s.pool.Usage()
	out := make([]admin.Function, len(all))
	for i, u := range all {
		out[i] = admin.Function{
			Function: u.Slug, Starting: u.Starting, Serving: u.Serving, Retiring: u.Retiring,
			InFlight: u.InFlight, Queued: u.Queued, CPUSeconds: u.CPU.Seconds(), MemoryBytes: u.Memory,
		}
	}
	slices.SortFunc(out, func(a, b admin.Function) int { return cmp.Compare(a.Function, b.Function) })
	return out
}

func (s *server) sayAdmin(w io.Writer) {
	if s.admin == nil {
		return
	}
	if s.admin.addr.Network() == "unix" {
		fmt.Fprintf(w, "Metrics: curl --unix-socket %s http://localhost/metrics\n", s.admin.addr)
		return
	}
	addr := s.admin.addr.String()
	if tcp, ok := s.admin.addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		addr = net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	fmt.Fprintf(w, "Metrics: http://%s/metrics\n", addr)
}
