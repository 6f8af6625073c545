package config

import (
	"path/filepath"
	"slices"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// dotenvFiles are the variables files of a project, where the Supabase CLI
// looks up env(NAME). Most projects need none of them, so that they are read at
// the first question.
type dotenvFiles struct {
	// dirs are the folders, the nearest first; shown is how messages call the
	// first.
	dirs  []string
	shown string

	read     bool
	values   map[string]string
	warnings []string
}

func (d *dotenvFiles) lookup(name string) (string, bool) {
	if !d.read {
		d.read = true
		d.values = map[string]string{}
		d.readAll()
	}
	value, ok := d.values[name]
	return value, ok
}

func (d *dotenvFiles) readAll() {
	for i, dir := range slices.Compact(d.dirs) {
		for _, name := range []string{".env.local", ".env"} {
			file := filepath.Join(dir, name)
			if !isFile(file) {
				continue
			}
			shown := filepath.Join(d.shown, name)
			if i > 0 {
				shown = filepath.Join(d.shown, "..", name)
			}
			values, err := function.ReadDotenv(file, shown)
			if err != nil {
				d.warnings = append(d.warnings, err.Error()+"; env() in config.toml does without the file")
				continue
			}
			for name, value := range values {
				if _, ok := d.values[name]; !ok {
					d.values[name] = value
				}
			}
		}
	}
}
