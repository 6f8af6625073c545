package worker

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/confine"
	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/deno/denotest"
)

const orphanEnv = "SELVEDGE_TEST_ORPHAN"

// orphanHelper is the supervisor that TestOrphan kills. It prints the worker's
// process id and waits.
func orphanHelper() {
	fail := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	parts := strings.Split(os.Getenv(orphanEnv), "\n")
	h := Host{Runtime: deno.Runtime{Binary: parts[0], Bootstrap: parts[1], BundleDir: parts[2], CacheDir: parts[3]}, RunDir: parts[4]}
	if parts[6] != "" {
		h.Confiner = confine.New()
		if err := h.OwnUsers(NewUsers(firstUser, lastUser)); err != nil {
			fail(err)
		}
	}
	w, err := h.Start(context.Background(), deno.Profile{MemoryMB: 256})
	if err != nil {
		fail(err)
	}
	if parts[5] != "" {
		if _, err := w.Load(context.Background(), Assignment{Slug: "fn", Module: parts[5], Boot: boot, Log: func(deno.Record) {}}); err != nil {
			fail(err)
		}
	}
	fmt.Println("pid", w.PID())
	runtime.GC()
	select {}
}

func TestOrphan(t *testing.T) {
	t.Parallel()
	for name, source := range map[string]string{
		"idle":    "",
		"serving": `Deno.serve(() => new Response());`,
		"looping": `Deno.serve(() => new Response()); setTimeout(() => { for (;;); }, 1);`,
		"walled":  `Deno.serve(() => new Response()); setTimeout(() => { for (;;); }, 2);`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			walls := ""
			if name == "walled" { // as another user, where there can be one
				walls = "on"
			}
			if (name == "looping" || name == "walled") && runtime.GOOS != "linux" {
				t.Skip("only Linux can end a looping process whose parent has died")
			}
			s := newStand(t)
			module := ""
			if source != "" {
				module = s.module(t, source)
			}
			r := s.Runtime
			helper := exec.Command(os.Args[0], "-test.run=^$")
			helper.Env = append(os.Environ(), orphanEnv+"="+strings.Join([]string{r.Binary, r.Bootstrap, r.BundleDir, r.CacheDir, s.RunDir, module, walls}, "\n"))
			out, err := helper.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := helper.Start(); err != nil {
				t.Fatal(err)
			}
			line, _ := bufio.NewReader(out).ReadString('\n')
			pid, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "pid ")))
			if err != nil {
				t.Errorf("the helper says %q", line)
			} else if found := denotest.Processes(t, s.RunDir); len(found) == 0 {
				t.Error("the worker is not running")
			}
			if err := helper.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = helper.Wait()
			if pid != 0 {
				eventually(t, "the worker's end", func() bool { return len(denotest.Processes(t, s.RunDir)) == 0 })
			}
			// What a killed server leaves is removed by the next; see TestRunDir.
			left, _ := filepath.Glob(filepath.Join(s.RunDir, "w*"))
			for _, dir := range left {
				os.RemoveAll(dir)
			}
		})
	}
}
