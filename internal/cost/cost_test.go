package cost

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/stack"
)

// defaults are the template's, with the keys where selvedge deploy has them.
func defaults(changes ...string) map[string]string {
	p := map[string]string{"KeysSecretArn": "arn:aws:secretsmanager:us-east-1:111122223333:secret:x"}
	for _, parameter := range stack.Service().Parameters {
		if p[parameter.Name] == "" {
			p[parameter.Name] = parameter.Default
		}
	}
	for _, change := range changes {
		name, value, _ := strings.Cut(change, "=")
		p[name] = value
	}
	return p
}

// TestTemplateHolds checks what is counted here against the template.
func TestTemplateHolds(t *testing.T) {
	count := map[string]int{}
	rules := 0
	for _, r := range stack.Service().Resources {
		count[r.Type]++
		if r.Type == "AWS::WAFv2::WebACL" {
			for _, p := range r.Properties {
				if p.Key == "Rules" {
					rules = len(p.Value.(stack.List))
				}
			}
		}
	}
	for kind, want := range map[string]int{
		"AWS::Logs::MetricFilter": ownMetrics, "AWS::CloudWatch::Alarm": ownAlarms, "AWS::CloudWatch::Dashboard": 1,
		"AWS::ElasticLoadBalancingV2::LoadBalancer": 1, "AWS::EC2::NatGateway": 1, "AWS::EC2::EIP": 1, "AWS::WAFv2::WebACL": 1,
		"AWS::ApplicationAutoScaling::ScalingPolicy": 2, "AWS::SecretsManager::Secret": 3, "AWS::ECS::Service": 1, "AWS::Budgets::Budget": 1,
	} {
		if count[kind] != want {
			t.Errorf("the template has %d of %s, the estimate counts %d", count[kind], kind, want)
		}
	}
	if rules != wafRuleCount {
		t.Errorf("the firewall has %d rules, the estimate counts %d", rules, wafRuleCount)
	}
	known := []string{"AWS::ApplicationAutoScaling", "AWS::EC2", "AWS::IAM", "AWS::ECS", "AWS::ElasticLoadBalancingV2", "AWS::Logs", "AWS::CloudWatch",
		"AWS::SecretsManager", "AWS::WAFv2", "AWS::Budgets", "AWS::SNS", "AWS::CertificateManager", "AWS::Route53"}
	for kind := range count {
		if service := kind[:strings.LastIndex(kind, "::")]; !slices.Contains(known, service) {
			t.Errorf("nobody has thought of what %s costs", kind)
		}
	}
}

func estimate(t *testing.T, u Usage, changes ...string) Estimate {
	t.Helper()
	p, err := FromParameters(defaults(changes...))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Validate(p); err != nil {
		t.Fatal(err)
	}
	e := Of(p, u)
	sum := 0.0
	for _, item := range e.Items {
		sum += item.USD
	}
	if math.Abs(sum-e.USD) > 0.001 {
		t.Errorf("the items come to %.2f, the estimate says %.2f", sum, e.USD)
	}
	return e
}

func item(t *testing.T, e Estimate, name string) float64 {
	t.Helper()
	for _, i := range e.Items {
		if i.Name == name {
			return i.USD
		}
	}
	t.Errorf("there is no %s in %+v", name, e.Items)
	return 0
}

// TestItems has the figures of the default stack, each worked out by hand from
// the price list.
func TestItems(t *testing.T) {
	e := estimate(t, DefaultUsage())
	for name, want := range map[string]float64{
		"Fargate": 36.04, "Load balancer": 16.43, "Load balancer's load": 0.58, "Public IPv4": 14.60, "Logs": 2.65,
		"Secrets Manager": 0.40, "Image registry": 0.02, "Metrics": 0.30, "Alarms": 0.20, "Dashboard": 0, "Data to the internet": 0,
	} {
		if got := item(t, e, name); got != want {
			t.Errorf("%s: %.2f, want %.2f", name, got, want)
		}
	}
	if len(e.Items) != 11 {
		t.Errorf("%d items: %+v", len(e.Items), e.Items)
	}
}

// TestTotals has what the documentation says of some stacks.
func TestTotals(t *testing.T) {
	usage := DefaultUsage()
	base := estimate(t, usage).USD
	for _, tt := range []struct {
		name    string
		changes []string
		want    float64 // without what the log's metrics, secrets and the like cost
	}{
		{"default", nil, 70.30},
		{"ARM64", []string{"CpuArchitecture=ARM64"}, 63.09},
		{"small, ARM64", []string{"CpuArchitecture=ARM64", "CPU=256", "Memory=512"}, 48.67},
		{"one small task, ARM64", []string{"CpuArchitecture=ARM64", "CPU=256", "Memory=512", "DesiredCount=1"}, 37.81},
		{"NAT", []string{"NetworkMode=private-nat"}, 70.30 + 29.65},
	} {
		e := estimate(t, usage, tt.changes...)
		small := item(t, e, "Secrets Manager") + item(t, e, "Image registry") + item(t, e, "Metrics") + item(t, e, "Alarms")
		if math.Abs(small-0.92) > 0.001 {
			t.Errorf("%s: the small items come to %.2f", tt.name, small)
		}
		if math.Abs(e.USD-small-tt.want) > 0.011 {
			t.Errorf("%s: %.2f, want %.2f", tt.name, e.USD-small, tt.want)
		}
	}
	for _, tt := range []struct {
		change string
		item   string
		more   float64
	}{
		{"EnableAlarms=true", "Alarms", 0.80},
		{"EnableWAF=true", "WAF", 5 + 2 + 6.5*0.60},
		{"EnableInsights=true", "Container Insights", 7.50},
		{"EnableTracing=true", "X-Ray", 1.13}, // (325,000 - 100,000) × 5 / 1,000,000, rounded up
		{"RequestsPerTarget=100", "Alarms", 0.20},
		{"LogRetentionDays=365", "Logs", 1.68},
		{"FunctionSecretsArn=x", "Secrets Manager", 0.40},
		{"JWTSecret=x", "Secrets Manager", 0.80},
	} {
		e := estimate(t, usage, tt.change)
		if more := e.USD - base; math.Abs(more-tt.more) > 0.006 {
			t.Errorf("%s: %.3f more, want %.2f", tt.change, more, tt.more)
		}
		item(t, e, tt.item)
	}
}

func TestSpot(t *testing.T) {
	e := estimate(t, Usage{Hours: 100, Tasks: 5}, "FargateSpot=true")
	// Of four tasks beyond the first, three are on spare capacity.
	hour := 0.5*0.04048 + 0.004445
	if got := item(t, e, "Fargate"); math.Abs(got-2*hour*100) > 0.01 {
		t.Errorf("on demand: %.2f", got)
	}
	if got := item(t, e, "Fargate Spot"); math.Abs(got-3*hour*100*spotShare) > 0.01 {
		t.Errorf("spot: %.2f", got)
	}
	for _, i := range estimate(t, DefaultUsage(), "FargateSpot=true", "DesiredCount=1").Items {
		if i.Name == "Fargate Spot" {
			t.Errorf("one task is never on spare capacity: %+v", i)
		}
	}
}

// TestUsage checks that each assumption counts.
func TestUsage(t *testing.T) {
	base := estimate(t, DefaultUsage(), "EnableTracing=true", "NetworkMode=private-nat").USD
	for name, change := range map[string]func(*Usage){
		"hours":       func(u *Usage) { u.Hours = 700 },
		"tasks":       func(u *Usage) { u.Tasks = 4 },
		"requests":    func(u *Usage) { u.Requests *= 10 },
		"response KB": func(u *Usage) { u.ResponseKB = 100 },
		"logs":        func(u *Usage) { u.LogsGB = 6 },
		"NAT":         func(u *Usage) { u.NatGB = 11 },
		"traced":      func(u *Usage) { u.Traced = 0.5 },
		"images":      func(u *Usage) { u.ImagesGB = 1 },
	} {
		u := DefaultUsage()
		change(&u)
		if got := estimate(t, u, "EnableTracing=true", "NetworkMode=private-nat").USD; math.Abs(got-base) < 0.01 {
			t.Errorf("%s does not count: %.2f", name, got)
		}
	}
	if e := estimate(t, Usage{}); e.USD != 0 {
		t.Errorf("a stack that does not exist costs %.2f", e.USD)
	}
	big := DefaultUsage()
	big.Requests, big.ResponseKB = 100e6, 10 // 954 GB
	if got, want := item(t, estimate(t, big), "Data to the internet"), (100e6*10/1048576-100)*0.09; math.Abs(got-want) > 0.01 {
		t.Errorf("data to the internet: %.2f, want %.2f", got, want)
	}
}

func TestRefusals(t *testing.T) {
	for _, change := range []string{"DesiredCount=", "CPU=half", "Memory=-1", "EnableWAF=yes", "LogRetentionDays=1e9"} {
		name, value, _ := strings.Cut(change, "=")
		if _, err := FromParameters(defaults(change)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%s is %q", name, value)) {
			t.Errorf("%s: %v", change, err)
		}
	}
	p, _ := FromParameters(defaults())
	for want, u := range map[string]Usage{
		"requests cannot be": {Requests: -1},
		"no month has":       {Hours: 745},
		"no more than all":   {Traced: 2},
		"between 2 and 10":   {Tasks: 11},
		"cannot have 1 on":   {Tasks: 1},
		"logs cannot be NaN": {LogsGB: math.NaN()},
	} {
		if err := u.Validate(p); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", u, err, want)
		}
	}
}

// TestPrices checks that each price is listed with its source, once.
func TestPrices(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range Prices() {
		if p.USD <= 0 || p.Unit == "" || !strings.HasPrefix(p.Source, "https://aws.amazon.com/") || seen[p.What] {
			t.Errorf("%+v", p)
		}
		seen[p.What] = true
	}
	if len(seen) != 21 {
		t.Errorf("%d prices", len(seen))
	}
}
