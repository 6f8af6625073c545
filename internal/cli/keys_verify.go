package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/auth"
)

func newKeysVerify(s Streams) *cobra.Command {
	var ring keyring
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [TOKEN]",
		Short: "Explain a token or API key, and whether it would be accepted",
		Long: `Explain a token or API key: what it says, when it holds, and whether a server
with the keys of this environment would accept it, and why not. Without TOKEN it
is read from stdin, which keeps one that still holds out of the sight of other
users of this machine. The exit code is 1 for one that is refused.`,
		Example: `  selvedge keys verify < token.txt
  selvedge keys verify --env-file .env eyJhbGciOi…`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := ring.options()
			if err != nil {
				return err
			}
			token, err := readToken(s, args)
			if err != nil {
				return usage(err)
			}
			o.Log = slog.New(slog.NewTextHandler(s.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			e, err := explain(cmd.Context(), token, o)
			if asJSON {
				enc := json.NewEncoder(s.Out)
				enc.SetIndent("", "  ")
				if encErr := enc.Encode(e); encErr != nil {
					return encErr
				}
			} else {
				e.print(s.Out, time.Now())
			}
			if err != nil {
				return usage(err)
			}
			if !e.Accepted {
				return errSilent
			}
			return nil
		},
	}
	ring.register(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// readToken takes the token of the arguments or of stdin, without what is
// often pasted with it.
func readToken(s Streams, args []string) (string, error) {
	token := "-"
	if len(args) > 0 {
		token = args[0]
	}
	if token == "-" {
		if isTerminal(s.In) {
			fmt.Fprintln(s.Err, "Paste the token, then press Enter and Ctrl-D")
		}
		b, err := io.ReadAll(io.LimitReader(s.In, 4*auth.MaxToken))
		if err != nil {
			return "", fmt.Errorf("read the token from stdin: %w", err)
		}
		token = string(b)
	}
	token = strings.TrimSpace(token)
	if name, value, ok := strings.Cut(token, ":"); ok && (strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "apikey")) {
		token = strings.TrimSpace(value)
	}
	if scheme, value, ok := strings.Cut(token, " "); ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(value)
	}
	token = strings.Trim(token, `"'`)
	if token == "" {
		return "", fmt.Errorf("there is no token; name it, or pipe it into the command")
	}
	return token, nil
}

// An explanation is what `keys verify` knows of a token.
type explanation struct {
	// Kind is "token", "publishable key" or "secret key".
	Kind    string          `json:"kind"`
	Header  json.RawMessage `json:"header,omitempty"`
	Claims  json.RawMessage `json:"claims,omitempty"`
	KeyName string          `json:"key_name,omitempty"`
	// Accepted is false as well where there are no keys to tell by.
	Accepted bool   `json:"accepted"`
	Role     string `json:"role,omitempty"`
	Code     string `json:"code,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Hint     string `json:"hint,omitempty"`
}

// explain looks at a token with the keys of o. The error is that of keys that
// cannot be used; the rest is told all the same.
func explain(ctx context.Context, token string, o auth.Options) (*explanation, error) {
	e := &explanation{Kind: kindOf(token)}
	if t, failure := auth.Decode(token); failure == nil {
		e.Header = t.Header
		if json.Valid(t.Claims) {
			e.Claims = t.Claims
		}
	}
	v, err := auth.New(o)
	if err != nil {
		e.Reason = "it cannot be said: there are no keys to tell by"
		return e, err
	}
	defer v.Close()
	id, failure := v.VerifyToken(ctx, token)
	if failure == nil {
		e.Accepted, e.Role, e.KeyName = true, id.Role, id.KeyName
		return e, nil
	}
	e.Code, e.Reason = string(failure.Code), failure.Reason
	k := auth.LocalKeys()
	local, err := auth.New(auth.Options{JWTSecret: k.JWTSecret,
		PublishableKeys: map[string]string{"": k.Publishable}, SecretKeys: map[string]string{"": k.Secret}})
	if err == nil {
		if _, failure := local.VerifyToken(ctx, token); failure == nil {
			e.Hint = "it belongs to Supabase's well-known keys for local development; --local verifies with them"
		}
	}
	return e, nil
}

func kindOf(token string) string {
	switch {
	case strings.HasPrefix(token, auth.PublishablePrefix):
		return auth.KindPublishable.String()
	case strings.HasPrefix(token, auth.SecretPrefix):
		return auth.KindSecret.String()
	}
	return auth.KindToken.String()
}

// print writes the explanation for a person.
func (e *explanation) print(w io.Writer, now time.Time) {
	part := func(name string, text json.RawMessage) {
		if text == nil {
			return
		}
		var b bytes.Buffer
		if json.Indent(&b, text, "", "  ") == nil {
			fmt.Fprintf(w, "%s %s\n", paint(w, bold, name), harmless(b.String()))
		}
	}
	part("header", e.Header)
	part("claims", e.Claims)
	e.printTimes(w, now)
	switch {
	case e.Accepted && e.KeyName != "":
		fmt.Fprintf(w, "%s as the %s %s, role %s\n", paint(w, green, "accepted"), e.Kind, harmless(e.KeyName), e.Role)
	case e.Accepted && e.Role != "":
		fmt.Fprintf(w, "%s with the role %s\n", paint(w, green, "accepted"), harmless(e.Role))
	case e.Accepted:
		fmt.Fprintf(w, "%s, without a role\n", paint(w, green, "accepted"))
	case e.Code == "":
		fmt.Fprintf(w, "%s %s\n", paint(w, yellow, "unknown:"), e.Reason)
	default:
		fmt.Fprintf(w, "%s %s (401 %s)\n", paint(w, red, "refused:"), e.Reason, e.Code)
	}
	if e.Hint != "" {
		fmt.Fprintln(w, e.Hint)
	}
}

func (e *explanation) printTimes(w io.Writer, now time.Time) {
	var claims map[string]json.RawMessage
	if json.Unmarshal(e.Claims, &claims) != nil || claims == nil {
		return
	}
	for _, c := range []struct{ name, verb string }{{"iat", "issued"}, {"nbf", "valid from"}, {"exp", "expires"}} {
		var seconds float64
		raw, ok := claims[c.name]
		switch {
		case !ok && c.name == "exp":
			fmt.Fprintf(w, "%s never\n", paint(w, bold, c.verb))
		case !ok || json.Unmarshal(raw, &seconds) != nil || seconds < 0 || seconds > 253402300799:
		default:
			at := time.Unix(int64(seconds), 0).UTC()
			fmt.Fprintf(w, "%s %s, %s\n", paint(w, bold, c.verb), at.Format("2006-01-02 15:04:05 MST"), inWords(at, now))
		}
	}
}

// inWords says how far off a time is, in its two largest units.
func inWords(at, now time.Time) string {
	// Not Sub: a Duration ends after 292 years.
	rest := at.Unix() - now.Unix()
	past := rest < 0
	if past {
		rest = -rest
	}
	var parts []string
	for _, unit := range []struct {
		name    string
		seconds int64
	}{{"year", 365 * 86400}, {"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		n := rest / unit.seconds
		rest %= unit.seconds
		if n == 0 {
			if len(parts) > 0 {
				break // 1 year and 5 seconds is 1 year
			}
			continue
		}
		name := unit.name
		if n > 1 {
			name += "s"
		}
		if parts = append(parts, fmt.Sprint(n, " ", name)); len(parts) == 2 {
			break
		}
	}
	switch text := strings.Join(parts, " "); {
	case text == "":
		return "now"
	case past:
		return text + " ago"
	default:
		return "in " + text
	}
}

// harmless escapes what a terminal would act on: the text is a stranger's.
func harmless(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) || r == '\n' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
