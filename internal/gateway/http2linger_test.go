package gateway

import (
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// TestEarlyAnswerInHTTP2: the reset that ends an upload comes when the client
// has had time to see the answer.
func TestEarlyAnswerInHTTP2(t *testing.T) {
	s, _ := startEdge(t, limitedTo(10))
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(soon))
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	f := http2.NewFramer(nc, nc)
	var block strings.Builder
	e := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/hello"}, {"content-length", strconv.Itoa(1 << 20)}} {
		check(e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
	}
	_, err = io.WriteString(nc, http2.ClientPreface)
	check(err)
	check(f.WriteSettings())
	check(f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte(block.String()), EndHeaders: true}))
	check(f.WriteData(1, false, make([]byte, 10_000)))

	var answered time.Time
	for {
		frame, err := f.ReadFrame()
		check(err)
		switch frame := frame.(type) {
		case *http2.HeadersFrame:
			answered = time.Now()
		case *http2.RSTStreamFrame:
			if frame.ErrCode != http2.ErrCodeNo {
				t.Errorf("the stream is reset with %s", frame.ErrCode)
			}
			if answered.IsZero() || time.Since(answered) < streamLinger/2 {
				t.Errorf("the stream is reset %s after its answer", time.Since(answered))
			}
			return
		}
	}
}

// TestLingeringEndsWithTheBody: who has sent all waits for nothing.
func TestLingeringEndsWithTheBody(t *testing.T) {
	s, _ := startEdge(t, limitedTo(10))
	c := http2Client(t, nil)
	begin := time.Now()
	for range 8 {
		res, err := c.Post("http://"+s.addr+"/hello", "text/plain", strings.NewReader(strings.Repeat("x", 100)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusRequestEntityTooLarge {
			t.Fatalf("%d %v", res.StatusCode, err)
		}
		res.Body.Close()
	}
	if d := time.Since(begin); d >= 8*streamLinger {
		t.Errorf("eight refusals took %s", d)
	}
}
