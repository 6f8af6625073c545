package worker

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/selvedge-dev/selvedge/internal/deno"
	"github.com/selvedge-dev/selvedge/internal/function"
)

// mostPlaces bounds the places that are remembered of one worker.
const mostPlaces = 1000

// auditPatience bounds the wait for the first thing that Deno says it asked
// about, which the bootstrap has long caused by then.
const auditPatience = 5 * time.Second

// connections follows where a worker connects: Deno writes each permission that
// it looks up into a pipe. Places are told once in a worker's life.
type connections struct {
	pipe  *os.File
	works chan struct{} // closed at the first line
	done  chan struct{} // closed when nothing reads the pipe any more

	mu   sync.Mutex
	seen map[string]bool
	tell func(place string) // nil until there is a function
}

// openConnections makes the pipe in a worker's folder and reads it until close.
func openConnections(dir string) (*connections, error) {
	path := filepath.Join(dir, deno.AuditPipe)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		return nil, fmt.Errorf("make the pipe for connections: %w", err)
	}
	// For writing too, so that it neither waits for a writer nor ends with one.
	pipe, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open the pipe for connections: %w", err)
	}
	c := &connections{pipe: pipe, works: make(chan struct{}), done: make(chan struct{}), seen: map[string]bool{}}
	go c.read()
	return c, nil
}

func (c *connections) read() {
	defer close(c.done)
	lines := bufio.NewReaderSize(c.pipe, 16<<10)
	for first := true; ; first = false {
		line, err := lines.ReadSlice('\n')
		for errors.Is(err, bufio.ErrBufferFull) { // the rest of it says nothing
			_, err = lines.ReadSlice('\n')
		}
		if err != nil {
			return
		}
		if first {
			close(c.works)
		}
		if string(line) == lastLine {
			return
		}
		c.line(line)
	}
}

// line takes one line of the audit.
func (c *connections) line(line []byte) {
	var entry struct{ Permission, Value string }
	if json.Unmarshal(line, &entry) != nil || entry.Permission != "net" {
		return
	}
	place := placeOf(entry.Value)
	c.mu.Lock()
	defer c.mu.Unlock()
	if place == "" || c.tell == nil || c.seen[place] || len(c.seen) > mostPlaces {
		return
	}
	c.seen[place] = true
	if len(c.seen) > mostPlaces {
		place = ""
	}
	c.tell(place)
}

// placeOf returns host:port of what Deno asks about, "" for what is no place:
// a socket with a path, or a port of its own choice.
func placeOf(value string) string {
	if u, err := url.Parse(value); err == nil && u.Scheme != "" && u.Host != "" {
		value = u.Host
		if port := map[string]string{"http": "80", "ws": "80", "https": "443", "wss": "443"}[u.Scheme]; u.Port() == "" && port != "" {
			value += ":" + port
		}
	}
	if strings.HasPrefix(value, "unix:") || strings.HasPrefix(value, "vsock:") || strings.HasSuffix(value, ":0") {
		return ""
	}
	return value
}

// follow has places told from now on, each once; an empty one says that there
// are too many to go on.
func (c *connections) follow(tell func(place string)) error {
	select {
	case <-c.works:
	case <-c.done:
	case <-time.After(auditPatience):
		return errors.New("this Deno does not say where a function connects; allow_net_dry_run takes version 2.5 or later")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tell = tell
	return nil
}

// close returns when everything that was written is read.
func (c *connections) close() {
	_, _ = c.pipe.WriteString("\n" + lastLine) // the line before may not be whole
	<-c.done
	c.pipe.Close()
}

// lastLine ends the pipe, which has no other end.
const lastLine = "end\n"

// connected is the line of the log that says where a function connects.
func connected(n function.Net, place string) deno.Record {
	r := deno.Record{Level: deno.LevelInfo, Raw: true, Text: "allow_net_dry_run: the function connects to " + place}
	switch {
	case place == "":
		r.Level = deno.LevelWarn
		r.Text = fmt.Sprintf("allow_net_dry_run: the function connects to more than %d places; no further ones are logged in this worker's life", mostPlaces)
	case !n.Permits(place):
		r.Level = deno.LevelWarn
		r.Text += ", which is not in allow_net"
	}
	return r
}
