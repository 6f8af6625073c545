package sockio

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// pairs are connections of each kind, ours first.
func pairs(t *testing.T, test func(t *testing.T, c *Conn, nc, peer net.Conn)) {
	for _, network := range []string{"tcp", "unix", "pipe"} {
		t.Run(network, func(t *testing.T) {
			nc, peer := net.Pipe()
			if network != "pipe" {
				addr := "127.0.0.1:0"
				if network == "unix" {
					addr = filepath.Join(t.TempDir(), "s")
				}
				l, err := net.Listen(network, addr)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				if peer, err = net.Dial(network, l.Addr().String()); err != nil {
					t.Fatal(err)
				}
				if nc, err = l.Accept(); err != nil {
					t.Fatal(err)
				}
			}
			defer nc.Close()
			defer peer.Close()
			peer.SetDeadline(time.Now().Add(10 * time.Second))
			test(t, New(nc), nc, peer)
		})
	}
}

func TestBothWays(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), 500_000) // more than any socket's buffer
	pairs(t, func(t *testing.T, c *Conn, nc, peer net.Conn) {
		go io.Copy(peer, peer)
		wrote := make(chan error, 1)
		go func() {
			n, err := c.Write(large)
			if n != len(large) {
				t.Errorf("wrote %d", n)
			}
			wrote <- err
		}()
		got := make([]byte, len(large))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, large) {
			t.Errorf("got something else, %v", err)
		}
		if err := <-wrote; err != nil {
			t.Error(err)
		}
		if n, err := c.Write(nil); n != 0 || err != nil {
			t.Errorf("nothing: %d, %v", n, err)
		}
		peer.Close()
		if n, err := c.Read(got); n != 0 || err != io.EOF {
			t.Errorf("at the end: %d, %v", n, err)
		}
	})
}

func TestExchange(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789"), 500_000)
	pairs(t, func(t *testing.T, c *Conn, nc, peer net.Conn) {
		buf := make([]byte, 100)
		for _, p := range [][]byte{{1}, large, {2}} {
			go func() {
				got := make([]byte, len(p))
				if _, err := io.ReadFull(peer, got); err != nil || !bytes.Equal(got, p) {
					t.Errorf("got something else, %v", err)
				}
				time.Sleep(time.Duration(len(p)%3) * 10 * time.Millisecond) // sometimes late
				peer.Write([]byte("answer"))
			}()
			if n, err := c.Exchange(p, buf); string(buf[:n]) != "answer" || err != nil {
				t.Errorf("%q, %v", buf[:n], err)
			}
		}
		// The answer does not come in time, but later.
		nc.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		go io.ReadFull(peer, make([]byte, 1))
		if n, err := c.Exchange([]byte{3}, buf); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d, %v", n, err)
		}
		nc.SetReadDeadline(time.Time{})
		go peer.Write([]byte("late"))
		if n, err := c.Read(buf); string(buf[:n]) != "late" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
		// The peer reads and ends.
		go func() {
			io.ReadFull(peer, make([]byte, 1))
			peer.Close()
		}()
		if n, err := c.Exchange([]byte{4}, buf); n != 0 || err != io.EOF {
			t.Errorf("%d, %v", n, err)
		}
		if _, ok := nc.(*net.UnixConn); ok {
			_, err := c.Exchange([]byte{5}, buf)
			var op *net.OpError
			if !errors.Is(err, syscall.EPIPE) || !errors.As(err, &op) || op.Op != "write" {
				t.Errorf("after the end: %v", err)
			}
		}
		nc.Close()
		if _, err := c.Exchange([]byte{6}, buf); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("after Close: %v", err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	pairs(t, func(t *testing.T, c *Conn, nc, peer net.Conn) {
		for _, in := range []time.Duration{-time.Hour, 20 * time.Millisecond} {
			nc.SetReadDeadline(time.Now().Add(in))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Read: %v", err)
			}
			nc.SetWriteDeadline(time.Now().Add(in))
			if _, err := c.Write(make([]byte, 10_000_000)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("Write: %v", err)
			}
		}
		// A read that waits is ended by one from outside.
		nc.SetReadDeadline(time.Time{})
		time.AfterFunc(20*time.Millisecond, func() { nc.SetReadDeadline(time.Unix(1, 0)) })
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read: %v", err)
		}
	})
}

func TestClose(t *testing.T) {
	pairs(t, func(t *testing.T, c *Conn, nc, peer net.Conn) {
		time.AfterFunc(20*time.Millisecond, func() { nc.Close() })
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Read: %v", err)
		}
		if _, err := c.Write(make([]byte, 1)); !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Write: %v", err)
		}
	})
}

func TestReset(t *testing.T) {
	pairs(t, func(t *testing.T, c *Conn, nc, peer net.Conn) {
		if _, ok := peer.(*net.TCPConn); !ok {
			t.Skip("TCP only")
		}
		peer.(*net.TCPConn).SetLinger(0)
		peer.Close()
		_, err := c.Read(make([]byte, 1))
		var op *net.OpError
		if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &op) || op.Op != "read" || op.Addr == nil {
			t.Errorf("Read: %v", err)
		}
		if _, err := c.Write(make([]byte, 1)); !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Write: %v", err)
		}
	})
}

func TestNoAllocations(t *testing.T) {
	pairs(t, func(t *testing.T, c *Conn, nc, peer net.Conn) {
		if _, ok := peer.(*net.TCPConn); !ok {
			t.Skip("TCP only")
		}
		p := []byte("hello")
		if n := testing.AllocsPerRun(100, func() {
			c.Write(p)
			io.ReadFull(peer, p)
			peer.Write(p)
			io.ReadFull(c, p)
		}); n > 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func TestWait(t *testing.T) {
	pairs(t, func(t *testing.T, c *Conn, nc, peer net.Conn) {
		go func() {
			time.Sleep(20 * time.Millisecond)
			peer.Write([]byte("a"))
			peer.Close()
		}()
		// Twice, because waiting takes nothing away; then for the end.
		for _, want := range []string{"", "a"} {
			if err := c.Wait(); err != nil {
				t.Fatal(err)
			}
			if want != "" {
				b := make([]byte, 8)
				if n, err := c.Read(b); err != nil || string(b[:n]) != want {
					t.Fatalf("read %q, %v", b[:n], err)
				}
			}
		}
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 8)); n != 0 || err != io.EOF {
			t.Errorf("read %d, %v", n, err)
		}
		nc.Close()
		if c.Wait() == nil {
			if _, err := c.Read(make([]byte, 8)); err == nil {
				t.Error("a closed connection can be read")
			}
		}
	})
}
