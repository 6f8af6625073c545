package escape

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A place says where things are that can be reached by the network.
type place struct {
	// service are the addresses of the metadata service, without a port.
	service []string
	// port is the service's, 0 for any.
	port    int
	args    []string // for the server
	targets targets
}

// spell fills in the ways to write the service's IPv4 address in a URL.
func (p *place) spell(address string) {
	b := net.ParseIP(address).To4()
	n := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	wide := strings.Map(func(r rune) rune {
		if r == '.' {
			return '。'
		}
		return r - '0' + '０'
	}, address)
	p.targets.Literal = address
	p.targets.Meta = []string{
		address, fmt.Sprint(n), fmt.Sprintf("0x%x", n), fmt.Sprintf("0%o.0%o.0%o.0%o", b[0], b[1], b[2], b[3]),
		fmt.Sprintf("%d.%d.%d", b[0], b[1], uint32(b[2])<<8|uint32(b[3])), wide, "[::ffff:" + address + "]",
	}
}

// A service stands in for a metadata service, and for a server that functions
// may reach.
type service struct {
	addresses []string
	port      int
	udp       int
	allowed   string
	count     atomic.Int64
}

// asked counts the connections and packets that came so far. It is called by
// the thread that has the service's network. Each listener takes connections in
// their order, so what came before a connection of its own is counted with it.
func (s *service) asked(t *testing.T) int64 {
	t.Helper()
	for _, address := range s.addresses {
		before := s.count.Load()
		c, err := net.Dial("tcp", net.JoinHostPort(address, strconv.Itoa(s.port)))
		if err != nil {
			t.Fatal(err)
		}
		for s.count.Load() == before {
			time.Sleep(time.Millisecond)
		}
		c.Close()
	}
	return s.count.Load()
}

func newService(t *testing.T, p *place) *service {
	t.Helper()
	s := &service{addresses: p.service, port: p.port}
	answer := http.NewServeMux()
	answer.HandleFunc("/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprintf(w, "data: %s\n\n", secret)
	})
	script := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, "export const secret = %q; globalThis.postMessage?.(%q);", secret, secret)
	}
	answer.HandleFunc("/module.js", script)
	answer.HandleFunc("/worker.js", script)
	answer.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, secret) })
	for _, address := range p.service {
		l, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(s.port)))
		if err != nil {
			t.Fatal(err)
		}
		s.port = l.Addr().(*net.TCPAddr).Port
		serve(t, counting{l, &s.count}, answer)
	}
	packets, err := net.ListenPacket("udp", net.JoinHostPort(p.service[0], "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { packets.Close() })
	s.udp = packets.LocalAddr().(*net.UDPAddr).Port
	go func() {
		buffer := make([]byte, 1500)
		for {
			_, from, err := packets.ReadFrom(buffer)
			if err != nil {
				return
			}
			s.count.Add(1)
			_, _ = packets.WriteTo([]byte(secret), from)
		}
	}()

	// What functions may reach, and may not import from.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.allowed = "http://" + l.Addr().String()
	other := http.NewServeMux()
	other.Handle("/redirect", http.RedirectHandler("http://"+net.JoinHostPort(p.targets.Literal, strconv.Itoa(s.port))+"/latest", http.StatusFound))
	other.HandleFunc("/module.js", script)
	other.HandleFunc("/worker.js", script)
	serve(t, l, other)
	return s
}

func serve(t *testing.T, l net.Listener, h http.Handler) {
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
}

type counting struct {
	net.Listener
	count *atomic.Int64
}

func (c counting) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err == nil {
		c.count.Add(1)
	}
	return conn, err
}

// onLoopback is a place without a network of its own: another address of
// loopback is denied by --deny-net, by the same means as metadata addresses.
func onLoopback(t *testing.T, why string) *place {
	t.Logf("no network of its own (%s): 127.0.0.2 stands in for the metadata service, without a name and an IPv6 address", why)
	p := &place{service: []string{"127.0.0.2"}, args: []string{"--deny-net", "127.0.0.2"}}
	p.spell("127.0.0.2")
	p.targets.ECS = "127.0.0.2"
	return p
}
