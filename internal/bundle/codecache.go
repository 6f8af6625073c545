package bundle

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
)

//go:embed pack.js
var packScript string

// Finish leaves in the folder what a server reads, and only that. No worker
// may run from the folder any more. The code cache is left out where the folder
// must be the same each time it is made: what V8 has compiled of a module when
// it is asked for depends on how quickly the functions were loaded.
func (e *Export) Finish(ctx context.Context, codeCache bool) error {
	cache := filepath.Join(e.Dir, "cache")
	if !codeCache {
		if err := os.RemoveAll(cache); err != nil {
			return err
		}
	} else if err := e.packCodeCache(ctx, cache); err != nil {
		return fmt.Errorf("pack the code cache: %w", err)
	}
	// What Deno has noted while it built.
	packages := PackageCache(e.Dir)
	entries, err := os.ReadDir(packages)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != deno.NPMDir {
			if err := os.RemoveAll(filepath.Join(packages, name)); err != nil {
				return err
			}
		}
	}
	if len(entries) > 0 {
		if err := deno.PrepareCacheDir(packages); err != nil {
			return err
		}
	}
	return os.Chmod(BundleDir(e.Dir), 0o711) // see Options.Hide; the owner is not who serves
}

// packCodeCache replaces the cache by one of the functions' own code, without
// free pages and a log: what is in it is in the order of the names.
func (e *Export) packCodeCache(ctx context.Context, cache string) error {
	from := filepath.Join(cache, deno.CodeCache)
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(cache) // nothing was loaded
	}
	scratch, err := os.MkdirTemp(e.b.opts.DataDir, ".build-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if scratch, err = filepath.EvalSymlinks(scratch); err != nil {
		return err
	}
	packed := filepath.Join(scratch, "packed") // Deno has a database of the other name here
	cmd := exec.CommandContext(ctx, e.b.opts.Deno, "run", "--quiet", "--no-prompt", "--no-config", "--no-lock", "--no-remote",
		"--allow-read="+cache+","+scratch, "--allow-write="+cache+","+scratch, "-", from, packed)
	cmd.Env = []string{"DENO_DIR=" + scratch, "HOME=" + scratch, "TMPDIR=" + scratch, "NO_COLOR=1", "DENO_NO_UPDATE_CHECK=1"}
	cmd.Stdin = strings.NewReader(packScript)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(out.String()))
	}
	if err := os.RemoveAll(cache); err != nil {
		return err
	}
	return copyFile(packed, filepath.Join(cache, deno.CodeCache))
}
