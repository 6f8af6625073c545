package deploy

import (
	"slices"
	"strings"
	"unicode"
)

// parameterNames are the parameters of the template that are a user's to set
// in selvedge.toml, SELVEDGE_DEPLOY_* and --set. The others follow from what is
// deployed.
var parameterNames = []string{
	"ProjectName", "Environment", "DesiredCount", "MaxCount", "CPU", "Memory", "CpuArchitecture", "RequireAuth", "SupabaseUrl",
	"AllowedCidr", "CertificateArn", "DomainName", "HostedZoneId", "NetworkMode", "FargateSpot", "LogRetentionDays",
	"IdleTimeoutSeconds", "EnableAlarms", "AlarmEmail", "EnableWAF", "WafRateLimit", "EnableTracing", "EnableExec",
	"EnableInsights", "MonthlyBudgetUSD", "RequestsPerTarget",
}

// keyParameters are the parameters of the template that hold keys, by the
// variable of each. They are read from parameters.json, and go to Secrets
// Manager, never to CloudFormation.
var keyParameters = map[string]string{"JWTSecret": "JWT_SECRET", "AnonKey": "ANON_KEY", "ServiceRoleKey": "SERVICE_ROLE_KEY"}

// ownKeys are keys of [deploy] that are no parameters.
var ownKeys = []string{"region", "profile", "base", "smoke"}

// fileKeys are all keys of [deploy].
func fileKeys() []string {
	keys := slices.Clone(ownKeys)
	for _, name := range parameterNames {
		keys = append(keys, snake(name))
	}
	slices.Sort(keys)
	return keys
}

// parameterOf returns the parameter that a key of [deploy] sets, "" for none.
func parameterOf(key string) string {
	for _, name := range parameterNames {
		if snake(name) == key {
			return name
		}
	}
	return ""
}

// snake writes a parameter's name as a key: MonthlyBudgetUSD is
// monthly_budget_usd.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
