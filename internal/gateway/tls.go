package gateway

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// certificateEvery is how often a certificate's files are looked at, at most.
const certificateEvery = 1 * time.Second

// ListenTLS is Listen for HTTPS. The files, PEM, are looked at again when
// clients connect, so that a renewed certificate needs no restart.
func (s *Server) ListenTLS(addr, certFile, keyFile string) (net.Listener, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: s.log}
	if err := c.load(time.Now()); err != nil {
		return nil, err
	}
	l, err := s.Listen(addr)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(time.Now()), nil },
		NextProtos:     []string{"h2", "http/1.1"},
		MinVersion:     tls.VersionTLS12,
		// Those of TLS 1.2 that HTTP/2 allows (RFC 9113, appendix A); the ones
		// of TLS 1.3 are all good.
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}), nil
}

// A certificate is read from two files, again when one of them has changed.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	// seen is what the files looked like when they were last read.
	seen [2]fileMark
	next time.Time // when to look again
}

// A fileMark changes when a file does.
type fileMark struct {
	size int64
	at   time.Time
}

func mark(path string) fileMark {
	info, err := os.Stat(path)
	if err != nil {
		return fileMark{}
	}
	return fileMark{info.Size(), info.ModTime()}
}

// current returns the certificate in force. Files that do not make one, as
// while they are being replaced, leave the one before.
func (c *certificate) current(now time.Time) *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.next) {
		return c.loaded
	}
	c.next = now.Add(certificateEvery)
	if c.seen == [2]fileMark{mark(c.certFile), mark(c.keyFile)} {
		return c.loaded
	}
	if err := c.read(); err != nil {
		c.log.Warn("the certificate has changed but cannot be used; the one before stays in force", "error", err)
	} else {
		c.log.Info("certificate reloaded", "file", c.certFile, "expires", c.loaded.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return c.loaded
}

// load reads the certificate for the first time.
func (c *certificate) load(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = now.Add(certificateEvery)
	if err := c.read(); err != nil {
		return err
	}
	if now.After(c.loaded.Leaf.NotAfter) {
		c.log.Warn("the certificate has expired: clients will not connect",
			"file", c.certFile, "expired", c.loaded.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	return nil
}

func (c *certificate) read() error {
	c.seen = [2]fileMark{mark(c.certFile), mark(c.keyFile)}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.loaded = &pair
	return nil
}
