package fieldtext

import (
	"bytes"
	"testing"
)

func TestBadByteAtEachPlace(t *testing.T) {
	for size := range 40 {
		for at := range size {
			for b := range 256 {
				p := bytes.Repeat([]byte("\xe4~\t"), 14)[:size]
				p[at] = byte(b)
				want := -1
				if b < ' ' && b != '\t' || b == 0x7f {
					want = at
				}
				if got := BadByte(p); got != want {
					t.Fatalf("%q: %d, want %d", p, got, want)
				}
			}
		}
	}
}
