package cli

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/selvedge-dev/selvedge/internal/auth"
	"github.com/selvedge-dev/selvedge/internal/config"
)

// newVerifier returns what checks callers, nil when nobody is checked, and the
// configuration that functions are run with. Without any key, dev takes those
// that every local Supabase project has, and serve refuses to start.
func newVerifier(cfg *config.Config, log *slog.Logger) (*auth.Verifier, *config.Config, error) {
	if !cfg.RequireAuth {
		return nil, cfg, nil
	}
	open := func(cfg *config.Config) (*auth.Verifier, error) {
		o := authOptions(cfg)
		o.Log = log
		return auth.New(o)
	}
	v, err := open(cfg)
	if errors.Is(err, auth.ErrNoKeys) && cfg.Command == config.Dev {
		cfg = withLocalKeys(cfg)
		v, err = open(cfg)
	}
	if errors.Is(err, auth.ErrNoKeys) {
		err = fmt.Errorf("%w; or switch authentication off with REQUIRE_AUTH=false", err)
	}
	return v, cfg, usage(err)
}

// withLocalKeys is the configuration with the well-known local keys.
func withLocalKeys(cfg *config.Config) *config.Config {
	local, keys := *cfg, auth.LocalKeys()
	local.JWTSecret = config.Secret(keys.JWTSecret)
	local.AnonKey, local.ServiceRoleKey = config.Secret(keys.AnonKey), config.Secret(keys.ServiceRoleKey)
	local.PublishableKeys = map[string]config.Secret{"default": config.Secret(keys.Publishable)}
	local.SecretKeys = map[string]config.Secret{"default": config.Secret(keys.Secret)}
	return &local
}

// sayKeys tells a developer how to call functions, and returns the curl option
// that does, "" when none is needed.
func (s *server) sayKeys(w io.Writer) string {
	switch {
	case s.verifier == nil:
		fmt.Fprintf(w, "%s\n\n", paint(w, dim, "Authentication is off: functions answer everybody."))
		return ""
	case s.cfg.JWTSecret.Reveal() == auth.LocalJWTSecret:
		fmt.Fprintf(w, "%s\n", paint(w, dim, "No keys are configured, so these are the ones every local Supabase project has:"))
		fmt.Fprintf(w, "  ANON_KEY=%s\n  publishable key: %s\n\n", s.cfg.AnonKey.Reveal(), auth.LocalPublishableKey)
		return " -H 'apikey: " + auth.LocalPublishableKey + "'"
	case s.cfg.AnonKey.Set():
		return ` -H "Authorization: Bearer $ANON_KEY"`
	default:
		return ` -H "Authorization: Bearer $TOKEN"`
	}
}
