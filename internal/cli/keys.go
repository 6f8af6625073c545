package cli

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/config"
	"github.com/selvedge-dev/selvedge/internal/function"
)

func newKeys(s Streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make the keys of a project, sign tokens and explain them",
		Long: `Make the keys of a project and print them as lines for an .env file: a JWT
secret, the anon and service_role keys that it signs, which hold for ten years,
and a publishable and a secret API key. They are new each time; nothing is kept.

The lines suit a shell, Docker Compose and systemd. For ` + "`docker run --env-file`" + `,
which takes quotes literally, remove the quotes.`,
		Example: `  (umask 077; selvedge keys > .env)
  set -a; . ./.env; set +a; selvedge serve
  selvedge keys sign --role authenticated --sub user-1 --env-file .env
  selvedge keys sign --local | selvedge keys verify --local`,
		RunE: func(*cobra.Command, []string) error {
			k, err := auth.NewKeys(time.Now())
			if err != nil {
				return err
			}
			lines := environOf(k)
			if asJSON {
				values := map[string]string{}
				for _, line := range lines {
					values[line[0]] = line[1]
				}
				enc := json.NewEncoder(s.Out)
				enc.SetIndent("", "  ")
				enc.SetEscapeHTML(false)
				return enc.Encode(values)
			}
			for _, line := range lines {
				value := line[1]
				if strings.ContainsRune(value, '"') {
					value = "'" + value + "'"
				}
				if _, err := fmt.Fprintf(s.Out, "%s=%s\n", line[0], value); err != nil {
					return err
				}
			}
			fmt.Fprintln(s.Err, "Clients may have ANON_KEY and the publishable key. The others open everything: keep them on servers.")
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, an object of the variables")
	cmd.AddCommand(newKeysSign(s), newKeysVerify(s))
	for _, c := range cmd.Commands() {
		wrapArgs(c)
	}
	return cmd
}

// environOf returns the variables that hold the keys, each a name and a value.
func environOf(k auth.Keys) [][2]string {
	return [][2]string{
		{"JWT_SECRET", k.JWTSecret},
		{"ANON_KEY", k.AnonKey},
		{"SERVICE_ROLE_KEY", k.ServiceRoleKey},
		{"SUPABASE_PUBLISHABLE_KEYS", `{"default":"` + k.Publishable + `"}`},
		{"SUPABASE_SECRET_KEYS", `{"default":"` + k.Secret + `"}`},
	}
}

// authOptions are the keys of a configuration.
func authOptions(cfg *config.Config) auth.Options {
	return auth.Options{
		JWTSecret:       cfg.JWTSecret.Reveal(),
		JWKS:            cfg.JWKS.Reveal(),
		URL:             cfg.URL,
		PublishableKeys: reveal(cfg.PublishableKeys),
		SecretKeys:      reveal(cfg.SecretKeys),
	}
}

func reveal(keys map[string]config.Secret) map[string]string {
	plain := make(map[string]string, len(keys))
	for name, key := range keys {
		plain[name] = key.Reveal()
	}
	return plain
}

// A keyring says where a command takes keys from.
type keyring struct {
	envFile string
	local   bool
}

func (k *keyring) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&k.envFile, "env-file", "", "take the keys from this `FILE`; what it does not name comes from the environment")
	cmd.Flags().BoolVar(&k.local, "local", false, "take Supabase's well-known keys for local development")
	cmd.MarkFlagsMutuallyExclusive("env-file", "local")
}

// options returns the keys that a server would have. A server's other settings
// have no say here, so that none of them can be in the way.
func (k *keyring) options() (auth.Options, error) {
	environ := map[string]string{}
	switch {
	case k.local:
		for _, line := range environOf(auth.LocalKeys()) {
			environ[line[0]] = line[1]
		}
	default:
		for _, name := range []string{"JWT_SECRET", "SUPABASE_JWKS", "SUPABASE_URL", "SUPABASE_PUBLISHABLE_KEYS", "SUPABASE_SECRET_KEYS"} {
			environ[name] = os.Getenv(name)
		}
		if k.envFile == "" {
			break
		}
		values, err := function.ReadDotenv(k.envFile, k.envFile)
		if err != nil {
			return auth.Options{}, usage(err)
		}
		for name := range environ {
			if value := values[name]; value != "" {
				environ[name] = value
			}
		}
	}
	return keyOptions(environ)
}

// keyOptions reads keys from variables as a server does.
func keyOptions(environ map[string]string) (auth.Options, error) {
	environ = maps.Clone(environ)
	dir := os.TempDir() // any folder there is: keys need no functions
	environ["SELVEDGE_FUNCTIONS"], environ["SELVEDGE_DATA_DIR"] = dir, dir
	var list []string
	for _, name := range slices.Sorted(maps.Keys(environ)) {
		list = append(list, name+"="+environ[name])
	}
	cfg, err := config.Resolve(nil, list, dir, config.Serve)
	if err != nil {
		return auth.Options{}, err
	}
	return authOptions(cfg), nil
}
