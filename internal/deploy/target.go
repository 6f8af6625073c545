package deploy

import "strings"

// A Target is one environment of one project. All names follow from it.
type Target struct {
	Project, Environment string
}

// Name is what the stack is called, and in it the repository, the cluster, the
// service, the family of its tasks, and the dashboard.
func (t Target) Name() string { return t.Project + "-" + t.Environment }

// Stack is the stack of the service.
func (t Target) Stack() string { return t.Name() }

// RegistryStack is the stack of the image repository, which must be there
// before an image and hence before the service.
func (t Target) RegistryStack() string { return t.Name() + "-registry" }

// LogGroup is where the service's log is.
func (t Target) LogGroup() string { return "/ecs/" + t.Name() }

// KeysSecret is the secret of the project's keys: a JSON object of variables.
func (t Target) KeysSecret() string { return t.Project + "/" + t.Environment + "/keys" }

// FunctionsSecret is the secret of what users give their functions: a JSON
// object of variables.
func (t Target) FunctionsSecret() string { return t.Project + "/" + t.Environment + "/functions" }

// Container and port of the task.
const (
	containerName = "edge-runtime"
	containerPort = 9000
)

// environmentNamed expands the short names of environments.
func environmentNamed(name string) string {
	name = strings.TrimSpace(name)
	if name == "prod" {
		return "production"
	}
	return name
}
