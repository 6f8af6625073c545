package stack

import "fmt"

// Groups of parameters, in the order of the console.
const (
	groupService  = "Service"
	groupKeys     = "Keys and secrets"
	groupNetwork  = "Network and domain"
	groupScaling  = "Size and scaling"
	groupWatching = "Watching"
	groupSafety   = "Protection and cost"
)

var onOff = []string{"true", "false"}

// arnPattern is that of the ARN of a service's resource, or nothing.
func arnPattern(service string) string {
	return fmt.Sprintf(`^(arn:aws[a-z-]*:%s:[a-z0-9-]+:[0-9]{12}:.+)?$`, service)
}

func serviceParameters() []Parameter {
	return []Parameter{
		{Name: "ProjectName", Group: groupService, Type: "String", Default: "supabase-edge-runtime",
			Description:    "The project's name, part of the names of all that is made. It cannot be changed later.",
			AllowedPattern: `^[a-z][a-z0-9-]{0,38}[a-z0-9]$`, Constraint: "2 to 40 of a-z, 0-9 and -, with a letter first and no - at the end"},
		{Name: "Environment", Group: groupService, Type: "String", Default: "production",
			Description:    "The environment's name, such as dev, staging or production. It cannot be changed later.",
			AllowedPattern: `^[a-z]([a-z0-9-]{0,14}[a-z0-9])?$`, Constraint: "1 to 16 of a-z, 0-9 and -, with a letter first and no - at the end"},
		{Name: "ImageUri", Group: groupService, Type: "String", Required: true,
			Description:    "The image with the functions, best by digest: REPOSITORY@sha256:...",
			AllowedPattern: `^[A-Za-z0-9][A-Za-z0-9.:/_-]*(@sha256:[0-9a-f]{64})?$`, Constraint: "the URI of an image, with a tag or a digest"},
		{Name: "Release", Group: groupService, Type: "String",
			Description:    "The release's name, a UTC time such as 20260102T030405Z, for a label of the container.",
			AllowedPattern: `^[A-Za-z0-9._-]{0,128}$`, Constraint: "at most 128 letters, digits and . _ -"},
		{Name: "RequireAuth", Group: groupService, Type: "String", Default: "true", AllowedValues: onOff,
			Description: "Whether callers must present a valid token or key. false lets everybody call every function."},
		{Name: "SupabaseUrl", Group: groupService, Type: "String",
			Description:    "URL of the Supabase project, for the functions and for its signing keys.",
			AllowedPattern: `^(https?://[^\s]+)?$`, Constraint: "a URL that begins with https:// or http://, or nothing"},

		{Name: "JWTSecret", Group: groupKeys, Type: "String", NoEcho: true,
			Description: "The project's JWT secret; it, AnonKey and ServiceRoleKey become secrets of the stack. Leave them empty with KeysSecretArn."},
		{Name: "AnonKey", Group: groupKeys, Type: "String", NoEcho: true,
			Description: "The project's anon key."},
		{Name: "ServiceRoleKey", Group: groupKeys, Type: "String", NoEcho: true,
			Description: "The project's service role key."},
		{Name: "KeysSecretArn", Group: groupKeys, Type: "String", AllowedPattern: arnPattern("secretsmanager"), Constraint: "the ARN of a secret of Secrets Manager, or nothing",
			Description: "A secret, {\"JWT_SECRET\", \"ANON_KEY\", \"SERVICE_ROLE_KEY\"}, in place of the three parameters; selvedge deploy makes one."},
		{Name: "KeysSecretVersion", Group: groupKeys, Type: "String", AllowedPattern: `^([0-9a-zA-Z-]{32,64})?$`, Constraint: "the id of a version of a secret, or nothing",
			Description: "The version's id of KeysSecretArn that tasks get. Another one is a new release."},
		{Name: "FunctionSecretsArn", Group: groupKeys, Type: "String", AllowedPattern: arnPattern("secretsmanager"), Constraint: "the ARN of a secret of Secrets Manager, or nothing",
			Description: "A secret, a JSON object of variables for the functions; selvedge secrets makes one."},
		{Name: "FunctionSecretsVersion", Group: groupKeys, Type: "String", AllowedPattern: `^([0-9a-zA-Z-]{32,64})?$`, Constraint: "the id of a version of a secret, or nothing",
			Description: "The version's id of FunctionSecretsArn that tasks get. Another one is a new release."},

		{Name: "AllowedCidr", Group: groupNetwork, Type: "String", Default: "0.0.0.0/0",
			Description:    "The IPv4 network that may connect to the load balancer. 0.0.0.0/0 is everybody.",
			AllowedPattern: `^((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])/(3[0-2]|[12]?[0-9])$`, Constraint: "an IPv4 network such as 203.0.113.0/24"},
		{Name: "CertificateArn", Group: groupNetwork, Type: "String", AllowedPattern: arnPattern("acm"), Constraint: "the ARN of a certificate of ACM in this region, or nothing",
			Description: "A certificate of ACM in this region, for HTTPS. Without it, DomainName and HostedZoneId make one."},
		{Name: "DomainName", Group: groupNetwork, Type: "String", AllowedPattern: `^(([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63})?$`, Constraint: "a domain name such as functions.example.com, in lower case, or nothing",
			Description: "The name under which functions are called. It takes HostedZoneId or CertificateArn, or both."},
		{Name: "HostedZoneId", Group: groupNetwork, Type: "String", AllowedPattern: `^(Z[A-Z0-9]{1,31})?$`, Constraint: "the id of a hosted zone of Route 53, which begins with Z, or nothing",
			Description: "The zone of Route 53 that DomainName is in, for its record and, without CertificateArn, its certificate."},
		{Name: "NetworkMode", Group: groupNetwork, Type: "String", Default: "public", AllowedValues: []string{"public", "private-nat"},
			Description: "public gives tasks public addresses, which only the load balancer may connect to. private-nat puts them behind a NAT gateway with a fixed address, for some 30 USD more a month."},
		{Name: "IdleTimeoutSeconds", Group: groupNetwork, Type: "Number", Default: "120", Min: 1, Max: maxIdleTimeout,
			Description: "How many seconds a request, a stream or a WebSocket may be silent."},

		{Name: "DesiredCount", Group: groupScaling, Type: "Number", Default: "2", Min: 1, Max: maxDesired,
			Description: "How many tasks there are at least."},
		{Name: "MaxCount", Group: groupScaling, Type: "Number", Default: "10", Min: 1, Max: 1000,
			Description: "How many tasks there are at most."},
		{Name: "CPU", Group: groupScaling, Type: "String", Default: "512", AllowedValues: numbers(CPUs()),
			Description: "The CPU of a task; 1024 is one virtual processor."},
		{Name: "Memory", Group: groupScaling, Type: "String", Default: "1024", AllowedValues: numbers(memories()),
			Description: "The memory of a task in MiB. Which there are depends on CPU."},
		{Name: "CpuArchitecture", Group: groupScaling, Type: "String", Default: "X86_64", AllowedValues: []string{"X86_64", "ARM64"},
			Description: "The processor of the tasks. The image must be for the same. ARM64 costs a fifth less."},
		{Name: "FargateSpot", Group: groupScaling, Type: "String", Default: "false", AllowedValues: onOff,
			Description: "Whether three of four tasks after the first run on spare capacity, which is cheaper and may be taken away."},
		{Name: "RequestsPerTarget", Group: groupScaling, Type: "Number", Default: "0", Max: 1000000,
			Description: "At how many requests a minute and task another task is started. 0 looks at CPU alone."},

		{Name: "LogRetentionDays", Group: groupWatching, Type: "Number", Default: "30",
			AllowedValues: []string{"1", "3", "5", "7", "14", "30", "60", "90", "120", "150", "180", "365", "400", "545", "731", "1096", "1827", "2192", "2557", "2922", "3288", "3653"},
			Description:   "How many days the log is kept."},
		{Name: "EnableAlarms", Group: groupWatching, Type: "String", Default: "false", AllowedValues: onOff,
			Description: "Whether there are alarms, and those for errors roll a release back."},
		{Name: "AlarmEmail", Group: groupWatching, Type: "String", AllowedPattern: `^([^@\s]+@[^@\s]+\.[^@\s]+)?$`, Constraint: "an address such as ops@example.com, or nothing",
			Description: "Who gets mail of alarms, after confirming it, and of the budget."},
		{Name: "EnableTracing", Group: groupWatching, Type: "String", Default: "false", AllowedValues: onOff,
			Description: "Whether a collector in each task takes traces to X-Ray."},
		{Name: "EnableInsights", Group: groupWatching, Type: "String", Default: "false", AllowedValues: onOff,
			Description: "Whether Container Insights is on, which is billed by the metric."},
		{Name: "EnableExec", Group: groupWatching, Type: "String", Default: "false", AllowedValues: onOff,
			Description: "Whether ECS Exec may run commands in the container, such as selvedge ps. Its files become writable."},

		{Name: "EnableWAF", Group: groupSafety, Type: "String", Default: "false", AllowedValues: onOff,
			Description: "Whether a firewall with AWS's common rules and a bound for each address is before the load balancer."},
		{Name: "WafRateLimit", Group: groupSafety, Type: "Number", Default: "2000", Min: 10, Max: 2000000000,
			Description: "How many requests an address may send in five minutes."},
		{Name: "MonthlyBudgetUSD", Group: groupSafety, Type: "Number", Default: "0", Max: 10000000,
			Description: "Of how much a month, spent by the whole account, AlarmEmail hears at 80 % and when it is forecast. 0 for none."},
	}
}

// maxDesired bounds DesiredCount, because its rule against MaxCount has to be
// written out.
const maxDesired = 10

// maxIdleTimeout is the load balancer's bound, in seconds.
const maxIdleTimeout = 4000
