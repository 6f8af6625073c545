// Package container builds the image that users get, runs it as production
// does, and calls its functions. `make test-container` runs it.
//
// Where no container engine can run it says so, and tests what needs none.
package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const enableEnv = "SELVEDGE_CONTAINER_TESTS"

var (
	repo string
	// engine is what containers run on, nil where none can; then noEngine says
	// why.
	engine   *docker
	noEngine string
	// containerDir is for what lasts as long as the tests.
	containerDir string
)

func TestMain(m *testing.M) {
	if os.Getenv(enableEnv) == "" {
		fmt.Printf("skipped: it may install and starts Docker; `make test-container` runs it (%s=1)\n", enableEnv)
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "find the repository:", err)
		return 1
	}
	repo = filepath.Dir(strings.TrimSpace(string(mod)))
	// A folder that was named is kept, with its engine, for the next run.
	dir := os.Getenv("SELVEDGE_CONTAINER_DIR")
	script := filepath.Join(repo, "e2e", "container", "engine.sh")
	if dir == "" {
		if dir, err = os.MkdirTemp("", "svc"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() {
			out, err := exec.Command(script, "down", dir).CombinedOutput()
			if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
				fmt.Fprintf(os.Stderr, "the engine is not gone: %v\n%s", err, out)
			}
		}()
	}
	containerDir = dir
	engine, noEngine, err = engineUp(script, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if engine == nil {
		line := strings.Repeat("!", 72)
		fmt.Printf("%s\nNO CONTAINER WAS RUN: %s\nOnly what needs no container is tested.\n%s\n", line, noEngine, line)
	}
	return m.Run()
}

var exported = regexp.MustCompile(`(\w+)=(\S+)`)

func engineUp(script, dir string) (*docker, string, error) {
	cmd := exec.Command(script, "up", dir)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 3 {
		lines := strings.Split(strings.TrimSpace(said.String()), "\n")
		return nil, strings.TrimPrefix(lines[len(lines)-1], "engine: "), nil
	}
	if err != nil {
		return nil, "", fmt.Errorf("start a container engine: %w\n%s", err, said.String())
	}
	d := &docker{}
	for _, m := range exported.FindAllStringSubmatch(out.String(), -1) {
		switch m[1] {
		case "DOCKER":
			d.client = m[2]
		case "DOCKER_HOST":
			// Started here, without a network of its own.
			d.host = m[2]
		}
	}
	return d, "", nil
}

// A docker is a client of one engine.
type docker struct {
	client string
	// host is the engine's address, "" for the one that was there. One that was
	// started here has no network but the machine's.
	host string
}

func (d *docker) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, d.client, args...)
	cmd.Env = os.Environ()
	if d.host != "" {
		cmd.Env = append(cmd.Env, "DOCKER_HOST="+d.host)
	}
	return cmd
}

// try returns what the client prints.
func (d *docker) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	var out, said bytes.Buffer
	cmd := d.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w\n%s%s", strings.Join(args, " "), err, tail(out.String()), tail(said.String()))
	}
	return out.String(), nil
}

func (d *docker) do(t testing.TB, args ...string) string {
	t.Helper()
	out, err := d.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// network are the flags that give a build or a container a network.
func (d *docker) network() []string {
	if d.host != "" {
		return []string{"--network", "host"}
	}
	return nil
}

// build builds the Dockerfile of a folder.
func (d *docker) build(t testing.TB, folder, tag string, args ...string) {
	t.Helper()
	all := append([]string{"build", "-t", tag}, d.network()...)
	// Where modules and packages come from on this machine.
	for _, name := range []string{"GOPROXY", "GOSUMDB", "npm_config_registry", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"} {
		if os.Getenv(name) != "" {
			all = append(all, "--build-arg", name)
		}
	}
	d.do(t, append(append(all, args...), folder)...)
}

func tail(s string) string {
	if len(s) > 4000 {
		return "…" + s[len(s)-4000:]
	}
	return s
}
