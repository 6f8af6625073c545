// The benchmark measures Selvedge against its peers, such as plain `deno run`
// and nginx, on the machine it runs on, in one run. See docs/performance.md.
//
//	go run ./bench                # all measures, about fifteen minutes
//	go run ./bench -quick         # a smoke test of the benchmark itself
//	go run ./bench -only cold-hello,burst-50
//	go run ./bench -write         # and put the table into docs/performance.md
//	go run ./bench -profile FILE  # no measure: a CPU profile for the compiler
//
// It exits with 1 when a floor is missed or something failed, with 2 on wrong
// usage. A smoke test misses no floor: its figures mean nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Exit codes.
const (
	exitOK    = 0
	exitFail  = 1
	exitUsage = 2
)

// Main runs the measures that args ask for and returns the exit code.
func Main(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(stderr, "error:", err)
			return exitUsage
		}
		return exitOK
	}
	if program := missing("wrk", "nginx", "node", "npm"); o.write && program != "" {
		fmt.Fprintf(stderr, "error: -write needs all rows, and %s is not installed\n", program)
		return exitFail
	}
	if o.profile != "" {
		return profileOnly(ctx, o, stderr)
	}
	report, err := measureAll(ctx, o, stderr)
	if report != nil && len(report.Rows) > 0 {
		report.print(stdout)
	}
	if err == nil {
		err = report.store(o)
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return exitFail
	}
	if missed := report.missed(); len(missed) > 0 && !o.quick {
		fmt.Fprintf(stderr, "error: floor missed: %s\n", strings.Join(missed, ", "))
		return exitFail
	}
	return exitOK
}

// profileOnly writes a profile in place of measuring.
func profileOnly(ctx context.Context, o options, stderr io.Writer) int {
	l, err := newLab(ctx, o, stderr)
	if err == nil {
		err = errors.Join(l.profile(ctx, o.profile), l.close())
	}
	if err != nil {
		fmt.Fprintln(stderr, "error:", err)
		return exitFail
	}
	return exitOK
}

// options are what the flags say.
type options struct {
	experiments []experiment
	quick       bool
	write       bool
	jsonFile    string
	profile     string
	patience    time.Duration
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.quick, "quick", false, "take few samples: a smoke test, not a measurement")
	flags.StringVar(&only, "only", "", "measure only these `NAMES`, separated by commas: "+strings.Join(experimentNames(), ", "))
	flags.StringVar(&o.jsonFile, "json", "", "write every sample to `FILE`, - for stdout")
	flags.BoolVar(&o.write, "write", false, "put the table into docs/performance.md")
	flags.StringVar(&o.profile, "profile", "", "measure nothing; write a CPU profile of the server under load to `FILE`")
	flags.DurationVar(&o.patience, "wait", 30*time.Second, "how long to wait, before each measure, until other programs leave the processors alone")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	o.experiments = experiments
	if only != "" {
		o.experiments = nil
		for name := range strings.SplitSeq(only, ",") {
			i := slices.IndexFunc(experiments, func(e experiment) bool { return e.name == name })
			if i < 0 {
				return o, fmt.Errorf("there is no measure %q; use %s", name, strings.Join(experimentNames(), ", "))
			}
			o.experiments = append(o.experiments, experiments[i])
		}
	}
	if o.profile != "" && (o.quick || o.write || only != "" || o.jsonFile != "") {
		return o, errors.New("-profile measures nothing; leave out the other flags")
	}
	if o.write && (o.quick || only != "") {
		return o, errors.New("-write needs a whole run; leave out -quick and -only")
	}
	if o.quick {
		o.patience = 0
	}
	return o, nil
}

// An experiment is one set-up, which may give several rows.
type experiment struct {
	name string
	run  func(ctx context.Context, l *lab) ([]Row, error)
}

var experiments = []experiment{
	{"cold-hello", coldHello},
	{"cold-supabase", coldSupabase},
	{"cold-valtown", coldValtown},
	{"burst-50", burst},
	{"save-to-answer", save},
	{"prestart-pss", prestartMemory},
	{"thousand", thousand},
	{"gateway", gateway},
	{"gateway-added", added},
	{"gateway-allocations", allocations},
	{"gateway-bodies", bodies},
	{"gateway-websockets", websockets},
}

func experimentNames() []string {
	var names []string
	for _, e := range experiments {
		names = append(names, e.name)
	}
	return names
}

// measureAll runs the experiments one after the other. What was measured
// before a failure is in the report all the same.
func measureAll(ctx context.Context, o options, progress io.Writer) (report *Report, err error) {
	l, err := newLab(ctx, o, progress)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	report = &Report{Environment: l.environment(ctx), root: l.root}
	for _, e := range o.experiments {
		rows, err := l.quietest(ctx, e, o)
		if err != nil {
			return report, fmt.Errorf("measure %s: %w", e.name, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	return report, nil
}

// tries is how often an experiment is run, at most, when other programs used
// the processors meanwhile.
const tries = 3

// quietest runs an experiment, again when the machine was noisy, and returns
// the rows of the run that was disturbed least.
func (l *lab) quietest(ctx context.Context, e experiment, o options) ([]Row, error) {
	var best []Row
	for try := 1; ; try++ {
		l.waitForQuiet(ctx, o.patience)
		fmt.Fprintln(l.progress, e.name)
		began, use := time.Now(), watchUse()
		rows, err := e.run(ctx, l)
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		others := use.others()
		for i := range rows {
			rows[i].Experiment, rows[i].Others = e.name, others
			fmt.Fprintf(l.progress, "  %s: %s\n", rows[i].Name, rows[i].value())
		}
		fmt.Fprintf(l.progress, "  took %s; other programs used %.0f %% of the processors\n", time.Since(began).Round(100*time.Millisecond), 100*others)
		if best == nil || others < best[0].Others {
			best = rows
		}
		if others <= quiet || try == tries || o.quick {
			return best, nil
		}
	}
}

// store writes the files that were asked for.
func (r *Report) store(o options) error {
	if o.jsonFile != "" {
		if err := r.writeJSON(o.jsonFile); err != nil {
			return err
		}
	}
	if o.write {
		if absent := r.absent(); len(absent) > 0 {
			return fmt.Errorf("docs/performance.md is left as it was, since rows were not measured: %s", strings.Join(absent, ", "))
		}
		return r.writeDocument(filepath.Join(r.root, "docs", "performance.md"))
	}
	return nil
}
