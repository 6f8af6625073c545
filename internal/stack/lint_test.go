package stack

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// set changes a property of a resource of a template. The last of path is the
// key, an int an element of a list; Ifs are gone into by Then.
func set(t *testing.T, tpl *Template, resource string, value any, path ...any) {
	t.Helper()
	r := tpl.Resource(resource)
	if r == nil {
		t.Fatalf("no resource %s", resource)
	}
	r.Properties = replace(t, r.Properties, value, path).(Map)
}

func replace(t *testing.T, in, value any, path []any) any {
	t.Helper()
	if len(path) == 0 {
		return value
	}
	switch in := in.(type) {
	case If:
		in.Then = replace(t, in.Then, value, path)
		return in
	case Map:
		out := slices.Clone(in)
		for i, e := range out {
			if e.Key == path[0] {
				out[i].Value = replace(t, e.Value, value, path[1:])
				if out[i].Value == nil {
					return slices.Delete(out, i, i+1)
				}
				return out
			}
		}
		if len(path) > 1 {
			t.Fatalf("no %v", path)
		}
		return append(out, Entry{path[0].(string), value})
	case List:
		out := slices.Clone(in)
		out[path[0].(int)] = replace(t, out[path[0].(int)], value, path[1:])
		return out
	}
	t.Fatalf("%T has no %v", in, path)
	return nil
}

func TestLint(t *testing.T) {
	server := func(path ...any) []any { return append([]any{"ContainerDefinitions", 0}, path...) }
	parameter := func(name string, change func(*Parameter)) func(*testing.T, *Template) {
		return func(_ *testing.T, tpl *Template) {
			for i := range tpl.Parameters {
				if tpl.Parameters[i].Name == name {
					change(&tpl.Parameters[i])
				}
			}
		}
	}
	property := func(resource string, value any, path ...any) func(*testing.T, *Template) {
		return func(t *testing.T, tpl *Template) { set(t, tpl, resource, value, path...) }
	}
	for name, tt := range map[string]struct {
		change func(*testing.T, *Template)
		given  []string
		want   string
	}{
		"pair of CPU and memory by default value": {parameter("Memory", func(p *Parameter) { p.Default = "512" }), nil, "no task of CPU 512 with memory 512"},
		"bridge network":                          {property("TaskDefinition", "bridge", "NetworkMode"), nil, "NetworkMode is bridge"},
		"not for Fargate":                         {property("TaskDefinition", List{"EC2"}, "RequiresCompatibilities"), nil, "does not require FARGATE"},
		"StopTimeout 300":                         {property("TaskDefinition", 300, server("StopTimeout")...), nil, "StopTimeout is 300"},
		"drain longer than StopTimeout":           {property("TaskDefinition", 100, server("StopTimeout")...), nil, "takes 110 s to end, and gets 100"},
		"health check longer than its interval":   {property("TargetGroup", 40, "HealthCheckTimeoutSeconds"), nil, "every 30 s cannot take up to 40 s"},
		"health check elsewhere":                  {property("TargetGroup", "/", "HealthCheckPath"), nil, "asks /"},
		"another container's name":                {property("Service", "web", "LoadBalancers", 0, "ContainerName"), nil, "no container web with port 9000"},
		"another container's port":                {property("Service", 8080, "LoadBalancers", 0, "ContainerPort"), nil, "no container edge-runtime with port 8080"},
		"another target group's port":             {property("TargetGroup", 80, "Port"), nil, "target group's port is another"},
		"no load balancer":                        {property("Service", nil, "LoadBalancers"), nil, "no load balancer leads to it"},
		"targets by instance":                     {property("TargetGroup", "instance", "TargetType"), nil, "TargetType is instance"},
		"launch type and capacity providers":      {property("Service", "FARGATE", "LaunchType"), nil, "exclude each other"},
		"no execution role":                       {property("TaskDefinition", nil, "ExecutionRoleArn"), nil, "without ExecutionRoleArn"},
		"misspelt attribute of the load balancer": {property("LoadBalancer", "idle_timeout.seconds", "LoadBalancerAttributes", 0, "Key"), nil, "no attribute idle_timeout.seconds"},
		"attribute that there is not":             {property("TargetGroup", "deregistration_delay.seconds", "TargetGroupAttributes", 0, "Key"), nil, "no attribute deregistration_delay.seconds"},
		"value of an attribute":                   {property("TargetGroup", "least", "TargetGroupAttributes", 1, "Value"), nil, `load_balancing.algorithm.type cannot be "least"`},
		"lost NoEcho":                             {parameter("AnonKey", func(p *Parameter) { p.NoEcho = false }), nil, "AnonKey is a secret without NoEcho"},
		"secret in the environment":               {property("TaskDefinition", variable("X", Ref("JWTSecret")), server("Environment", 0)...), nil, "JWTSecret, a secret, is in the open in TaskDefinition"},
		"secret's name in the environment":        {property("TaskDefinition", variable("ANON_KEY", "x"), server("Environment", 0)...), nil, "has the secret ANON_KEY in its environment"},
		"missing secret":                          {property("TaskDefinition", fromSecret("OTHER", "x"), server("Secrets", 0)...), nil, "gets no JWT_SECRET"},
		"added capability":                        {property("TaskDefinition", List{"SYS_PTRACE"}, server("LinuxParameters", "Capabilities", "Add")...), nil, "added capabilities [SYS_PTRACE]"},
		"capabilities kept":                       {property("TaskDefinition", List{"NET_RAW"}, server("LinuxParameters", "Capabilities", "Drop")...), nil, "keeps capabilities"},
		"capabilities kept with exec":             {property("TaskDefinition", List{"NET_RAW"}, server("LinuxParameters", "Capabilities", "Drop")...), []string{"EnableExec", "true"}, "keeps capabilities"},
		"root":                                    {property("TaskDefinition", "0:0", server("User")...), nil, "runs as 0:0"},
		"privileged":                              {property("TaskDefinition", true, server("Privileged")...), nil, "is privileged"},
		"writable files":                          {property("TaskDefinition", false, server("ReadonlyRootFilesystem")...), nil, "files are writable"},
		"no /tmp":                                 {property("TaskDefinition", List{}, server("LinuxParameters", "Tmpfs")...), nil, "no /tmp"},
		"health check by a shell":                 {property("TaskDefinition", "CMD-SHELL", server("HealthCheck", "Command", 0)...), nil, "needs a shell"},
		"log that is waited for":                  {property("TaskDefinition", "blocking", server("LogConfiguration", "Options", "mode")...), nil, "waits for its log"},
		"old SslPolicy":                           {property("HttpsListener", "ELBSecurityPolicy-2016-08", "SslPolicy"), []string{"CertificateArn", testCertificate}, "SslPolicy ELBSecurityPolicy-2016-08"},
		"HTTPS without certificate":               {property("HttpsListener", List{}, "Certificates"), []string{"CertificateArn", testCertificate}, "without a certificate"},
		"HTTP beside HTTPS":                       {property("HttpListener", "forward", "DefaultActions", 0, "Type"), []string{"CertificateArn", testCertificate}, "HTTP is served beside HTTPS"},
		"https without a listener": {func(_ *testing.T, tpl *Template) { tpl.Outputs[0].Value = Sub("https://${DomainName}") }, nil,
			"there is no such listener"},
		"DesiredCount":             {property("Service", Ref("DesiredCount"), "DesiredCount"), nil, "each update ends the tasks"},
		"no rollback":              {property("Service", false, "DeploymentConfiguration", "DeploymentCircuitBreaker", "Rollback"), nil, "not rolled back"},
		"no way out":               {property("Service", "DISABLED", "NetworkConfiguration", "AwsvpcConfiguration", "AssignPublicIp"), []string{"NetworkMode", "public"}, "tasks find no way out"},
		"trust in everybody":       {property("TaskDefinition", variable("SELVEDGE_TRUSTED_PROXIES", "0.0.0.0/0"), server("Environment", 5)...), nil, "outside of the VPC"},
		"trust in nobody":          {property("TaskDefinition", variable("SELVEDGE_TRUSTED_PROXIES", "10.0.128.0/20"), server("Environment", 5)...), nil, "is no trusted proxy"},
		"connections not kept":     {property("TaskDefinition", variable("SELVEDGE_KEEP_ALIVE", "620s"), server("Environment", 6)...), []string{"IdleTimeoutSeconds", "900"}, "keeps connections for 620s, and LoadBalancer for 900 s"},
		"log that is not JSON":     {property("TaskDefinition", variable("SELVEDGE_LOG_FORMAT", "auto"), server("Environment", 4)...), nil, "the log is not JSON"},
		"right to everything":      {property("ExecutionRole", "*", "Policies", 0, "PolicyDocument", "Statement", 3, "Resource"), nil, "may secretsmanager:GetSecretValue of everything"},
		"all rights":               {property("ExecutionRole", "logs:*", "Policies", 0, "PolicyDocument", "Statement", 2, "Action"), nil, "may do logs:*"},
		"role for other accounts":  {property("ExecutionRole", nil, "AssumeRolePolicyDocument", "Statement", 0, "Condition"), nil, "for another account"},
		"log that goes by default": {func(_ *testing.T, tpl *Template) { tpl.Resource("LogGroup").DeletionPolicy = "" }, nil, "no DeletionPolicy"},
		"collector takes all": {property("TaskDefinition", 4096, "ContainerDefinitions", 1, "Memory"), []string{"EnableTracing", "true"},
			"containers ask for 4096 of 1024 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			given := base(tt.given...)
			before := Service()
			r, err := before.Resolve(given, testPseudo)
			if err != nil {
				t.Fatal(err)
			}
			if found := lint(before, r); len(found) > 0 {
				t.Fatalf("unchanged: %q", found)
			}
			after := Service()
			tt.change(t, after)
			if r, err = after.Resolve(given, testPseudo); err != nil {
				t.Fatal(err)
			}
			found := lint(after, r)
			if !slices.ContainsFunc(found, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("found %q, want %q", found, tt.want)
			}
		})
	}
}

// TestResolveNotices has templates that name what is not there.
func TestResolveNotices(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Template)
		want   string
	}{
		"no resource":       {func(tpl *Template) { set(t, tpl, "Service", Ref("Nowhere"), "Cluster") }, "resource Service: Cluster: Nowhere does not exist"},
		"not under these":   {func(tpl *Template) { set(t, tpl, "Service", Ref("NatGateway"), "Cluster") }, "NatGateway does not exist"},
		"no condition":      {func(tpl *Template) { tpl.Resource("Service").Condition = "Never" }, "no condition Never"},
		"no row":            {func(tpl *Template) { tpl.Mappings = nil }, "mapping ByMemory has no 1024, Tmp"},
		"depends on nobody": {func(tpl *Template) { tpl.Resource("Service").DependsOn = []string{"Nobody"} }, "depends on Nobody"},
		"output":            {func(tpl *Template) { tpl.Outputs[0].Value = GetAtt("Nobody.Arn") }, "output FunctionsUrl: Nobody.Arn does not exist"},
	} {
		tpl := Service()
		tt.change(tpl)
		_, err := tpl.Resolve(base(), testPseudo)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", name, err, tt.want)
		}
	}
	if _, err := Service().Resolve(nil, testPseudo); fmt.Sprint(err) != "parameter ImageUri has no value" {
		t.Errorf("error %v", err)
	}
}
