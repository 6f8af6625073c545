// Package cost estimates what a stack costs a month, from its parameters and
// from how it is used. It asks nobody: prices are in its table.
package cost

import (
	"errors"
	"fmt"
	"math"
)

// A Usage is how a stack is used in a month.
type Usage struct {
	// Hours are those that it exists.
	Hours float64 `json:"hours"`
	// Tasks is how many there are on average, 0 for as many as there are at
	// least.
	Tasks float64 `json:"tasks"`
	// Requests come in; ResponseKB is the size of an answer.
	Requests   float64 `json:"requests"`
	ResponseKB float64 `json:"response_kb"`
	// LogsGB is what is logged.
	LogsGB float64 `json:"logs_gb"`
	// NatGB is what goes through the NAT gateway: calls of functions, logs,
	// images.
	NatGB float64 `json:"nat_gb"`
	// Traced is the share of requests that are traced, from 0 to 1.
	Traced float64 `json:"traced"`
	// ImagesGB is what the registry holds.
	ImagesGB float64 `json:"images_gb"`
}

// Month is the number of hours that AWS's own examples give a month.
const Month = 730

// DefaultUsage is that of a service with 2.5 requests a second.
func DefaultUsage() Usage {
	return Usage{Hours: Month, Requests: 6_500_000, ResponseKB: 10, LogsGB: 5, NatGB: 10, Traced: 0.05, ImagesGB: 0.2}
}

// Validate says what is wrong with a usage of the plan.
func (u Usage) Validate(p Plan) error {
	for name, v := range map[string]float64{
		"hours": u.Hours, "tasks": u.Tasks, "requests": u.Requests, "response size": u.ResponseKB,
		"logs": u.LogsGB, "NAT data": u.NatGB, "traced share": u.Traced, "images": u.ImagesGB,
	} {
		if v < 0 || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("the %s cannot be %g", name, v)
		}
	}
	switch {
	case u.Hours > 744:
		return fmt.Errorf("no month has %g hours; use 744 at most", u.Hours)
	case u.Traced > 1:
		return errors.New("no more than all requests can be traced; use a share from 0 to 1, such as 0.05")
	case u.Tasks != 0 && (u.Tasks < float64(p.Tasks) || u.Tasks > float64(p.MaxTasks)):
		return fmt.Errorf("the stack keeps between %d and %d tasks, so it cannot have %g on average", p.Tasks, p.MaxTasks, u.Tasks)
	}
	return nil
}

// An Item is one line of an estimate.
type Item struct {
	Name   string  `json:"name"`
	Detail string  `json:"detail"`
	USD    float64 `json:"usd"`
}

// An Estimate is what a stack costs a month.
type Estimate struct {
	Items []Item `json:"items"`
	// USD is the sum of the items, each rounded to cents.
	USD float64 `json:"usd"`
}

// Of estimates. Allowances that AWS grants an account for ever are taken off
// where the stack alone stays far within them (dashboards, data to the
// internet, traces), and not where accounts tend to use them up (logs,
// metrics, alarms).
func Of(p Plan, u Usage) Estimate {
	e := &Estimate{Items: []Item{}}
	if u.Tasks == 0 {
		u.Tasks = float64(p.Tasks)
	}
	month := u.Hours / Month // what is charged by the month is charged by the hour
	e.tasks(p, u)
	e.network(p, u)

	e.add("Logs", fmt.Sprintf("%g GB, kept for %d days", u.LogsGB, p.RetentionDays),
		u.LogsGB*logsIngested.USD+u.LogsGB*float64(p.RetentionDays)/30*logsStored.USD)
	e.add("Secrets Manager", count(p.Secrets, "secret"), float64(p.Secrets)*secretMonth.USD*month)
	e.add("Image registry", fmt.Sprintf("%g GB", u.ImagesGB), u.ImagesGB*registryGB.USD)
	// A metric is billed for the hours in which it has a value.
	e.add("Metrics", fmt.Sprintf("cold starts; %d more of failures only in hours that have any", ownMetrics-1), customMetric.USD*month)
	e.add("Dashboard", "one of the account's three free ones", 0)
	alarms := count(p.ScalingAlarms, "alarm") + " of autoscaling"
	if p.Alarms > 0 {
		alarms += fmt.Sprintf(", %d for you", p.Alarms)
	}
	e.add("Alarms", alarms, float64(p.ScalingAlarms+p.Alarms)*alarmMetric.USD*month)
	if p.Insights {
		e.add("Container Insights", count(insightsMetrics, "metric")+" of cluster, service and tasks", insightsMetrics*customMetric.USD*month)
	}
	if p.WAF {
		e.add("WAF", fmt.Sprintf("web ACL, %s, %g million requests", count(wafRuleCount, "rule"), u.Requests/1e6),
			(wafACL.USD+wafRuleCount*wafRule.USD)*month+u.Requests/1e6*wafRequests.USD)
	}
	if p.Tracing {
		recorded := u.Requests * u.Traced
		e.add("X-Ray", fmt.Sprintf("%s traces, the first 100,000 free", thousands(recorded)), math.Max(0, recorded-100_000)/1e6*traces.USD)
	}
	return *e
}

// insightsMetrics are those of one cluster, one service and one family of
// tasks: 8, 11 and 6, by the example on CloudWatch's page.
const insightsMetrics = 25

// tasks adds the containers.
func (e *Estimate) tasks(p Plan, u Usage) {
	vcpu, gb, architecture := vcpuX86.USD, gbX86.USD, "x86"
	if p.ARM64 {
		vcpu, gb, architecture = vcpuARM.USD, gbARM.USD, "ARM64"
	}
	hour := p.VCPU*vcpu + p.MemoryGB*gb
	size := fmt.Sprintf("of %g vCPU and %g GB, %s", p.VCPU, p.MemoryGB, architecture)
	onDemand, spot := u.Tasks, 0.0
	if p.Spot {
		spot = math.Max(0, u.Tasks-1) * 3 / 4
		onDemand -= spot
	}
	e.add("Fargate", tasksOf(onDemand)+" "+size, onDemand*hour*u.Hours)
	if spot > 0 {
		e.add("Fargate Spot", tasksOf(spot)+fmt.Sprintf(" %s, at %.0f %% of the list price", size, spotShare*100), spot*hour*spotShare*u.Hours)
	}
}

// network adds the load balancer and what is on the way to and from it.
func (e *Estimate) network(p Plan, u Usage) {
	e.add("Load balancer", fmt.Sprintf("%g hours", u.Hours), balancerHour.USD*u.Hours)
	answersGB := u.Requests * u.ResponseKB / (1 << 20)
	units := 0.0
	if u.Hours > 0 {
		// The largest of what a unit covers; connections are counted as if each
		// request made its own.
		units = math.Max(u.Requests/(u.Hours*3600)/25, answersGB/u.Hours)
	}
	e.add("Load balancer's load", fmt.Sprintf("%.2g capacity units on average, for %g million requests of %g KB", units, u.Requests/1e6, u.ResponseKB), units*capacityUnit.USD*u.Hours)
	addresses, detail := zones+u.Tasks, fmt.Sprintf("%d of the load balancer, one a task", zones)
	if p.NAT {
		addresses, detail = zones+1, fmt.Sprintf("%d of the load balancer, one of the NAT gateway", zones)
	}
	e.add("Public IPv4", detail, addresses*publicIPv4.USD*u.Hours)
	if p.NAT {
		e.add("NAT gateway", fmt.Sprintf("%g hours, %g GB through it", u.Hours, u.NatGB), natHour.USD*u.Hours+u.NatGB*natGB.USD)
	}
	e.add("Data to the internet", fmt.Sprintf("%.3g GB of answers, the account's first 100 GB free", answersGB), math.Max(0, answersGB-100)*transferGB.USD)
}

func (e *Estimate) add(name, detail string, usd float64) {
	// What is half a cent by the price list may be a hair less in binary.
	usd = math.Round(usd*100+1e-6) / 100
	e.Items = append(e.Items, Item{name, detail, usd})
	e.USD = math.Round((e.USD+usd)*100) / 100
}

// Free are parts of a stack that cost nothing by themselves.
func Free() []string {
	return []string{
		"CloudFormation", "ECS", "autoscaling", "VPC and its S3 endpoint", "certificates of ACM", "KMS (AWS's own keys are used)", "mail of alarms", "the budget",
	}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func tasksOf(n float64) string {
	if n == 1 {
		return "1 task"
	}
	return fmt.Sprintf("%.4g tasks", n)
}

// thousands writes a whole number with commas.
func thousands(f float64) string {
	digits := fmt.Sprintf("%.0f", f)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
