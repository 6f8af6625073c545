package stack

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	without := func(name string, more ...string) map[string]string {
		p := base(more...)
		delete(p, name)
		return p
	}
	byHand := func(more ...string) map[string]string {
		p := base(more...)
		delete(p, "KeysSecretArn")
		delete(p, "KeysSecretVersion")
		return p
	}
	const secret = "the-secret-itself"
	for name, tt := range map[string]struct {
		given map[string]string
		want  []string
	}{
		"by the command":           {base(), nil},
		"by hand":                  {byHand("JWTSecret", secret, "AnonKey", "a", "ServiceRoleKey", "s"), nil},
		"nothing":                  {nil, []string{"ImageUri is missing: the image with the functions", "The keys are missing: give JWTSecret, AnonKey and ServiceRoleKey, or KeysSecretArn"}},
		"no keys":                  {byHand(), []string{"The keys are missing"}},
		"two of three keys":        {byHand("JWTSecret", secret, "AnonKey", "a"), []string{"The keys are missing"}},
		"keys twice":               {base("JWTSecret", secret), []string{"KeysSecretArn takes the place of JWTSecret"}},
		"keys without version":     {without("KeysSecretVersion"), []string{"KeysSecretArn and KeysSecretVersion must be given together"}},
		"version without keys":     {without("KeysSecretArn"), []string{"The keys are missing", "KeysSecretArn and KeysSecretVersion must"}},
		"secrets without version":  {base("FunctionSecretsArn", testFunctions), []string{"FunctionSecretsArn and FunctionSecretsVersion must be given together"}},
		"version without secrets":  {base("FunctionSecretsVersion", testVersion), []string{"FunctionSecretsArn and FunctionSecretsVersion must"}},
		"domain alone":             {base("DomainName", "f.example.com"), []string{"DomainName needs a certificate: give HostedZoneId"}},
		"domain with zone":         {base("DomainName", "f.example.com", "HostedZoneId", "Z1"), nil},
		"domain with certificate":  {base("DomainName", "f.example.com", "CertificateArn", testCertificate), nil},
		"zone alone":               {base("HostedZoneId", "Z1"), []string{"HostedZoneId says nothing without DomainName"}},
		"budget without mail":      {base("MonthlyBudgetUSD", "50"), []string{"MonthlyBudgetUSD needs AlarmEmail"}},
		"mail for nothing":         {base("AlarmEmail", "ops@example.com"), []string{"AlarmEmail gets nothing without EnableAlarms or MonthlyBudgetUSD"}},
		"mail for the budget":      {base("AlarmEmail", "ops@example.com", "MonthlyBudgetUSD", "50"), nil},
		"alarms without mail":      {base("EnableAlarms", "true"), nil},
		"more at least than most":  {base("DesiredCount", "4", "MaxCount", "3"), []string{"MaxCount must not be less than DesiredCount"}},
		"as many at least as most": {base("DesiredCount", "3", "MaxCount", "3"), nil},
		"tracing in a small task":  {base("EnableTracing", "true", "CPU", "256", "Memory", "512"), []string{"EnableTracing needs a Memory of 1024 or more"}},
		"unknown":                  {base("Desired", "2", "Cpu", "3"), []string{"There is no parameter Cpu.", "There is no parameter Desired."}},
		"no number":                {base("DesiredCount", "two"), []string{`DesiredCount must be a whole number, not "two".`}},
		"number with zeros":        {base("DesiredCount", "02"), []string{`DesiredCount must be a whole number, not "02".`}},
		"too many":                 {base("IdleTimeoutSeconds", "5000"), []string{"IdleTimeoutSeconds must be from 1 to 4000, not 5000."}},
		"none of the values":       {base("CPU", "300"), []string{`CPU must be one of 256, 512, 1024, 2048, 4096, not "300".`}},
		"a day that logs have not": {base("LogRetentionDays", "10"), []string{"LogRetentionDays must be one of 1, 3, 5"}},
		"half a network":           {base("AllowedCidr", "10.0.0.0"), []string{`AllowedCidr must be an IPv4 network such as 203.0.113.0/24, not "10.0.0.0".`}},
		"no IPv4 network":          {base("AllowedCidr", "10.0.0.256/33"), []string{"AllowedCidr must be an IPv4 network"}},
		"certificate of another":   {base("CertificateArn", "arn:aws:iam::111122223333:server-certificate/x"), []string{"CertificateArn must be the ARN of a certificate of ACM"}},
		"name in capitals":         {base("ProjectName", "Shop"), []string{"ProjectName must be 2 to 40 of a-z"}},
		"name with a line":         {base("ProjectName", "shop\nx"), []string{"ProjectName must be 2 to 40 of a-z"}},
		"name too long":            {base("ProjectName", strings.Repeat("x", 41)), []string{"ProjectName must be 2 to 40"}},
		"environment with a dash":  {base("Environment", "dev-"), []string{"Environment must be 1 to 16 of a-z"}},
		"no image":                 {base("ImageUri", ""), []string{"ImageUri must be the URI of an image"}},
		"half a digest":            {base("ImageUri", "r/x@sha256:12"), []string{"ImageUri must be the URI"}},
		"no URL":                   {base("SupabaseUrl", "x.supabase.co"), []string{"SupabaseUrl must be a URL that begins with https://"}},
		"no mail":                  {base("AlarmEmail", "ops", "EnableAlarms", "true"), []string{"AlarmEmail must be an address"}},
	} {
		err := Service().Check(tt.given)
		var p *ParameterError
		if err != nil && !errors.As(err, &p) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var said []string
		if p != nil {
			for _, problem := range p.Problems {
				said = append(said, problem.Message)
				if (problem.Parameter == "") == (problem.Rule == "") {
					t.Errorf("%s: %+v is of a parameter or of a rule", name, problem)
				}
			}
			if strings.Join(said, "\n") != err.Error() {
				t.Errorf("%s: %q is not %q", name, err, said)
			}
		}
		if len(said) != len(tt.want) {
			t.Errorf("%s: got %q, want %q", name, said, tt.want)
			continue
		}
		for i, want := range tt.want {
			if !strings.Contains(said[i], want) {
				t.Errorf("%s: got %q, want %q", name, said[i], want)
			}
		}
		if strings.Contains(fmt.Sprint(err), secret) {
			t.Errorf("%s: a secret is in %q", name, err)
		}
	}
}

// TestCheckKnowsEveryPair compares the rules with the list of AWS.
func TestCheckKnowsEveryPair(t *testing.T) {
	// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
	// in GB, for tasks of 256 up to 4096.
	list := map[string][2]int{"256": {1, 2}, "512": {1, 4}, "1024": {2, 8}, "2048": {4, 16}, "4096": {8, 30}}
	valid := 0
	for cpu, bounds := range list {
		for _, memory := range append([]int{256, 512, 1536}, gib(1, 32)...) {
			fits := memory%1024 == 0 && memory >= bounds[0]*1024 && memory <= bounds[1]*1024 || cpu == "256" && memory == 512
			err := Service().Check(base("CPU", cpu, "Memory", fmt.Sprint(memory)))
			if (err == nil) != fits {
				t.Errorf("CPU %s with %d: error %v", cpu, memory, err)
			}
			if fits {
				valid++
			}
		}
	}
	if valid != 3+4+7+13+23 {
		t.Errorf("%d pairs", valid)
	}
	if MemoryFor(300) != nil {
		t.Error("there is a CPU of 300")
	}
}

func gib(from, to int) []int {
	var all []int
	for n := from; n <= to; n++ {
		all = append(all, n*1024)
	}
	return all
}

// TestDefaultsPass: every default is a value that is allowed.
func TestDefaultsPass(t *testing.T) {
	for _, tpl := range []*Template{Service(), Registry()} {
		for _, p := range tpl.Parameters {
			if problem := p.problem(p.Default); problem != "" && !p.Required {
				t.Error(problem)
			}
			if p.AllowedPattern != "" && p.Constraint == "" {
				t.Errorf("%s says nothing of what it must be", p.Name)
			}
		}
	}
	if err := Registry().Check(nil); err != nil {
		t.Error(err)
	}
}

func TestInterface(t *testing.T) {
	// What guides name, with its defaults.
	for name, want := range map[string]string{
		"ProjectName": "supabase-edge-runtime", "Environment": "production", "DesiredCount": "2", "CPU": "512", "Memory": "1024", "RequireAuth": "true",
	} {
		if p, ok := Service().Parameter(name); !ok || p.Default != want || p.Required {
			t.Errorf("%s is %+v", name, p)
		}
	}
	for _, name := range []string{"JWTSecret", "AnonKey", "ServiceRoleKey"} {
		if p, ok := Service().Parameter(name); !ok || !p.NoEcho || p.Default != "" {
			t.Errorf("%s is %+v", name, p)
		}
	}
	r := resolve(t, Service(), base())
	var outputs []string
	for name := range r.Outputs {
		outputs = append(outputs, name)
	}
	slices.Sort(outputs)
	if want := "[ClusterName DashboardUrl FunctionsUrl LoadBalancerDNS LogGroupName ServiceName TargetGroupArn TaskDefinitionArn]"; fmt.Sprint(outputs) != want {
		t.Errorf("outputs are %v", outputs)
	}
	env := environment(r)
	if env["REQUIRE_AUTH"] != "true" || env["ENVIRONMENT"] != "production" {
		t.Errorf("environment is %v", env)
	}
}

func TestKey(t *testing.T) {
	for name, want := range map[string]string{"ProjectName": "project_name", "CPU": "cpu", "EnableWAF": "enable_waf", "MonthlyBudgetUSD": "monthly_budget_usd", "JWTSecret": "jwt_secret", "CpuArchitecture": "cpu_architecture"} {
		if got := (Parameter{Name: name}).Key(); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
