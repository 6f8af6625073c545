package function

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// ReservedEnv reports whether the name is one that only the platform sets: the
// hosted platform reserves SUPABASE_.
func ReservedEnv(name string) bool { return strings.HasPrefix(name, "SUPABASE_") }

// An environment is a set of variables, each with the place it came from.
type environment struct {
	values  map[string]string
	sources map[string]string
}

func (e environment) clone() environment {
	if e.values == nil {
		return environment{map[string]string{}, map[string]string{}}
	}
	return environment{maps.Clone(e.values), maps.Clone(e.sources)}
}

// readSharedEnv reads what all functions share, the later of these winning:
// [edge_runtime.secrets], the variables file, Options.Secrets.
func (d *discovery) readSharedEnv(root folder) error {
	d.sharedEnv = environment{}.clone()
	d.merge(d.sharedEnv, d.EdgeRuntime.Secrets, d.EdgeRuntime.File+" [edge_runtime.secrets]")
	file := d.EnvFile
	if file == "" && root.hasFile(".env") {
		file = filepath.Join(d.Root, ".env")
	}
	if file != "" {
		if err := d.mergeFile(d.sharedEnv, file); err != nil {
			return err
		}
	}
	d.merge(d.sharedEnv, d.Secrets, d.SecretsFrom)
	return nil
}

// functionEnv returns the variables of one function, the later of these
// winning: what all share, the .env of its folder, its [functions.<slug>.env].
func (d *discovery) functionEnv(slug string, dir folder, override Override) (environment, error) {
	env := d.sharedEnv.clone()
	// A function may lie right in the functions folder, whose .env (or the
	// file that replaces it) is merged already.
	if dir.path != d.Root && dir.hasFile(".env") {
		if err := d.mergeFile(env, filepath.Join(dir.path, ".env")); err != nil {
			return env, err
		}
	}
	d.merge(env, override.Env, fmt.Sprintf("%s [functions.%s.env]", override.file(), slug))
	return env, nil
}

func (d *discovery) mergeFile(env environment, file string) error {
	values, err := ReadDotenv(file, d.show(file))
	if err != nil {
		return err
	}
	d.merge(env, values, d.show(file))
	return nil
}

// merge lays values over env, without the reserved ones.
func (d *discovery) merge(env environment, values map[string]string, source string) {
	var reserved []string
	for name, value := range values {
		if ReservedEnv(name) {
			reserved = append(reserved, name)
			continue
		}
		env.values[name] = value
		env.sources[name] = source
	}
	if len(reserved) > 0 {
		slices.Sort(reserved)
		d.warn("%s: %s skipped, names that start with SUPABASE_ are reserved: Selvedge sets them itself; use another name, or set them in Selvedge's own environment",
			source, strings.Join(reserved, ", "))
	}
}
