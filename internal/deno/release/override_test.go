package release

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOverride(t *testing.T) {
	dir := t.TempDir()
	script := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	answer := func(version string) string {
		return "#!/bin/sh\necho 'deno " + version + " (stable, release, x86_64-unknown-linux-gnu)'\necho 'v8 1.2.3'\n"
	}
	good := script("good", answer(testVersion), 0o755)
	script("in-path", answer(testVersion), 0o755)
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))

	for _, tc := range []struct {
		name, path string
		version    string
		// text is in the warning if there is a version, else in the error.
		text string
	}{
		{"good", good, testVersion, ""},
		{"in PATH", "in-path", testVersion, ""},
		{"other version", script("other", answer("2.0.0-rc.1+abc"), 0o755), "2.0.0-rc.1+abc", "tested with 9.8.7"},
		{"missing", filepath.Join(dir, "none"), "", "no such file"},
		{"not in PATH", "no-such-deno", "", "no such program in PATH"},
		{"below a file", filepath.Join(good, "deno"), "", "not a directory"},
		{"folder", dir, "", "it is a folder"},
		{"not executable", script("plain", answer(testVersion), 0o644), "", "chmod +x"},
		{"not Deno", script("node", "#!/bin/sh\necho v22.0.0", 0o755), "", "it is not Deno"},
		{"fails", script("fails", "#!/bin/sh\nexit 3", 0o755), "", "exit status 3"},
		{"not a program", script("text", "hello", 0o755), "", "it is no program for"},
		{"no loader", script("loader", "#!/no/such/loader\n", 0o755), "", "loader or interpreter is missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b, err := ensure(t.Context(), Options{Override: tc.path}, recipe{version: testVersion})
			if tc.version == "" {
				e, ok := errors.AsType[*Error](err)
				if !ok || e.Kind != KindOverride || !strings.Contains(err.Error(), tc.text) {
					t.Errorf("error %v, want %q in it", err, tc.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !b.Override || b.Version != tc.version || !filepath.IsAbs(b.Path) || (b.Warning == "") != (tc.text == "") || !strings.Contains(b.Warning, tc.text) {
				t.Errorf("binary %+v", b)
			}
		})
	}
}

func TestOverrideForAnotherPlatform(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deno")
	if err := os.WriteFile(path, []byte("not for here"), 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := ensure(t.Context(), Options{Override: path, Platform: testPlatform}, recipe{version: testVersion})
	if err != nil || b.Version != "" || !strings.Contains(b.Warning, "unchecked") || b.Platform != testPlatform {
		t.Errorf("binary %+v, %v", b, err)
	}
}

func TestOverrideThatHangs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deno")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nsleep 100\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := ensure(ctx, Options{Override: path}, recipe{version: testVersion})
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("error %v after %s", err, time.Since(start))
	}
}
