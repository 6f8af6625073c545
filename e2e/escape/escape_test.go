// Package escape lets a function try to get at what is not its own, by every
// way that is known, and the same attempts where nothing holds them: there they
// must get it, or they would show nothing.
package escape

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

func TestMain(m *testing.M) {
	if file := os.Getenv(walledFile); file != "" {
		os.Exit(runWalled(file))
	}
	code := harness.Main(m)
	for _, line := range skips() {
		fmt.Println(line) // make shows it
	}
	os.Exit(code)
}

// secret is what no attempt may get, and is nowhere in the attempts themselves.
const secret = "TOP-SECRET-" + "d41d8cd98f00"

// TestAttempts makes all attempts, with a real server that runs as in
// production.
func TestAttempts(t *testing.T) {
	walls := confine.New()
	makeAttempts(t, trial{
		leave: func(a attempt) string { return missing(a.needs, walls) },
		make: func(s *stage, a attempt) (held, control string) {
			held = s.held(t, a)
			if a.alone == "" {
				control = s.control(t, a)
			}
			return held, control
		},
		check: func(t *testing.T, a attempt, held, control string) {
			if escaped(held) {
				t.Errorf("it escaped: %s", held)
			}
			if a.alone == "" && !escaped(control) {
				t.Errorf("it gets nothing where nothing holds it, so that it shows nothing: %s", control)
			}
		},
	})
}

// TestAttemptsAgainstDenoAlone leaves the system's walls out: it shows that most
// attempts are held by Deno's alone, and which are not.
func TestAttemptsAgainstDenoAlone(t *testing.T) {
	makeAttempts(t, trial{
		args: []string{"--system-walls", "off"},
		leave: func(a attempt) string {
			if a.needs == needRights && os.Geteuid() != 0 {
				return "the rights of files hold users other than root without any wall"
			}
			return ""
		},
		make: func(s *stage, a attempt) (held, control string) { return s.held(t, a), "" },
		check: func(t *testing.T, a attempt, held, _ string) {
			switch {
			case escaped(held) && a.needs == "":
				t.Errorf("it escaped: %s", held)
			case !escaped(held) && a.needs != "" && a.alone == "":
				t.Errorf("Deno alone holds it: it needs no %s; %s", a.needs, held)
			}
		},
	})
}

// A trial is one way of making the attempts.
type trial struct {
	args   []string // for the server
	native bool     // attempts of machine code, too
	// leave says why an attempt is left out, "" for one that is made.
	leave func(attempt) string
	// make makes one, and the same with less in its way where that is asked for.
	make func(*stage, attempt) (held, control string)
	// check judges what came of it.
	check func(t *testing.T, a attempt, held, control string)
}

func makeAttempts(t *testing.T, try trial) {
	// The place may be a network of its own, which belongs to this thread and
	// what it starts: everything that connects does so from here, and subtests
	// only report.
	runtime.LockOSThread()
	stage := setUp(t, try.args...)
	type result struct {
		attempt
		held, control, skipped string
	}
	var results []result
	for _, a := range attempts() {
		if a.native && !try.native {
			continue
		}
		r := result{attempt: a}
		if r.skipped = cmp.Or(try.leave(a), stage.lacks(a)); r.skipped == "" {
			r.held, r.control = try.make(stage, a)
		}
		results = append(results, r)
	}
	for _, r := range results {
		t.Run(r.area+"/"+r.name, func(t *testing.T) {
			if r.skipped != "" {
				skip(t, r.skipped)
			}
			try.check(t, r.attempt, r.held, r.control)
			reason, _, _ := strings.Cut(r.held, "\n")
			t.Logf("%.300q", reason)
		})
	}
}

// escaped reports whether an attempt got something.
func escaped(said string) bool {
	return strings.HasPrefix(said, "ESCAPED: ") || strings.Contains(said, secret)
}

// layerOf is the layer that a need is part of, and what its description has
// where the kernel is new enough.
var layerOf = map[need]struct{ layer, detail string }{
	needPaths:        {confine.Landlock, ""},
	needNetwork:      {confine.Landlock, "TCP"},
	needScope:        {confine.Landlock, "abstract"},
	needFilter:       {confine.Seccomp, ""},
	needCapabilities: {confine.Capabilities, ""},
	needUser:         {confine.OwnUser, ""},
}

// missing says why an attempt cannot be held here, "" if it can.
func missing(n need, walls *confine.Confiner) string {
	if n == needRights && os.Geteuid() == 0 && !walls.On(confine.Capabilities) {
		return "root may list any folder, as long as it has its capabilities"
	}
	for _, l := range walls.Layers() {
		if want, ok := layerOf[n]; ok && l.Name == want.layer && (!l.On || !strings.Contains(l.Detail, want.detail)) {
			return fmt.Sprintf("it takes %s: %s", n, l.Detail)
		}
	}
	return ""
}

// A stage is where attempts are made.
type stage struct {
	server  *harness.Server
	targets targets
	service *service
	script  string // it makes an attempt where nothing holds it
	deno    string
}

func setUp(t *testing.T, args ...string) *stage {
	t.Helper()
	s := &stage{deno: denotest.OpenBinary(t)}
	root := denotest.TempDir(t)
	denotest.Open(t, root)
	data := filepath.Join(root, "data")
	t.Cleanup(func() { harness.Reveal(data) })
	denotest.IsolatedPackages(t, filepath.Join(data, "packages")) // a network of its own has none
	place := newPlace(t, root)
	s.service = newService(t, place)
	s.targets = place.targets
	s.targets.Port, s.targets.UDP, s.targets.Allowed = s.service.port, s.service.udp, s.service.allowed

	write := func(name, content string) string {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s.targets.File = write("outside/file", "SECRET_IN_FILE="+secret+"\n")
	s.targets.JSON = write("outside/file.json", `{"s":"`+secret+`"}`)
	s.targets.Script = write("outside/script.js", `export const secret = "`+secret+`"; globalThis.postMessage?.("`+secret+`");`)
	s.targets.Map = write("outside/script.js.map", `{"version":3,"sources":["mapped-source.ts"],"sourcesContent":["`+secret+`"],"names":[],"mappings":"AAAA"}`)
	s.targets.Driver = write("outside/driver.json", `{"file_format_version":"1.0.0","ICD":{"library_path":"/nowhere.so","api_version":"1.0.0"}}`)
	s.targets.Database = filepath.Join(root, "outside", "file.db")
	s.targets.Dir = filepath.Join(root, "open")
	write("open/removable", "x")
	write("open/given", "x")
	s.targets.Library = libc()
	s.targets.DataDir = data
	s.targets.Bundle = filepath.Join(data, "bundles")

	wrapper, err := os.ReadFile(filepath.Join(harness.Repo, "e2e", "escape", "testdata", "attempt.js"))
	if err != nil {
		t.Fatal(err)
	}
	write("functions/_shared/attempt.js", string(wrapper))
	write("control/attempt.js", string(wrapper))
	write("functions/attacker/index.ts", `import { attempt } from "../_shared/attempt.js";
		Deno.serve(async (req) => new Response(await attempt(await req.json())));`)
	// Its package is in the cache as Deno would have put it there, and requires
	// what no bundler finds.
	s.targets.Package = write("data/packages/npm/registry.npmjs.org/odd/1.0.0/other.js", "module.exports = 1;\n")
	write("data/packages/npm/registry.npmjs.org/odd/1.0.0/index.js", `module.exports = require(["./", "other.js"].join(""));`)
	write("data/packages/npm/registry.npmjs.org/odd/1.0.0/package.json", `{"name":"odd","version":"1.0.0","main":"index.js"}`)
	write("data/packages/npm/registry.npmjs.org/odd/registry.json", `{"name":"odd","dist-tags":{"latest":"1.0.0"},"time":{"1.0.0":"2024-01-01T00:00:00+00:00"},"_deno.packumentFormat":"full",
		"versions":{"1.0.0":{"version":"1.0.0","dist":{"tarball":"https://registry.npmjs.org/odd/-/odd-1.0.0.tgz","integrity":"sha512-AAAA"}}}}`)
	write("functions/unbundled/index.ts", `import { attempt } from "../_shared/attempt.js";
		import odd from "npm:odd@1.0.0";
		Deno.serve(async (req) => new Response(odd === 1 ? await attempt(await req.json()) : "the package is not there"));`)
	write("functions/victim/index.ts", `const code = "`+secret+`";
		Deno.writeTextFileSync(Deno.env.get("TMPDIR") + "/secret", code);
		Deno.serve(() => new Response(Deno.env.get("TMPDIR") + " " + Deno.pid));`)
	write("functions/victim/.env", "VICTIM_KEY="+secret+"\n")
	write("config.toml", "[functions.attacker]\npolicy = \"oneshot\"\nmax_workers = 2\n[functions.unbundled]\npolicy = \"oneshot\"\nmax_workers = 2\n[functions.victim]\ntimeout_s = 3600\n")
	write("private/x", "")
	s.script = write("control/control.js", `import { attempt } from "./attempt.js";
		console.log(await attempt(JSON.parse(Deno.readTextFileSync(Deno.args[0]))));
		Deno.exit(0);`)
	write("control/index.js", "")
	s.makeDatabase(t)

	s.server = harness.Start(t, harness.Options{
		Command: "serve", Functions: filepath.Join(root, "functions"), Dir: root,
		Args: append(place.args, append(args, "--data-dir", data, "--worker-idle", "1h")...), // the victim's worker is to stay
		Env:  []string{"JWT_SECRET=" + secret + "-jwt-that-is-long-enough", "AWS_SECRET_ACCESS_KEY=" + secret},
	})
	s.targets.Gateway = s.server.Cmd.Process.Pid
	if found, _ := filepath.Glob(filepath.Join(s.server.Tmp, "selvedge-*")); len(found) == 1 {
		s.targets.RunDir = found[0]
	} else {
		t.Fatalf("where are the workers? %q", found)
	}
	said := s.call(t, "victim", nil)
	if n, _ := fmt.Sscan(said, &s.targets.Victim, &s.targets.Other); n != 2 || !strings.HasPrefix(said, s.targets.RunDir) {
		t.Fatalf("the other function answers %q", said)
	}
	l, err := net.Listen("unix", fmt.Sprintf("@selvedge-escape-%d", os.Getpid()))
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	} else if err == nil {
		t.Cleanup(func() { l.Close() })
		s.targets.Abstract = "\x00" + strings.TrimPrefix(l.Addr().String(), "@")
	}
	return s
}

func (s *stage) makeDatabase(t *testing.T) {
	t.Helper()
	script := `import { DatabaseSync } from "node:sqlite";
		const db = new DatabaseSync(Deno.args[0]);
		db.exec("CREATE TABLE t (v TEXT)");
		db.prepare("INSERT INTO t VALUES (?)").run(Deno.args[1]);
		db.close();`
	file := filepath.Join(filepath.Dir(s.script), "database.js")
	if err := os.WriteFile(file, []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := s.run(t, false, false, file, s.targets.Database, secret); err != nil {
		t.Fatalf("make a database: %v\n%s", err, out)
	}
}

// held makes an attempt as a function.
func (s *stage) held(t *testing.T, a attempt) string {
	t.Helper()
	before := s.service.asked(t)
	slug := "attacker"
	if a.unbundled {
		slug = "unbundled"
	}
	said := s.call(t, slug, s.request(t, a))
	// Looking takes a connection to each of its addresses.
	if n := s.service.asked(t) - before - int64(len(s.service.addresses)); n > 0 {
		said = fmt.Sprintf("ESCAPED: the service was asked %d times; it said %s", n, said)
	}
	if a.ends && strings.Contains(said, "WORKER_ERROR") {
		said = "held: the worker ended"
	}
	if !strings.HasPrefix(said, "held: ") && !escaped(said) {
		t.Errorf("%s: it did not run: %s", a.name, said)
	}
	return said
}

// lacks says what an attempt would need of the place that is not there: without
// it, it would get nothing even where nothing holds it.
func (s *stage) lacks(a attempt) string {
	switch {
	case strings.Contains(a.source, "p.ipv6") && s.targets.IPv6 == "":
		return "the metadata service has no IPv6 address here: it takes root, and a network of its own"
	case strings.Contains(a.source, "p.name") && s.targets.Name == "":
		return "the metadata service has no name here: it takes root, and a network of its own"
	}
	return ""
}

// control makes an attempt where nothing holds it.
func (s *stage) control(t *testing.T, a attempt) string {
	t.Helper()
	if a.needs == needRights && os.Geteuid() != 0 {
		// These hold whoever does not own everything, as long as they are there.
		if err := os.Chmod(s.targets.Bundle, 0o755); err != nil {
			t.Fatal(err)
		}
		defer os.Chmod(s.targets.Bundle, 0o311)
	}
	return s.open(t, a, false)
}

// open makes an attempt with all of Deno's permissions, with the system's walls
// or without any.
func (s *stage) open(t *testing.T, a attempt, walls bool) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Join(filepath.Dir(s.script), "..", "private"), "w")
	if err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, deno.TempDir)
	file := filepath.Join(tmp, "attempt.json")
	if err := errors.Join(os.Mkdir(tmp, 0o700), os.WriteFile(file, s.request(t, a), 0o644)); err != nil {
		t.Fatal(err)
	}
	before := s.service.asked(t)
	out, err := s.run(t, walls, a.unbundled, s.script, file)
	if s.service.asked(t)-before > int64(len(s.service.addresses)) {
		return "ESCAPED: the service was asked"
	}
	if err != nil {
		out = append(out, err.Error()...)
	}
	if a.ends && err != nil {
		return "held: the process ended"
	}
	if said := string(out); strings.Contains(said, "held: ") || escaped(said) {
		return said
	}
	t.Errorf("%s: it did not run: %s", a.name, out)
	return string(out)
}

// run runs a script with all of Deno's permissions, and with the variables that
// attempts look for where functions have theirs. Its temporary folder is that of
// its first argument.
func (s *stage) run(t *testing.T, walls, unbundled bool, script string, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tmp, cache := filepath.Dir(args[0]), filepath.Join(filepath.Dir(s.script), "cache")
	if walls {
		cache = filepath.Join(s.targets.DataDir, "cache") // what workers have
	}
	cmd := exec.CommandContext(ctx, s.deno, append([]string{"run", "-A", "--quiet", "--no-config", "--no-lock", script}, args...)...)
	environ := []string{
		"NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1", "DENO_DIR=" + cache, "HOME=" + tmp, "TMPDIR=" + tmp, "PATH=" + os.Getenv("PATH"),
		"JWT_SECRET=" + secret, "VICTIM_KEY=" + secret, "DENO_SERVE_ADDRESS=unix:/tmp/" + secret,
	}
	if walls {
		var err error
		w := walled{Args: cmd.Args, Environ: environ, Script: script, Cache: cache, Dir: filepath.Dir(tmp)}
		if unbundled {
			w.Packages = filepath.Join(s.targets.DataDir, "packages")
		}
		if cmd, err = walledCommand(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Env = append(cmd.Env, environ...)
	return cmd.CombinedOutput()
}

func (s *stage) request(t *testing.T, a attempt) []byte {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"source": a.source, "p": s.targets})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(raw, []byte(secret)) {
		t.Fatalf("%s: the secret is in the attempt", a.name)
	}
	return raw
}

// call calls a function over a connection made by this thread.
func (s *stage) call(t *testing.T, slug string, body []byte) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(60 * time.Second))
	req, err := http.NewRequest(http.MethodPost, s.server.URL+"/"+slug, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	if err := req.Write(c); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Sprintf("%d %s", resp.StatusCode, said)
	}
	return string(said)
}

// libc finds a shared library that every system has.
func libc() string {
	for _, pattern := range []string{"/lib/*/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6", "/usr/lib/libSystem.B.dylib"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0]
		}
	}
	return "/usr/lib/libSystem.B.dylib"
}

// TestNamesAreDifferent keeps the table readable.
func TestNamesAreDifferent(t *testing.T) {
	var seen []string
	for _, a := range attempts() {
		id := a.area + "/" + a.name
		if slices.Contains(seen, id) {
			t.Errorf("%s is there twice", id)
		}
		seen = append(seen, id)
	}
	if len(seen) < 60 {
		t.Errorf("%d attempts", len(seen))
	}
}
