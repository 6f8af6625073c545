package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// SocketName is the name of the private socket in a server's folder.
const SocketName = "admin"

// aboutTimeout bounds how long a server may take to say who it is.
const aboutTimeout = 3 * time.Second

// maxLine bounds a line of an answer; those of the log are shorter.
const maxLine = 1 << 20

// A Client asks a running server over a socket of the file system.
type Client struct {
	// About is what the server says of itself.
	About About
	// Path is the socket's.
	Path string

	http *http.Client
}

// Dial finds out who answers on the socket.
func Dial(ctx context.Context, path string) (*Client, error) {
	c := &Client{Path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
	ctx, cancel := context.WithTimeout(ctx, aboutTimeout)
	defer cancel()
	body, err := c.get(ctx, "/server")
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if err := json.NewDecoder(body).Decode(&c.About); err != nil {
		return nil, fmt.Errorf("ask %s which server it is: %w", path, err)
	}
	return c, nil
}

// Find asks the servers whose folders are given. Those where nobody answers
// any more are left out; unreadable are the folders of other users.
func Find(ctx context.Context, folders []string) (found []*Client, unreadable []string, err error) {
	for _, folder := range folders {
		info, statErr := os.Lstat(folder)
		if errors.Is(statErr, fs.ErrNotExist) {
			continue
		}
		if statErr != nil || !trusted(info) {
			unreadable = append(unreadable, folder)
			continue
		}
		c, dialErr := Dial(ctx, filepath.Join(folder, SocketName))
		switch {
		case dialErr == nil:
			found = append(found, c)
		case errors.Is(dialErr, fs.ErrPermission):
			unreadable = append(unreadable, folder)
		case errors.Is(dialErr, fs.ErrNotExist), errors.Is(dialErr, syscall.ECONNREFUSED):
		default:
			err = errors.Join(err, dialErr)
		}
	}
	return found, unreadable, err
}

// trusted reports whether a folder can only have been made by this user, or
// this user is root: the folder for temporary files is everybody's.
func trusted(folder fs.FileInfo) bool {
	stat, ok := folder.Sys().(*syscall.Stat_t)
	return ok && folder.IsDir() && folder.Mode().Perm()&0o022 == 0 && (os.Geteuid() == 0 || int(stat.Uid) == os.Geteuid())
}

// Workers lists the server's workers, see Private.
func (c *Client) Workers(ctx context.Context, pss bool) ([]Worker, error) {
	path := "/workers"
	if pss {
		path += "?pss=1"
	}
	return list[Worker](ctx, c, path)
}

// Functions lists the server's functions.
func (c *Client) Functions(ctx context.Context) ([]Function, error) {
	return list[Function](ctx, c, "/functions")
}

func list[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var all []T
	err := c.lines(ctx, path, func(line []byte) error {
		var one T
		if err := json.Unmarshal(line, &one); err != nil {
			return fmt.Errorf("ask %s for %s: %w", c.Path, path, err)
		}
		all = append(all, one)
		return nil
	})
	return all, err
}

// Logs calls visit with each line, until the server has no more or visit
// returns an error.
func (c *Client) Logs(ctx context.Context, q LogQuery, visit func(line []byte) error) error {
	return c.lines(ctx, "/logs?"+q.values().Encode(), visit)
}

func (c *Client) lines(ctx context.Context, path string, visit func([]byte) error) error {
	body, err := c.get(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	lines := bufio.NewScanner(body)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	for lines.Scan() {
		if err := visit(lines.Bytes()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.Path, err)
	}
	return nil
}

// A RefusedError is an answer that is not the one asked for.
type RefusedError struct {
	Status  int
	Message string
}

func (e *RefusedError) Error() string { return e.Message }

// CPUProfile watches the server for whole seconds and returns what it spent its
// time on, in the form that pprof and the compiler read.
func (c *Client) CPUProfile(ctx context.Context, lasts time.Duration) ([]byte, error) {
	body, err := c.get(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(lasts.Seconds())))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func (c *Client) get(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c.Path, err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10)) // it is only for the message
	message := strings.TrimSpace(string(text))
	if message == "" {
		message = res.Status
	}
	return nil, &RefusedError{res.StatusCode, message}
}
