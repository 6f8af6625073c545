package release

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// versionTimeout bounds "deno --version", which takes about 20 ms.
const versionTimeout = 10 * time.Second

// versionLine is how the answer of "deno --version" begins.
var versionLine = regexp.MustCompile(`^deno (\d+\.\d+\.\d+\S*)`)

// override checks the binary that the user has named.
func override(ctx context.Context, o Options, pinned string) (Binary, error) {
	path := o.Override
	fail := func(err error, hint string) (Binary, error) {
		return Binary{}, &Error{Kind: KindOverride, Op: "use Deno binary " + path, Err: err, Hint: hint}
	}
	unset := fmt.Sprintf("set --deno or SELVEDGE_DENO to a Deno %s binary, or unset it to have one downloaded", pinned)

	if !strings.ContainsRune(path, filepath.Separator) {
		found, err := exec.LookPath(path)
		if err != nil {
			return fail(errors.New("there is no such program in PATH"), unset)
		}
		path = found
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return fail(err, unset)
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail(errors.New("there is no such file"), unset)
	case err != nil:
		return fail(err, unset)
	case info.IsDir():
		return fail(errors.New("it is a folder"), "name the binary in it")
	case info.Mode().Perm()&0o111 == 0:
		return fail(errors.New("it is not executable"), "run chmod +x "+path)
	}

	b := Binary{Path: path, Platform: o.Platform, Override: true}
	if o.Platform != HostPlatform() {
		b.Warning = fmt.Sprintf("%s is used as Deno for %s unchecked: it cannot run on %s", path, o.Platform, HostPlatform())
		return b, nil
	}
	out, err := askVersion(ctx, path)
	if ctx.Err() != nil {
		return Binary{}, fmt.Errorf("run %s --version: %w", path, context.Cause(ctx))
	}
	m := versionLine.FindSubmatch(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// The file is there, so what is missing is the loader it names.
		return fail(errors.New("its loader or interpreter is missing"), "Deno's release needs glibc (Alpine has none): use a Debian-based system; "+unset)
	case errors.Is(err, fs.ErrPermission):
		return fail(errors.New("it may not be executed"), "check its permissions and that its file system is not mounted noexec")
	case errors.Is(err, syscall.ENOEXEC):
		return fail(fmt.Errorf("it is no program for %s", o.Platform), unset)
	case err != nil && m == nil:
		return fail(fmt.Errorf("it failed when run with --version: %w", err), unset)
	case m == nil:
		return fail(errors.New("it is not Deno: --version printed something else"), unset)
	}
	b.Version = string(m[1])
	if b.Version != pinned {
		b.Warning = fmt.Sprintf("%s is Deno %s; Selvedge is tested with %s", path, b.Version, pinned)
	}
	return b, nil
}

func askVersion(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--version")
	cmd.Env = append(os.Environ(), "NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1")
	var out bytes.Buffer
	cmd.Stdout = &out
	// A wrapper script's child may keep the pipe open after the script ended.
	cmd.WaitDelay = time.Second
	// Its own group, so that the children of a script that hangs end with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("no answer after %s", versionTimeout)
	}
	return out.Bytes(), err
}
