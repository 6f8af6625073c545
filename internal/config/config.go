// Package config turns flags, environment variables and config.toml into one
// typed, validated configuration that remembers where every value came from.
package config

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A Command is what is being run; defaults differ between commands.
type Command string

// The commands that have settings.
const (
	// Dev is the local server: localhost only, stack traces for callers.
	Dev Command = "dev"
	// Serve is the production server.
	Serve Command = "serve"
	// Build prepares bundles and runs nothing.
	Build Command = "build"
	// Health asks a server of the same surroundings how it is. It has its
	// address only, and no folders.
	Health Command = "healthcheck"
)

// A Config is the validated configuration of one run. Nothing changes it after
// Resolve, so that it can be shared without a lock.
type Config struct {
	// Command is what the configuration is for.
	Command Command

	// Functions is the absolute path of the functions folder.
	Functions string
	// ProjectFile is the absolute path of config.toml, "" for none.
	ProjectFile string
	// EnvFile is the absolute path of the file that replaces the functions
	// folder's .env, "" for that one.
	EnvFile string
	// FunctionSecrets are variables of every function, over those of the file.
	FunctionSecrets map[string]Secret
	// DataDir is the absolute path of the folder for bundles, caches, the Deno
	// binary and sockets. It need not exist yet.
	DataDir string
	// Prebuilt is the absolute path of a folder with bundles that were made
	// elsewhere, "" for none; Serve only.
	Prebuilt string
	// Deno is the Deno binary to run: an absolute path, or a bare name to look
	// up in PATH; "" for the pinned one.
	Deno string
	// DenyNet are networks that neither functions nor what builds them reach,
	// besides the metadata addresses of clouds.
	DenyNet []netip.Prefix
	// SystemWalls is "auto" or "off": whether workers are kept in their place
	// by the system, too, and not by Deno alone.
	SystemWalls string
	// WorkerUIDs are what workers run as where the server is root: the first
	// that the system has. None is the server's own user.
	WorkerUIDs []UIDs

	// Listen is the address of the gateway, host:port; port 0 takes a free one.
	Listen string
	// TLSCert and TLSKey are the absolute paths of PEM files, both or neither
	// set; with them the gateway speaks HTTPS.
	TLSCert, TLSKey string
	// TrustedProxies are the networks of the proxies whose forwarding headers
	// are believed.
	TrustedProxies []netip.Prefix
	// KeepAlive is how long a client's connection waits for its next request.
	KeepAlive time.Duration
	// Admin is where those who run the server find its metrics: host:port, or
	// unix: and an absolute path; "" for nowhere. Nobody is asked for a key
	// there.
	Admin string
	// CORSOrigins are the origins for which the gateway answers preflights
	// itself, ["*"] for all, empty to leave CORS to the functions.
	CORSOrigins []string
	// DrainTimeout bounds the wait for running requests when stopping.
	DrainTimeout time.Duration
	// DrainDelay is how long a server that was told to stop goes on as before,
	// but for its health.
	DrainDelay time.Duration

	// Prestart is how many Deno processes wait for a function. PrestartAuto is
	// set where nobody gave a number; a server with fewer functions needs
	// fewer then.
	Prestart     int
	PrestartAuto bool
	// MemoryMB and TmpMB bound a worker's memory and its files, in MiB, CPU the
	// processor time of a request, Timeout a worker's life and IdleTimeout the
	// wait for the first byte of an answer; [functions.<slug>] can say
	// otherwise.
	MemoryMB, TmpMB int
	// OpenFiles and LogLines bound a worker's open files, 0 for as many as its
	// requests need, and its log, in lines a second.
	OpenFiles, LogLines       int
	CPU, Timeout, IdleTimeout time.Duration
	// MaxWorkers, MaxConcurrency, WorkerIdle and BootTimeout are the limits of
	// that name in function.Limits; [functions.<slug>] can say otherwise.
	MaxWorkers, MaxConcurrency int
	WorkerIdle, BootTimeout    time.Duration
	// MaxRequests bounds the requests that are open at once, whatever they are
	// for.
	MaxRequests int
	// MaxMemory bounds the memory of all workers together, in bytes; 0 for no
	// bound.
	MaxMemory int64
	// MaxQueue and QueueTimeout bound the requests that wait for one function,
	// and RateLimit how often one caller may call it; [functions.<slug>] can
	// say otherwise here, too.
	MaxQueue     int
	QueueTimeout time.Duration
	RateLimit    function.Rate
	// MaxBody bounds a request's body, in bytes; function.AnyBody for no bound.
	// Once more, [functions.<slug>] can say otherwise.
	MaxBody int64

	// LogFormat is "auto", "pretty" or "json"; auto is pretty on a terminal.
	LogFormat string
	// LogLevel is the least level that is logged.
	LogLevel slog.Level
	// Inspect is the slug of the function to debug, "" for none; Dev only.
	Inspect string
	// InspectAddr is where the debugger connects, host:port; Dev only.
	InspectAddr string

	// Environment is "production", "development" or another name.
	Environment string
	// RequireAuth is false to call every function without a token.
	RequireAuth bool
	// Region names the place for the x-sb-edge-region header and SB_REGION.
	Region string
	// JWTSecret signs HS256 tokens. It is the gateway's alone.
	JWTSecret Secret
	// AnonKey and ServiceRoleKey are the legacy API keys, themselves JWTs.
	AnonKey, ServiceRoleKey Secret
	// PublishableKeys and SecretKeys are the new API keys by name, as
	// SUPABASE_PUBLISHABLE_KEYS and SUPABASE_SECRET_KEYS hold them. No key is
	// empty.
	PublishableKeys, SecretKeys map[string]Secret
	// JWKS is the JSON Web Key Set given inline, "" to fetch it from URL.
	JWKS Secret
	// URL is the Supabase project's, without a slash at its end; "" for none.
	URL string
	// DBURL is the database's connection string, "" for none.
	DBURL Secret

	cwd      string
	environ  environ
	keys     environ // what SELVEDGE_KEYS holds
	resolved map[string]Setting
	warnings []string
}

// Development reports whether callers may see a function's stack traces.
func (c *Config) Development() bool { return c.Environment == "development" }

// Warnings returns what looks wrong but stops nothing, each a full sentence.
func (c *Config) Warnings() []string { return append([]string(nil), c.warnings...) }

// LoadProject reads the config.toml in force, or returns an empty Project when
// there is none.
func (c *Config) LoadProject() (*Project, error) {
	if c.ProjectFile == "" {
		return &Project{Dir: parent(c.Functions), EdgeRuntimeEnabled: true}, nil
	}
	return loadProject(c.ProjectFile, relative(c.cwd, c.ProjectFile), c.lookup)
}

// DiscoverOptions returns what function.Discover needs. For limits the order
// is: default, [edge_runtime], a flag or variable that was given,
// [functions.<slug>].
func (c *Config) DiscoverOptions(p *Project) function.Options {
	edge := p.EdgeRuntime
	var given function.Limits
	takeGiven(c, "max-workers", &given.MaxWorkers, c.MaxWorkers)
	takeGiven(c, "max-concurrency", &given.MaxConcurrency, c.MaxConcurrency)
	takeGiven(c, "memory", &given.MemoryMB, c.MemoryMB)
	takeGiven(c, "tmp-size", &given.TmpMB, c.TmpMB)
	takeGiven(c, "open-files", &given.OpenFiles, c.OpenFiles)
	takeGiven(c, "log-lines", &given.LogLines, c.LogLines)
	takeGiven(c, "cpu", &given.CPUSoft, c.CPU/2)
	takeGiven(c, "cpu", &given.CPUHard, c.CPU)
	takeGiven(c, "timeout", &given.WallClock, c.Timeout)
	takeGiven(c, "idle-timeout", &given.RequestIdle, c.IdleTimeout)
	takeGiven(c, "worker-idle", &given.WorkerIdle, c.WorkerIdle)
	takeGiven(c, "boot-timeout", &given.Boot, c.BootTimeout)
	takeGiven(c, "max-queue", &given.MaxQueue, queueDepth(c.MaxQueue))
	takeGiven(c, "queue-timeout", &given.QueueTime, c.QueueTimeout)
	takeGiven(c, "rate-limit", &given.Rate, c.RateLimit)
	takeGiven(c, "max-body", &given.MaxBody, c.MaxBody)
	edge.Limits = edge.Limits.Overlay(given)
	return function.Options{
		Root:        c.Functions,
		Base:        p.Dir,
		Overrides:   p.Functions,
		EdgeRuntime: edge,
		EnvFile:     c.EnvFile,
		Secrets:     reveal(c.FunctionSecrets),
		SecretsFrom: functionSecretsVariable,
	}
}

// Discover loads config.toml and finds the functions: what a server does at
// its start and after each change on disk.
func (c *Config) Discover() (*function.Set, *Project, error) {
	project, err := c.LoadProject()
	if err != nil {
		return nil, nil, err
	}
	set, err := function.Discover(c.DiscoverOptions(project))
	if err != nil {
		return nil, nil, err
	}
	return set, project, nil
}

// takeGiven overlays a limit with the value of a setting that the user gave.
func takeGiven[T any](c *Config, name string, limit *T, value T) {
	if c.given(name) {
		*limit = value
	}
}

// given reports whether the user set the setting.
func (c *Config) given(name string) bool {
	s := c.resolved[name]
	return s.Source != "" && s.Source != SourceDefault
}
