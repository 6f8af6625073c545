package config

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// A Setting is one value and where it came from, fit to be printed: secrets
// are masked.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
}

// Explain returns every setting of the command, in the order of the help text.
// Source is "--flag", "$VARIABLE" or "default", which may add what was found.
func (c *Config) Explain() []Setting {
	var list []Setting
	for _, s := range settings() {
		if noted, ok := c.resolved[s.name()]; ok {
			list = append(list, noted)
		}
	}
	return list
}

// A FunctionInfo is what is known of a function, fit to be printed.
type FunctionInfo struct {
	Slug string `json:"slug"`
	// Problem says why the function cannot be run; all else is empty then.
	Problem string `json:"problem,omitempty"`
	// Entrypoint, Imports, NPMRC and Static are absolute paths.
	Entrypoint string   `json:"entrypoint,omitempty"`
	Imports    string   `json:"imports,omitempty"`
	NPMRC      string   `json:"npmrc,omitempty"`
	Static     []string `json:"static_files,omitempty"`
	VerifyJWT  bool     `json:"verify_jwt"`
	// Policy is one of per_worker, per_request and oneshot.
	Policy function.Policy `json:"policy,omitempty"`
	Limits *LimitsInfo     `json:"limits,omitempty"`
	// AllowNet are the places that the function may connect to, nil for any.
	AllowNet *[]string `json:"allow_net,omitempty"`
	// AllowNetDryRun is set where the function is not held to them.
	AllowNetDryRun bool `json:"allow_net_dry_run,omitempty"`
	// Env are the user's variables, sorted by name, all masked: nobody can say
	// which of them are secrets.
	Env []Setting `json:"env,omitempty"`
}

// LimitsInfo are function.Limits under the names and in the units of
// config.toml.
type LimitsInfo struct {
	MemoryMB       int     `json:"memory_mb"`
	TmpMB          int     `json:"tmp_mb"`
	OpenFiles      int     `json:"open_files"`
	LogLinesS      int     `json:"log_lines_s"`
	CPUSoftMS      int64   `json:"cpu_soft_ms"`
	CPUMS          int64   `json:"cpu_ms"`
	TimeoutS       float64 `json:"timeout_s"`
	IdleTimeoutS   float64 `json:"idle_timeout_s"`
	WorkerIdleS    float64 `json:"worker_idle_s"`
	BootS          float64 `json:"boot_timeout_s"`
	MaxWorkers     int     `json:"max_workers"`
	MaxConcurrency int     `json:"max_concurrency"`
	MaxQueue       int     `json:"max_queue"`
	QueueTimeoutS  float64 `json:"queue_timeout_s"`
	// RateLimit is "off" for none.
	RateLimit string `json:"rate_limit"`
	// MaxBodyMB is nil for no bound.
	MaxBodyMB *float64 `json:"max_body_mb"`
}

// ExplainFunctions returns all functions of a set, the broken ones among them,
// sorted by slug.
func ExplainFunctions(set *function.Set) []FunctionInfo {
	var list []FunctionInfo
	for _, f := range set.Functions() {
		list = append(list, explainFunction(f))
	}
	problems := set.Problems()
	for _, slug := range slices.Sorted(maps.Keys(problems)) {
		list = append(list, FunctionInfo{Slug: slug, Problem: problems[slug].Error()})
	}
	slices.SortStableFunc(list, func(a, b FunctionInfo) int {
		if a.Slug < b.Slug {
			return -1
		}
		if a.Slug > b.Slug {
			return 1
		}
		return 0
	})
	return list
}

func explainFunction(f *function.Function) FunctionInfo {
	info := FunctionInfo{
		Slug:       f.Slug,
		Entrypoint: f.Entrypoint,
		Imports:    f.Imports.File(),
		NPMRC:      f.NPMRC,
		Static:     f.Static,
		VerifyJWT:  f.VerifyJWT,
		Policy:     f.Policy,
		Limits: &LimitsInfo{
			MemoryMB:       f.Limits.MemoryMB,
			TmpMB:          f.Limits.TmpMB,
			OpenFiles:      f.Limits.MostOpenFiles(),
			LogLinesS:      f.Limits.LogLines,
			CPUSoftMS:      f.Limits.CPUSoft.Milliseconds(),
			CPUMS:          f.Limits.CPUHard.Milliseconds(),
			TimeoutS:       f.Limits.WallClock.Seconds(),
			IdleTimeoutS:   f.Limits.RequestIdle.Seconds(),
			WorkerIdleS:    f.Limits.WorkerIdle.Round(time.Millisecond).Seconds(),
			BootS:          f.Limits.Boot.Round(time.Millisecond).Seconds(),
			MaxWorkers:     f.Limits.MaxWorkers,
			MaxConcurrency: f.Limits.MaxConcurrency,
			MaxQueue:       max(0, f.Limits.MaxQueue),
			QueueTimeoutS:  f.Limits.QueueTime.Round(time.Millisecond).Seconds(),
			RateLimit:      cmp.Or(f.Limits.Rate.String(), "off"),
			MaxBodyMB:      megabytes(f.Limits.MaxBody),
		},
	}
	if f.Net.Allow != nil {
		info.AllowNet = &f.Net.Allow
	}
	info.AllowNetDryRun = f.Net.DryRun
	for _, name := range slices.Sorted(maps.Keys(f.Env)) {
		info.Env = append(info.Env, Setting{Name: name, Value: Mask(f.Env[name]), Source: f.EnvSource[name]})
	}
	return info
}
