package stack

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	testCertificate = "arn:aws:acm:eu-central-1:111122223333:certificate/01234567-89ab-cdef-0123-456789abcdef"
	testFunctions   = "arn:aws:secretsmanager:eu-central-1:111122223333:secret:supabase-edge-runtime/production/functions-AbCdEf"
	testVersion     = "01234567-89ab-cdef-0123-456789abcdef"
)

// A choice is something that parameters decide, with the sets of parameters for
// each way.
type choice struct {
	name string
	ways []map[string]string
}

func way(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

func onOrOff(name string) choice { return choice{name, []map[string]string{way(), way(name, "true")}} }

// choices are all that the template can be.
func choices() []choice {
	return []choice{
		{"keys", []map[string]string{
			way("KeysSecretArn", base()["KeysSecretArn"], "KeysSecretVersion", testVersion),
			way("JWTSecret", "a-secret-that-nobody-may-see", "AnonKey", "an-anon-key-of-the-test", "ServiceRoleKey", "a-service-role-key")}},
		{"secrets", []map[string]string{way(), way("FunctionSecretsArn", testFunctions, "FunctionSecretsVersion", testVersion)}},
		{"domain", []map[string]string{way(),
			way("CertificateArn", testCertificate),
			way("DomainName", "f.example.com", "HostedZoneId", "Z0123456789"),
			way("DomainName", "f.example.com", "CertificateArn", testCertificate),
			way("DomainName", "f.example.com", "CertificateArn", testCertificate, "HostedZoneId", "Z0123456789")}},
		{"alarms", []map[string]string{way(), way("EnableAlarms", "true"), way("EnableAlarms", "true", "AlarmEmail", "ops@example.com"),
			way("MonthlyBudgetUSD", "100", "AlarmEmail", "ops@example.com"),
			way("EnableAlarms", "true", "MonthlyBudgetUSD", "100", "AlarmEmail", "ops@example.com")}},
		{"network", []map[string]string{way(), way("NetworkMode", "private-nat")}},
		onOrOff("FargateSpot"), onOrOff("EnableWAF"), onOrOff("EnableTracing"), onOrOff("EnableExec"), onOrOff("EnableInsights"),
		{"requests", []map[string]string{way(), way("RequestsPerTarget", "1000")}},
		{"url", []map[string]string{way(), way("SupabaseUrl", "https://x.supabase.co", "Release", "20260102T030405Z")}},
		{"auth", []map[string]string{way(), way("RequireAuth", "false", "AllowedCidr", "203.0.113.0/24")}},
		{"size", []map[string]string{way(), way("CPU", "256", "Memory", "1024", "CpuArchitecture", "ARM64"), way("CPU", "4096", "Memory", "30720", "IdleTimeoutSeconds", "4000"),
			way("DesiredCount", "1", "MaxCount", "1", "LogRetentionDays", "1", "ProjectName", "x1", "Environment", "e")}},
	}
}

// set of parameters for the way of each choice.
func setOf(all []choice, at []int) map[string]string {
	p := map[string]string{"ImageUri": base()["ImageUri"]}
	for i, c := range all {
		for k, v := range c.ways[at[i]] {
			p[k] = v
		}
	}
	return p
}

// pairs returns sets in which each way of each choice meets each way of each
// other.
func pairs(all []choice) [][]int {
	type pair struct{ a, x, b, y int }
	open := map[pair]bool{}
	for a := range all {
		for b := a + 1; b < len(all); b++ {
			for x := range all[a].ways {
				for y := range all[b].ways {
					open[pair{a, x, b, y}] = true
				}
			}
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	var sets [][]int
	for len(open) > 0 {
		var best []int
		most := 0
		for range 50 {
			at := make([]int, len(all))
			for i := range at {
				at[i] = random.IntN(len(all[i].ways))
			}
			n := 0
			for p := range open {
				if at[p.a] == p.x && at[p.b] == p.y {
					n++
				}
			}
			if n > most {
				best, most = at, n
			}
		}
		if best == nil {
			continue
		}
		for p := range open {
			if best[p.a] == p.x && best[p.b] == p.y {
				delete(open, p)
			}
		}
		sets = append(sets, best)
	}
	return sets
}

// TestEverySet resolves the template for sets in which each way of each choice
// meets each of every other, and asserts what must be whichever is chosen.
func TestEverySet(t *testing.T) {
	all := choices()
	tpl := Service()
	sets := pairs(all)
	if len(sets) > 200 {
		t.Errorf("%d sets", len(sets))
	}
	for _, at := range sets {
		given := setOf(all, at)
		r := resolve(t, tpl, given)
		for _, found := range lint(tpl, r) {
			t.Errorf("%v: %s", given, found)
		}
		assertSet(t, given, r)
		if t.Failed() {
			return
		}
	}
	for _, cpu := range CPUs() {
		for _, memory := range MemoryFor(cpu) {
			for _, tracing := range []string{"false", "true"} {
				given := base("CPU", strconv.Itoa(cpu), "Memory", strconv.Itoa(memory), "EnableTracing", tracing)
				if tracing == "true" && memory == 512 {
					continue // refused, see TestCheck
				}
				r := resolve(t, tpl, given)
				for _, found := range lint(tpl, r) {
					t.Errorf("%v: %s", given, found)
				}
				assertMemory(t, r, memory, tracing == "true")
			}
		}
	}
}

// assertSet says what there must be and what it must be like.
func assertSet(t *testing.T, given map[string]string, r *Resolved) {
	t.Helper()
	p := r.Parameters
	on := func(name string) bool { return p[name] == "true" }
	exist := func(want bool, names ...string) {
		t.Helper()
		for _, name := range names {
			if _, ok := r.Resources[name]; ok != want {
				t.Errorf("%v: %s exists: %t", given, name, ok)
			}
		}
	}
	same := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v: %s is %v, want %v", given, what, got, want)
		}
	}
	of := func(resource string, path ...any) any { return dig(r.Resources[resource].Properties, path...) }
	name := p["ProjectName"] + "-" + p["Environment"]
	n := Names{p["ProjectName"], p["Environment"]}

	// Names, which the deploy command knows as well.
	same("stack", n.Stack(), name)
	same("cluster", of("Cluster", "ClusterName"), n.Stack())
	same("service", of("Service", "ServiceName"), n.Stack())
	same("family", of("TaskDefinition", "Family"), n.Stack())
	same("log group", of("LogGroup", "LogGroupName"), n.LogGroup())
	same("dashboard", of("Dashboard", "DashboardName"), n.Stack())

	// Keys.
	byHand := p["KeysSecretArn"] == ""
	exist(byHand, "JwtSecretValue", "AnonKeyValue", "ServiceRoleKeyValue")
	from := map[string]any{}
	for _, s := range list(of("TaskDefinition", "ContainerDefinitions", 0, "Secrets")) {
		from[text(fields(s)["Name"])] = fields(s)["ValueFrom"]
	}
	readable := fmt.Sprint(of("ExecutionRole", "Policies", 0, "PolicyDocument", "Statement", 3, "Resource"))
	if byHand {
		same("secrets", from["ANON_KEY"], "${AnonKeyValue}")
		same("whole secret", from["SELVEDGE_KEYS"], nil)
		if strings.Count(readable, "${") != 3 {
			t.Errorf("%v: may read %s", given, readable)
		}
	} else {
		same("secrets", from["ANON_KEY"], p["KeysSecretArn"]+":ANON_KEY::"+testVersion)
		same("whole secret", from["SELVEDGE_KEYS"], p["KeysSecretArn"]+":::"+testVersion)
		if !strings.Contains(readable, p["KeysSecretArn"]) {
			t.Errorf("%v: may read %s", given, readable)
		}
	}
	if p["FunctionSecretsArn"] != "" {
		same("function secrets", from["SELVEDGE_FUNCTION_SECRETS"], testFunctions+":::"+testVersion)
	} else {
		same("function secrets", from["SELVEDGE_FUNCTION_SECRETS"], nil)
	}
	if strings.Contains(readable, "functions-") != (p["FunctionSecretsArn"] != "") {
		t.Errorf("%v: may read %s", given, readable)
	}

	// The way in.
	https := p["CertificateArn"] != "" || p["HostedZoneId"] != ""
	exist(https, "HttpsListener")
	exist(p["CertificateArn"] == "" && p["HostedZoneId"] != "", "Certificate")
	exist(p["HostedZoneId"] != "", "DomainRecord")
	url := "http://${LoadBalancer.DNSName}"
	if https {
		url = "https://${LoadBalancer.DNSName}"
		if p["DomainName"] != "" {
			url = "https://" + p["DomainName"]
		}
		certificate := p["CertificateArn"]
		if certificate == "" {
			certificate = "${Certificate}"
		}
		same("certificate", of("HttpsListener", "Certificates", 0, "CertificateArn"), certificate)
		same("redirect", of("HttpListener", "DefaultActions", 0, "RedirectConfig", "StatusCode"), "HTTP_301")
	} else {
		same("forward", of("HttpListener", "DefaultActions", 0, "TargetGroupArn"), "${TargetGroup}")
	}
	same("URL", r.Outputs["FunctionsUrl"], url)
	var ports []any
	for _, rule := range list(of("LoadBalancerSecurityGroup", "SecurityGroupIngress")) {
		ports = append(ports, fields(rule)["FromPort"])
		same("who may connect", fields(rule)["CidrIp"], p["AllowedCidr"])
	}
	if want := map[bool]string{true: "[80 443]", false: "[80]"}[https]; fmt.Sprint(ports) != want {
		t.Errorf("%v: open are %v", given, ports)
	}
	same("who reaches tasks", of("TasksFromLoadBalancer", "SourceSecurityGroupId"), "${LoadBalancerSecurityGroup.GroupId}")
	same("what else reaches tasks", of("TaskSecurityGroup", "SecurityGroupIngress"), nil)
	same("idle timeout", of("LoadBalancer", "LoadBalancerAttributes", 0, "Value"), p["IdleTimeoutSeconds"])
	same("health check", []any{of("TargetGroup", "HealthCheckIntervalSeconds"), of("TargetGroup", "HealthCheckTimeoutSeconds"), of("TargetGroup", "HealthyThresholdCount"), of("TargetGroup", "UnhealthyThresholdCount")}, "[30 10 2 3]")

	// The network.
	private := p["NetworkMode"] == "private-nat"
	exist(private, "NatGateway", "NatAddress", "PrivateSubnet1", "PrivateSubnet2", "PrivateRoute")
	kind := map[bool]string{true: "Private", false: "Public"}[private]
	same("subnets", of("Service", "NetworkConfiguration", "AwsvpcConfiguration", "Subnets"), fmt.Sprintf("[${%sSubnet1} ${%sSubnet2}]", kind, kind))
	assertSubnets(t, r)
	same("S3's routes", len(list(of("S3Endpoint", "RouteTableIds"))), map[bool]int{true: 2, false: 1}[private])

	// Tasks.
	spot := list(of("Service", "CapacityProviderStrategy"))
	same("capacity", len(spot), map[bool]int{true: 2, false: 1}[on("FargateSpot")])
	same("first capacity", fields(spot[0])["CapacityProvider"], "FARGATE")
	same("architecture", of("TaskDefinition", "RuntimePlatform", "CpuArchitecture"), p["CpuArchitecture"])
	same("exec", of("Service", "EnableExecuteCommand"), on("EnableExec"))
	same("read-only", of("TaskDefinition", "ContainerDefinitions", 0, "ReadonlyRootFilesystem"), !on("EnableExec"))
	exist(on("EnableExec") || on("EnableTracing"), "TaskRole")
	same("task role", of("TaskDefinition", "TaskRoleArn") != nil, on("EnableExec") || on("EnableTracing"))
	same("containers", len(list(of("TaskDefinition", "ContainerDefinitions"))), map[bool]int{true: 2, false: 1}[on("EnableTracing")])
	env := environment(r)
	same("traces", env["OTEL_EXPORTER_OTLP_ENDPOINT"] != "", on("EnableTracing"))
	same("auth", env["REQUIRE_AUTH"], p["RequireAuth"])
	same("region", env["SB_REGION"], "eu-central-1")
	same("URL of Supabase", env["SUPABASE_URL"], p["SupabaseUrl"])
	same("release", dig(of("TaskDefinition", "ContainerDefinitions", 0, "DockerLabels"), ReleaseLabel) != nil, p["Release"] != "")
	same("insights", of("Cluster", "ClusterSettings", 0, "Value"), map[bool]string{true: "enabled", false: "disabled"}[on("EnableInsights")])
	same("kept revisions", r.Resources["TaskDefinition"].UpdateReplacePolicy, "Retain")

	// Scaling.
	same("least", of("ScalableTarget", "MinCapacity"), p["DesiredCount"])
	same("most", of("ScalableTarget", "MaxCapacity"), p["MaxCount"])
	same("CPU", dig(of("CpuScaling", "TargetTrackingScalingPolicyConfiguration"), "TargetValue"), 70)
	same("out and in", []any{dig(of("CpuScaling", "TargetTrackingScalingPolicyConfiguration"), "ScaleOutCooldown"), dig(of("CpuScaling", "TargetTrackingScalingPolicyConfiguration"), "ScaleInCooldown")}, "[60 300]")
	exist(p["RequestsPerTarget"] != "0", "RequestScaling")

	// Watching.
	alarms := on("EnableAlarms")
	exist(alarms, "AlarmTopic", "ServerErrorsAlarm", "BalancerErrorsAlarm", "BootFailuresAlarm", "UnhealthyTasksAlarm", "LatencyAlarm", "CpuAlarm", "MemoryAlarm", "RunningTasksAlarm")
	exist(alarms && p["AlarmEmail"] != "", "AlarmMail")
	if alarms {
		same("rollback", dig(of("Service", "DeploymentConfiguration", "Alarms"), "Rollback"), true)
		same("too few", of("RunningTasksAlarm", "Threshold"), p["DesiredCount"])
	} else {
		same("rollback", of("Service", "DeploymentConfiguration", "Alarms"), nil)
	}
	same("retention", of("LogGroup", "RetentionInDays"), p["LogRetentionDays"])
	exist(p["MonthlyBudgetUSD"] != "0", "Budget")
	exist(on("EnableWAF"), "WebAcl", "WebAclAssociation")
	assertMetrics(t, r)

	// No secret is anywhere but in its own resource.
	for name, res := range r.Resources {
		if res.Type == "AWS::SecretsManager::Secret" {
			continue
		}
		for _, secret := range []string{"JWTSecret", "AnonKey", "ServiceRoleKey"} {
			if v := p[secret]; v != "" && strings.Contains(fmt.Sprint(res.Properties), v) {
				t.Errorf("%v: %s shows %s", given, name, secret)
			}
		}
	}
}

func environment(r *Resolved) map[string]string {
	env := map[string]string{}
	for _, e := range list(dig(r.Resources["TaskDefinition"].Properties, "ContainerDefinitions", 0, "Environment")) {
		env[text(fields(e)["Name"])] = fmt.Sprint(fields(e)["Value"])
	}
	return env
}

// dig goes into a resolved value.
func dig(v any, path ...any) any {
	for _, key := range path {
		switch key := key.(type) {
		case string:
			v = fields(v)[key]
		case int:
			l := list(v)
			if key >= len(l) {
				return nil
			}
			v = l[key]
		}
	}
	return v
}

// assertSubnets: in the VPC, apart from each other, two zones of each kind.
func assertSubnets(t *testing.T, r *Resolved) {
	t.Helper()
	var all []netip.Prefix
	zones := map[string][]any{}
	for _, name := range r.Names() {
		res := r.Resources[name]
		if res.Type != "AWS::EC2::Subnet" {
			continue
		}
		cidr := netip.MustParsePrefix(text(res.Properties["CidrBlock"]))
		if !netip.MustParsePrefix(text(r.Resources["Vpc"].Properties["CidrBlock"])).Contains(cidr.Addr()) {
			t.Errorf("%s is outside of the VPC", name)
		}
		if slices.ContainsFunc(all, cidr.Overlaps) {
			t.Errorf("%s overlaps another subnet", name)
		}
		all = append(all, cidr)
		zones[name[:6]] = append(zones[name[:6]], res.Properties["AvailabilityZone"])
	}
	for kind, z := range zones {
		if len(z) != 2 || z[0] == z[1] {
			t.Errorf("%s subnets are in %v", kind, z)
		}
	}
}

// assertMetrics: graphs and alarms of metrics of the log show those that there
// are.
func assertMetrics(t *testing.T, r *Resolved) {
	t.Helper()
	made := map[string]bool{}
	for _, res := range r.Resources {
		if res.Type == "AWS::Logs::MetricFilter" {
			m := dig(res.Properties, "MetricTransformations", 0)
			made[text(fields(m)["MetricNamespace"])+" "+text(fields(m)["MetricName"])] = true
		}
	}
	var body struct {
		Widgets []struct {
			X, Y, Width int
			Properties  struct {
				Title, Region, Query string
				Metrics              [][]any
			}
		}
	}
	raw := text(r.Resources["Dashboard"].Properties["DashboardBody"])
	if err := json.Unmarshal([]byte(raw), &body); err != nil {
		t.Fatalf("dashboard: %v\n%s", err, raw)
	}
	shown := map[string]bool{}
	titles := ""
	for _, w := range body.Widgets {
		titles += w.Properties.Title + "\n"
		if w.Properties.Region != "eu-central-1" || w.X+w.Width > 24 {
			t.Errorf("widget %+v", w)
		}
		var before []any
		for _, m := range w.Properties.Metrics {
			full := slices.Clone(m[:len(m)-1])
			if len(full) == 1 && full[0] == "..." {
				full = slices.Clone(before)
			}
			for i, part := range full {
				if part == "." {
					full[i] = before[i]
				}
			}
			before = full
			if name := fmt.Sprint(full[0], " ", full[1]); strings.HasPrefix(name, "Selvedge/") {
				shown[name] = true
				if !made[name] {
					t.Errorf("%s: nobody makes the metric %s", w.Properties.Title, name)
				}
			}
			// Dimensions come in pairs.
			if len(full)%2 != 0 {
				t.Errorf("%s: %v", w.Properties.Title, full)
			}
		}
	}
	for name := range made {
		if !shown[name] {
			t.Errorf("the dashboard lacks %s", name)
		}
	}
	for _, want := range []string{"Requests", "Errors", "Seconds", "CPU", "Memory", "Tasks", "Cold starts", "Failures of functions", "Errors in the log"} {
		if !strings.Contains(titles, want) {
			t.Errorf("the dashboard has no %s", want)
		}
	}
	for name, res := range r.Resources {
		if res.Type != "AWS::CloudWatch::Alarm" {
			continue
		}
		if space := text(res.Properties["Namespace"]); strings.HasPrefix(space, "Selvedge/") && !made[space+" "+text(res.Properties["MetricName"])] {
			t.Errorf("%s: nobody makes its metric", name)
		}
		if fmt.Sprint(res.Properties["AlarmActions"]) != "[${AlarmTopic}]" {
			t.Errorf("%s tells %v", name, res.Properties["AlarmActions"])
		}
	}
}

// assertMemory: what is in /tmp and what workers use fit into the task, with
// room for the server.
func assertMemory(t *testing.T, r *Resolved, memory int, tracing bool) {
	t.Helper()
	containers := list(r.Resources["TaskDefinition"].Properties["ContainerDefinitions"])
	tmp := number(dig(containers[0], "LinuxParameters", "Tmpfs", 0, "Size"))
	workers := memory * 3 / 4
	if v := environment(r)["SELVEDGE_MAX_MEMORY"]; v != "auto" {
		workers = number(strings.TrimSuffix(v, "MB"))
	}
	others := 0
	if tracing {
		others = number(dig(containers[1], "Memory"))
	}
	if left := memory - tmp - workers - others; left < 64 || tmp < 128 || workers < 128 {
		t.Errorf("memory %d: /tmp has %d, workers %d, the collector %d, and %d are left", memory, tmp, workers, others, left)
	}
}
