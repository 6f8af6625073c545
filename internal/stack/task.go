package stack

import "strconv"

// How a task ends, in seconds. ECS takes it from the load balancer first, and
// Spot at the same time as it says that the task must end: so the server serves
// on for a while. StopTimeout is the most that Fargate gives.
const (
	stopTimeout  = 120
	drainDelay   = 10
	drainTimeout = 100
	// keepAlive is longer than the idle timeout that a load balancer can have at
	// most: otherwise it would send requests into connections that are just
	// being closed, and answer them with 502.
	keepAlive = maxIdleTimeout + 60
)

// serviceMappings divide the memory of each size of a task.
func serviceMappings() Map {
	var rows Map
	for _, m := range memories() {
		rows = append(rows, Entry{strconv.Itoa(m), object(
			"Tmp", tmpFor(m),
			"Max", workersText(m, 0),
			"Traced", workersText(m, collectorMemory))})
	}
	return object("ByMemory", rows)
}

func byMemory(column string) any { return FindInMap{"ByMemory", Ref("Memory"), column} }

// variable is one of a container's environment.
func variable(name string, value any) Map { return object("Name", name, "Value", value) }

// fromSecret is a variable that ECS gets from Secrets Manager.
func fromSecret(name string, from any) Map { return object("Name", name, "ValueFrom", from) }

// keyFrom is a variable from the keys' secret or from one of the template's.
func keyFrom(name, own string) Map {
	return fromSecret(name, If{"HasKeysSecret", Sub("${KeysSecretArn}:" + name + "::${KeysSecretVersion}"), Ref(own)})
}

func awslogs(prefix string) Map {
	return object("LogDriver", "awslogs", "Options", object(
		"awslogs-group", Ref("LogGroup"), "awslogs-region", Ref("AWS::Region"), "awslogs-stream-prefix", prefix,
		"mode", "non-blocking", "max-buffer-size", "25m"))
}

func task() []Resource {
	return []Resource{
		{Section: "Tasks", Name: "LogGroup", Type: "AWS::Logs::LogGroup", DeletionPolicy: "Delete", UpdateReplacePolicy: "Retain",
			Properties: object("LogGroupName", Sub("/ecs/"+string(stackName)), "RetentionInDays", Ref("LogRetentionDays"))},
		{Name: "TaskDefinition", Type: "AWS::ECS::TaskDefinition", DeletionPolicy: "Delete", UpdateReplacePolicy: "Retain",
			Comment: "Each release is a revision of it. They are kept, so that one can go back.",
			Properties: object(
				"Family", stackName,
				"RequiresCompatibilities", List{"FARGATE"}, "NetworkMode", "awsvpc",
				"Cpu", Ref("CPU"), "Memory", Ref("Memory"),
				"RuntimePlatform", object("CpuArchitecture", Ref("CpuArchitecture"), "OperatingSystemFamily", "LINUX"),
				"ExecutionRoleArn", GetAtt("ExecutionRole.Arn"),
				"TaskRoleArn", If{"HasTaskRole", GetAtt("TaskRole.Arn"), noValue},
				"ContainerDefinitions", List{serverContainer(), If{"HasTracing", collectorContainer(), noValue}})},
	}
}

func serverContainer() Map {
	return object(
		"Name", ContainerName,
		"Image", Ref("ImageUri"),
		"Essential", true,
		"User", "65532:65532",
		"ReadonlyRootFilesystem", If{"HasExec", false, true},
		"StopTimeout", stopTimeout,
		"PortMappings", List{object("ContainerPort", ContainerPort, "Protocol", "tcp")},
		"LinuxParameters", object(
			"InitProcessEnabled", true,
			"Capabilities", object("Drop", If{"HasExec", execDrop(), List{"ALL"}}),
			"Tmpfs", List{object("ContainerPath", "/tmp", "Size", byMemory("Tmp"), "MountOptions", List{"rw", "nosuid", "nodev", "noexec", "mode=1777"})}),
		"Ulimits", List{object("Name", "nofile", "SoftLimit", 65536, "HardLimit", 65536)},
		"HealthCheck", object("Command", List{"CMD", "/usr/local/bin/selvedge", "healthcheck"}, "Interval", 15, "Timeout", 5, "Retries", 3, "StartPeriod", 30),
		"DockerLabels", If{"HasRelease", object(ReleaseLabel, Ref("Release")), noValue},
		"Environment", List{
			variable("REQUIRE_AUTH", Ref("RequireAuth")),
			variable("ENVIRONMENT", Ref("Environment")),
			If{"HasSupabaseUrl", variable("SUPABASE_URL", Ref("SupabaseUrl")), noValue},
			variable("SB_REGION", Ref("AWS::Region")),
			variable("SELVEDGE_LOG_FORMAT", "json"),
			variable("SELVEDGE_TRUSTED_PROXIES", public1Cidr+","+public2Cidr),
			variable("SELVEDGE_KEEP_ALIVE", strconv.Itoa(keepAlive)+"s"),
			variable("SELVEDGE_DRAIN_DELAY", strconv.Itoa(drainDelay)+"s"),
			variable("SELVEDGE_DRAIN_TIMEOUT", strconv.Itoa(drainTimeout)+"s"),
			variable("SELVEDGE_MAX_MEMORY", If{"HasTracing", byMemory("Traced"), byMemory("Max")}),
			If{"HasTracing", variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"), noValue},
			// X-Ray bills each trace.
			If{"HasTracing", variable("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), noValue},
			If{"HasTracing", variable("OTEL_TRACES_SAMPLER_ARG", "0.05"), noValue},
		},
		"Secrets", List{
			keyFrom("JWT_SECRET", "JwtSecretValue"),
			keyFrom("ANON_KEY", "AnonKeyValue"),
			keyFrom("SERVICE_ROLE_KEY", "ServiceRoleKeyValue"),
			If{"HasKeysSecret", fromSecret("SELVEDGE_KEYS", Sub("${KeysSecretArn}:::${KeysSecretVersion}")), noValue},
			If{"HasFunctionSecrets", fromSecret("SELVEDGE_FUNCTION_SECRETS", Sub("${FunctionSecretsArn}:::${FunctionSecretsVersion}")), noValue},
		},
		"LogConfiguration", awslogs("edge"),
	)
}

// execDrop are the capabilities that a container has by default, but for the
// one by which a command of ECS Exec, which is root's, gets to the files of the
// server's user, its socket among them.
func execDrop() List {
	return List{"AUDIT_WRITE", "CHOWN", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
}

// collectorImage is AWS's distribution of the OpenTelemetry collector.
const collectorImage = "public.ecr.aws/aws-observability/aws-otel-collector:v0.49.0"

func collectorContainer() Map {
	return object(
		"Name", CollectorName,
		"Image", collectorImage,
		"Essential", false,
		"User", "65532:65532",
		"ReadonlyRootFilesystem", true,
		"Memory", collectorMemory,
		"LinuxParameters", object("InitProcessEnabled", true, "Capabilities", object("Drop", List{"ALL"})),
		"Environment", List{variable("AOT_CONFIG_CONTENT", collectorConfig)},
		"LogConfiguration", awslogs("collector"),
	)
}

const collectorConfig = `receivers:
  otlp:
    protocols:
      http:
        endpoint: 127.0.0.1:4318
processors:
  memory_limiter:
    check_interval: 1s
    limit_mib: 200
  batch:
    timeout: 1s
exporters:
  awsxray: {}
service:
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter, batch]
      exporters: [awsxray]
`
