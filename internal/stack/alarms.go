package stack

// alarmAt makes an alarm of the stack. suffix is the end of its name.
func alarmAt(name, suffix, what string, properties Map) Resource {
	p := object("AlarmName", Sub(string(stackName)+"-"+suffix), "AlarmDescription", what,
		"AlarmActions", List{Ref("AlarmTopic")}, "OKActions", List{Ref("AlarmTopic")})
	return Resource{Name: name, Type: "AWS::CloudWatch::Alarm", Condition: "HasAlarms", Properties: append(p, properties...)}
}

// dimensions are name and value in turn.
func dimensions(pairs []string) List {
	var all List
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, object("Name", pairs[i], "Value", Sub(pairs[i+1])))
	}
	return all
}

// deploymentAlarms are those that roll a release back. They must not need the
// service to exist, which is made after them.
func deploymentAlarms() List {
	return List{Ref("ServerErrorsAlarm"), Ref("BalancerErrorsAlarm"), Ref("BootFailuresAlarm")}
}

func alarms() []Resource {
	// breach is how often in a row of periods of 60 s a threshold must be passed.
	breach := func(datapoints, periods int, comparison string, threshold any, missing string) Map {
		return object("Period", 60, "EvaluationPeriods", periods, "DatapointsToAlarm", datapoints,
			"ComparisonOperator", comparison, "Threshold", threshold, "TreatMissingData", missing)
	}
	metric := func(namespace any, name, statistic string, of []string) Map {
		m := object("Namespace", namespace, "MetricName", name)
		if len(of) > 0 {
			m = append(m, Entry{"Dimensions", dimensions(of)})
		}
		key := "Statistic"
		if statistic[0] == 'p' {
			key = "ExtendedStatistic"
		}
		return append(m, Entry{key, statistic})
	}
	const more, less = "GreaterThanThreshold", "LessThanThreshold"
	join := func(a, b Map) Map { return append(a[:len(a):len(a)], b...) }

	return []Resource{
		{Section: "Alarms", Name: "AlarmTopic", Type: "AWS::SNS::Topic", Condition: "HasAlarms", Properties: object(
			"TopicName", Sub(string(stackName)+"-alarms"))},
		{Name: "AlarmMail", Type: "AWS::SNS::Subscription", Condition: "HasAlarmEmail", Properties: object(
			"TopicArn", Ref("AlarmTopic"), "Protocol", "email", "Endpoint", Ref("AlarmEmail"))},
		alarmAt("ServerErrorsAlarm", "5xx", "Functions or the server answered more than 10 requests a minute with 5xx, for 2 of 3 minutes.",
			join(metric("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum", ofBalancer), breach(2, 3, more, 10, "notBreaching"))),
		alarmAt("BalancerErrorsAlarm", "load-balancer-5xx", "The load balancer itself answered more than 10 requests a minute with 5xx, for 2 of 3 minutes: tasks were missing, cut connections or took too long.",
			join(metric("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", ofBalancer), breach(2, 3, more, 10, "notBreaching"))),
		alarmAt("BootFailuresAlarm", "boot-failures", "Functions failed to start 3 times or more in a minute, for 2 of 3 minutes.",
			join(metric(Sub(metricNamespace), "BootFailures", "Sum", nil), breach(2, 3, "GreaterThanOrEqualToThreshold", 3, "notBreaching"))),
		alarmAt("UnhealthyTasksAlarm", "unhealthy-tasks", "A task failed the load balancer's health check for 3 minutes.",
			join(metric("AWS/ApplicationELB", "UnHealthyHostCount", "Maximum", ofTargets), breach(3, 3, more, 0, "notBreaching"))),
		alarmAt("LatencyAlarm", "latency", "One request in 100 waited more than 5 seconds for its answer, for 5 minutes.",
			join(append(metric("AWS/ApplicationELB", "TargetResponseTime", "p99", ofBalancer), Entry{"EvaluateLowSampleCountPercentile", "ignore"}), breach(5, 5, more, 5, "notBreaching"))),
		alarmAt("CpuAlarm", "cpu", "The tasks' CPU was above 90 % for 10 minutes: scaling is at its end or too slow.",
			join(metric("AWS/ECS", "CPUUtilization", "Average", ofService), breach(10, 10, more, 90, "notBreaching"))),
		alarmAt("MemoryAlarm", "memory", "The tasks' memory was above 90 % for 5 minutes.",
			join(metric("AWS/ECS", "MemoryUtilization", "Average", ofService), breach(5, 5, more, 90, "notBreaching"))),
		alarmAt("RunningTasksAlarm", "running-tasks", "Fewer tasks than DesiredCount ran for 5 minutes. ECS sends a sample a minute for each.",
			join(metric("AWS/ECS", "CPUUtilization", "SampleCount", ofService), breach(5, 5, less, Ref("DesiredCount"), "breaching"))),
	}
}
