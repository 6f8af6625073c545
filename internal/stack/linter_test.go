package stack

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lint says what AWS would refuse of a resolved template, or take and do
// something else than was meant, where linters of templates see nothing wrong:
// sizes of tasks, names that must be the same in two places, times that must be
// longer than others, walls that are gone.
func lint(t *Template, r *Resolved) []string {
	l := &linter{r: r}
	l.parameters(t)
	for _, name := range r.Names() {
		res := r.Resources[name]
		l.at = name
		p := res.Properties
		switch res.Type {
		case "AWS::ECS::TaskDefinition":
			l.taskDefinition(p)
		case "AWS::ECS::Service":
			l.service(p)
		case "AWS::ElasticLoadBalancingV2::LoadBalancer":
			l.attributes(p["LoadBalancerAttributes"], balancerAttributes)
		case "AWS::ElasticLoadBalancingV2::TargetGroup":
			l.targetGroup(p)
		case "AWS::ElasticLoadBalancingV2::Listener":
			l.listener(p)
		case "AWS::IAM::Role":
			l.role(p)
		case "AWS::Logs::LogGroup", "AWS::SecretsManager::Secret":
			if res.DeletionPolicy == "" {
				l.say("has no DeletionPolicy")
			}
		}
	}
	l.at = "Outputs"
	l.outputs()
	return l.found
}

type linter struct {
	r     *Resolved
	at    string
	found []string
}

func (l *linter) say(format string, args ...any) {
	l.found = append(l.found, l.at+": "+fmt.Sprintf(format, args...))
}

// parameters looks for secrets that CloudFormation would show.
func (l *linter) parameters(t *Template) {
	l.at = "Parameters"
	for i := range t.Resources {
		if t.Resources[i].Type != "AWS::SecretsManager::Secret" {
			continue
		}
		for _, name := range names(t.Resources[i].Properties.Get("SecretString")) {
			if p, ok := t.Parameter(name); ok && !p.NoEcho {
				l.say("%s is a secret without NoEcho", name)
			}
		}
	}
	for i := range t.Resources {
		if t.Resources[i].Type == "AWS::SecretsManager::Secret" {
			continue
		}
		for _, name := range names(t.Resources[i].Properties) {
			if p, ok := t.Parameter(name); ok && p.NoEcho {
				l.say("%s, a secret, is in the open in %s", name, t.Resources[i].Name)
			}
		}
	}
}

func (l *linter) taskDefinition(p map[string]any) {
	if v := p["NetworkMode"]; v != "awsvpc" {
		l.say("NetworkMode is %v; Fargate has awsvpc alone", v)
	}
	if !slices.Contains(list(p["RequiresCompatibilities"]), any("FARGATE")) {
		l.say("it does not require FARGATE")
	}
	cpu, memory := number(p["Cpu"]), number(p["Memory"])
	if !slices.Contains(MemoryFor(cpu), memory) {
		l.say("Fargate has no task of CPU %v with memory %v", p["Cpu"], p["Memory"])
	}
	if text(p["ExecutionRoleArn"]) == "" {
		l.say("without ExecutionRoleArn nobody can pull the image, write the log and read the secrets")
	}
	reserved := 0
	for _, c := range list(p["ContainerDefinitions"]) {
		c := fields(c)
		reserved += number(c["Memory"])
		l.container(c)
	}
	if reserved >= memory && memory > 0 {
		l.say("containers ask for %d of %d MiB", reserved, memory)
	}
}

func (l *linter) container(c map[string]any) {
	name := c["Name"]
	if stop := number(c["StopTimeout"]); stop > 120 {
		l.say("container %v: StopTimeout is %d, and Fargate gives 120 s", name, stop)
	}
	if !strings.HasPrefix(text(c["User"]), "65532") {
		l.say("container %v runs as %v", name, c["User"])
	}
	if c["Privileged"] == true {
		l.say("container %v is privileged", name)
	}
	exec := l.r.Parameters["EnableExec"] == "true"
	if c["ReadonlyRootFilesystem"] != true && (!exec || name != ContainerName) {
		l.say("container %v: its files are writable", name)
	}
	capabilities := fields(fields(c["LinuxParameters"])["Capabilities"])
	if added := list(capabilities["Add"]); len(added) > 0 {
		l.say("container %v has the added capabilities %v", name, added)
	}
	if dropped := list(capabilities["Drop"]); !slices.Contains(dropped, any("ALL")) && (!exec || len(dropped) < len(execDrop())) {
		l.say("container %v keeps capabilities", name)
	}
	for _, e := range list(c["Environment"]) {
		if n := text(fields(e)["Name"]); secretName.MatchString(n) {
			l.say("container %v has the secret %s in its environment, where everybody can read it", name, n)
		}
	}
	if log := fields(c["LogConfiguration"]); log["LogDriver"] != "awslogs" || fields(log["Options"])["mode"] != "non-blocking" {
		l.say("container %v waits for its log, or has none", name)
	}
	if name == ContainerName {
		l.server(c)
	}
}

var secretName = regexp.MustCompile(`SECRET|ANON_KEY|SERVICE_ROLE|_KEYS|DB_URL|PASSWORD|TOKEN`)

// server looks at the container of Selvedge.
func (l *linter) server(c map[string]any) {
	env := map[string]string{}
	for _, e := range list(c["Environment"]) {
		env[text(fields(e)["Name"])] = text(fields(e)["Value"])
	}
	seconds := func(name string) int {
		d, err := time.ParseDuration(env[name])
		if err != nil {
			l.say("%s: %v", name, err)
		}
		return int(d.Seconds())
	}
	if sum, stop := seconds("SELVEDGE_DRAIN_DELAY")+seconds("SELVEDGE_DRAIN_TIMEOUT"), number(c["StopTimeout"]); sum >= stop {
		l.say("the server takes %d s to end, and gets %d", sum, stop)
	}
	for name, res := range l.r.Resources {
		if res.Type == "AWS::ElasticLoadBalancingV2::LoadBalancer" {
			for _, a := range list(res.Properties["LoadBalancerAttributes"]) {
				if a := fields(a); a["Key"] == "idle_timeout.timeout_seconds" && number(a["Value"]) >= seconds("SELVEDGE_KEEP_ALIVE") {
					l.say("the server keeps connections for %s, and %s for %v s", env["SELVEDGE_KEEP_ALIVE"], name, a["Value"])
				}
			}
		}
	}
	l.proxies(env["SELVEDGE_TRUSTED_PROXIES"])
	if env["SELVEDGE_LOG_FORMAT"] != "json" {
		l.say("the log is not JSON, which its metrics need")
	}
	if check := list(fields(c["HealthCheck"])["Command"]); len(check) < 2 || check[0] != "CMD" || check[1] != "/usr/local/bin/selvedge" {
		l.say("the health check %v needs a shell, which the image has not", check)
	}
	tmp := false
	for _, m := range list(fields(c["LinuxParameters"])["Tmpfs"]) {
		tmp = tmp || fields(m)["ContainerPath"] == "/tmp" && number(fields(m)["Size"]) > 0
	}
	if !tmp {
		l.say("there is no /tmp that can be written to")
	}
	secrets := map[string]bool{}
	for _, s := range list(c["Secrets"]) {
		secrets[text(fields(s)["Name"])] = text(fields(s)["ValueFrom"]) != ""
	}
	for _, want := range []string{"JWT_SECRET", "ANON_KEY", "SERVICE_ROLE_KEY"} {
		if !secrets[want] {
			l.say("the container gets no %s", want)
		}
	}
}

// proxies: the load balancer's networks must be believed, and no others.
func (l *linter) proxies(trusted string) {
	var networks []netip.Prefix
	for part := range strings.SplitSeq(trusted, ",") {
		p, err := netip.ParsePrefix(part)
		if err != nil {
			l.say("trusted proxies: %v", err)
			return
		}
		networks = append(networks, p)
	}
	vpc := netip.MustParsePrefix(vpcCidr)
	for _, n := range networks {
		if !vpc.Overlaps(n) || n.Bits() < vpc.Bits() {
			l.say("%s, outside of the VPC, is a trusted proxy", n)
		}
	}
	for _, balancer := range l.r.Resources {
		if balancer.Type != "AWS::ElasticLoadBalancingV2::LoadBalancer" {
			continue
		}
		for _, s := range list(balancer.Properties["Subnets"]) {
			cidr := text(l.r.Resources[symbol(s)].Properties["CidrBlock"])
			subnet, err := netip.ParsePrefix(cidr)
			if err != nil || !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(subnet.Addr()) && n.Bits() <= subnet.Bits() }) {
				l.say("the load balancer is in %s, which is no trusted proxy", cidr)
			}
		}
	}
}

func (l *linter) service(p map[string]any) {
	if p["LaunchType"] != nil && p["CapacityProviderStrategy"] != nil {
		l.say("LaunchType and CapacityProviderStrategy exclude each other")
	}
	if p["LaunchType"] != nil {
		l.say("another LaunchType later would replace the service")
	}
	if p["DesiredCount"] != nil {
		l.say("with DesiredCount each update ends the tasks that scaling added")
	}
	if breaker := fields(fields(p["DeploymentConfiguration"])["DeploymentCircuitBreaker"]); breaker["Enable"] != true || breaker["Rollback"] != true {
		l.say("a release that does not start is not rolled back")
	}
	network := fields(fields(p["NetworkConfiguration"])["AwsvpcConfiguration"])
	private := l.r.Parameters["NetworkMode"] == "private-nat"
	if want := map[bool]any{true: "DISABLED", false: "ENABLED"}[private]; network["AssignPublicIp"] != want {
		l.say("AssignPublicIp is %v, so tasks find no way out", network["AssignPublicIp"])
	}
	task, ok := l.r.Resources[symbol(p["TaskDefinition"])]
	if !ok {
		l.say("there is no task definition %v", p["TaskDefinition"])
		return
	}
	balancers := list(p["LoadBalancers"])
	if len(balancers) == 0 {
		l.say("no load balancer leads to it")
	}
	for _, b := range balancers {
		b := fields(b)
		if !opensPort(task, b["ContainerName"], number(b["ContainerPort"])) {
			l.say("the task has no container %v with port %v", b["ContainerName"], b["ContainerPort"])
		}
		target, ok := l.r.Resources[symbol(b["TargetGroupArn"])]
		if !ok || number(target.Properties["Port"]) != number(b["ContainerPort"]) {
			l.say("the target group's port is another than the container's, %v", b["ContainerPort"])
		}
	}
}

func opensPort(task ResolvedResource, name any, port int) bool {
	for _, c := range list(task.Properties["ContainerDefinitions"]) {
		c := fields(c)
		for _, m := range list(c["PortMappings"]) {
			if c["Name"] == name && number(fields(m)["ContainerPort"]) == port {
				return true
			}
		}
	}
	return false
}

func (l *linter) targetGroup(p map[string]any) {
	if p["TargetType"] != "ip" {
		l.say("TargetType is %v; tasks of Fargate are targets by ip", p["TargetType"])
	}
	interval, timeout := number(p["HealthCheckIntervalSeconds"]), number(p["HealthCheckTimeoutSeconds"])
	if timeout >= interval || interval < 5 || interval > 300 || timeout < 2 || timeout > 120 {
		l.say("a health check every %d s cannot take up to %d s", interval, timeout)
	}
	if p["HealthCheckPath"] != "/health" {
		l.say("the health check asks %v", p["HealthCheckPath"])
	}
	l.attributes(p["TargetGroupAttributes"], targetAttributes)
}

// Attributes of load balancers and target groups, with what a value must be.
// CloudFormation takes any name, and the stack then fails half-made.
var (
	onOffPattern       = `true|false`
	balancerAttributes = map[string]string{
		"idle_timeout.timeout_seconds":                    `[1-9]|[1-9][0-9]{1,2}|[1-3][0-9]{3}|4000`,
		"client_keep_alive.seconds":                       `[1-9][0-9]{1,5}`,
		"routing.http.drop_invalid_header_fields.enabled": onOffPattern,
		"routing.http.desync_mitigation_mode":             `monitor|defensive|strictest`,
		"routing.http.xff_header_processing.mode":         `append`, // the server reads the last address
		"routing.http2.enabled":                           onOffPattern,
		"deletion_protection.enabled":                     onOffPattern,
	}
	targetAttributes = map[string]string{
		"deregistration_delay.timeout_seconds": `[1-9]?[0-9]|1[01][0-9]`, // ECS waits for it before it ends a task
		"load_balancing.algorithm.type":        `round_robin|least_outstanding_requests`,
		"stickiness.enabled":                   `false`,
	}
)

func (l *linter) attributes(v any, known map[string]string) {
	for _, a := range list(v) {
		key, value := text(fields(a)["Key"]), text(fields(a)["Value"])
		pattern, ok := known[key]
		switch {
		case !ok:
			l.say("there is no attribute %s", key)
		case !regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString(value):
			l.say("the attribute %s cannot be %q", key, value)
		}
	}
}

// sslPolicies admit nothing older than TLS 1.2.
var sslPolicies = []string{sslPolicy, "ELBSecurityPolicy-TLS13-1-2-Res-2021-06", "ELBSecurityPolicy-TLS13-1-3-2021-06"}

func (l *linter) listener(p map[string]any) {
	if p["Protocol"] == "HTTPS" {
		if !slices.Contains(sslPolicies, text(p["SslPolicy"])) {
			l.say("the SslPolicy %v does not exist, or is too old", p["SslPolicy"])
		}
		if len(list(p["Certificates"])) == 0 || text(fields(list(p["Certificates"])[0])["CertificateArn"]) == "" {
			l.say("HTTPS without a certificate")
		}
	}
	for _, a := range list(p["DefaultActions"]) {
		if a := fields(a); p["Protocol"] == "HTTP" && l.hasHTTPS() && a["Type"] != "redirect" {
			l.say("HTTP is served beside HTTPS")
		}
	}
}

func (l *linter) hasHTTPS() bool {
	for _, res := range l.r.Resources {
		if res.Type == "AWS::ElasticLoadBalancingV2::Listener" && res.Properties["Protocol"] == "HTTPS" {
			return true
		}
	}
	return false
}

// role looks at whom a role trusts, and at rights to everything.
func (l *linter) role(p map[string]any) {
	for _, s := range list(fields(p["AssumeRolePolicyDocument"])["Statement"]) {
		if c := fields(fields(s)["Condition"]); text(fields(c["StringEquals"])["aws:SourceAccount"]) == "" {
			l.say("ECS may take the role for another account")
		}
	}
	for _, doc := range list(p["Policies"]) {
		for _, s := range list(fields(fields(doc)["PolicyDocument"])["Statement"]) {
			s := fields(s)
			actions := append(list(s["Action"]), s["Action"])
			for _, resource := range append(list(s["Resource"]), s["Resource"]) {
				for _, a := range actions {
					if a, ok := a.(string); ok && resource == "*" && !needsEverything.MatchString(a) {
						l.say("it may %s of everything", a)
					}
				}
			}
			for _, a := range actions {
				if a, ok := a.(string); ok && strings.Contains(a, "*") {
					l.say("it may do %s", a)
				}
			}
		}
	}
}

// needsEverything are actions that AWS knows no resources for.
var needsEverything = regexp.MustCompile(`^(ecr:GetAuthorizationToken|xray:Put\w+|ssmmessages:\w+)$`)

func (l *linter) outputs() {
	if url := text(l.r.Outputs["FunctionsUrl"]); l.r.Outputs["FunctionsUrl"] != nil && strings.HasPrefix(url, "https://") != l.hasHTTPS() {
		l.say("FunctionsUrl is %s, and there is no such listener", url)
	}
}

// Values of a resolved template, zero where they are another type.

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func fields(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func number(v any) int {
	switch v := v.(type) {
	case int:
		return v
	case string:
		n, _ := strconv.Atoi(v)
		return n
	}
	return 0
}

// symbol is the resource that a value stands for.
func symbol(v any) string {
	name := strings.TrimSuffix(strings.TrimPrefix(text(v), "${"), "}")
	name, _, _ = strings.Cut(name, ".")
	return name
}
