package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/selvedge-dev/selvedge/internal/recent"
)

// A Private is what only the server's owner may read: logs can hold what
// functions know of their users. It is answered on sockets of the file system,
// never on an address of the network.
type Private struct {
	About About
	// Workers lists all; with pss it also measures PSSBytes, which takes a
	// millisecond or more for each.
	Workers func(pss bool) []Worker
	// Functions lists all, by name.
	Functions func() []Function
	// Logs has the last lines of the log.
	Logs *recent.Log
}

// An About says which server it is.
type About struct {
	PID     int    `json:"pid"`
	Version string `json:"version"`
	// Command is dev or serve.
	Command string `json:"command"`
	// URL is where functions are called from this machine, Listen the address.
	URL    string `json:"url"`
	Listen string `json:"listen"`
	// Functions is the functions folder.
	Functions string    `json:"functions"`
	Started   time.Time `json:"started"`
}

// A Worker is one process.
type Worker struct {
	// Function is its slug, "" for a process that waits to be one.
	Function    string `json:"function"`
	ExecutionID string `json:"execution_id,omitempty"`
	// State is prestarted, starting, serving or retiring; Reason is why it
	// retires.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
	// PID is 0 for one that has no process yet.
	PID int `json:"pid,omitempty"`
	// PSSBytes is the proportional set size, MemoryBytes what is the process's
	// alone; 0 where it is not known.
	PSSBytes    int64 `json:"pss_bytes,omitempty"`
	MemoryBytes int64 `json:"memory_bytes,omitempty"`
	// CPUSeconds is the processor time used so far.
	CPUSeconds float64 `json:"cpu_seconds"`
	// Requests counts those it was given, InFlight those that have not ended.
	Requests int `json:"requests"`
	InFlight int `json:"in_flight"`
	// AgeSeconds is the time since the process was spawned.
	AgeSeconds float64 `json:"age_seconds,omitempty"`
	// Version is of the function's code.
	Version string `json:"version,omitempty"`
}

// A Function is one that there is, or a removed one with workers.
type Function struct {
	Function    string  `json:"function"`
	Starting    int     `json:"starting"`
	Serving     int     `json:"serving"`
	Retiring    int     `json:"retiring"`
	InFlight    int     `json:"in_flight"`
	Queued      int     `json:"queued"`
	CPUSeconds  float64 `json:"cpu_seconds"`
	MemoryBytes int64   `json:"memory_bytes"`
}

const jsonLines = "application/x-ndjson"

// handle adds what is private to mux. stopping ends when the server does.
func (p *Private) handle(mux *http.ServeMux, stopping context.Context) {
	mux.HandleFunc("GET /server", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.About) // the client may have gone
	})
	mux.HandleFunc("GET /workers", func(w http.ResponseWriter, r *http.Request) {
		pss, err := isSet(r.URL.Query(), "pss")
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeLines(w, p.Workers(pss))
	})
	mux.HandleFunc("GET /functions", func(w http.ResponseWriter, _ *http.Request) {
		writeLines(w, p.Functions())
	})
	mux.HandleFunc("GET /logs", func(w http.ResponseWriter, r *http.Request) { p.logs(w, r, stopping) })
	profiles(mux)
}

func writeLines[T any](w http.ResponseWriter, all []T) {
	w.Header().Set("Content-Type", jsonLines)
	enc := json.NewEncoder(w)
	for _, one := range all {
		if enc.Encode(one) != nil {
			return // the client has gone
		}
	}
}
