// Package function is Selvedge's domain: what a function is, where it lies on
// disk, which limits bind it and which errors calling it can end in. It
// imports nothing else of Selvedge.
package function

import (
	"cmp"
	"time"
)

// A Function is one deployable unit: a folder with an entrypoint. It is
// immutable once discovered; a change on disk makes a new Function.
type Function struct {
	// Slug is the function's name in URLs.
	Slug string
	// Dir is the absolute path of the function's own folder.
	Dir string
	// RealDir is Dir with symbolic links resolved: what a file watcher sees and
	// what Deno checks permissions against.
	RealDir string
	// Root is the absolute path of the functions folder that holds Dir and
	// the shared folders (_shared) beside it.
	Root string
	// RealRoot is Root with symbolic links resolved.
	RealRoot string
	// Within are the folders, with symbolic links resolved, that everything the
	// function is made of lies in, besides the shared folders of RealRoot; the
	// function's own is the first. See Holds.
	Within []string
	// Configs are the files that say what the function's workspace is made of,
	// which building it reads, those of other functions among them.
	Configs []string
	// Entrypoint is the absolute path of the module that is run.
	Entrypoint string
	// Imports says how bare specifiers resolve.
	Imports Imports
	// NPMRC is the absolute path of the .npmrc in force, "" for none.
	NPMRC string
	// Static lists the absolute paths of the files that travel with the
	// bundle, sorted.
	Static []string
	// VerifyJWT says whether callers must present a valid token or key.
	VerifyJWT bool
	// Env is what the user configured for the function, merged in the
	// documented order; platform variables are added when a worker loads it.
	Env map[string]string
	// EnvSource says for each name in Env where its value came from, in a form
	// for people: "functions/.env", "supabase/config.toml [edge_runtime.secrets]".
	EnvSource map[string]string
	// Limits bind the function and each of its workers.
	Limits Limits
	// Policy says how requests are given to workers.
	Policy Policy
	// Net says where its workers may connect.
	Net Net
}

// Imports names the file that resolves a function's bare specifiers. At most
// one field is set.
type Imports struct {
	// ImportMap is the absolute path of a plain import map.
	ImportMap string
	// DenoConfig is the absolute path of a deno.json or deno.jsonc.
	DenoConfig string
	// PackageJSON is the absolute path of a package.json, which counts only
	// when neither of the others exists.
	PackageJSON string
}

// File returns the path of whichever file is set, "" for none.
func (i Imports) File() string {
	switch {
	case i.ImportMap != "":
		return i.ImportMap
	case i.DenoConfig != "":
		return i.DenoConfig
	default:
		return i.PackageJSON
	}
}

// Policy says how many requests a worker takes, and how many at once.
type Policy string

// The policies that config.toml knows.
const (
	// PerWorker lets a worker serve many requests at once, until it retires.
	PerWorker Policy = "per_worker"
	// PerRequest gives a worker one request at a time.
	PerRequest Policy = "per_request"
	// OneShot gives a worker one request in its life.
	OneShot Policy = "oneshot"
)

// Valid reports whether p is one of the policies above.
func (p Policy) Valid() bool { return p == PerWorker || p == PerRequest || p == OneShot }

// Limits bind a function and each of its workers. The zero value of a field is
// not "unlimited": discovery fills every field from Defaults.
type Limits struct {
	// MemoryMB bounds the V8 heap, and the resident memory beyond that of a
	// worker without a function, in MiB.
	MemoryMB int
	// TmpMB bounds the files of a worker, in MiB.
	TmpMB int
	// OpenFiles bounds the files and connections that a worker has open at
	// once; 0 where nothing is configured, see MostOpenFiles.
	OpenFiles int
	// LogLines bounds what a worker may log, in lines a second.
	LogLines int
	// CPUSoft and CPUHard bound the CPU time a request may use.
	CPUSoft, CPUHard time.Duration
	// WallClock bounds a worker's whole life.
	WallClock time.Duration
	// RequestIdle bounds the wait for the first byte of an answer.
	RequestIdle time.Duration
	// WorkerIdle is how long a worker without requests is kept.
	WorkerIdle time.Duration
	// Boot bounds the time from load to ready to serve.
	Boot time.Duration
	// MaxWorkers bounds the workers of the function on this machine.
	MaxWorkers int
	// MaxConcurrency bounds the requests one worker serves at once under
	// PerWorker; past it a further worker is started while MaxWorkers allows.
	MaxConcurrency int
	// MaxQueue bounds the requests that wait beyond those for which the workers
	// that are being started will have room; NoQueue for none.
	MaxQueue int
	// QueueTime bounds the wait of each.
	QueueTime time.Duration
	// Rate bounds how often one caller may call; discovery leaves it zero where
	// nothing is configured, which is no bound.
	Rate Rate
	// MaxBody bounds a request's body, in bytes; AnyBody for no bound.
	MaxBody int64
}

// NoQueue is the Limits.MaxQueue with which a request is refused at once when
// no worker has room for it and none is being started that will.
const NoQueue = -1

// AnyBody is the Limits.MaxBody with which no body is too long.
const AnyBody = -1

// Defaults are the limits of the hosted platform where it has them.
func Defaults() Limits {
	return Limits{
		MemoryMB:       256,
		TmpMB:          256,
		LogLines:       1000,
		CPUSoft:        1 * time.Second,
		CPUHard:        2 * time.Second,
		WallClock:      400 * time.Second,
		RequestIdle:    150 * time.Second,
		WorkerIdle:     60 * time.Second,
		Boot:           10 * time.Second,
		MaxWorkers:     4,
		MaxConcurrency: 100,
		MaxQueue:       1000,
		QueueTime:      30 * time.Second,
		MaxBody:        20 << 20,
	}
}

// Overlay returns l with every field that is set (not zero) in over taken from
// there.
func (l Limits) Overlay(over Limits) Limits {
	return Limits{
		MemoryMB:       cmp.Or(over.MemoryMB, l.MemoryMB),
		TmpMB:          cmp.Or(over.TmpMB, l.TmpMB),
		OpenFiles:      cmp.Or(over.OpenFiles, l.OpenFiles),
		LogLines:       cmp.Or(over.LogLines, l.LogLines),
		CPUSoft:        cmp.Or(over.CPUSoft, l.CPUSoft),
		CPUHard:        cmp.Or(over.CPUHard, l.CPUHard),
		WallClock:      cmp.Or(over.WallClock, l.WallClock),
		RequestIdle:    cmp.Or(over.RequestIdle, l.RequestIdle),
		WorkerIdle:     cmp.Or(over.WorkerIdle, l.WorkerIdle),
		Boot:           cmp.Or(over.Boot, l.Boot),
		MaxWorkers:     cmp.Or(over.MaxWorkers, l.MaxWorkers),
		MaxConcurrency: cmp.Or(over.MaxConcurrency, l.MaxConcurrency),
		MaxQueue:       cmp.Or(over.MaxQueue, l.MaxQueue),
		QueueTime:      cmp.Or(over.QueueTime, l.QueueTime),
		Rate:           cmp.Or(over.Rate, l.Rate),
		MaxBody:        cmp.Or(over.MaxBody, l.MaxBody),
	}
}

// MaxOpenFiles is the most that OpenFiles can be.
const MaxOpenFiles = 16 << 10

// MostOpenFiles is how many files and connections a worker may have open. Where
// nothing is configured that is some for the runtime and what the function
// keeps, and for each request that it may have at once its own connection and a
// few that it makes.
func (l Limits) MostOpenFiles() int {
	const least, each = 1024, 4
	return cmp.Or(l.OpenFiles, min(least+each*l.MaxConcurrency, MaxOpenFiles))
}

// ValidSlug reports whether s can name a function, by the hosted platform's
// rule: [A-Za-z][A-Za-z0-9_-]*. A valid slug can still be reserved; see
// Reserved. It is asked on every request.
func ValidSlug(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		case i > 0 && ('0' <= c && c <= '9' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return s != ""
}

// Reserved reports whether the first path segment s belongs to the gateway's
// own endpoints, so that no function can have it as its slug.
func Reserved(s string) bool { return s == "health" || s == "_internal" }
