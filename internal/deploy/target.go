package deploy

import (
	"strings"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// A Target is one environment of one project. All names follow from it.
type Target = stack.Names

// environmentNamed expands the short name of production.
func environmentNamed(name string) string {
	name = strings.TrimSpace(name)
	if name == "prod" {
		return "production"
	}
	return name
}
