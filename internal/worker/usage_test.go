package worker

import (
	"os"
	"runtime"
	"testing"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the memory of a worker is known only on Linux")
	}
	sub := loaded(t, `const kept = [];
		Deno.serve(() => { kept.push(new Uint8Array(64 << 20).fill(1)); return new Response(""); });`)
	before, ok := sub.Memory()
	if !ok || before < 1<<20 || before > 1<<29 {
		t.Errorf("a worker without anything has %d bytes (%v)", before, ok)
	}
	sub.get(t, "/fn", "")
	if after, _ := sub.Memory(); after < before+64<<20 || after > before+128<<20 {
		t.Errorf("with 64 MiB more there are %d bytes, before %d", after, before)
	}
	sub.Stop()
	if n, ok := sub.Memory(); ok {
		t.Errorf("a worker that is gone has %d bytes", n)
	}
}

func TestPSS(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/proc/self/smaps_rollup"); err != nil {
		t.Skip("this kernel does not tell the proportional set size:", err)
	}
	sub := loaded(t, `Deno.serve(() => new Response(""));`)
	own, _ := sub.Memory()
	pss, ok := sub.PSS()
	if !ok || pss < own/2 || pss > own+(512<<20) {
		t.Errorf("the proportional set size is %d bytes (%v), of which its own are %d", pss, ok, own)
	}
	sub.Stop()
	if n, ok := sub.PSS(); ok {
		t.Errorf("a worker that is gone has %d bytes", n)
	}
}
