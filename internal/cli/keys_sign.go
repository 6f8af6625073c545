package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/auth"
)

// leastSecret is what HS256 needs (RFC 7518, section 3.2), in bytes.
const leastSecret = 32

func newKeysSign(s Streams) *cobra.Command {
	var ring keyring
	var role, subject, life string
	var extra []string
	cmd := &cobra.Command{
		Use:   "sign",
		Short: "Sign a token with the JWT secret",
		Long: `Sign a token with JWT_SECRET and print it. The secret comes from the environment
or from --env-file, never from the command line, which other users can see.`,
		Example: `  selvedge keys sign --role authenticated --sub user-1 --exp 15m
  selvedge keys sign --env-file .env --claim 'app_metadata={"plan":"pro"}'
  curl -H "Authorization: Bearer $(selvedge keys sign --local)" http://localhost:9000/hello`,
		RunE: func(*cobra.Command, []string) error {
			o, err := ring.options()
			if err != nil {
				return err
			}
			if o.JWTSecret == "" {
				return usage(errors.New("JWT_SECRET is not set; export it, name a file that has it with --env-file, or make one with `selvedge keys`"))
			}
			if n := len(o.JWTSecret); n < leastSecret {
				warnAll(s.Err, fmt.Sprintf("JWT_SECRET has %d characters; whoever has a token can guess one below %d", n, leastSecret))
			}
			lasts, err := parseLife(life)
			if err != nil {
				return usage(fmt.Errorf("--exp %s: %w", life, err))
			}
			claims, err := parseClaims(extra)
			if err != nil {
				return usage(err)
			}
			now := time.Now()
			expires := now.Add(lasts)
			claims["iat"], claims["exp"], claims["role"] = now.Unix(), expires.Unix(), role
			if subject != "" {
				claims["sub"] = subject
			}
			token, err := auth.Sign(o.JWTSecret, claims)
			if err != nil {
				return err
			}
			if len(token) > auth.MaxToken {
				return usage(fmt.Errorf("the token has %d bytes, of which a server takes %d; leave out claims", len(token), auth.MaxToken))
			}
			fmt.Fprintf(s.Err, "role %s, expires %s\n", role, inWords(expires, now))
			_, err = fmt.Fprintln(s.Out, token)
			return err
		},
	}
	ring.register(cmd)
	cmd.Flags().StringVar(&role, "role", "authenticated", "the claim role, `ROLE`, such as anon, authenticated or service_role")
	cmd.Flags().StringVar(&subject, "sub", "", "the claim sub, `USER`'s id")
	cmd.Flags().StringVar(&life, "exp", "1h", "how long the token holds, `DURATION` such as 15m, 24h or 30d; below 0 for an expired one")
	cmd.Flags().StringArrayVar(&extra, "claim", nil, "a further claim, `NAME=VALUE`; a value that is JSON is taken as JSON; may be repeated")
	return cmd
}

// parseLife reads a duration, which may be in days. A token that never expires
// can never be taken back, so there is no way to ask for one.
func parseLife(value string) (time.Duration, error) {
	const day, most = 24 * time.Hour, 100 * 365 * 24 * time.Hour
	d, err := time.ParseDuration(value)
	if days, ok := strings.CutSuffix(value, "d"); ok {
		n, atoiErr := strconv.Atoi(days)
		if atoiErr != nil || n > int(most/day) || n < -int(most/day) {
			return 0, errors.New("it is no number of days up to 36500")
		}
		d, err = time.Duration(n)*day, nil
	}
	switch {
	case err != nil:
		return 0, errors.New("it is no duration; write it as 15m, 24h or 30d")
	case d == 0:
		return 0, errors.New("the token would be expired at once")
	case d > most || d < -most:
		return 0, errors.New("it is more than a century")
	}
	return d, nil
}

// parseClaims reads NAME=VALUE pairs.
func parseClaims(pairs []string) (map[string]any, error) {
	flags := map[string]string{"role": "--role", "sub": "--sub", "exp": "--exp", "iat": ""}
	claims := map[string]any{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("--claim %q: write it as NAME=VALUE", pair)
		}
		if flag, own := flags[name]; own {
			if flag == "" {
				return nil, fmt.Errorf("--claim %s: it is always now", name)
			}
			return nil, fmt.Errorf("--claim %s: use %s", name, flag)
		}
		if _, ok := claims[name]; ok {
			return nil, fmt.Errorf("--claim %s: it was given twice", name)
		}
		claims[name] = value
		if json.Valid([]byte(value)) {
			claims[name] = json.RawMessage(value)
		}
	}
	return claims, nil
}
