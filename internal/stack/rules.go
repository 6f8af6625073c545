package stack

import (
	"fmt"
	"strconv"
	"strings"
)

// serviceRules are what CloudFormation refuses before it makes anything.
func serviceRules() []Rule {
	var rules []Rule
	for _, cpu := range CPUs() {
		fit := MemoryFor(cpu)
		rules = append(rules, Rule{
			Name: fmt.Sprintf("MemoryForCpu%d", cpu),
			When: is("CPU", strconv.Itoa(cpu)),
			Assertions: []Assertion{{
				That: Contains{texts(numbers(fit)), Ref("Memory")},
				Else: fmt.Sprintf("With CPU %d, Memory must be %s.", cpu, spoken(fit)),
			}},
		})
	}

	byHand := And{given("JWTSecret"), given("AnonKey"), given("ServiceRoleKey")}
	none := And{is("JWTSecret", ""), is("AnonKey", ""), is("ServiceRoleKey", "")}
	rules = append(rules,
		Rule{Name: "Keys", Assertions: []Assertion{{
			That: Or{given("KeysSecretArn"), byHand},
			Else: "The keys are missing: give JWTSecret, AnonKey and ServiceRoleKey, or KeysSecretArn and KeysSecretVersion.",
		}}},
		Rule{Name: "KeysFromOnePlace", When: given("KeysSecretArn"), Assertions: []Assertion{
			{none, "KeysSecretArn takes the place of JWTSecret, AnonKey and ServiceRoleKey: leave the three empty."},
		}},
		// A changed secret is then a new release, which can be rolled back.
		Rule{Name: "SecretsHaveVersions", Assertions: []Assertion{
			{together("KeysSecretArn", "KeysSecretVersion"), "KeysSecretArn and KeysSecretVersion must be given together."},
			{together("FunctionSecretsArn", "FunctionSecretsVersion"), "FunctionSecretsArn and FunctionSecretsVersion must be given together."},
		}},
		Rule{Name: "TracingHasRoom", When: is("EnableTracing", "true"), Assertions: []Assertion{
			{Not{is("Memory", "512")}, "EnableTracing needs a Memory of 1024 or more: the collector takes 256 of it."},
		}},
		Rule{Name: "DomainHasHttps", When: given("DomainName"), Assertions: []Assertion{
			{Or{given("CertificateArn"), given("HostedZoneId")}, "DomainName needs a certificate: give HostedZoneId, and one is made, or CertificateArn."},
		}},
		Rule{Name: "ZoneHasDomain", When: given("HostedZoneId"), Assertions: []Assertion{
			{given("DomainName"), "HostedZoneId says nothing without DomainName."},
		}},
		Rule{Name: "BudgetHasEmail", When: Not{is("MonthlyBudgetUSD", "0")}, Assertions: []Assertion{
			{given("AlarmEmail"), "MonthlyBudgetUSD needs AlarmEmail, to whom it is told."},
		}},
		Rule{Name: "EmailHasUse", When: given("AlarmEmail"), Assertions: []Assertion{
			{Or{is("EnableAlarms", "true"), Not{is("MonthlyBudgetUSD", "0")}}, "AlarmEmail gets nothing without EnableAlarms or MonthlyBudgetUSD."},
		}})

	// Rules cannot compare numbers.
	var bounds And
	for most := 1; most < maxDesired; most++ {
		var fit []int
		for n := 1; n <= most; n++ {
			fit = append(fit, n)
		}
		bounds = append(bounds, Or{Not{is("MaxCount", strconv.Itoa(most))}, Contains{texts(numbers(fit)), Ref("DesiredCount")}})
	}
	return append(rules, Rule{Name: "MaxCountIsNotLess", Assertions: []Assertion{
		{bounds, "MaxCount must not be less than DesiredCount."},
	}})
}

// together tests that two parameters are both given or both empty.
func together(a, b string) any {
	return Or{And{given(a), given(b)}, And{is(a, ""), is(b, "")}}
}

// spoken lists memories, those of a long run by its ends.
func spoken(list []int) string {
	if len(list) > 4 {
		return fmt.Sprintf("%d to %d in steps of 1024", list[0], list[len(list)-1])
	}
	all := numbers(list)
	return strings.Join(all[:len(all)-1], ", ") + " or " + all[len(all)-1]
}

// serviceConditions are the switches of the template. One refers only to those
// before it.
func serviceConditions() Map {
	on := func(parameter string) any { return is(parameter, "true") }
	return object(
		"HasKeysSecret", given("KeysSecretArn"),
		"HasKeyParameters", And{Not{Condition("HasKeysSecret")}, given("JWTSecret"), given("AnonKey"), given("ServiceRoleKey")},
		"HasFunctionSecrets", given("FunctionSecretsArn"),
		"HasSupabaseUrl", given("SupabaseUrl"),
		"HasRelease", given("Release"),
		"HasCertificate", given("CertificateArn"),
		"HasDomain", given("DomainName"),
		"HasZone", And{given("DomainName"), given("HostedZoneId")},
		"MakesCertificate", And{Condition("HasZone"), Not{Condition("HasCertificate")}},
		"HasHttps", Or{Condition("HasCertificate"), Condition("MakesCertificate")},
		"IsPrivate", is("NetworkMode", "private-nat"),
		"UsesSpot", on("FargateSpot"),
		"ScalesByRequests", Not{is("RequestsPerTarget", "0")},
		"HasAlarms", on("EnableAlarms"),
		"HasAlarmEmail", And{Condition("HasAlarms"), given("AlarmEmail")},
		"HasTracing", on("EnableTracing"),
		"HasExec", on("EnableExec"),
		"HasTaskRole", Or{Condition("HasTracing"), Condition("HasExec")},
		"HasInsights", on("EnableInsights"),
		"HasWaf", on("EnableWAF"),
		"HasBudget", And{Not{is("MonthlyBudgetUSD", "0")}, given("AlarmEmail")},
	)
}
