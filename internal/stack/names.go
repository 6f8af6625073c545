package stack

import (
	"strings"
	"unicode"
)

// The container that serves, and its port.
const (
	ContainerName = "edge-runtime"
	ContainerPort = 9000
	// CollectorName is that of the container that takes traces, where tracing
	// is on.
	CollectorName = "collector"
	// ReleaseLabel is the Docker label of the container with the parameter
	// Release.
	ReleaseLabel = "selvedge.release"
)

// Names are those of what a project has in one environment.
type Names struct{ Project, Environment string }

// Stack is the service's stack. Cluster, service, task family, repository and
// dashboard have the same name.
func (n Names) Stack() string { return n.Project + "-" + n.Environment }

// RegistryStack is the stack with the repository.
func (n Names) RegistryStack() string { return n.Stack() + "-registry" }

// LogGroup is where the containers log.
func (n Names) LogGroup() string { return "/ecs/" + n.Stack() }

// KeysSecret is the secret with the project's keys, a JSON object.
func (n Names) KeysSecret() string { return n.Project + "/" + n.Environment + "/keys" }

// FunctionsSecret is the secret with the functions' secrets, a JSON object.
func (n Names) FunctionsSecret() string { return n.Project + "/" + n.Environment + "/functions" }

// MetricNamespace is where the metrics are that are made from the log.
func (n Names) MetricNamespace() string { return "Selvedge/" + n.Stack() }

// Key returns the parameter's name as configuration files have it, in snake
// case: monthly_budget_usd for MonthlyBudgetUSD.
func (p Parameter) Key() string {
	var b strings.Builder
	name := []rune(p.Name)
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(name[i-1]) || i+1 < len(name) && unicode.IsLower(name[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
