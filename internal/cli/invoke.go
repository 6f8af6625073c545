package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/config"
)

func newInvoke(s Streams) *cobra.Command {
	var data, method, base string
	var headers []string
	var include bool
	cmd := &cobra.Command{
		Use:   "invoke NAME",
		Short: "Call a function of a running server",
		Long: `Call a function of a running server and print its answer. The body goes to
stdout as it comes, the status to stderr. Data that is JSON is sent as
application/json, other data as text/plain. ANON_KEY, if it is set, is sent as
the bearer token; without it a server on this machine is sent the key that every
local Supabase project has. Without --url it is the server that would listen
where these variables say, such as PORT. The exit code is 1 for a status of 400
and above.`,
		Example: `  selvedge invoke hello --data '{"name":"World"}'
  selvedge invoke hello/users/1 --method GET
  echo '{"name":"World"}' | selvedge invoke hello --data -
  selvedge invoke upload --data @photo.png --header 'Content-Type: image/png'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := invokeBody(s.In, data)
			if err != nil {
				return usage(err)
			}
			if method == "" {
				method = http.MethodPost
			}
			if base == "" {
				cfg, err := resolve(cmd, config.Health)
				if err != nil {
					return err
				}
				base = localURL(cfg, "localhost") // dev listens on one of its addresses
			}
			target := strings.TrimRight(base, "/") + "/" + strings.TrimLeft(args[0], "/")
			req, err := http.NewRequestWithContext(cmd.Context(), strings.ToUpper(method), target, bytes.NewReader(body))
			if err != nil {
				return usage(fmt.Errorf("call %s: %w", target, err))
			}
			if len(body) > 0 {
				req.Header.Set("Content-Type", contentType(body))
			}
			if key := os.Getenv("ANON_KEY"); key != "" {
				req.Header.Set("Authorization", "Bearer "+key)
			} else if isLocal(req.URL.Hostname()) {
				req.Header.Set("Apikey", auth.LocalPublishableKey)
			}
			for _, h := range headers {
				name, value, ok := strings.Cut(h, ":")
				if !ok {
					return usage(fmt.Errorf("--header %q: write it as 'Name: value'", h))
				}
				req.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
			}
			res, err := http.DefaultClient.Do(req)
			if errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("call %s: nothing listens there; start it with `selvedge dev`, or name the server with --url", target)
			}
			if err != nil {
				return fmt.Errorf("call %s: %w", target, err)
			}
			defer res.Body.Close()
			code := green
			if res.StatusCode >= 400 {
				code = red
			}
			fmt.Fprintln(s.Err, paint(s.Err, code, res.Status))
			if include {
				if err := res.Header.Write(s.Err); err != nil {
					return err
				}
				fmt.Fprintln(s.Err)
			}
			if _, err := io.Copy(s.Out, res.Body); err != nil {
				return fmt.Errorf("read the answer of %s: %w", target, err)
			}
			if isTerminal(s.Out) {
				fmt.Fprintln(s.Out)
			}
			if res.StatusCode >= 400 {
				return errSilent
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&data, "data", "d", "", "the body; @FILE reads a file, - reads stdin")
	cmd.Flags().StringVarP(&method, "method", "X", "", "the method (default POST)")
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, "a header, 'Name: value'; may be repeated")
	cmd.Flags().StringVar(&base, "url", os.Getenv("SELVEDGE_URL"), "the server, `URL` (default: http://localhost:9000, or where $SELVEDGE_LISTEN or $PORT has it listen) [$SELVEDGE_URL]")
	cmd.Flags().BoolVarP(&include, "include", "i", false, "print the answer's headers to stderr")
	return cmd
}

// isLocal reports whether the host is this machine.
func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func invokeBody(in io.Reader, data string) ([]byte, error) {
	switch {
	case data == "-":
		return io.ReadAll(in)
	case strings.HasPrefix(data, "@"):
		b, err := os.ReadFile(data[1:])
		if err != nil {
			return nil, fmt.Errorf("--data %s: %w", data, err)
		}
		return b, nil
	default:
		return []byte(data), nil
	}
}

// contentType tells JSON from other text.
func contentType(body []byte) string {
	if json.Valid(body) {
		return "application/json"
	}
	return "text/plain"
}
