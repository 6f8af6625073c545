package stack

import "slices"

// Service is the template of the service, aws-cloudformation.yaml.
func Service() *Template {
	return &Template{
		Head: `What Supabase Edge Functions need on AWS: tasks of ECS Fargate behind a load
balancer, with log, dashboard and scaling, and what the parameters add.

Made by "make generate" from internal/stack, where changes belong.
docs/aws.md explains it, and how to use it without selvedge deploy.`,
		Description: "Supabase Edge Functions on ECS Fargate behind a load balancer",
		Parameters:  serviceParameters(),
		Rules:       serviceRules(),
		Mappings:    serviceMappings(),
		Conditions:  serviceConditions(),
		Resources: slices.Concat(
			network(), balancer(), secrets(), roles(), task(), service(), scaling(), logMetrics(), dashboard(), alarms(), protection()),
		Outputs: serviceOutputs(),
	}
}

func service() []Resource {
	return []Resource{
		{Name: "Cluster", Type: "AWS::ECS::Cluster", Properties: object(
			"ClusterName", stackName,
			"CapacityProviders", List{"FARGATE", "FARGATE_SPOT"},
			"ClusterSettings", List{object("Name", "containerInsights", "Value", If{"HasInsights", "enabled", "disabled"})})},
		{Name: "Service", Type: "AWS::ECS::Service",
			Comment: "It has no DesiredCount: ECS begins with one task, and scaling sees to the rest. An\nupdate would otherwise end the tasks that scaling has added.",
			// Tasks that start sooner find no way out, or no way in.
			DependsOn: []string{"HttpListener", "PublicRoute", "PublicSubnet1Routes", "PublicSubnet2Routes", "TasksFromLoadBalancer", "S3Endpoint"},
			StartsAfter: List{
				If{"HasHttps", Ref("HttpsListener"), noValue},
				If{"IsPrivate", Ref("PrivateRoute"), noValue},
				If{"IsPrivate", Ref("PrivateSubnet1Routes"), noValue},
				If{"IsPrivate", Ref("PrivateSubnet2Routes"), noValue},
			},
			Properties: object(
				"ServiceName", stackName,
				"Cluster", Ref("Cluster"),
				"TaskDefinition", Ref("TaskDefinition"),
				"CapacityProviderStrategy", If{"UsesSpot",
					List{object("CapacityProvider", "FARGATE", "Base", 1, "Weight", 1), object("CapacityProvider", "FARGATE_SPOT", "Weight", 3)},
					List{object("CapacityProvider", "FARGATE", "Weight", 1)}},
				"AvailabilityZoneRebalancing", "ENABLED",
				"EnableExecuteCommand", If{"HasExec", true, false},
				"EnableECSManagedTags", true,
				"PropagateTags", "SERVICE",
				"HealthCheckGracePeriodSeconds", 60,
				"DeploymentConfiguration", object(
					"MinimumHealthyPercent", 100, "MaximumPercent", 200,
					"DeploymentCircuitBreaker", object("Enable", true, "Rollback", true),
					"Alarms", If{"HasAlarms", object("Enable", true, "Rollback", true, "AlarmNames", deploymentAlarms()), noValue}),
				"NetworkConfiguration", object("AwsvpcConfiguration", object(
					"AssignPublicIp", If{"IsPrivate", "DISABLED", "ENABLED"},
					"SecurityGroups", List{GetAtt("TaskSecurityGroup.GroupId")},
					"Subnets", If{"IsPrivate",
						List{Ref("PrivateSubnet1"), Ref("PrivateSubnet2")},
						List{Ref("PublicSubnet1"), Ref("PublicSubnet2")}})),
				"LoadBalancers", List{object("ContainerName", ContainerName, "ContainerPort", ContainerPort, "TargetGroupArn", Ref("TargetGroup"))})},
	}
}

func scaling() []Resource {
	tracking := func(metric Map, target any) Map {
		return object("PredefinedMetricSpecification", metric, "TargetValue", target, "ScaleOutCooldown", 60, "ScaleInCooldown", 300)
	}
	return []Resource{
		{Name: "ScalableTarget", Type: "AWS::ApplicationAutoScaling::ScalableTarget", Properties: object(
			"ServiceNamespace", "ecs", "ScalableDimension", "ecs:service:DesiredCount",
			"ResourceId", Sub("service/${Cluster}/${Service.Name}"),
			"MinCapacity", Ref("DesiredCount"), "MaxCapacity", Ref("MaxCount"))},
		{Name: "CpuScaling", Type: "AWS::ApplicationAutoScaling::ScalingPolicy", Properties: object(
			"PolicyName", Sub(string(stackName)+"-cpu"), "PolicyType", "TargetTrackingScaling", "ScalingTargetId", Ref("ScalableTarget"),
			"TargetTrackingScalingPolicyConfiguration", tracking(object("PredefinedMetricType", "ECSServiceAverageCPUUtilization"), 70))},
		{Name: "RequestScaling", Type: "AWS::ApplicationAutoScaling::ScalingPolicy", Condition: "ScalesByRequests", Properties: object(
			"PolicyName", Sub(string(stackName)+"-requests"), "PolicyType", "TargetTrackingScaling", "ScalingTargetId", Ref("ScalableTarget"),
			"TargetTrackingScalingPolicyConfiguration", tracking(object(
				"PredefinedMetricType", "ALBRequestCountPerTarget",
				"ResourceLabel", Sub("${LoadBalancer.LoadBalancerFullName}/${TargetGroup.TargetGroupFullName}")), Ref("RequestsPerTarget")))},
	}
}

func serviceOutputs() []Output {
	return []Output{
		{Name: "FunctionsUrl", Description: "Where the functions are; a function is below it, by its name", Value: If{"HasHttps",
			If{"HasDomain", Sub("https://${DomainName}"), Sub("https://${LoadBalancer.DNSName}")},
			Sub("http://${LoadBalancer.DNSName}")}},
		{Name: "LoadBalancerDNS", Description: "The load balancer, for a domain to point to", Value: GetAtt("LoadBalancer.DNSName")},
		{Name: "LogGroupName", Description: "Where the tasks log", Value: Ref("LogGroup")},
		{Name: "ClusterName", Value: Ref("Cluster")},
		{Name: "ServiceName", Value: GetAtt("Service.Name")},
		{Name: "TargetGroupArn", Description: "The target group that the tasks are in", Value: Ref("TargetGroup")},
		{Name: "TaskDefinitionArn", Description: "The release that the stack asks for", Value: Ref("TaskDefinition")},
		{Name: "DashboardUrl", Value: Sub("https://${AWS::Region}.console.aws.amazon.com/cloudwatch/home?region=${AWS::Region}#dashboards/dashboard/" + string(stackName))},
		{Name: "AlarmTopicArn", Condition: "HasAlarms", Description: "The topic that alarms go to", Value: Ref("AlarmTopic")},
	}
}
