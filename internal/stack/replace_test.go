package stack

import (
	"fmt"
	"testing"
)

// fixed are the properties of each type whose change makes CloudFormation put
// another resource in place of the first, from the types' schemas.
var fixed = map[string][]string{
	"AWS::ApplicationAutoScaling::ScalableTarget": {"ResourceId", "ScalableDimension", "ServiceNamespace"},
	"AWS::ApplicationAutoScaling::ScalingPolicy":  {"PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension", "ScalingTargetId"},
	"AWS::Budgets::Budget":                        {"NotificationsWithSubscribers"},
	"AWS::CertificateManager::Certificate":        {"SubjectAlternativeNames", "DomainValidationOptions", "ValidationMethod", "KeyAlgorithm", "DomainName"},
	"AWS::CloudWatch::Alarm":                      {"AlarmName"},
	"AWS::CloudWatch::Dashboard":                  {"DashboardName"},
	"AWS::EC2::EIP":                               {"NetworkBorderGroup", "Address"},
	"AWS::EC2::InternetGateway":                   {},
	"AWS::EC2::NatGateway":                        {"VpcId", "SubnetId", "ConnectivityType", "AllocationId"},
	"AWS::EC2::Route":                             {"RouteTableId", "DestinationCidrBlock"},
	"AWS::EC2::RouteTable":                        {"VpcId"},
	"AWS::EC2::SecurityGroup":                     {"GroupDescription", "GroupName", "VpcId"},
	"AWS::EC2::SecurityGroupIngress":              {"IpProtocol", "SourceSecurityGroupId", "ToPort", "CidrIp", "FromPort", "GroupId"},
	"AWS::EC2::Subnet":                            {"VpcId", "AvailabilityZone", "CidrBlock"},
	"AWS::EC2::SubnetRouteTableAssociation":       {"SubnetId", "RouteTableId"},
	"AWS::EC2::VPC":                               {"CidrBlock", "InstanceTenancy"},
	"AWS::EC2::VPCEndpoint":                       {"ServiceName", "VpcEndpointType", "VpcId"},
	"AWS::EC2::VPCGatewayAttachment":              {"VpcId"},
	"AWS::ECS::Cluster":                           {"ClusterName"},
	"AWS::ECS::Service":                           {"Cluster", "Role", "SchedulingStrategy", "ServiceName", "LaunchType"},
	"AWS::ECS::TaskDefinition": {"Family", "ContainerDefinitions", "Cpu", "ExecutionRoleArn", "Memory", "NetworkMode",
		"RequiresCompatibilities", "RuntimePlatform", "TaskRoleArn", "Volumes", "EphemeralStorage"},
	"AWS::ElasticLoadBalancingV2::Listener":     {"LoadBalancerArn"},
	"AWS::ElasticLoadBalancingV2::LoadBalancer": {"Name", "Type", "Scheme"},
	"AWS::ElasticLoadBalancingV2::TargetGroup":  {"TargetType", "ProtocolVersion", "Port", "Name", "VpcId", "Protocol", "IpAddressType"},
	"AWS::IAM::Role":                {"Path", "RoleName"},
	"AWS::Logs::LogGroup":           {"LogGroupName"},
	"AWS::Logs::MetricFilter":       {"FilterName", "LogGroupName"},
	"AWS::Route53::RecordSet":       {"Name", "HostedZoneId"},
	"AWS::SNS::Subscription":        {"Endpoint", "Protocol", "TopicArn"},
	"AWS::SNS::Topic":               {"TopicName", "FifoTopic"},
	"AWS::SecretsManager::Secret":   {"Name"},
	"AWS::WAFv2::WebACL":            {"Name", "Scope"},
	"AWS::WAFv2::WebACLAssociation": {"ResourceArn", "WebACLArn"},
}

// replaceable may be put in another's place: none of them has a name of its own
// that the first one would still have, and nothing is lost.
var replaceable = map[string]bool{"TaskDefinition": true, "Budget": true, "Certificate": true, "DomainRecord": true, "AlarmMail": true}

// TestParametersReplaceNothing goes through all pairs of ways of each choice:
// whatever a user turns on or off later, what has a name, an address or data
// stays, because CloudFormation cannot make a second one of a name beside the
// first.
func TestParametersReplaceNothing(t *testing.T) {
	tpl := Service()
	all := choices()
	start := make([]int, len(all))
	for i, c := range all {
		for x := range c.ways {
			if _, ok := c.ways[x]["ProjectName"]; ok {
				continue // "It cannot be changed later."
			}
			for y := range c.ways {
				if _, ok := c.ways[y]["ProjectName"]; ok {
					continue
				}
				at := append([]int(nil), start...)
				at[i] = x
				before := resolve(t, tpl, setOf(all, at))
				at[i] = y
				after := resolve(t, tpl, setOf(all, at))
				for name, old := range before.Resources {
					now, stays := after.Resources[name]
					if !stays || replaceable[name] {
						continue
					}
					if _, known := fixed[old.Type]; !known {
						t.Fatalf("%s is not in the table", old.Type)
					}
					for _, key := range fixed[old.Type] {
						if fmt.Sprint(old.Properties[key]) != fmt.Sprint(now.Properties[key]) {
							t.Errorf("%s, %v to %v: %s.%s changes from %v to %v, so it is replaced", c.name, c.ways[x], c.ways[y], name, key, old.Properties[key], now.Properties[key])
						}
					}
				}
			}
		}
	}
	for name := range replaceable {
		for _, key := range []string{"Name", "TopicName", "AlarmName", "BudgetName"} {
			if name != "DomainRecord" && tpl.Resource(name).Properties.Get(key) != nil {
				t.Errorf("%s has a name, so it cannot be replaced", name)
			}
		}
	}
}
