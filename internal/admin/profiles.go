package admin

import (
	"net/http"
	"net/http/pprof"
)

// profiles adds what `go tool pprof` asks for. It names Go's own functions and
// shows the server's command line, no request and no environment; but a trace
// or a processor profile costs the server time while it is taken, so it is for
// the owner only.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}
