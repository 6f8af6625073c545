package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A recorder is a worker that answers every request with "hi" and keeps what
// it has got.
type recorder struct {
	*fakeWorker
	t   testing.TB
	got chan delivery
}

// A delivery is a request as the worker got it.
type delivery struct {
	*http.Request
	head string // as it came over the socket
	body string
	err  error // what reading the body ended with, nil for a whole one
}

func startRecorder(t testing.TB) *recorder {
	rec := &recorder{t: t, got: make(chan delivery, 1000)}
	rec.fakeWorker = startWorker(t, "recorder", func(nc *net.UnixConn, _ *bufio.Reader) {
		var raw bytes.Buffer
		r := bufio.NewReader(io.TeeReader(nc, &raw))
		for {
			raw.Next(raw.Len() - r.Buffered()) // what belongs to the last request
			req, err := http.ReadRequest(r)
			if err == io.EOF || errors.Is(err, net.ErrClosed) {
				return
			}
			d := delivery{Request: req}
			d.head, _, _ = strings.Cut(raw.String(), "\r\n\r\n")
			if err != nil {
				// Whatever a client sends, the worker must get HTTP.
				t.Errorf("the worker got %q: %v", raw.String(), err)
				return
			}
			body, err := io.ReadAll(req.Body)
			d.body, d.err = string(body), err
			rec.got <- d
			if err != nil {
				return
			}
			io.WriteString(nc, text(200, "hi"))
		}
	})
	return rec
}

// next waits for a request.
func (rec *recorder) next() delivery {
	rec.t.Helper()
	select {
	case d := <-rec.got:
		return d
	case <-time.After(soon):
		rec.t.Fatal("the worker got no request")
		panic("unreachable")
	}
}

// nothing fails the test if the worker has got a request that nobody took. It
// is for when the client's connection has ended.
func (rec *recorder) nothing() {
	rec.t.Helper()
	select {
	case d := <-rec.got:
		rec.t.Errorf("the worker got %q with body %q, %v", d.head, d.body, d.err)
	default:
	}
}

// startEdge is a running Server over one recorder.
func startEdge(t testing.TB, edit func(*Options)) (*site, *recorder) {
	rec := startRecorder(t)
	return startSite(t, &fakePool{workers: []*fakeWorker{rec.fakeWorker}}, edit), rec
}

// An answered is one answer that came back over a connection.
type answered struct {
	*http.Response
	body string
}

// talk sends raw bytes, piece by piece, and reads answers until the server
// closes the connection. It fails the test if that does not happen, or if what
// comes back is not a series of answers.
func (s *site) talk(pieces ...string) (all []answered) {
	s.t.Helper()
	nc, r := s.dial(pieces[0])
	for _, p := range pieces[1:] {
		io.WriteString(nc, p)
	}
	return s.answers(nc, r)
}

// answers reads until the server closes the connection.
func (s *site) answers(nc net.Conn, r *bufio.Reader) (all []answered) {
	s.t.Helper()
	for {
		if _, err := r.Peek(1); err != nil {
			if err != io.EOF {
				s.t.Errorf("after %d answers: %v", len(all), err)
			}
			return all
		}
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			s.t.Fatalf("after %d answers: %v", len(all), err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			s.t.Fatalf("after %d answers: %v", len(all), err)
		}
		all = append(all, answered{res, string(body)})
		if res.Close {
			// So that the server does not wait for more.
			nc.(*net.TCPConn).CloseWrite()
		}
	}
}
