package stack

import (
	"encoding/json"
	"slices"
	"strings"
)

// A logMetric is a metric that CloudWatch makes from lines of the log.
type logMetric struct {
	// resource is the filter's name in the template, metric the metric's.
	resource, metric string
	pattern          string
	// value is what a line counts, a number or a key of the line.
	value string
}

// fromLog are metrics of docs/observability.md's events. They have no dimensions, since
// each value of one would be billed as a metric of its own, and no default
// value, so that hours without any cost nothing.
var fromLog = []logMetric{
	{"ColdStartMetric", "ColdStart", `{ $.event = "boot" }`, "$.boot_time_ms"},
	{"BootFailureMetric", "BootFailures", `{ $.event = "boot_failure" }`, "1"},
	{"CrashMetric", "UncaughtExceptions", `{ $.event = "uncaught_exception" }`, "1"},
	{"OverMemoryMetric", "StoppedForMemory", `{ ($.event = "shutdown") && ($.reason = "memory") }`, "1"},
	{"OverCpuMetric", "StoppedForCpu", `{ ($.event = "shutdown") && ($.reason = "cpu_time") }`, "1"},
}

// metricNamespace is where they are, Names.MetricNamespace: the cluster has the
// stack's name.
const metricNamespace = "Selvedge/${Cluster}"

func logMetrics() []Resource {
	var all []Resource
	for i, m := range fromLog {
		r := Resource{Name: m.resource, Type: "AWS::Logs::MetricFilter", Properties: object(
			"LogGroupName", Ref("LogGroup"), "FilterPattern", m.pattern,
			"MetricTransformations", List{object("MetricNamespace", Sub(metricNamespace), "MetricName", m.metric, "MetricValue", m.value)})}
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
	// stacked fills the graph, max is the end of its axis, 0 for the highest
	// value.
	stacked bool
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
	ofService  = []string{"ClusterName", "${Cluster}", "ServiceName", "${Service.Name}"}
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
		{title: "Requests a minute", lines: []line{alb("RequestCount", "Sum", "requests", ofBalancer)}},
		{title: "Errors a minute", lines: []line{
			alb("HTTPCode_Target_5XX_Count", "Sum", "5xx", ofBalancer),
			alb("HTTPCode_ELB_5XX_Count", "Sum", "5xx of the balancer", ofBalancer),
			alb("HTTPCode_Target_4XX_Count", "Sum", "4xx", ofBalancer)}},
		{title: "Seconds to the first byte of the answer", lines: []line{
			alb("TargetResponseTime", "p50", "half", ofBalancer),
			alb("TargetResponseTime", "p95", "95 of 100", ofBalancer),
			alb("TargetResponseTime", "p99", "99 of 100", ofBalancer)}},
		{title: "CPU of the tasks, %", max: 100, lines: []line{
			ecs("CPUUtilization", "Average", "mean"), ecs("CPUUtilization", "Maximum", "busiest")}},
		{title: "Memory of the tasks, %", max: 100, lines: []line{
			ecs("MemoryUtilization", "Average", "mean"), ecs("MemoryUtilization", "Maximum", "fullest")}},
		{title: "Tasks", lines: []line{
			alb("HealthyHostCount", "Maximum", "healthy", ofTargets),
			alb("UnHealthyHostCount", "Maximum", "unhealthy", ofTargets)}},
		{title: "Cold starts a minute", lines: []line{log("ColdStart", "SampleCount", "cold starts")}},
		{title: "Milliseconds of a cold start", lines: []line{
			log("ColdStart", "p50", "half"), log("ColdStart", "p95", "95 of 100"), log("ColdStart", "Maximum", "slowest")}},
		{title: "Failures of functions a minute", stacked: true, lines: []line{
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
				// A dot is what the line before has there, three are all of it.
				if i > 0 && slices.Equal(w.lines[i-1].metric, l.metric) {
					metric = []any{"..."}
					break
				}
				if i > 0 && j < len(w.lines[i-1].metric) && w.lines[i-1].metric[j] == part {
					part = "."
				}
				metric = append(metric, part)
			}
			metrics = append(metrics, append(metric, object{"stat": l.stat, "label": l.label}))
		}
		left := object{"min": 0}
		if w.max > 0 {
			left["max"] = w.max
		}
		properties := object{"title": w.title, "region": "${AWS::Region}", "period": 60, "metrics": metrics, "yAxis": object{"left": left}}
		if w.stacked {
			properties["stacked"] = true
		}
		all = append(all, object{"type": "metric", "x": i % 3 * 8, "y": i / 3 * 6, "width": 8, "properties": properties})
	}
	all = append(all, object{
		"type": "log", "x": 0, "y": 18, "width": 24,
		"properties": object{
			"title": "Errors in the log", "view": "table", "region": "${AWS::Region}",
			"query": "SOURCE '${LogGroup}' | fields @timestamp, event, slug, msg, error, request_id | filter level = 'ERROR' | sort @timestamp desc | limit 50",
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
