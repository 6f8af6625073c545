package cli

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/config"
)

func newHealthcheck(s Streams) *cobra.Command {
	timeout := 5 * time.Second
	cmd := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the server on this machine whether it is healthy",
		Long: `Ask the server that listens where the same flags and variables would have it
listen for /health, and end with 0 if it answers 200. It is for the health
check of a container, which need not hold curl. A server that drains answers
503 and so counts as unhealthy.`,
		Example: `  selvedge healthcheck
  HEALTHCHECK CMD ["selvedge", "healthcheck"]   # in a Dockerfile`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := resolve(cmd, config.Health)
			if err != nil {
				return err
			}
			if timeout <= 0 {
				return usage(fmt.Errorf("--timeout %s: use a duration such as 5s", timeout))
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
			defer cancel()
			return checkHealth(ctx, healthURL(cfg))
		},
	}
	config.Register(cmd.Flags(), config.Health)
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "how long the answer may take, `DURATION`")
	return cmd
}

// healthURL is where a server with this configuration says how it is.
func healthURL(cfg *config.Config) string {
	return localURL(cfg, "127.0.0.1") + "/health" // not a name: a container need not have /etc/hosts
}

// localURL is where a server with this configuration answers on this machine,
// which is here where it listens on all addresses.
func localURL(cfg *config.Config, here string) string {
	scheme := "http://"
	if cfg.TLSCert != "" {
		scheme = "https://"
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return scheme + cfg.Listen
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = here
	}
	return scheme + net.JoinHostPort(host, port)
}

func checkHealth(ctx context.Context, url string) error {
	transport := &http.Transport{
		// The certificate is for the name that clients use. Who could answer in
		// the server's place here has the machine already.
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		Proxy:           nil,
	}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return usage(err)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", url, err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return nil
}
