package stack

import (
	"encoding/json"
	"strings"
)

// A logMetric is a metric that CloudWatch makes from lines of the log.
type logMetric struct {
	// resource is the filter's name in the template, metric the metric's.
	resource, metric string
	pattern          string
	// value is what a line counts, a number or a key of the line.
	value, unit string
}

// fromLog are metrics of docs/observability.md's events. They have no dimensions, since
// each value of one would be billed as a metric of its own, and no default
// value, so that hours without any cost nothing.
var fromLog = []logMetric{
	{"ColdStartMetric", "ColdStart", `{ $.event = "boot" }`, "$.boot_time_ms", "Milliseconds"},
	{"BootFailureMetric", "BootFailures", `{ $.event = "boot_failure" }`, "1", "Count"},
	{"CrashMetric", "UncaughtExceptions", `{ $.event = "uncaught_exception" }`, "1", "Count"},
	{"OverMemoryMetric", "StoppedForMemory", `{ ($.event = "shutdown") && ($.reason = "memory") }`, "1", "Count"},
	{"OverCpuMetric", "StoppedForCpu", `{ ($.event = "shutdown") && ($.reason = "cpu_time") }`, "1", "Count"},
}

// metricNamespace is where they are, Names.MetricNamespace.
const metricNamespace = "Selvedge/" + string(stackName)

func logMetrics() []Resource {
	var all []Resource
	for i, m := range fromLog {
		r := Resource{Name: m.resource, Type: "AWS::Logs::MetricFilter", Properties: object(
			"LogGroupName", Ref("LogGroup"), "FilterPattern", m.pattern,
			"MetricTransformations", List{object("MetricNamespace", Sub(metricNamespace), "MetricName", m.metric, "MetricValue", m.value, "Unit", m.unit)})}
		if i == 0 {
			r.Section = "Metrics and dashboard"
		}
		all = append(all, r)
	}
	return all
}

// A widget is a graph of the dashboard.
type widget struct {
	title string
	lines []line
	// stacked fills the graph, label is that of its axis, and max its end, 0
	// for the highest value.
	stacked bool
	label   string
	max     int
}

// A line is a metric in a graph.
type line struct {
	metric []string // namespace, name, dimensions
	stat   string
	label  string
}

// Dimensions of metrics, with names that Sub puts in.
var (
	ofBalancer = []string{"LoadBalancer", "${LoadBalancer.LoadBalancerFullName}"}
	ofTargets  = append(ofBalancer[:2:2], "TargetGroup", "${TargetGroup.TargetGroupFullName}")
	ofService  = []string{"ClusterName", string(stackName), "ServiceName", string(stackName)}
)

func widgets() []widget {
	alb := func(name, stat, label string, dimensions []string) line {
		return line{append([]string{"AWS/ApplicationELB", name}, dimensions...), stat, label}
	}
	ecs := func(name, stat, label string) line {
		return line{append([]string{"AWS/ECS", name}, ofService...), stat, label}
	}
	log := func(name, stat, label string) line { return line{[]string{metricNamespace, name}, stat, label} }
	return []widget{
		{title: "Requests", label: "a minute", lines: []line{alb("RequestCount", "Sum", "requests", ofBalancer)}},
		{title: "Errors", label: "a minute", lines: []line{
			alb("HTTPCode_Target_5XX_Count", "Sum", "5xx of functions and server", ofBalancer),
			alb("HTTPCode_ELB_5XX_Count", "Sum", "5xx of the load balancer", ofBalancer),
			alb("HTTPCode_Target_4XX_Count", "Sum", "4xx", ofBalancer)}},
		{title: "Time to the answer's first byte", label: "seconds", lines: []line{
			alb("TargetResponseTime", "p50", "half", ofBalancer),
			alb("TargetResponseTime", "p95", "95 of 100", ofBalancer),
			alb("TargetResponseTime", "p99", "99 of 100", ofBalancer)}},
		{title: "CPU of the tasks", label: "percent", max: 100, lines: []line{
			ecs("CPUUtilization", "Average", "mean"), ecs("CPUUtilization", "Maximum", "busiest")}},
		{title: "Memory of the tasks", label: "percent", max: 100, lines: []line{
			ecs("MemoryUtilization", "Average", "mean"), ecs("MemoryUtilization", "Maximum", "fullest")}},
		{title: "Tasks", label: "tasks", lines: []line{
			ecs("CPUUtilization", "SampleCount", "running"),
			alb("HealthyHostCount", "Minimum", "healthy", ofTargets),
			alb("UnHealthyHostCount", "Maximum", "unhealthy", ofTargets)}},
		{title: "Cold starts", label: "a minute", lines: []line{log("ColdStart", "SampleCount", "cold starts")}},
		{title: "Time of a cold start", label: "milliseconds", lines: []line{
			log("ColdStart", "p50", "half"), log("ColdStart", "p95", "95 of 100"), log("ColdStart", "Maximum", "slowest")}},
		{title: "Functions that failed", label: "a minute", stacked: true, lines: []line{
			log("BootFailures", "Sum", "did not start"),
			log("UncaughtExceptions", "Sum", "uncaught exception"),
			log("StoppedForMemory", "Sum", "stopped for memory"),
			log("StoppedForCpu", "Sum", "stopped for CPU time")}},
	}
}

// dashboardBody is the JSON that CloudWatch takes, with names for Sub.
func dashboardBody() string {
	type object = map[string]any
	var all []object
	for i, w := range widgets() {
		var metrics []any
		for i, l := range w.lines {
			metric := []any{}
			for j, part := range l.metric {
				// A dot is what the line before has there.
				if before := w.lines[max(0, i-1)].metric; i > 0 && j < len(before) && before[j] == part {
					part = "."
				}
				metric = append(metric, part)
			}
			metrics = append(metrics, append(metric, object{"stat": l.stat, "label": l.label}))
		}
		left := object{"label": w.label, "showUnits": false, "min": 0}
		if w.max > 0 {
			left["max"] = w.max
		}
		all = append(all, object{
			"type": "metric", "x": i % 3 * 8, "y": i / 3 * 6, "width": 8, "height": 6,
			"properties": object{
				"title": w.title, "view": "timeSeries", "stacked": w.stacked, "region": "${AWS::Region}", "period": 60,
				"metrics": metrics, "yAxis": object{"left": left},
			},
		})
	}
	all = append(all, object{
		"type": "log", "x": 0, "y": 18, "width": 24, "height": 6,
		"properties": object{
			"title": "Errors in the log", "view": "table", "region": "${AWS::Region}",
			"query": "SOURCE '/ecs/" + string(stackName) + "' | fields @timestamp, event, slug, msg, error, request_id | filter level = 'ERROR' | sort @timestamp desc | limit 50",
		},
	})
	var b strings.Builder
	// One widget a line, for those who read the template.
	b.WriteString("{\"widgets\":[\n")
	for i, w := range all {
		if i > 0 {
			b.WriteString(",\n")
		}
		var one strings.Builder
		out := json.NewEncoder(&one)
		out.SetEscapeHTML(false)
		if err := out.Encode(w); err != nil {
			panic(err)
		}
		b.WriteString(strings.TrimSpace(one.String()))
	}
	b.WriteString("\n]}\n")
	return b.String()
}

func dashboard() []Resource {
	return []Resource{{Name: "Dashboard", Type: "AWS::CloudWatch::Dashboard", Properties: object(
		"DashboardName", stackName, "DashboardBody", Sub(dashboardBody()))}}
}
