package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/function"
	"github.com/selvedge-dev/selvedge/internal/gateway"
	"github.com/selvedge-dev/selvedge/internal/machine"
	"github.com/selvedge-dev/selvedge/internal/metrics"
	"github.com/selvedge-dev/selvedge/internal/observe"
	"github.com/selvedge-dev/selvedge/internal/pool"
	"github.com/selvedge-dev/selvedge/internal/ratelimit"
	"github.com/selvedge-dev/selvedge/internal/recent"
	"github.com/selvedge-dev/selvedge/internal/tracing"
	"github.com/selvedge-dev/selvedge/internal/vitals"
)

// keepRemoved is how long the last lines of a removed function can be read.
const keepRemoved = 15 * time.Minute

// keepLoud is how long all that is kept of a function stays after its last
// line, and then only the end of it: as long as an idle worker.
const keepLoud = time.Minute

// A server is the gateway, the pool behind it, and what they stand on.
type server struct {
	cfg     *config.Config
	log     *slog.Logger
	engine  *engine
	pool    *pool.Pool
	gateway *gateway.Server
	// verifier is nil when callers are not checked.
	verifier *auth.Verifier
	listener net.Listener
	served   chan error
	signals  chan os.Signal // to end; of run
	// metrics and admin are nil without an admin address.
	metrics *metrics.Metrics
	admin   *adminServer
	// inside is the private socket, nil where it could not be opened; recent
	// are the last lines of the log.
	inside *adminServer
	recent *recent.Log
	memory *memoryKeeper
	vitals *vitals.Monitor
	tracer *tracing.Tracer // nil without a collector
	// resolve reads the configuration again; dev sets it.
	resolve func() (*config.Config, error)
}

// invoker gives the gateway the pool's leases under the name it knows.
type invoker struct{ *pool.Pool }

func (i invoker) Acquire(ctx context.Context, slug string) (gateway.Lease, error) {
	l, err := i.Pool.Acquire(ctx, slug)
	if err != nil {
		return nil, err // not l: a nil *pool.Lease would not be a nil Lease
	}
	return l, nil
}

// startServer listens and serves the functions of set.
func startServer(ctx context.Context, s Streams, cfg *config.Config, set *function.Set, project *config.Project) (*server, error) {
	format := cfg.LogFormat
	if cfg.Command == config.Dev && format == observe.FormatAuto {
		format = observe.FormatPretty // for people, on a pipe too
	}
	srv := &server{served: make(chan error, 1), signals: make(chan os.Signal, 2)}
	srv.recent = recent.New(recent.DefaultLimits(), func(slug string) bool { return srv.pool.Exists(slug) })
	log := observe.New(observe.Options{Out: s.Out, Format: format, Level: cfg.LogLevel, Keep: srv.recent})
	if here := machine.Here(); here.Err != nil {
		log.Warn("it is not known what the task may use", "err", here.Err)
	}
	traces, err := tracing.Read(os.LookupEnv)
	if err != nil {
		return nil, usage(err)
	}
	verifier, cfg, err := newVerifier(cfg, log)
	if err != nil {
		return nil, err
	}
	engine, err := newEngine(ctx, s.Err, cfg)
	if err != nil {
		return nil, err
	}
	warnUnbuilt(s.Err, engine, set)
	srv.cfg, srv.log, srv.engine, srv.verifier = cfg, log, engine, verifier
	if cfg.Admin != "" {
		srv.metrics = srv.newMetrics()
	}
	watcher := observer{log, srv.metrics}
	p := pool.New(pool.Options{
		Builder:     engine.builder,
		Starter:     engine.host,
		Observer:    watcher,
		Env:         workerEnv(cfg, project.Name()),
		Prestart:    prestart(cfg, set),
		MemoryMB:    function.Defaults().Overlay(cfg.DiscoverOptions(project).EdgeRuntime.Limits).MemoryMB,
		Inspect:     cfg.Inspect,
		InspectAddr: cfg.InspectAddr,
		Pin:         cfg.Command == config.Serve,
		Memory:      cfg.MaxMemory,
		Eager:       cfg.Command == config.Dev,
		Hide:        []string{engine.host.Runtime.Bootstrap},
		Log:         log,
	})
	srv.pool = p
	srv.memory = keepMemory(func() {
		srv.recent.Prune(keepRemoved)
		srv.recent.Shrink(keepLoud)
	})
	limits := func(slug string) function.Limits {
		if f, ok := p.Function(slug); ok {
			return f.Limits
		}
		return function.Defaults() // it was removed just now
	}
	srv.tracer = tracing.Start(traces, currentVersion(), log)
	timeouts := gateway.DefaultTimeouts()
	timeouts.Idle = cfg.KeepAlive
	srv.gateway = gateway.New(gateway.Options{
		Timeouts:       timeouts,
		Invoker:        invoker{p},
		Region:         cfg.Region,
		TrustedProxies: cfg.TrustedProxies,
		Development:    cfg.Development(),
		OnRequest:      watcher.Request,
		Metrics:        srv.counters,
		Log:            log,
		Trace:          srv.tracer.Middleware(),
		CORS:           gateway.CORS(cfg.CORSOrigins),
		Authenticate: gateway.Authenticate(verifier, func(slug string) bool {
			f, ok := p.Function(slug)
			return !ok || f.VerifyJWT
		}, cfg.RequireAuth),
		Limits: gateway.Chain(
			gateway.RateLimit(ratelimit.New(0), func(slug string) function.Rate {
				return limits(slug).Rate
			}),
			gateway.LimitBody(func(slug string) int64 {
				return limits(slug).MaxBody
			}),
		),
		Admission:   gateway.Admit(cfg.MaxRequests),
		Health:      srv.health,
		Descriptors: descriptors(),
	})
	srv.watchVitals()
	if _, err = p.Apply(set); err == nil {
		srv.listener, err = srv.listen()
		if errors.Is(err, syscall.EADDRINUSE) {
			err = usage(fmt.Errorf("%w; stop the other program or choose another address with --listen", err))
		}
	}
	if err == nil {
		err = srv.openAdmin()
	}
	if err != nil {
		return nil, errors.Join(err, srv.stop(context.Background()))
	}
	// Before anybody is told that it serves: who then ends it at once must not
	// find a process that leaves its folder behind.
	signal.Notify(srv.signals, syscall.SIGINT, syscall.SIGTERM)
	if cfg.Command == config.Serve {
		leaveCPUs()
		collectLater()
	}
	go func() { srv.served <- srv.gateway.Serve(srv.listener) }()
	return srv, nil
}

func (s *server) listen() (net.Listener, error) {
	if s.cfg.TLSCert == "" {
		return s.gateway.Listen(s.cfg.Listen)
	}
	return s.gateway.ListenTLS(s.cfg.Listen, s.cfg.TLSCert, s.cfg.TLSKey)
}

// prestart is how many processes are kept ahead: by default not more than
// there are functions to become.
func prestart(cfg *config.Config, set *function.Set) int {
	if !cfg.PrestartAuto {
		return cfg.Prestart
	}
	return min(cfg.Prestart, max(set.Len(), 2))
}

// counters are the pool's share of /_internal/metric.
func (s *server) counters() map[string]int64 {
	st := s.pool.Stats()
	return map[string]int64{
		"functions": int64(st.Functions), "workers": int64(st.Workers), "workers_idle_prestarted": int64(st.Idle),
		"workers_starting": int64(st.Starting), "requests_in_worker": int64(st.InFlight), "requests_queued": int64(st.Queued),
	}
}

// url is where the server can be called from this machine.
func (s *server) url() string {
	scheme := "http://"
	if s.cfg.TLSCert != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(s.listener.Addr().String())
	if err != nil {
		return scheme + s.listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() || ip.IsLoopback() {
		host = "localhost"
	}
	return scheme + net.JoinHostPort(host, port)
}

// run serves until a signal or a failure; it returns when nothing of the server
// is left.
func (s *server) run(ctx context.Context, w io.Writer) error {
	defer signal.Stop(s.signals)
	var failure error
	select {
	case sig := <-s.signals:
		// A load balancer, whose agent sends SIGTERM, has to see that it must
		// look elsewhere; somebody at a terminal does not.
		if delay := s.cfg.DrainDelay; sig == syscall.SIGTERM && delay > 0 {
			s.gateway.SayStopping()
			fmt.Fprintf(w, "%s: serving on for %s, with /health at 503; repeat it to finish now\n", sig, delay)
			timer := time.NewTimer(delay)
			select {
			case <-timer.C:
			case <-s.signals:
			case failure = <-s.served:
			}
			timer.Stop()
		}
		fmt.Fprintf(w, "%s: finishing requests, for %s at most; repeat it to stop at once\n", sig, s.cfg.DrainTimeout)
	case <-ctx.Done():
	case failure = <-s.served:
		if failure == nil {
			failure = errors.New("the server stopped by itself")
		}
	}
	drain, cancel := context.WithTimeout(context.Background(), s.cfg.DrainTimeout)
	defer cancel()
	go func() {
		select {
		case <-s.signals:
			cancel()
		case <-drain.Done():
		}
	}()
	return errors.Join(failure, s.stop(drain))
}

// stop drains requests, then workers, until ctx ends.
func (s *server) stop(ctx context.Context) error {
	s.gateway.SayStopping()
	cut, err := s.gateway.Shutdown(ctx)
	s.tracer.Close()
	s.memory.Close()
	s.vitals.Close()
	if s.verifier != nil {
		s.verifier.Close()
	}
	// What is left now is background work; it gets a moment even when the
	// requests used up all of the time.
	workers, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	if ctx.Err() == nil {
		workers = ctx
	}
	perr := s.pool.Close(workers)
	observe.Flush(s.log)
	if cut > 0 {
		err = errors.Join(err, fmt.Errorf("stopped, but %d requests were cut short; raise --drain-timeout to give them more time", cut))
	}
	err = errors.Join(err, perr, s.closeAdmin(), s.engine.Close())
	if err != nil && (cut > 0 || perr != nil) {
		return &codedError{exitCut, err}
	}
	return err
}
