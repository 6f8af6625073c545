package stack

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// handlers are the permissions that CloudFormation's handlers of the types ask
// for when they make, read, change and delete them, from the types' schemas,
// without those for properties that the templates do not have. Budgets and
// record sets have no such list; theirs are from the services' documentation.
var handlers = map[string]string{
	"AWS::ApplicationAutoScaling::ScalableTarget": "application-autoscaling:DeregisterScalableTarget application-autoscaling:DescribeScalableTargets application-autoscaling:DescribeScheduledActions application-autoscaling:RegisterScalableTarget cloudwatch:DeleteAlarms cloudwatch:DescribeAlarms cloudwatch:PutMetricAlarm iam:CreateServiceLinkedRole",
	"AWS::ApplicationAutoScaling::ScalingPolicy":  "application-autoscaling:DeleteScalingPolicy application-autoscaling:DescribeScalingPolicies application-autoscaling:PutScalingPolicy cloudwatch:GetMetricData",
	"AWS::Budgets::Budget":                        "budgets:ModifyBudget budgets:ViewBudget",
	"AWS::CertificateManager::Certificate":        "acm:AddTagsToCertificate acm:DeleteCertificate acm:DescribeCertificate acm:ListTagsForCertificate acm:RemoveTagsFromCertificate acm:RequestCertificate route53:ChangeResourceRecordSets",
	"AWS::CloudWatch::Alarm":                      "cloudwatch:DeleteAlarms cloudwatch:DescribeAlarms cloudwatch:ListTagsForResource cloudwatch:PutMetricAlarm cloudwatch:TagResource cloudwatch:UntagResource",
	"AWS::CloudWatch::Dashboard":                  "cloudwatch:DeleteDashboards cloudwatch:GetDashboard cloudwatch:ListTagsForResource cloudwatch:PutDashboard cloudwatch:TagResource cloudwatch:UntagResource",
	"AWS::EC2::EIP":                               "ec2:AllocateAddress ec2:CreateTags ec2:DeleteTags ec2:DescribeAddresses ec2:ReleaseAddress",
	"AWS::EC2::InternetGateway":                   "ec2:CreateInternetGateway ec2:CreateTags ec2:DeleteInternetGateway ec2:DeleteTags ec2:DescribeInternetGateways",
	"AWS::EC2::NatGateway":                        "ec2:CreateNatGateway ec2:CreateTags ec2:DeleteNatGateway ec2:DeleteTags ec2:DescribeNatGateways",
	"AWS::EC2::Route":                             "ec2:CreateRoute ec2:DeleteRoute ec2:DescribeNetworkInterfaces ec2:DescribeRouteTables ec2:ReplaceRoute",
	"AWS::EC2::RouteTable":                        "ec2:CreateRouteTable ec2:CreateTags ec2:DeleteRouteTable ec2:DeleteTags ec2:DescribeRouteTables",
	"AWS::EC2::SecurityGroup":                     "ec2:AuthorizeSecurityGroupEgress ec2:AuthorizeSecurityGroupIngress ec2:CreateSecurityGroup ec2:CreateTags ec2:DeleteSecurityGroup ec2:DeleteTags ec2:DescribeInstances ec2:DescribeSecurityGroups ec2:RevokeSecurityGroupEgress ec2:RevokeSecurityGroupIngress ec2:UpdateSecurityGroupRuleDescriptionsEgress ec2:UpdateSecurityGroupRuleDescriptionsIngress",
	"AWS::EC2::SecurityGroupIngress":              "ec2:AuthorizeSecurityGroupIngress ec2:DescribeSecurityGroupRules ec2:DescribeSecurityGroups ec2:RevokeSecurityGroupIngress ec2:UpdateSecurityGroupRuleDescriptionsIngress",
	"AWS::EC2::Subnet":                            "ec2:CreateSubnet ec2:CreateTags ec2:DeleteSubnet ec2:DeleteTags ec2:DescribeNetworkAcls ec2:DescribeSubnets ec2:ModifySubnetAttribute",
	"AWS::EC2::SubnetRouteTableAssociation":       "ec2:AssociateRouteTable ec2:DescribeRouteTables ec2:DescribeSubnets ec2:DisassociateRouteTable ec2:ReplaceRouteTableAssociation",
	"AWS::EC2::VPC":                               "ec2:CreateTags ec2:CreateVpc ec2:DeleteTags ec2:DeleteVpc ec2:DescribeNetworkAcls ec2:DescribeSecurityGroups ec2:DescribeVpcAttribute ec2:DescribeVpcEncryptionControls ec2:DescribeVpcs ec2:ModifyVpcAttribute",
	"AWS::EC2::VPCEndpoint":                       "ec2:CreateTags ec2:CreateVpcEndpoint ec2:DeleteTags ec2:DeleteVpcEndpoints ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeVpcEndpoints ec2:DescribeVpcs ec2:ModifyVpcEndpoint",
	"AWS::EC2::VPCGatewayAttachment":              "ec2:AttachInternetGateway ec2:DescribeInternetGateways ec2:DescribeVpnGateways ec2:DetachInternetGateway",
	"AWS::ECR::Repository":                        "ecr:CreateRepository ecr:DeleteRepository ecr:DescribeRepositories ecr:GetLifecyclePolicy ecr:GetRepositoryPolicy ecr:ListTagsForResource ecr:PutImageScanningConfiguration ecr:PutImageTagMutability ecr:PutLifecyclePolicy ecr:TagResource ecr:UntagResource",
	"AWS::ECS::Cluster":                           "ecs:CreateCluster ecs:DeleteCluster ecs:DescribeClusters ecs:ListTagsForResource ecs:PutClusterCapacityProviders ecs:TagResource ecs:UntagResource ecs:UpdateCluster ecs:UpdateClusterSettings iam:CreateServiceLinkedRole",
	"AWS::ECS::Service":                           "ecs:CreateService ecs:DeleteService ecs:DescribeServiceDeployments ecs:DescribeServices ecs:ListServiceDeployments ecs:ListTagsForResource ecs:StopServiceDeployment ecs:TagResource ecs:UntagResource ecs:UpdateService iam:PassRole",
	"AWS::ECS::TaskDefinition":                    "ecs:DeregisterTaskDefinition ecs:DescribeTaskDefinition ecs:ListTagsForResource ecs:RegisterTaskDefinition ecs:TagResource ecs:UntagResource iam:GetRole iam:PassRole",
	"AWS::ElasticLoadBalancingV2::Listener":       "elasticloadbalancing:AddTags elasticloadbalancing:CreateListener elasticloadbalancing:DeleteListener elasticloadbalancing:DescribeListenerAttributes elasticloadbalancing:DescribeListeners elasticloadbalancing:DescribeTags elasticloadbalancing:ModifyListener elasticloadbalancing:ModifyListenerAttributes elasticloadbalancing:RemoveTags",
	"AWS::ElasticLoadBalancingV2::LoadBalancer":   "ec2:DescribeIpamPools elasticloadbalancing:AddTags elasticloadbalancing:CreateLoadBalancer elasticloadbalancing:DeleteLoadBalancer elasticloadbalancing:DescribeCapacityReservation elasticloadbalancing:DescribeLoadBalancerAttributes elasticloadbalancing:DescribeLoadBalancers elasticloadbalancing:DescribeTags elasticloadbalancing:ModifyLoadBalancerAttributes elasticloadbalancing:RemoveTags elasticloadbalancing:SetSecurityGroups elasticloadbalancing:SetSubnets",
	"AWS::ElasticLoadBalancingV2::TargetGroup":    "elasticloadbalancing:AddTags elasticloadbalancing:CreateTargetGroup elasticloadbalancing:DeleteTargetGroup elasticloadbalancing:DescribeTags elasticloadbalancing:DescribeTargetGroupAttributes elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetHealth elasticloadbalancing:ModifyTargetGroup elasticloadbalancing:ModifyTargetGroupAttributes elasticloadbalancing:RemoveTags",
	"AWS::IAM::Role":                              "iam:CreateRole iam:DeleteRole iam:DeleteRolePolicy iam:GetRole iam:GetRolePolicy iam:ListAttachedRolePolicies iam:ListRolePolicies iam:PutRolePolicy iam:TagRole iam:UntagRole iam:UpdateAssumeRolePolicy",
	"AWS::Logs::LogGroup":                         "logs:CreateLogGroup logs:DeleteLogGroup logs:DescribeIndexPolicies logs:DescribeLogGroups logs:DescribeResourcePolicies logs:GetDataProtectionPolicy logs:ListTagsForResource logs:PutRetentionPolicy logs:TagResource logs:UntagResource",
	"AWS::Logs::MetricFilter":                     "logs:DeleteMetricFilter logs:DescribeMetricFilters logs:PutMetricFilter",
	"AWS::Route53::RecordSet":                     "route53:ChangeResourceRecordSets route53:GetChange route53:GetHostedZone route53:ListResourceRecordSets",
	"AWS::SNS::Subscription":                      "sns:GetSubscriptionAttributes sns:SetSubscriptionAttributes sns:Subscribe sns:Unsubscribe",
	"AWS::SNS::Topic":                             "sns:CreateTopic sns:DeleteTopic sns:GetDataProtectionPolicy sns:GetTopicAttributes sns:ListSubscriptionsByTopic sns:ListTagsForResource sns:SetTopicAttributes sns:Subscribe sns:TagResource sns:Unsubscribe sns:UntagResource",
	"AWS::SecretsManager::Secret":                 "secretsmanager:CreateSecret secretsmanager:DeleteSecret secretsmanager:DescribeSecret secretsmanager:GetSecretValue secretsmanager:TagResource secretsmanager:UntagResource secretsmanager:UpdateSecret",
	"AWS::WAFv2::WebACL":                          "wafv2:CreateWebACL wafv2:DeleteWebACL wafv2:GetWebACL wafv2:ListTagsForResource wafv2:TagResource wafv2:UntagResource wafv2:UpdateWebACL",
	"AWS::WAFv2::WebACLAssociation":               "elasticloadbalancing:CreateWebACLAssociation elasticloadbalancing:DeleteWebACLAssociation elasticloadbalancing:GetLoadBalancerWebACL elasticloadbalancing:SetWebACL wafv2:AssociateWebACL wafv2:DisassociateWebACL wafv2:GetWebACL wafv2:GetWebACLForResource",
}

// exampleScope is that of the committed policy.
var exampleScope = Scope{Partition: "aws", Region: "*", Account: "ACCOUNT_ID", Project: "supabase-edge-runtime", Environment: "*"}

func (p Policy) allows(action string) bool {
	for _, s := range p.Statement {
		for _, a := range s.Action {
			if prefix, all := strings.CutSuffix(a, "*"); a == action || all && strings.HasPrefix(action, prefix) {
				return true
			}
		}
	}
	return false
}

// TestPolicyHasWhatHandlersNeed: each type of resource in the templates can be
// made, changed and deleted.
func TestPolicyHasWhatHandlersNeed(t *testing.T) {
	p := DeployPolicy(exampleScope)
	for _, tpl := range []*Template{Service(), Registry()} {
		for _, r := range tpl.Resources {
			needed, ok := handlers[r.Type]
			if !ok {
				t.Errorf("%s: nobody knows what %s needs", r.Name, r.Type)
			}
			for action := range strings.FieldsSeq(needed) {
				if !p.allows(action) {
					t.Errorf("%s needs %s", r.Type, action)
				}
			}
		}
	}
}

// maxInline is how long a role's inline policies may be, without white space.
const maxInline = 10240

// TestPolicyIsNarrow: no wildcard in an action that changes anything, everything of a service only
// where it must be, and what would hand out rights bound to what it is for.
func TestPolicyIsNarrow(t *testing.T) {
	p := DeployPolicy(exampleScope)
	seen := map[string]bool{}
	for _, s := range p.Statement {
		if seen[s.Sid] || !regexp.MustCompile(`^[A-Za-z0-9]+$`).MatchString(s.Sid) {
			t.Errorf("the Sid %q is there twice or not allowed", s.Sid)
		}
		seen[s.Sid] = true
		for _, a := range s.Action {
			if strings.Contains(a, "*") && !(strings.HasSuffix(a, ":Describe*") && s.Condition != nil) {
				t.Errorf("%s allows %s", s.Sid, a)
			}
			if !slices.Contains(s.Resource, "*") || s.Condition != nil {
				continue
			}
			// The program's own calls may look at everything, no more.
			if !regexp.MustCompile(`:(Describe|List|Get)`).MatchString(a) && a != "ecs:DeregisterTaskDefinition" {
				t.Errorf("%s allows %s of everything", s.Sid, a)
			}
		}
		for _, r := range s.Resource {
			if r != "*" && !strings.HasPrefix(r, "arn:aws:") {
				t.Errorf("%s: %s is no ARN", s.Sid, r)
			}
		}
		for _, a := range s.Action {
			service, _, _ := strings.Cut(a, ":")
			switch {
			case a == "iam:PassRole" && s.Condition["StringEquals"]["iam:PassedToService"] == nil,
				a == "iam:CreateServiceLinkedRole" && s.Condition["StringEquals"]["iam:AWSServiceName"] == nil,
				service == "iam" && slices.Contains(s.Resource, "*"):
				t.Errorf("%s allows %s without a bound", s.Sid, a)
			case service == "iam" && a != "iam:PassRole" && a != "iam:CreateServiceLinkedRole" && s.Condition["ForAnyValue:StringEquals"] == nil,
				service == "ec2" && s.Condition["ForAnyValue:StringEquals"] == nil:
				t.Errorf("%s allows %s to others than CloudFormation", s.Sid, a)
			}
		}
	}
	for _, scope := range []Scope{exampleScope, {"aws", "*", "111122223333", strings.Repeat("x", 35), "*"}} {
		var compact bytes.Buffer
		if err := json.Compact(&compact, DeployPolicy(scope).JSON()); err != nil {
			t.Fatal(err)
		}
		if compact.Len() > maxInline {
			t.Errorf("the policy for %+v has %d characters, and a role takes %d", scope, compact.Len(), maxInline)
		}
	}
}

// TestPolicyOfAScope has names of another project.
func TestPolicyOfAScope(t *testing.T) {
	text := string(DeployPolicy(Scope{"aws", "eu-central-1", "111122223333", "shop", "staging"}).JSON())
	for _, want := range []string{
		"arn:aws:cloudformation:eu-central-1:111122223333:stack/shop-staging/*", "arn:aws:cloudformation:eu-central-1:111122223333:stack/shop-staging-registry/*",
		"arn:aws:iam::111122223333:role/shop/staging/*", "arn:aws:secretsmanager:eu-central-1:111122223333:secret:shop/staging/*",
		"arn:aws:logs:eu-central-1:111122223333:log-group:/ecs/shop-staging:*", "arn:aws:ecr:eu-central-1:111122223333:repository/shop-staging",
	} {
		if !strings.Contains(text, `"`+want+`"`) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, "supabase-edge-runtime") {
		t.Error("the default project is in it")
	}
	// The roles of the template are those that may be passed on.
	r := resolve(t, Service(), base("ProjectName", "shop", "Environment", "staging"))
	if got := r.Resources["ExecutionRole"].Properties["Path"]; got != "/shop/staging/" {
		t.Errorf("the execution role is below %v", got)
	}
}

// TestPolicyIsKnownToAWS has cfn-lint look at the policy's actions and the
// resources that AWS knows for them.
func TestPolicyIsKnownToAWS(t *testing.T) {
	lint, err := exec.LookPath("cfn-lint")
	if err != nil {
		t.Skip("no cfn-lint: whether the policy's actions exist is not looked at")
	}
	scope := exampleScope
	scope.Account = "111122223333"
	template := map[string]any{"Resources": map[string]any{"Role": map[string]any{"Type": "AWS::IAM::RolePolicy", "Properties": map[string]any{
		"RoleName": "deploy", "PolicyName": "deploy", "PolicyDocument": DeployPolicy(scope)}}}}
	raw, err := json.Marshal(template)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	// It wants one resource for each kind that an action knows, so of wafv2's also
	// those that a load balancer is not.
	out, _ := exec.Command(lint, "--include-checks", "I", "--", file).CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if regexp.MustCompile(`^[EWI][0-9]{4}`).MatchString(line) && !strings.Contains(line, ":verified-access-instance/") {
			t.Error(line)
		}
	}
}
