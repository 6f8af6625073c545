package stack

// attribute is a setting of a load balancer or a target group.
func attribute(key string, value any) Map { return object("Key", key, "Value", value) }

func balancer() []Resource {
	forward := object("Type", "forward", "TargetGroupArn", Ref("TargetGroup"))
	return []Resource{
		{Section: "Load balancer", Name: "LoadBalancer", Type: "AWS::ElasticLoadBalancingV2::LoadBalancer",
			// Without the route its names cannot be reached.
			DependsOn: []string{"PublicRoute"},
			Properties: object(
				"Type", "application", "Scheme", "internet-facing",
				"Subnets", List{Ref("PublicSubnet1"), Ref("PublicSubnet2")},
				"SecurityGroups", List{GetAtt("LoadBalancerSecurityGroup.GroupId")},
				"LoadBalancerAttributes", List{
					attribute("idle_timeout.timeout_seconds", Ref("IdleTimeoutSeconds")),
					attribute("routing.http.drop_invalid_header_fields.enabled", "true"),
					attribute("routing.http.desync_mitigation_mode", "defensive"),
					attribute("deletion_protection.enabled", "false"),
				})},
		{Name: "TargetGroup", Type: "AWS::ElasticLoadBalancingV2::TargetGroup", Properties: object(
			"VpcId", Ref("Vpc"), "TargetType", "ip", "Protocol", "HTTP", "Port", ContainerPort,
			"HealthCheckPath", "/health",
			"HealthCheckIntervalSeconds", 30, "HealthCheckTimeoutSeconds", 10,
			"HealthyThresholdCount", 2, "UnhealthyThresholdCount", 3,
			"Matcher", object("HttpCode", "200"),
			"TargetGroupAttributes", List{
				attribute("deregistration_delay.timeout_seconds", "60"),
				attribute("load_balancing.algorithm.type", "least_outstanding_requests"),
			})},
		{Name: "HttpListener", Type: "AWS::ElasticLoadBalancingV2::Listener", Properties: object(
			"LoadBalancerArn", Ref("LoadBalancer"), "Port", 80, "Protocol", "HTTP",
			"DefaultActions", List{If{"HasHttps",
				object("Type", "redirect", "RedirectConfig", object("Protocol", "HTTPS", "Port", "443", "StatusCode", "HTTP_301")),
				forward}})},
		{Name: "Certificate", Type: "AWS::CertificateManager::Certificate", Condition: "MakesCertificate", Properties: object(
			"DomainName", Ref("DomainName"), "ValidationMethod", "DNS",
			"DomainValidationOptions", List{object("DomainName", Ref("DomainName"), "HostedZoneId", Ref("HostedZoneId"))})},
		{Name: "HttpsListener", Type: "AWS::ElasticLoadBalancingV2::Listener", Condition: "HasHttps", Properties: object(
			"LoadBalancerArn", Ref("LoadBalancer"), "Port", 443, "Protocol", "HTTPS", "SslPolicy", sslPolicy,
			"Certificates", List{object("CertificateArn", If{"HasCertificate", Ref("CertificateArn"), Ref("Certificate")})},
			"DefaultActions", List{forward})},
		{Name: "DomainRecord", Type: "AWS::Route53::RecordSet", Condition: "HasZone", Properties: object(
			"HostedZoneId", Ref("HostedZoneId"), "Name", Ref("DomainName"), "Type", "A",
			"AliasTarget", object("DNSName", GetAtt("LoadBalancer.DNSName"), "HostedZoneId", GetAtt("LoadBalancer.CanonicalHostedZoneID"), "EvaluateTargetHealth", true))},
	}
}

// sslPolicy admits TLS 1.3 and, of 1.2, what has forward secrecy.
const sslPolicy = "ELBSecurityPolicy-TLS13-1-2-2021-06"
