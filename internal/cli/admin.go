package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/admin"
	"github.com/selvedge-dev/selvedge/internal/metrics"
	"github.com/selvedge-dev/selvedge/internal/observe"
)

// adminPatience is how long a scrape may take when the server stops.
const adminPatience = 500 * time.Millisecond

// An adminServer is the admin address as it is served.
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
	})
}

// openAdmin serves the admin address, if there is to be one.
func (s *server) openAdmin() error {
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
	a := &adminServer{
		Server: admin.New(l, admin.Options{Metrics: s.metrics.Handler(), Healthy: s.gateway.Healthy, Log: s.log}),
		addr:   l.Addr(),
		done:   make(chan struct{}),
	}
	go func() {
		defer close(a.done)
		if err := a.Serve(); err != nil {
			// No reason to stop answering those who call functions.
			s.log.Error("metrics cannot be read any more", "err", err)
		}
	}()
	s.admin = a
	return nil
}

// closeAdmin is called last, so that metrics can be read while the server
// drains.
func (s *server) closeAdmin() error {
	if s.admin == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), adminPatience)
	defer cancel()
	err := s.admin.Close(ctx)
	<-s.admin.done
	return err
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
