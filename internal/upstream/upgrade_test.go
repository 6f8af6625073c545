package upstream

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"
)

const upgradeRequest = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Key: k\r\nSec-WebSocket-Protocol: a, b\r\n\r\n"

func TestUpgradeTaken(t *testing.T) {
	heads, ended := make(chan string, 1), make(chan struct{})
	w := startWorker(t, func(_ int, c *wire) {
		heads <- c.head()
		c.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n" +
			"sec-websocket-protocol: a\r\n\r\nhello")
		io.Copy(c, c.r)
		close(ended)
	})
	f := startFront(t, w, func(o *Options) {
		o.OnHead = func(_ int, h http.Header) { h.Set("Sb-Request-Id", "id") }
	})
	c := f.dial(t, upgradeRequest+"early") // frames may follow at once
	res := c.answer("GET")
	if res.StatusCode != 101 || res.Header.Get("Sec-Websocket-Protocol") != "a" || res.Header.Get("Sb-Request-Id") != "id" ||
		res.Header.Get("Upgrade") != "websocket" || res.Header.Get("Connection") != "Upgrade" {
		t.Fatalf("got %d %v", res.StatusCode, res.Header)
	}
	mustContain(t, <-heads, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", "\r\nSec-Websocket-Key: k\r\n")
	read := func(want string) {
		t.Helper()
		b := make([]byte, len(want))
		if _, err := io.ReadFull(c.r, b); err != nil || string(b) != want {
			t.Fatalf("got %q, %v, want %q", b, err, want)
		}
	}
	read("helloearly")
	c.send("ping")
	read("ping")
	c.Close()
	select {
	case <-ended:
	case <-time.After(soon):
		t.Fatal("the worker's side stayed open")
	}
	if o := f.outcome(t); o.err != nil || o.res != (Result{Status: 101, Bytes: 14}) {
		t.Errorf("outcome %+v", o)
	}
}

func TestUpgradeEndedByWorker(t *testing.T) {
	f := startFront(t, startWorker(t, func(_ int, c *wire) {
		c.head()
		c.send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nbye")
	}), nil)
	c := f.dial(t, upgradeRequest)
	c.answer("GET")
	if b, err := io.ReadAll(c.r); string(b) != "bye" || err != nil {
		t.Errorf("got %q, %v", b, err)
	}
	f.outcome(t)
}

func TestUpgradeNotTaken(t *testing.T) {
	for _, tc := range []struct {
		name, answer string
		status       int
		kind         error
	}{
		{"200", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 599, ErrUpgradeRefused},
		{"302", "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n", 599, ErrUpgradeRefused},
		{"426", "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nhi", 426, nil},
		{"500", "HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nhi", 500, nil},
		{"another protocol", "HTTP/1.1 101 Switching Protocols\r\nupgrade: chat\r\n\r\n", 599, ErrMalformedAnswer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := startFront(t, startWorker(t, answers(tc.answer)), nil)
			c := f.dial(t, upgradeRequest)
			if res := c.answer("GET"); res.StatusCode != tc.status {
				t.Errorf("got %d, want %d", res.StatusCode, tc.status)
			}
			if o := f.outcome(t); !errors.Is(o.err, tc.kind) {
				t.Errorf("got %v, want %v", o.err, tc.kind)
			}
		})
	}
}

func TestSwitchNobodyAskedFor(t *testing.T) {
	f := startFront(t, startWorker(t, answers("HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n")), nil)
	f.get(t, "/")
	if e := f.failure(t); !errors.Is(e, ErrMalformedAnswer) {
		t.Errorf("got %v", e)
	}
}
