package cost

import (
	"fmt"
	"strconv"
)

// A Plan is what a stack consists of, as far as it is billed.
type Plan struct {
	Tasks, MaxTasks int     // at least and at most
	VCPU, MemoryGB  float64 // of a task
	ARM64, Spot     bool
	// NAT is set where tasks have no address of their own.
	NAT bool
	// Secrets are those of Secrets Manager.
	Secrets       int
	RetentionDays int
	// Alarms are the stack's own; ScalingAlarms those that scaling makes.
	Alarms, ScalingAlarms  int
	WAF, Tracing, Insights bool
}

// What the templates hold; a test compares it with them.
const (
	ownMetrics   = 5 // made from the log
	ownAlarms    = 8 // with EnableAlarms
	wafRuleCount = 2 // with EnableWAF
	zones        = 2 // the load balancer has an address in each
)

// FromParameters makes the plan of a stack with these parameters, which must
// be complete.
func FromParameters(parameters map[string]string) (Plan, error) {
	r := reader{parameters: parameters}
	p := Plan{
		Tasks:         r.number("DesiredCount"),
		MaxTasks:      r.number("MaxCount"),
		VCPU:          float64(r.number("CPU")) / 1024,
		MemoryGB:      float64(r.number("Memory")) / 1024,
		ARM64:         parameters["CpuArchitecture"] == "ARM64",
		Spot:          r.isOn("FargateSpot"),
		NAT:           parameters["NetworkMode"] == "private-nat",
		RetentionDays: r.number("LogRetentionDays"),
		ScalingAlarms: 2,
		WAF:           r.isOn("EnableWAF"),
		Tracing:       r.isOn("EnableTracing"),
		Insights:      r.isOn("EnableInsights"),
	}
	if r.number("RequestsPerTarget") > 0 {
		p.ScalingAlarms += 2
	}
	if r.isOn("EnableAlarms") {
		p.Alarms = ownAlarms
	}
	// By hand, the template makes one of each key; otherwise all are in one.
	p.Secrets = 1
	if parameters["JWTSecret"] != "" {
		p.Secrets = 3
	}
	if parameters["FunctionSecretsArn"] != "" {
		p.Secrets++
	}
	return p, r.err
}

// A reader takes typed values out of parameters and keeps the first error.
type reader struct {
	parameters map[string]string
	err        error
}

func (r *reader) number(name string) int {
	n, err := strconv.Atoi(r.parameters[name])
	if (err != nil || n < 0) && r.err == nil {
		r.err = fmt.Errorf("the parameter %s is %q; it must be a whole number", name, r.parameters[name])
	}
	return n
}

func (r *reader) isOn(name string) bool {
	switch r.parameters[name] {
	case "true":
		return true
	case "false", "":
		return false
	}
	if r.err == nil {
		r.err = fmt.Errorf("the parameter %s is %q; it must be true or false", name, r.parameters[name])
	}
	return false
}
