package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
)

// command is one of the binary that finds the server.
func (s *server) command(args ...string) *exec.Cmd {
	cmd := exec.Command(harness.Binary, args...)
	cmd.Env = harness.Environ("TMPDIR=" + s.Tmp)
	return cmd
}

// ask runs a command to its end.
func (s *server) ask(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := s.command(args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the code tells
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// lines runs a command that prints JSON lines.
func (s *server) lines(args ...string) []map[string]any {
	s.t.Helper()
	out, errs, code := s.ask(args...)
	if code != 0 || errs != "" {
		s.t.Fatalf("%q: code %d, %s", args, code, errs)
	}
	return parseLines(s.t, out)
}

func parseLines(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

const talk = `
console.log("loading");
Deno.serve(async (r) => {
	const text = await r.text();
	console.log("heard", text);
	console.warn("careful " + text);
	if (text === "die") Deno.exit(7);
	return new Response(text);
});`

func TestLogs(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/talk/index.ts":  talk,
		"functions/quiet/index.ts": `Deno.serve(() => new Response("quiet"));`,
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--prestart", "1"}})
	first := s.call("POST", "/talk", "one")
	s.call("POST", "/talk", "two")
	s.call("GET", "/quiet", "")
	s.call("GET", "/nope", "")

	// What is kept of a function is what is in the log of it, in order.
	var want, got string
	eventually(t, 10*time.Second, "the kept lines are the log's", func() bool {
		want = ""
		for line := range strings.Lines(s.Out.String()) {
			if strings.Contains(line, `"slug":"talk"`) {
				want += line
			}
		}
		got, _, _ = s.ask("logs", "talk", "--json")
		return got == want && strings.Count(want, `"event":"request"`) == 2
	})
	boot := parseLines(t, want)
	phases := 0
	for _, m := range boot {
		if m["event"] == "boot" {
			phases++
			for _, key := range []string{"boot_time_ms", "queue_ms", "bundle_ms", "spawn_ms", "load_ms", "evaluate_ms"} {
				if _, ok := m[key].(float64); !ok {
					t.Errorf("the boot has no %s: %v", key, m)
				}
			}
		}
	}
	if phases != 1 {
		t.Errorf("%d boots in %s", phases, want)
	}

	id := first.header.Get("Sb-Request-Id")
	for _, m := range s.lines("logs", "--request", id, "--json") {
		if m["request_id"] != id {
			t.Errorf("not of the request: %v", m)
		}
	}
	if n := len(s.lines("logs", "--request", id, "--json")); n != 3 {
		t.Errorf("%d lines of the request, want what it said, twice, and its own", n)
	}
	if all := s.lines("logs", "talk", "--level", "warn", "--json"); len(all) != 2 || all[0]["msg"] != "careful one" {
		t.Errorf("warnings: %v", all)
	}
	if all := s.lines("logs", "--since", "1h", "-n", "1", "--json"); len(all) != 1 || all[0]["path"] != "/nope" {
		t.Errorf("the last line: %v", all)
	}
	if out, _, _ := s.ask("__complete", "logs", "talk", ""); !strings.HasPrefix(out, "quiet\n:") {
		t.Errorf("the shell is offered %q", out)
	}
	if out, _, _ := s.ask("logs", "talk"); !strings.Contains(out, "talk | heard one\n") || strings.Contains(out, "{") || strings.Contains(out, "\x1b") {
		t.Errorf("for people:\n%s", out)
	}
	if _, errs, code := s.ask("logs", "talk", "nobody"); code != 1 || errs != "error: there is no function \"nobody\"; there are quiet, talk\n" {
		t.Errorf("an unknown function: code %d, %s", code, errs)
	}
	if _, errs, code := s.ask("logs", "--level", "loud"); code != 2 || !strings.Contains(errs, "use debug, info, warn or error") {
		t.Errorf("an unknown level: code %d, %s", code, errs)
	}
}

// TestLogsFollow follows one function until it is interrupted, and all of them
// until the server stops.
func TestLogsFollow(t *testing.T) {
	dir := project(t, map[string]string{
		"functions/talk/index.ts":  talk,
		"functions/quiet/index.ts": `Deno.serve(() => new Response("quiet"));`,
	})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	follow := func(args ...string) (cmd *exec.Cmd, out *harness.Buffer) {
		cmd, out = s.command(append([]string{"logs", "--follow", "--json"}, args...)...), &harness.Buffer{}
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // no error matters where it has ended
		return cmd, out
	}
	s.call("POST", "/talk", "before")
	one, heard := follow("talk")
	everything, all := follow()
	eventually(t, 20*time.Second, "what was said before is heard", func() bool {
		return strings.Contains(heard.String(), "careful before") && strings.Contains(all.String(), "careful before")
	})
	s.call("POST", "/talk", "now")
	s.call("GET", "/quiet", "")
	eventually(t, 20*time.Second, "what is said now is heard", func() bool {
		return strings.Contains(heard.String(), "careful now") && strings.Contains(all.String(), `"path":"/quiet"`)
	})
	_, _ = s.try("POST", "/talk", "die") // it gets no answer of its own
	eventually(t, 20*time.Second, "the end of the worker is heard", func() bool {
		return strings.Contains(heard.String(), `"exit_code":7`) && strings.Contains(all.String(), `"exit_code":7`)
	})
	if err := one.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := one.Wait(); err != nil {
		t.Errorf("the interrupted one: %v", err)
	}
	for _, m := range parseLines(t, heard.String()) {
		if m["slug"] != "talk" {
			t.Errorf("not of the function: %v", m)
		}
	}
	s.Stop()
	if err := everything.Wait(); err != nil {
		t.Errorf("the one whose server stopped: %v", err)
	}
	for _, want := range []string{`"reason":"termination_requested"`, "The server has stopped"} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%s is not heard:\n%s", want, all)
		}
	}
	if _, errs, code := s.ask("logs"); code != 1 || !strings.Contains(errs, "no server is running here") {
		t.Errorf("afterwards: code %d, %s", code, errs)
	}
}

func TestPs(t *testing.T) {
	dir := project(t, map[string]string{"functions/talk/index.ts": talk})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--prestart", "1"}})
	s.call("POST", "/talk", "x")
	s.call("POST", "/talk", "y")
	var talks, waits map[string]any
	eventually(t, 20*time.Second, "there is one worker of each kind", func() bool {
		talks, waits = nil, nil
		all := s.lines("ps", "--json")
		for _, m := range all {
			switch m["state"] {
			case "serving":
				talks = m
			case "prestarted":
				waits = m
			}
		}
		return len(all) == 2 && talks != nil && waits != nil && talks["in_flight"] == float64(0)
	})
	if talks["function"] != "talk" || talks["requests"] != float64(2) || len(talks["version"].(string)) != 12 || waits["function"] != "" {
		t.Errorf("%v and %v", talks, waits)
	}
	figures := []string{"pid", "cpu_seconds", "age_seconds"}
	if runtime.GOOS == "linux" {
		figures = append(figures, "memory_bytes")
	}
	if _, err := os.Stat("/proc/self/smaps_rollup"); err == nil {
		figures = append(figures, "pss_bytes")
	}
	for _, key := range figures {
		if n, ok := talks[key].(float64); !ok || n <= 0 {
			t.Errorf("%s is %v", key, talks[key])
		}
	}
	pid := int(talks["pid"].(float64))
	if out, _, code := s.ask("ps"); code != 0 || !strings.Contains(out, fmt.Sprintf("talk      serving     %d ", pid)) {
		t.Errorf("for people: code %d\n%s", code, out)
	}
	if out, errs, code := s.ask("top"); code != 0 || !strings.Contains(out, "talk ") || strings.Contains(out, "\x1b") || !strings.HasPrefix(out, "http://localhost:") {
		t.Errorf("top: code %d, %s\n%s", code, errs, out)
	}
}

// TestSeveralServers: which one is meant has to be said.
func TestSeveralServers(t *testing.T) {
	dir := project(t, map[string]string{"functions/talk/index.ts": talk})
	o := options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--prestart", "0"}}
	one := start(t, o)
	o.Env = []string{"TMPDIR=" + one.Tmp}
	two := start(t, o)
	_, errs, code := one.ask("ps")
	if code != 2 || !strings.Contains(errs, "choose one with --server") {
		t.Errorf("code %d, %s", code, errs)
	}
	for _, s := range []*server{one, two} {
		if !strings.Contains(errs, fmt.Sprintf("--server %d ", s.Cmd.Process.Pid)) {
			t.Errorf("server %d is not in the list: %s", s.Cmd.Process.Pid, errs)
		}
		u, err := url.Parse(s.URL)
		if err != nil {
			t.Fatal(err)
		}
		s.call("POST", "/talk", "x")
		for _, which := range []string{fmt.Sprint(s.Cmd.Process.Pid), u.Port(), s.URL} {
			out, errs, code := one.ask("logs", "--json", "--server", which)
			if code != 0 || errs != "" || !strings.Contains(out, "careful x") {
				t.Errorf("--server %s: code %d, %s%s", which, code, errs, out)
			}
		}
	}
	// One that is killed is not asked, whatever it leaves behind.
	if err := two.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-two.Exited
	if _, errs, code := one.ask("ps"); code != 0 {
		t.Errorf("with one killed: code %d, %s", code, errs)
	}
	// The next server removes its folder, so that nothing is left.
	third := start(t, o)
	third.Stop()
}

// TestAdminSocketOnAnotherPath asks a server that has another temporary folder.
func TestAdminSocketOnAnotherPath(t *testing.T) {
	dir := project(t, map[string]string{"functions/talk/index.ts": talk})
	sockets, err := os.MkdirTemp("", "sva")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sockets)
	path := "unix:" + filepath.Join(sockets, "s")
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions"), Args: []string{"--admin", path}})
	s.call("POST", "/talk", "x")
	elsewhere := exec.Command(harness.Binary, "logs", "talk", "--server", path)
	elsewhere.Env = harness.Environ("TMPDIR=" + sockets)
	if out, err := elsewhere.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("heard x")) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestFunctionsCannotReachTheAdminSocket tries the ways there are.
func TestFunctionsCannotReachTheAdminSocket(t *testing.T) {
	dir := project(t, map[string]string{"functions/spy/index.ts": `
import net from "node:net";
import http from "node:http";
import fs from "node:fs";
const ways = {
	"Deno.connect": async (path) => { (await Deno.connect({ transport: "unix", path })).close(); },
	"node:net": (path) => new Promise((done, failed) => {
		const c = net.connect(path, () => { c.destroy(); done(); });
		c.on("error", failed);
	}),
	"node:http": (path) => new Promise((done, failed) => {
		http.get({ socketPath: path, path: "/logs" }, (r) => { r.destroy(); done(); }).on("error", failed);
	}),
	"proxy": async (path) => {
		const client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
		await (await fetch("http://localhost/logs", { client })).text();
	},
	"bind over it": (path) => { Deno.removeSync(path); },
	"see it": (path) => { fs.statSync(path); },
};
Deno.serve(async (r) => {
	const path = await r.text();
	const out = {};
	for (const [name, way] of Object.entries(ways)) {
		try { await way(path); out[name] = "reached it"; } catch (e) { out[name] = String(e); }
	}
	return Response.json(out);
});`})
	s := start(t, options{Command: "serve", Functions: filepath.Join(dir, "functions")})
	found, err := filepath.Glob(filepath.Join(s.Tmp, "selvedge-*", "admin"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the socket is %q, %v", found, err)
	}
	info, err := os.Stat(found[0])
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has %v, %v", info.Mode(), err)
	}
	a := s.call("POST", "/spy", found[0])
	var said map[string]string
	if err := json.Unmarshal([]byte(a.body), &said); err != nil || len(said) != 6 {
		t.Fatalf("%v: %s", err, a.body)
	}
	for way, what := range said {
		if what == "reached it" || !strings.Contains(strings.ToLower(what), "requires") && !strings.Contains(what, "denied") && !strings.Contains(what, "EACCES") && !strings.Contains(what, "EPERM") {
			t.Errorf("%s: %s", way, what)
		}
	}
	if _, _, code := s.ask("ps"); code != 0 {
		t.Error("the socket does not answer any more")
	}
}
