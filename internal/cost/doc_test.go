package cost

import (
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/selvedge-dev/selvedge/internal/docpart"
	"github.com/selvedge-dev/selvedge/internal/stack"
)

var update = flag.Bool("update", false, "write the tables of docs/aws.md anew")

// TestAWSPage keeps the tables of docs/aws.md those of the code: parameters of
// the template, what stacks cost, prices.
func TestAWSPage(t *testing.T) {
	for name, made := range map[string]string{"parameters": parameterTable(), "estimates": estimateTable(t), "prices": priceTable()} {
		part := docpart.Part{File: "../../docs/aws.md", Name: name, Command: "go test ./internal/cost -update"}
		keep := part.Compare
		if *update {
			keep = part.Replace
		}
		if err := keep(made); err != nil {
			t.Error(err)
		}
	}
}

// setByDeploy are parameters that follow from what is deployed.
var setByDeploy = map[string]bool{"ImageUri": true, "Release": true, "JWTSecret": true, "AnonKey": true, "ServiceRoleKey": true,
	"KeysSecretArn": true, "KeysSecretVersion": true, "FunctionSecretsArn": true, "FunctionSecretsVersion": true}

func parameterTable() string {
	var b strings.Builder
	group := ""
	for _, p := range stack.Service().Parameters {
		if p.Group != group {
			group = p.Group
			fmt.Fprintf(&b, "\n| %s | parameter | default | |\n|---|---|---|---|\n", group)
		}
		key, fallback := "`"+p.Key()+"`", ""
		if setByDeploy[p.Name] {
			key = ""
		}
		if p.Default != "" {
			fallback = "`" + p.Default + "`"
		}
		meaning := p.Description
		switch {
		case p.Min != 0 || p.Max != 0:
			meaning += fmt.Sprintf(" From %d to %d.", p.Min, p.Max)
		case len(p.AllowedValues) > 0 && len(p.AllowedValues) <= 5 && p.AllowedValues[0] != "true":
			meaning += " One of " + strings.Join(p.AllowedValues, ", ") + "."
		}
		fmt.Fprintf(&b, "| %s | `%s` | %s | %s |\n", key, p.Name, fallback, meaning)
	}
	b.WriteString("\n")
	return b.String()
}

func estimateTable(t *testing.T) string {
	var b strings.Builder
	b.WriteString("| deployment | USD a month |\n|---|---|\n")
	base := estimate(t, DefaultUsage()).USD
	for _, row := range []struct {
		what    string
		changes []string
		more    bool
	}{
		{"the defaults: two tasks of 0.5 vCPU and 1 GB", nil, false},
		{"the same on ARM64", []string{"CpuArchitecture=ARM64"}, false},
		{"two small tasks: ARM64, 0.25 vCPU, 0.5 GB", []string{"CpuArchitecture=ARM64", "CPU=256", "Memory=512"}, false},
		{"one small task, for development", []string{"CpuArchitecture=ARM64", "CPU=256", "Memory=512", "DesiredCount=1"}, false},
		{"`network_mode = \"private-nat\"`", []string{"NetworkMode=private-nat"}, true},
		{"`enable_waf = true`", []string{"EnableWAF=true"}, true},
		{"`enable_insights = true`", []string{"EnableInsights=true"}, true},
		{"`enable_alarms = true`", []string{"EnableAlarms=true"}, true},
		{"`enable_tracing = true`, 5 % of requests", []string{"EnableTracing=true"}, true},
	} {
		usd := estimate(t, DefaultUsage(), row.changes...).USD
		if row.more {
			fmt.Fprintf(&b, "| %s | + %.2f |\n", row.what, usd-base)
			continue
		}
		fmt.Fprintf(&b, "| %s | %.2f |\n", row.what, usd)
	}
	return b.String()
}

func priceTable() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s, %s | USD | per | AWS's page |\n|---|---|---|---|\n", Region, AsOf)
	for _, p := range Prices() {
		fmt.Fprintf(&b, "| %s | %g | %s | [%s](%s) |\n", p.What, p.USD, p.Unit, strings.Split(strings.TrimPrefix(p.Source, "https://aws.amazon.com/"), "/")[0], p.Source)
	}
	return b.String()
}
