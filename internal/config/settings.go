package config

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A setting is one row of the table that drives flags, variables, defaults,
// help, validation and `selvedge config`.
type setting struct {
	// flag is the flag's name, "" where a flag would put a secret into the
	// process list.
	flag string
	// env are the variables, the first that is set and not empty wins.
	env []string
	// commands have the setting; nil is all but Health.
	commands []Command
	// fallback is the default for a command, nil for "".
	fallback func(Command) string
	// bare is the value of the flag given without one, "" where it needs one.
	bare string
	// help is for `--help`; the word in backquotes names the value.
	help string
	// accepts completes "use …" in an error.
	accepts string
	secret  bool
	// many is set where the value is a JSON object of secrets: their names are
	// shown, and not even the value's last characters.
	many bool
	// set validates a value that is not empty and puts it into the Config.
	set func(c *Config, value string) error
}

// name is what the setting is called in messages and `selvedge config`.
func (s *setting) name() string { return cmp.Or(s.flag, s.env0()) }

func (s *setting) env0() string {
	if len(s.env) == 0 {
		return ""
	}
	return s.env[0]
}

// shown is the value as it may be printed.
func (s *setting) shown(value string) string {
	switch {
	case !s.secret:
		return value
	case s.many && value != "":
		return hidden
	}
	return Mask(value)
}

func (s *setting) has(command Command) bool {
	if s.commands == nil {
		return command != Health
	}
	return slices.Contains(s.commands, command)
}

func (s *setting) defaultFor(command Command) string {
	if s.fallback == nil {
		return ""
	}
	return s.fallback(command)
}

func always(value string) func(Command) string { return func(Command) string { return value } }

// either returns one default for Dev and another for the rest.
func either(dev, rest string) func(Command) string {
	return func(c Command) string {
		if c == Dev {
			return dev
		}
		return rest
	}
}

var (
	servers = []Command{Dev, Serve}
	// asked are the servers, and who asks them from the same surroundings.
	asked = []Command{Dev, Serve, Health}
)

// settings is the table, in the order of `selvedge config`.
func settings() []setting {
	limits := function.Defaults()
	return []setting{
		{flag: "functions", env: []string{"SELVEDGE_FUNCTIONS"},
			help:    "the functions folder, `DIR` (default: the first of ./functions, ./supabase/functions)",
			accepts: "a folder that holds one folder a function",
			set:     func(c *Config, v string) error { return c.setPath(&c.Functions, v) }},
		{flag: "config", env: []string{"SELVEDGE_CONFIG"},
			help:    "the project's config.toml, `FILE` (default: the one beside or above the functions folder)",
			accepts: "the path of a config.toml",
			set:     func(c *Config, v string) error { return c.setFile(&c.ProjectFile, v) }},
		{flag: "env-file", env: []string{"SELVEDGE_ENV_FILE"},
			help:    "variables for the functions, `FILE` (default: .env in the functions folder)",
			accepts: "a file of NAME=value lines",
			set:     func(c *Config, v string) error { return c.setFile(&c.EnvFile, v) }},
		{env: []string{functionSecretsVariable}, secret: true, many: true,
			accepts: "a JSON object of strings: variables for the functions, over those of --env-file",
			set:     func(c *Config, v string) error { return c.setFunctionSecrets(v) }},
		{flag: "data-dir", env: []string{"SELVEDGE_DATA_DIR"},
			help:    "bundles, caches and the Deno binary, `DIR` (default: selvedge in the user's cache folder)",
			accepts: "a folder that can be written to",
			set:     func(c *Config, v string) error { return c.setPath(&c.DataDir, v) }},
		{flag: "prebuilt", env: []string{"SELVEDGE_PREBUILT"}, commands: []Command{Serve},
			help:    "bundles that selvedge bundle --out made, `DIR`; it may be read-only, and nothing in it is built again",
			accepts: "a folder that selvedge bundle --out has made",
			set:     func(c *Config, v string) error { return c.setPath(&c.Prebuilt, v) }},
		{flag: "deno", env: []string{"SELVEDGE_DENO"},
			help:    "the Deno binary to run, `FILE` (default: the pinned version, fetched once)",
			accepts: "the path of a Deno binary, or its name in PATH",
			set:     func(c *Config, v string) error { return c.setDeno(v) }},

		{flag: "deny-net", env: []string{"SELVEDGE_DENY_NET"},
			help:    "neither functions nor builds reach these `NETWORKS`: addresses, networks, loopback or private, separated by commas; the metadata addresses of clouds are never reached",
			accepts: "addresses and networks such as 10.0.0.0/16, the words loopback and private, separated by commas, or none",
			set:     func(c *Config, v string) error { return setNetworks(&c.DenyNet, v) }},
		{flag: "system-walls", env: []string{"SELVEDGE_SYSTEM_WALLS"}, fallback: always("auto"),
			help:    "the system's own walls around workers, `MODE`: auto or off; auto is those that selvedge doctor finds",
			accepts: "auto or off",
			set:     func(c *Config, v string) error { return setOneOf(&c.SystemWalls, v, "auto", "off") }},

		{flag: "worker-uids", env: []string{"SELVEDGE_WORKER_UIDS"}, fallback: always("auto"),
			help:    "where the server runs as root, the numbers of users and groups that workers run as, each one its own, `FIRST-LAST`, auto or off; auto is 1900000000-1900065535, or 30000-59999 in a user namespace without those",
			accepts: "auto, off, or two numbers such as 1900000000-1900065535, from 1000 on and at least 100 apart",
			set:     func(c *Config, v string) error { return setUIDs(&c.WorkerUIDs, v) }},

		{flag: "listen", env: []string{"SELVEDGE_LISTEN", "PORT"}, commands: asked, fallback: either("localhost:9000", ":9000"),
			help:    "the address to listen on, `ADDR`",
			accepts: "host:port, :port or a port from 0 to 65535",
			set:     func(c *Config, v string) error { return setAddr(&c.Listen, v) }},
		{flag: "tls-cert", env: []string{"SELVEDGE_TLS_CERT"}, commands: asked,
			help:    "serve HTTPS with the certificate in `FILE` (PEM, with its chain); read again when it changes",
			accepts: "the path of a PEM file",
			set:     func(c *Config, v string) error { return c.setFile(&c.TLSCert, v) }},
		{flag: "tls-key", env: []string{"SELVEDGE_TLS_KEY"}, commands: servers,
			help:    "the certificate's private key, `FILE` (PEM)",
			accepts: "the path of a PEM file",
			set:     func(c *Config, v string) error { return c.setFile(&c.TLSKey, v) }},
		{flag: "trusted-proxies", env: []string{"SELVEDGE_TRUSTED_PROXIES"}, commands: servers, fallback: either("loopback", ""),
			help:    "believe the X-Forwarded-* headers of these `PROXIES`: addresses, networks, loopback, private or none, separated by commas",
			accepts: "addresses and networks such as 10.0.0.0/16, the words loopback and private, separated by commas, or none",
			set:     func(c *Config, v string) error { return setNetworks(&c.TrustedProxies, v) }},
		{flag: "keep-alive", env: []string{"SELVEDGE_KEEP_ALIVE"}, commands: servers, fallback: always("620s"),
			help:    "how long a client's connection is kept for its next request, `DURATION`; it must be longer than the idle timeout of a load balancer in front",
			accepts: "a duration such as 620s",
			set:     func(c *Config, v string) error { return setDuration(&c.KeepAlive, v, time.Second) }},
		{flag: "cors", env: []string{"CORS_ORIGINS"}, commands: servers, bare: "*",
			help:    "answer CORS preflights for these `ORIGINS`, separated by commas, or for all",
			accepts: "origins such as https://app.example.com, separated by commas, or *",
			set:     func(c *Config, v string) error { return setOrigins(&c.CORSOrigins, v) }},
		{flag: "admin", env: []string{"SELVEDGE_ADMIN"}, commands: servers,
			help:    "serve /metrics and /health at this `ADDR`, without asking for keys (default: nowhere)",
			accepts: "a port of this machine, host:port, or unix:/path",
			set:     func(c *Config, v string) error { return c.setAdmin(v) }},
		{flag: "drain-timeout", env: []string{"SELVEDGE_DRAIN_TIMEOUT"}, commands: servers, fallback: either("2s", "30s"),
			help:    "how long running requests may take when stopping, `DURATION`",
			accepts: "a duration such as 30s, or 0",
			set:     func(c *Config, v string) error { return setDuration(&c.DrainTimeout, v, 0) }},

		{flag: "drain-delay", env: []string{"SELVEDGE_DRAIN_DELAY"}, commands: servers, fallback: either("0s", "5s"),
			help:    "how long to go on serving after SIGTERM while /health answers 503, `DURATION`: a load balancer needs it to look elsewhere",
			accepts: "a duration such as 5s, or 0",
			set:     func(c *Config, v string) error { return setDuration(&c.DrainDelay, v, 0) }},

		{flag: "prestart", env: []string{"SELVEDGE_PRESTART"}, commands: servers, fallback: always("auto"),
			help:    "how many Deno processes wait for a function, `N`; auto looks at CPUs, memory and functions",
			accepts: "auto or a number from 0 to 1024",
			set: func(c *Config, v string) error {
				if v == "auto" {
					c.Prestart, c.PrestartAuto = autoPrestart(c.Command, machineMemory()), true
					return nil
				}
				return setInt(&c.Prestart, v, 0, 1024)
			}},
		{flag: "max-workers", env: []string{"SELVEDGE_MAX_WORKERS"}, commands: servers, fallback: always(strconv.Itoa(limits.MaxWorkers)),
			help:    "the most workers a function may have on this machine, `N`",
			accepts: "a number from 1 to 10000",
			set:     func(c *Config, v string) error { return setInt(&c.MaxWorkers, v, 1, 10000) }},
		{flag: "max-concurrency", env: []string{"SELVEDGE_MAX_CONCURRENCY"}, commands: servers, fallback: always(strconv.Itoa(limits.MaxConcurrency)),
			help:    "the most requests a worker serves at once, `N`",
			accepts: "a number from 1 to 1000000",
			set:     func(c *Config, v string) error { return setInt(&c.MaxConcurrency, v, 1, 1000000) }},
		{flag: "max-requests", env: []string{"SELVEDGE_MAX_REQUESTS"}, commands: servers, fallback: always("auto"),
			help:    "the most requests open at once, WebSockets among them, `N`; auto looks at memory and open files",
			accepts: "auto or a number from 1 to 1000000",
			set: func(c *Config, v string) error {
				if v == "auto" {
					c.MaxRequests = autoMaxRequests(machineMemory(), openFiles())
					return nil
				}
				return setInt(&c.MaxRequests, v, 1, mostRequests)
			}},
		{flag: "max-memory", env: []string{"SELVEDGE_MAX_MEMORY"}, commands: servers, fallback: always("auto"),
			help:    "the memory of all workers together, `SIZE` such as 4GB; auto takes three quarters of the machine's or the container's, off any",
			accepts: "auto, off, or a size of at least 128MB, such as 4GB",
			set:     func(c *Config, v string) error { return setMaxMemory(&c.MaxMemory, v) }},
		{flag: "max-queue", env: []string{"SELVEDGE_MAX_QUEUE"}, commands: servers, fallback: always(strconv.Itoa(limits.MaxQueue)),
			help:    "the most requests that wait for a function beyond those its workers have or will have room for, `N`",
			accepts: "a number from 0 to 1000000",
			set:     func(c *Config, v string) error { return setInt(&c.MaxQueue, v, 0, maxQueue) }},
		{flag: "queue-timeout", env: []string{"SELVEDGE_QUEUE_TIMEOUT"}, commands: servers, fallback: always(shortDuration(limits.QueueTime)),
			help:    "how long a request waits for a worker before it is refused, `DURATION`",
			accepts: "a duration such as 30s, at least 1ms",
			set:     func(c *Config, v string) error { return setDuration(&c.QueueTimeout, v, minDuration) }},
		{flag: "rate-limit", env: []string{"SELVEDGE_RATE_LIMIT"}, commands: servers, fallback: always("off"),
			help:    "how often one caller may call a function, `RATE` such as 100/s, 1000/h or '100/s burst 200'",
			accepts: "100/s, 100/m, 1000/h, '100/s burst 200' or off",
			set:     func(c *Config, v string) error { return setRate(&c.RateLimit, v) }},
		{flag: "max-body", env: []string{"SELVEDGE_MAX_BODY"}, commands: servers, fallback: always(formatBody(limits.MaxBody)),
			help:    "the largest request body, `SIZE` such as 512KB, 20MB or 1GB (of 1024 KB and MB); off for no bound",
			accepts: "a size such as 20MB, or off",
			set:     func(c *Config, v string) error { return setBody(&c.MaxBody, v) }},
		{flag: "memory", env: []string{"SELVEDGE_MEMORY"}, commands: servers, fallback: always(formatBody(int64(limits.MemoryMB) << 20)),
			help:    "the memory that a worker may use, `SIZE` such as 256MB (of 1024 KB)",
			accepts: "a size of at least 32MB, such as 256MB",
			set:     func(c *Config, v string) error { return setMegabytes(&c.MemoryMB, v, leastMemoryMB) }},
		{flag: "tmp-size", env: []string{"SELVEDGE_TMP_SIZE"}, commands: servers, fallback: always(formatBody(int64(limits.TmpMB) << 20)),
			help:    "the size of the files that a worker may write, `SIZE` such as 256MB",
			accepts: "a size of at least 1MB, such as 256MB",
			set:     func(c *Config, v string) error { return setMegabytes(&c.TmpMB, v, 1) }},
		{flag: "open-files", env: []string{"SELVEDGE_OPEN_FILES"}, commands: servers, fallback: always("auto"),
			help:    "the files and connections that a worker may have open at once, `N`; auto is 1024, and 4 for each request in it",
			accepts: "a number from 64 to 16384, or auto",
			set:     setOpenFiles},
		{flag: "log-lines", env: []string{"SELVEDGE_LOG_LINES"}, commands: servers, fallback: always(strconv.Itoa(limits.LogLines)),
			help:    "what a worker may log, `N` lines (and KB) a second",
			accepts: "a number from 1 to 1000000",
			set:     func(c *Config, v string) error { return setInt(&c.LogLines, v, 1, mostLogLines) }},
		{flag: "cpu", env: []string{"SELVEDGE_CPU"}, commands: servers, fallback: always(shortDuration(limits.CPUHard)),
			help:    "the processor time that a request may use, `DURATION`; at half of it the worker is replaced",
			accepts: "a duration such as 2s, at least 1ms",
			set:     func(c *Config, v string) error { return setDuration(&c.CPU, v, minDuration) }},
		{flag: "timeout", env: []string{"SELVEDGE_TIMEOUT"}, commands: servers, fallback: always(shortDuration(limits.WallClock)),
			help:    "how long a worker may live, `DURATION`; at half of it the worker is replaced",
			accepts: "a duration such as 400s, at least 1s",
			set:     func(c *Config, v string) error { return setDuration(&c.Timeout, v, time.Second) }},
		{flag: "idle-timeout", env: []string{"SELVEDGE_IDLE_TIMEOUT"}, commands: servers, fallback: always(shortDuration(limits.RequestIdle)),
			help:    "how long a request waits for the first byte of its answer, `DURATION`",
			accepts: "a duration such as 150s, at least 1s",
			set:     func(c *Config, v string) error { return setDuration(&c.IdleTimeout, v, time.Second) }},
		{flag: "worker-idle", env: []string{"SELVEDGE_WORKER_IDLE"}, commands: servers, fallback: always(shortDuration(limits.WorkerIdle)),
			help:    "how long a worker without requests is kept, `DURATION`",
			accepts: "a duration such as 60s, at least 1ms",
			set:     func(c *Config, v string) error { return setDuration(&c.WorkerIdle, v, minDuration) }},
		{flag: "boot-timeout", env: []string{"SELVEDGE_BOOT_TIMEOUT"}, commands: servers, fallback: always(shortDuration(limits.Boot)),
			help:    "how long a function may take to start, `DURATION`",
			accepts: "a duration such as 10s, at least 1ms",
			set:     func(c *Config, v string) error { return setDuration(&c.BootTimeout, v, minDuration) }},

		{flag: "log-format", env: []string{"SELVEDGE_LOG_FORMAT"}, fallback: always("auto"),
			help:    "how logs are written, `FORMAT`: auto, pretty or json; auto is pretty on a terminal",
			accepts: "auto, pretty or json",
			set:     func(c *Config, v string) error { return setOneOf(&c.LogFormat, v, "auto", "pretty", "json") }},
		{flag: "log-level", env: []string{"SELVEDGE_LOG_LEVEL"}, fallback: always("info"),
			help:    "the least `LEVEL` that is logged: debug, info, warn or error",
			accepts: "debug, info, warn or error",
			set:     func(c *Config, v string) error { return setLevel(&c.LogLevel, v) }},
		{flag: "inspect", env: []string{"SELVEDGE_INSPECT"}, commands: []Command{Dev},
			help:    "debug the function `SLUG`: it waits for a debugger",
			accepts: "the name of a function",
			set:     func(c *Config, v string) error { return setSlug(&c.Inspect, v) }},
		{flag: "inspect-addr", env: []string{"SELVEDGE_INSPECT_ADDR"}, commands: []Command{Dev}, fallback: always("127.0.0.1:9229"),
			help:    "where the debugger connects, `ADDR`",
			accepts: "host:port, :port or a port from 0 to 65535",
			set:     func(c *Config, v string) error { return setAddr(&c.InspectAddr, v) }},

		{flag: "environment", env: []string{"ENVIRONMENT"}, commands: servers, fallback: either("development", "production"),
			help:    "the `NAME` of the environment; development shows callers a function's stack traces",
			accepts: "development, production, or another name of small letters, digits and -",
			set:     func(c *Config, v string) error { return setName(&c.Environment, v) }},
		{flag: "require-auth", env: []string{"REQUIRE_AUTH", "VERIFY_JWT"}, commands: servers, fallback: always("true"), bare: "true",
			help:    "check callers' tokens where a function asks for it, `BOOL`; false checks none",
			accepts: "true or false",
			set:     func(c *Config, v string) error { return setBool(&c.RequireAuth, v) }},
		{flag: "supabase-url", env: []string{"SUPABASE_URL"}, commands: servers,
			help:    "the Supabase project's `URL`, for the functions and for its signing keys",
			accepts: "a URL such as https://project.supabase.co",
			set:     func(c *Config, v string) error { return setURL(&c.URL, v) }},
		{flag: "region", env: []string{"SB_REGION"}, commands: servers, fallback: always("local"),
			help:    "the `NAME` of this server's region, for responses and functions",
			accepts: "a name of small letters, digits and -",
			set:     func(c *Config, v string) error { return setName(&c.Region, v) }},

		// Before what it may hold.
		{env: []string{keysVariable}, commands: servers, secret: true, many: true,
			accepts: "a JSON object of strings: the variables below, where they are not set by themselves",
			set:     func(c *Config, v string) error { return c.setKeysObject(v) }},
		{env: []string{"JWT_SECRET"}, commands: servers, secret: true,
			accepts: "the project's JWT secret",
			set:     func(c *Config, v string) error { c.JWTSecret = Secret(v); return nil }},
		{env: []string{"ANON_KEY", "SUPABASE_ANON_KEY"}, commands: servers, secret: true,
			accepts: "the project's anon key",
			set:     func(c *Config, v string) error { c.AnonKey = Secret(v); return nil }},
		{env: []string{"SERVICE_ROLE_KEY", "SUPABASE_SERVICE_ROLE_KEY"}, commands: servers, secret: true,
			accepts: "the project's service role key",
			set:     func(c *Config, v string) error { c.ServiceRoleKey = Secret(v); return nil }},
		{env: []string{"SUPABASE_PUBLISHABLE_KEYS"}, commands: servers, secret: true,
			accepts: `JSON such as {"default":"sb_publishable_…"}, or one such key`,
			set:     func(c *Config, v string) error { return setKeys(&c.PublishableKeys, v, "sb_publishable_") }},
		{env: []string{"SUPABASE_SECRET_KEYS"}, commands: servers, secret: true,
			accepts: `JSON such as {"default":"sb_secret_…"}, or one such key`,
			set:     func(c *Config, v string) error { return setKeys(&c.SecretKeys, v, "sb_secret_") }},
		{env: []string{"SUPABASE_JWKS"}, commands: servers, secret: true,
			accepts: `a JSON Web Key Set, {"keys":[…]}`,
			set:     func(c *Config, v string) error { return setJWKS(&c.JWKS, v) }},
		{env: []string{"SUPABASE_DB_URL"}, commands: servers, secret: true,
			accepts: "a URL such as postgresql://user:password@host:5432/postgres",
			set:     func(c *Config, v string) error { c.DBURL = Secret(v); return nil }},
	}
}
