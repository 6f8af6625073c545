package worker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

func TestPlaceOf(t *testing.T) {
	for value, want := range map[string]string{
		"example.com:443": "example.com:443", "https://example.com/": "example.com:443", "http://example.com/x?y": "example.com:80",
		"ws://example.com:81/": "example.com:81", "[::1]:53": "[::1]:53", "example.com": "example.com", "http://[::1]:53/": "[::1]:53",
		"unix:/run/x.sock": "", "vsock:1:2": "", "0.0.0.0:0": "",
	} {
		if got := placeOf(value); got != want {
			t.Errorf("%s: %q, want %q", value, got, want)
		}
	}
}

func TestConnectionsAreReadToTheEnd(t *testing.T) {
	dir := t.TempDir()
	c, err := openConnections(dir)
	if err != nil {
		t.Fatal(err)
	}
	writer, err := os.OpenFile(filepath.Join(dir, deno.AuditPipe), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	fmt.Fprintln(writer, `{"permission":"env","value":"X"}`)
	var told []string
	if err := c.follow(func(place string) { told = append(told, place) }); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(writer, `no JSON`)
	fmt.Fprintln(writer, `{"permission":"net","value":"`+strings.Repeat("x", 100<<10)+`"}`)
	for i := range mostPlaces + 10 {
		for range 2 {
			fmt.Fprintf(writer, `{"v":1,"permission":"net","value":"h%d:1"}`+"\n", i)
		}
	}
	fmt.Fprint(writer, `{"permission":"net","val`) // it was killed
	c.close()
	if len(told) != mostPlaces+1 || told[0] != "h0:1" || told[mostPlaces-1] != fmt.Sprintf("h%d:1", mostPlaces-1) || told[mostPlaces] != "" {
		t.Errorf("told %d: %q … %q", len(told), told[0], told[len(told)-1])
	}
}

// TestConnectionsAreWatched has a worker connect by several ways, and end at
// once after the last.
func TestConnectionsAreWatched(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := l.Addr().String()
	s := newStand(t)
	w, err := s.Start(t.Context(), ProfileOf(&function.Function{Limits: function.Defaults(), Net: function.Net{DryRun: true}}, deno.Unbundled{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Stop)
	said := &logs{}
	_, err = w.Load(t.Context(), Assignment{Slug: "fn", Boot: boot, Log: said.add, Net: function.Net{Allow: []string{address}}, Module: s.module(t, `
		Deno.serve(() => new Response());
		const hidden = [Deno.env.get("DENO_AUDIT_PERMISSIONS"), Deno.env.toObject().DENO_AUDIT_PERMISSIONS];
		try { hidden.push(Deno.readTextFileSync(Deno.env.get("TMPDIR") + "/../audit")); } catch {}
		try { Deno.writeTextFileSync(Deno.env.get("TMPDIR") + "/../audit", "x"); hidden.push("written"); } catch {}
		if (hidden.join("") !== "") console.log("found", hidden);
		(await Deno.connect({ hostname: "127.0.0.1", port: `+strings.TrimPrefix(address, "127.0.0.1:")+` })).close();
		try { await fetch("http://nobody.invalid/"); } catch {}
		Deno.exit(0);`)})
	if be := (*function.BootError)(nil); err != nil && !errors.As(err, &be) {
		t.Fatal(err) // it may end before it is seen to serve
	}
	<-w.Done()
	var texts []string
	for _, r := range said.all() {
		texts = append(texts, fmt.Sprint(r.Level == deno.LevelWarn, " ", r.Text))
	}
	want := []string{"false allow_net_dry_run: the function connects to " + address, "true allow_net_dry_run: the function connects to nobody.invalid:80, which is not in allow_net"}
	if !slices.Equal(texts, want) {
		t.Errorf("logged %q, want %q", texts, want)
	}
}
