package stack

import "strings"

// alarmAt makes an alarm of the stack. CloudFormation names it after the stack
// and name.
func alarmAt(name, what string, properties Map) Resource {
	p := object("AlarmDescription", what, "AlarmActions", List{Ref("AlarmTopic")}, "OKActions", List{Ref("AlarmTopic")})
	return Resource{Name: name, Type: "AWS::CloudWatch::Alarm", Condition: "HasAlarms", Properties: append(p, properties...)}
}

// dimensions are name and value in turn.
func dimensions(pairs []string) List {
	var all List
	for i := 0; i < len(pairs); i += 2 {
		var value any = Sub(pairs[i+1])
		if parts := Sub(pairs[i+1]).parts(); len(parts) == 1 && parts[0].name {
			value = Ref(parts[0].text)
			if strings.Contains(parts[0].text, ".") {
				value = GetAtt(parts[0].text)
			}
		}
		all = append(all, object("Name", pairs[i], "Value", value))
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
		m := object("Period", 60, "EvaluationPeriods", periods)
		if datapoints != periods {
			m = append(m, Entry{"DatapointsToAlarm", datapoints})
		}
		return append(m, object("ComparisonOperator", comparison, "Threshold", threshold, "TreatMissingData", missing)...)
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
		{Section: "Alarms", Name: "AlarmTopic", Type: "AWS::SNS::Topic", Condition: "HasAlarms", Properties: object()},
		{Name: "AlarmMail", Type: "AWS::SNS::Subscription", Condition: "HasAlarmEmail", Properties: object(
			"TopicArn", Ref("AlarmTopic"), "Protocol", "email", "Endpoint", Ref("AlarmEmail"))},
		alarmAt("ServerErrorsAlarm", "More than 10 answers a minute of functions or the server were 5xx, for 2 of 3 minutes.",
			join(metric("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum", ofBalancer), breach(2, 3, more, 10, "notBreaching"))),
		alarmAt("BalancerErrorsAlarm", "More than 10 answers a minute of the load balancer itself were 5xx, for 2 of 3 minutes: tasks are missing or too slow.",
			join(metric("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count", "Sum", ofBalancer), breach(2, 3, more, 10, "notBreaching"))),
		alarmAt("BootFailuresAlarm", "Functions failed to start 3 times or more in a minute, for 2 of 3 minutes.",
			join(metric(Sub(metricNamespace), "BootFailures", "Sum", nil), breach(2, 3, "GreaterThanOrEqualToThreshold", 3, "notBreaching"))),
		alarmAt("UnhealthyTasksAlarm", "A task failed the load balancer's health check for 3 minutes.",
			join(metric("AWS/ApplicationELB", "UnHealthyHostCount", "Maximum", ofTargets), breach(3, 3, more, 0, "notBreaching"))),
		alarmAt("LatencyAlarm", "One request in 100 waited more than 5 seconds for its answer, for 5 minutes.",
			join(append(metric("AWS/ApplicationELB", "TargetResponseTime", "p99", ofBalancer), Entry{"EvaluateLowSampleCountPercentile", "ignore"}), breach(5, 5, more, 5, "notBreaching"))),
		alarmAt("CpuAlarm", "The tasks' CPU was above 90 % for 10 minutes: scaling is at its end or too slow.",
			join(metric("AWS/ECS", "CPUUtilization", "Average", ofService), breach(10, 10, more, 90, "notBreaching"))),
		alarmAt("MemoryAlarm", "The tasks' memory was above 90 % for 5 minutes.",
			join(metric("AWS/ECS", "MemoryUtilization", "Average", ofService), breach(5, 5, more, 90, "notBreaching"))),
		alarmAt("RunningTasksAlarm", "Fewer healthy tasks than DesiredCount ran for 5 minutes.",
			join(metric("AWS/ApplicationELB", "HealthyHostCount", "Maximum", ofTargets), breach(5, 5, less, Ref("DesiredCount"), "breaching"))),
	}
}
