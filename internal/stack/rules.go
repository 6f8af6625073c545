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
			{given("KeysSecretVersion"), "KeysSecretArn needs KeysSecretVersion, so that a changed secret is a new release."},
		}},
		Rule{Name: "KeysVersionOfSecret", When: given("KeysSecretVersion"), Assertions: []Assertion{
			{given("KeysSecretArn"), "KeysSecretVersion says nothing without KeysSecretArn."},
		}},
		Rule{Name: "FunctionSecrets", When: given("FunctionSecretsArn"), Assertions: []Assertion{
			{given("FunctionSecretsVersion"), "FunctionSecretsArn needs FunctionSecretsVersion, so that a changed secret is a new release."},
		}},
		Rule{Name: "FunctionSecretsVersionOfSecret", When: given("FunctionSecretsVersion"), Assertions: []Assertion{
			{given("FunctionSecretsArn"), "FunctionSecretsVersion says nothing without FunctionSecretsArn."},
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
	bounds := Rule{Name: "MaxCountIsNotLess"}
	for most := 1; most < maxDesired; most++ {
		var fit []int
		for n := 1; n <= most; n++ {
			fit = append(fit, n)
		}
		bounds.Assertions = append(bounds.Assertions, Assertion{
			Or{Not{is("MaxCount", strconv.Itoa(most))}, Contains{texts(numbers(fit)), Ref("DesiredCount")}},
			fmt.Sprintf("MaxCount is %d, so DesiredCount must not be more.", most),
		})
	}
	return append(rules, bounds)
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
