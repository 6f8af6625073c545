package container

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/selvedge-dev/selvedge/e2e/harness"
	"github.com/selvedge-dev/selvedge/internal/docpart"
)

// assigned is a worker that has a function, in what ps prints.
var assigned = regexp.MustCompile(`"function":"[a-z]`)

// TestFigures measures what docs/container.md says, and holds it against bounds
// that a busy machine keeps as well. With CONTAINER_WRITE set it writes them.
func TestFigures(t *testing.T) {
	name := image(t)
	var rows []string
	note := func(what, bound, format string, args ...any) {
		t.Helper()
		figure := fmt.Sprintf(format, args...)
		t.Logf("%s: %s", what, figure)
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", what, figure, bound))
	}

	layers := compressedLayers(t, name)
	var size int64
	for _, n := range layers {
		size += n
	}
	if size > 75e6 {
		t.Errorf("compressed it has %d bytes", size)
	}
	note("compressed size, with the 12 examples", "75 MB", "%.1f MB", float64(size)/1e6)
	// The functions are the last layer: a change sends all of it, and no more.
	last := layers[len(layers)-1]
	if last > 1e6 {
		t.Errorf("the functions' layer has %d bytes", last)
	}
	note("of which the functions' layer, all that a change of functions sends", "1 MB", "%.2f MB", float64(last)/1e6)

	var took []time.Duration
	for range 5 {
		b := start(t, name, "-e", "REQUIRE_AUTH=false")
		harness.Eventually(t, 30*time.Second, "a function answers", func() bool {
			a, err := b.try("POST", "/hello-world", `{"name":"x"}`, "")
			return err == nil && a.status == http.StatusOK
		})
		took = append(took, time.Since(b.began))
		_, _ = engine.try("rm", "-f", b.name)
	}
	slices.Sort(took)
	if fastest := took[0]; fastest > 1500*time.Millisecond {
		t.Errorf("docker run to the first answer took %s", took)
	}
	note("`docker run` to the first answer of a function, 1 CPU", "1.5 s", "%.2f s (median of %d, from %.2f to %.2f s)",
		took[len(took)/2].Seconds(), len(took), took[0].Seconds(), took[len(took)-1].Seconds())

	b := start(t, name, "-e", "REQUIRE_AUTH=false", "-e", "SELVEDGE_WORKER_IDLE=5s")
	note("memory, started, 12 functions, none called yet", "150 MB", "%.0f MB", least(t, b))
	b.callExamples("")
	hot := memory(t, b)
	harness.Eventually(t, time.Minute, "the workers are gone", func() bool {
		return !assigned.MatchString(b.exec("selvedge", "ps", "--json"))
	})
	idle := least(t, b)
	if idle > 150 {
		t.Errorf("idle it has %.0f MB", idle)
	}
	note("memory, idle after all 12 were called", "150 MB", "%.0f MB", idle)
	note("memory while all 12 have a worker", "", "%.0f MB", hot)

	if os.Getenv("CONTAINER_WRITE") != "" && !t.Failed() {
		made := fmt.Sprintf("\nMeasured on %s with %d CPUs, %s.\n\n| | measured | must not be more |\n|---|---|---|\n%s\n",
			time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), runtime.GOARCH, strings.Join(rows, ""))
		part := docpart.Part{File: filepath.Join(repo, "docs", "container.md"), Name: "container", Command: "CONTAINER_WRITE=1 make test-container"}
		if err := part.Replace(made); err != nil {
			t.Error(err)
		}
	}
}

// compressedLayers returns the sizes of an image's layers as a registry has
// them, the lowest first.
func compressedLayers(t *testing.T, image string) []int64 {
	t.Helper()
	cmd := engine.command(t.Context(), "save", image+":latest")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sizes := map[string]int64{}
	var manifest string
	for r := tar.NewReader(out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case h.Name == "manifest.json":
			raw, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			manifest = string(raw)
		case h.Typeflag == tar.TypeReg && h.Size > 0:
			var n counter
			z := gzip.NewWriter(&n)
			if _, err := io.Copy(z, r); err != nil {
				t.Fatal(err)
			}
			if err := z.Close(); err != nil {
				t.Fatal(err)
			}
			sizes[h.Name] = int64(n)
		}
	}
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	_, list, ok := strings.Cut(manifest, `"Layers":[`)
	list, _, closed := strings.Cut(list, "]")
	if !ok || !closed {
		t.Fatalf("no layers in %s", manifest)
	}
	var layers []int64
	for file := range strings.SplitSeq(list, ",") {
		n, ok := sizes[strings.Trim(file, `"`)]
		if !ok {
			t.Fatalf("there is no layer %s", file)
		}
		layers = append(layers, n)
	}
	return layers
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// memory is what the engine counts for the container, in MB: all of it but
// cached files that nobody has used of late.
func memory(t *testing.T, b *box) float64 {
	t.Helper()
	out := engine.do(t, "stats", "--no-stream", "--format", "{{.MemUsage}}", b.name)
	used, _, _ := strings.Cut(out, " / ")
	for unit, factor := range map[string]float64{"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10} {
		if number, ok := strings.CutSuffix(used, unit); ok {
			n, err := strconv.ParseFloat(number, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n * factor / 1e6
		}
	}
	t.Fatalf("docker stats printed %q", out)
	return 0
}

// least is the least of a few looks.
func least(t *testing.T, b *box) float64 {
	t.Helper()
	n := memory(t, b)
	for range 3 {
		time.Sleep(2 * time.Second)
		n = min(n, memory(t, b))
	}
	return n
}
