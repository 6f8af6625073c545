package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// answerPatience bounds one request.
const answerPatience = 60 * time.Second

// A conn is a connection that carries one request after the other. It does as
// little as HTTP allows, since what it costs is measured too.
type conn struct {
	raw    net.Conn
	reader *bufio.Reader
}

// network is the kind of an address: a path is a unix socket's.
func network(addr string) string {
	if strings.HasPrefix(addr, "/") {
		return "unix"
	}
	return "tcp"
}

func dial(ctx context.Context, addr string) (*conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, network(addr), addr)
	if err != nil {
		return nil, err
	}
	return &conn{raw, bufio.NewReader(raw)}, nil
}

func (c *conn) Close() error { return c.raw.Close() }

// get returns the body of an answer; a status other than 200 is an error. Each
// header is a line without its end.
func (c *conn) get(ctx context.Context, path string, headers ...string) ([]byte, error) {
	if err := c.raw.SetDeadline(time.Now().Add(answerPatience)); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.raw.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(c.raw, requestHead("GET", path, headers...)); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", res.StatusCode, body)
	}
	return body, err
}

func requestHead(method, path string, headers ...string) string {
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: localhost"}, headers...)
	return strings.Join(lines, "\r\n") + "\r\n\r\n"
}

// fetch gets a path on a connection of its own.
func fetch(ctx context.Context, addr, path string, headers ...string) ([]byte, error) {
	c, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.get(ctx, path, headers...)
}

// get measures from before the connection to the end of the answer, which must
// be want.
func get(ctx context.Context, addr, path, want string, headers ...string) (time.Duration, error) {
	began := time.Now()
	body, err := fetch(ctx, addr, path, headers...)
	took := time.Since(began)
	if err == nil && string(body) != want {
		err = fmt.Errorf("the answer is %q instead of %q", body, want)
	}
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return took, err
}
