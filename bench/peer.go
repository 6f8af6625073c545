package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// denoListening is what Deno.serve says when it is up.
var denoListening = regexp.MustCompile(`^Listening on http://127\.0\.0\.1:(\d+)/`)

// denoRun spawns `deno run` of a script and returns the time from before the
// spawn to the end of its first answer. The process is gone on return.
func (l *lab) denoRun(ctx context.Context, script, want string) (time.Duration, error) {
	cmd := exec.Command(l.deno, "run", "--allow-all", "--no-lock", "--no-config", script)
	cmd.Dir = filepath.Dir(script)
	cmd.Env = l.environ("DENO_DIR="+l.denoDir, "DENO_SERVE_ADDRESS=tcp:127.0.0.1:0")
	said, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer said.Close()
	cmd.Stderr = w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	began := time.Now()
	err = cmd.Start()
	w.Close()
	if err != nil {
		return 0, err
	}
	end := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed: that it says so is no news
	}
	defer end()
	_ = said.SetReadDeadline(began.Add(startPatience))
	stop := context.AfterFunc(ctx, func() { _ = said.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var all []string
	for lines := bufio.NewScanner(said); lines.Scan(); {
		m := denoListening.FindStringSubmatch(lines.Text())
		if m == nil {
			all = append(all, lines.Text())
			continue
		}
		_, err := get(ctx, "127.0.0.1:"+m[1], "/", want)
		took := time.Since(began)
		if err != nil {
			err = fmt.Errorf("deno run %s: %w", filepath.Base(script), err)
		}
		return took, err
	}
	return 0, errors.Join(context.Cause(ctx), fmt.Errorf("deno run %s did not listen: %s", filepath.Base(script), strings.Join(all, "\n")))
}

// warmDenoRun runs a script until Deno's caches, of packages, of transpiled
// code and V8's, are filled.
func (l *lab) warmDenoRun(ctx context.Context, script, want string) error {
	for range 3 {
		if _, err := l.denoRun(ctx, script, want); err != nil {
			return err
		}
	}
	return nil
}

// valtownVersion is the release of @valtown/deno-http-worker compared with.
const valtownVersion = "3.0.0"

//go:embed valtown.mjs
var valtownDriver []byte

// A valtown is a Node process that starts workers of @valtown/deno-http-worker.
type valtown struct {
	cmd     *exec.Cmd
	orders  io.WriteCloser
	answers *bufio.Reader
	errs    tail
}

// newValtown installs the package into a folder of the lab and starts Node.
func (l *lab) newValtown(ctx context.Context, script, want string) (*valtown, error) {
	dir := filepath.Join(l.dir, "valtown")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte(`{"private":true,"type":"module"}`), 0o644); err != nil {
		return nil, err
	}
	if _, err := output(ctx, dir, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "@valtown/deno-http-worker@"+valtownVersion); err != nil {
		return nil, err
	}
	driver := filepath.Join(dir, "driver.mjs")
	if err := os.WriteFile(driver, valtownDriver, 0o644); err != nil {
		return nil, err
	}
	v := &valtown{}
	v.cmd = exec.Command("node", driver, l.deno, (&url.URL{Scheme: "file", Path: script}).String(), want)
	v.cmd.Dir = dir
	v.cmd.Env = l.environ("DENO_DIR=" + l.denoDir)
	v.cmd.Stderr = lineWriter{&v.errs}
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if v.orders, err = v.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := v.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	v.answers = bufio.NewReader(out)
	return v, v.cmd.Start()
}

// sample has one worker started, called once, and ended. The variant "fast"
// uses the library's experimental options.
func (v *valtown) sample(variant string) (time.Duration, error) {
	stuck := time.AfterFunc(startPatience, v.kill)
	defer stuck.Stop()
	if _, err := io.WriteString(v.orders, variant+"\n"); err != nil {
		return 0, fmt.Errorf("valtown: %w\n%s", err, v.errs.String())
	}
	line, err := v.answers.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("valtown: %w\n%s", err, v.errs.String())
	}
	took, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	if err != nil {
		return 0, fmt.Errorf("valtown: %w", err)
	}
	return time.Duration(took * float64(time.Millisecond)), nil
}

// stop ends Node by closing its input, and waits for it.
func (v *valtown) stop() error {
	v.orders.Close()
	stuck := time.AfterFunc(stopPatience, v.kill)
	defer stuck.Stop()
	if err := v.cmd.Wait(); err != nil {
		return fmt.Errorf("valtown: %w\n%s", err, v.errs.String())
	}
	return nil
}

func (v *valtown) kill() { _ = syscall.Kill(-v.cmd.Process.Pid, syscall.SIGKILL) }

// A lineWriter puts what is written into a tail.
type lineWriter struct{ to *tail }

func (w lineWriter) Write(p []byte) (int, error) {
	w.to.add(p)
	return len(p), nil
}
