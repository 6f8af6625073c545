// Package admin serves what is for those who run the server, not for those who
// call it, on an address of its own.
//
// Nobody is asked for a key there: who reaches the address may read. It is
// meant to be a loopback address, a socket of the file system, or one that a
// firewall keeps for the machines that watch this one.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

const (
	readHeaderTimeout = 5 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 16 << 10
)

// Options configure a Server.
type Options struct {
	// Metrics answers /metrics, nil for nobody.
	Metrics http.Handler
	// Private, if not nil, is answered where the listener is a socket of the
	// file system.
	Private *Private
	// Health is what /health answers: a status, and what is put into JSON.
	Health func() (status int, body any)
	// Log takes what goes wrong on connections.
	Log *slog.Logger
}

// A Server answers on the admin address.
type Server struct {
	listener net.Listener
	http     *http.Server
	stop     context.CancelFunc // ends the answers that go on for ever
}

// New returns a server for the listener, which it closes. It answers once
// Serve is called.
func New(l net.Listener, o Options) *Server {
	mux := http.NewServeMux()
	index := "Selvedge's admin address:"
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
		index += " /metrics (Prometheus),"
	}
	index += " /health"
	stopping, stop := context.WithCancel(context.Background())
	if _, isSocket := l.Addr().(*net.UnixAddr); isSocket && o.Private != nil {
		o.Private.handle(mux, stopping)
		index += ", /server, /functions, /workers, /logs, /debug/pprof/"
	}
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		status, body := o.Health()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the client may have gone
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, index+"\n")
	})
	handler := http.Handler(mux)
	if _, isTCP := l.Addr().(*net.TCPAddr); isTCP && Local(l.Addr()) {
		handler = onlyLocalNames(mux)
	}
	return &Server{listener: l, stop: stop, http: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}}
}

// Serve answers until Close, then returns nil; any other end is an error.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the admin address %s: %w", s.listener.Addr(), err)
	}
	return nil
}

// Close stops accepting, and waits for the answers being given until ctx ends;
// then it cuts them.
func (s *Server) Close(ctx context.Context) error {
	s.stop()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = s.http.Close()
	}
	if err != nil {
		return fmt.Errorf("close the admin address: %w", err)
	}
	return nil
}

// onlyLocalNames refuses requests for another host than this one. A page in a
// browser of this machine could otherwise read what only this machine may
// reach: its own name need only resolve to 127.0.0.1 for a moment.
func onlyLocalNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(trimBrackets(host)); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, fmt.Sprintf("%q is not this machine: ask for localhost or 127.0.0.1", host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func trimBrackets(host string) string {
	if n := len(host); n > 1 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}
