package stack

import "slices"

// byCloudFormation is the condition that CloudFormation asks, for somebody.
func byCloudFormation() map[string]map[string][]string {
	return map[string]map[string][]string{"ForAnyValue:StringEquals": {"aws:CalledVia": {"cloudformation.amazonaws.com"}}}
}

// cloudFormation are its calls for the resources of the two templates, after
// the permissions of the types' handlers. Actions of several services stand in
// one statement, since a role takes few of them: an action is only ever asked
// for of its own service's resources.
func (s Scope) cloudFormation() []Statement {
	n := s.names()
	via := func(sid string, actions []string, resources ...string) Statement {
		st := allowing(sid, actions, resources...)
		st.Condition = byCloudFormation()
		return st
	}
	deleteNetwork := via("DeleteNetwork", []string{
		"ec2:DeleteInternetGateway", "ec2:DeleteNatGateway", "ec2:DeleteRoute", "ec2:DeleteRouteTable", "ec2:DeleteSecurityGroup", "ec2:DeleteSubnet",
		"ec2:DeleteVpc", "ec2:DeleteVpcEndpoints", "ec2:DetachInternetGateway", "ec2:ReleaseAddress",
	}, s.arn("ec2", "*"))
	// What carries the stack's name as a tag may be deleted; what does not is
	// somebody else's.
	deleteNetwork.Condition["StringLike"] = map[string][]string{"aws:ResourceTag/aws:cloudformation:stack-name": {n.Stack()}}

	roles := s.global("iam", "role/"+s.Project+"/"+s.Environment+"/*")
	return []Statement{
		via("MakeNetwork", []string{
			"ec2:AllocateAddress", "ec2:AssociateRouteTable", "ec2:AttachInternetGateway", "ec2:AuthorizeSecurityGroupEgress",
			"ec2:AuthorizeSecurityGroupIngress", "ec2:CreateInternetGateway", "ec2:CreateNatGateway", "ec2:CreateRoute", "ec2:CreateRouteTable",
			"ec2:CreateSecurityGroup", "ec2:CreateSubnet", "ec2:CreateTags", "ec2:CreateVpc", "ec2:CreateVpcEndpoint", "ec2:DeleteTags",
			"ec2:DisassociateRouteTable", "ec2:ModifySubnetAttribute", "ec2:ModifyVpcAttribute", "ec2:ModifyVpcEndpoint",
			"ec2:ReplaceRoute", "ec2:ReplaceRouteTableAssociation", "ec2:RevokeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress",
			"ec2:UpdateSecurityGroupRuleDescriptionsEgress", "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
		}, s.arn("ec2", "*")),
		deleteNetwork,
		// AWS knows no resource for most of these.
		via("MakeWithoutResource", []string{
			"application-autoscaling:DescribeScalableTargets", "application-autoscaling:DescribeScalingPolicies", "application-autoscaling:DescribeScheduledActions",
			"cloudwatch:GetMetricData", "ec2:Describe*", "elasticloadbalancing:Describe*",
			"logs:DescribeLogGroups", "logs:DescribeResourcePolicies", "route53:GetChange", "sns:GetSubscriptionAttributes",
			"acm:RequestCertificate", "elasticloadbalancing:SetWebACL", "sns:SetSubscriptionAttributes", "sns:Unsubscribe",
		}, "*"),

		// What has the project's and the environment's name.
		via("MakeNamed", slices.Concat([]string{
			"ecr:CreateRepository", "ecr:DeleteRepository", "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy",
			"ecr:GetRepositoryPolicy", "ecr:ListTagsForResource", "ecr:PutImageScanningConfiguration", "ecr:PutImageTagMutability",
			"ecr:PutLifecyclePolicy", "ecr:TagResource", "ecr:UntagResource",
		}, []string{
			"ecs:CreateCluster", "ecs:CreateService", "ecs:DeleteCluster", "ecs:DeleteService", "ecs:DescribeClusters", "ecs:DescribeServiceDeployments", "ecs:ListServiceDeployments",
			"ecs:ListTagsForResource", "ecs:PutClusterCapacityProviders", "ecs:RegisterTaskDefinition", "ecs:StopServiceDeployment", "ecs:TagResource",
			"ecs:UntagResource", "ecs:UpdateCluster", "ecs:UpdateClusterSettings", "ecs:UpdateService",
		}, []string{
			"iam:CreateRole", "iam:DeleteRole", "iam:DeleteRolePolicy", "iam:GetRole", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies",
			"iam:ListRolePolicies", "iam:PutRolePolicy", "iam:TagRole", "iam:UntagRole", "iam:UpdateAssumeRolePolicy",
		}, []string{
			"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:DeleteMetricFilter", "logs:DescribeIndexPolicies",
			"logs:DescribeMetricFilters", "logs:GetDataProtectionPolicy", "logs:ListTagsForResource", "logs:PutMetricFilter", "logs:PutRetentionPolicy",
			"logs:TagResource", "logs:UntagResource",
		}, []string{
			"cloudwatch:DeleteAlarms", "cloudwatch:DeleteDashboards", "cloudwatch:GetDashboard", "cloudwatch:ListTagsForResource", "cloudwatch:PutDashboard",
			"cloudwatch:PutMetricAlarm", "cloudwatch:TagResource", "cloudwatch:UntagResource",
		}, []string{
			"sns:CreateTopic", "sns:DeleteTopic", "sns:GetDataProtectionPolicy", "sns:GetTopicAttributes", "sns:ListSubscriptionsByTopic",
			"sns:ListTagsForResource", "sns:SetTopicAttributes", "sns:Subscribe", "sns:TagResource", "sns:UntagResource",
		}),
			s.arn("ecr", "repository/"+n.Stack()),
			s.arn("ecs", "cluster/"+n.Stack()), s.arn("ecs", "service/"+n.Stack()+"/*"), s.arn("ecs", "service-deployment/"+n.Stack()+"/*"), s.arn("ecs", "task-definition/"+n.Stack()+":*"),
			roles,
			s.arn("logs", "log-group:"+n.LogGroup()), s.arn("logs", "log-group:"+n.LogGroup()+":*"),
			// Scaling has alarms of its own.
			s.arn("cloudwatch", "alarm:"+n.Stack()+"-*"), s.arn("cloudwatch", "alarm:TargetTracking-service/"+n.Stack()+"/*"), s.global("cloudwatch", "dashboard/"+n.Stack()),
			s.arn("sns", n.Stack()+"-*")),
		// What AWS names by itself, or cuts the name of.
		via("MakeOthers", slices.Concat([]string{
			"elasticloadbalancing:AddTags", "elasticloadbalancing:CreateListener", "elasticloadbalancing:CreateLoadBalancer",
			"elasticloadbalancing:CreateTargetGroup", "elasticloadbalancing:CreateWebACLAssociation", "elasticloadbalancing:DeleteListener",
			"elasticloadbalancing:DeleteLoadBalancer", "elasticloadbalancing:DeleteTargetGroup", "elasticloadbalancing:DeleteWebACLAssociation",
			"elasticloadbalancing:GetLoadBalancerWebACL", "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyListenerAttributes",
			"elasticloadbalancing:ModifyLoadBalancerAttributes", "elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes",
			"elasticloadbalancing:RemoveTags", "elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets",
		}, []string{
			"application-autoscaling:DeleteScalingPolicy", "application-autoscaling:DeregisterScalableTarget", "application-autoscaling:ListTagsForResource",
			"application-autoscaling:PutScalingPolicy", "application-autoscaling:RegisterScalableTarget",
		}, []string{
			"wafv2:AssociateWebACL", "wafv2:CreateWebACL", "wafv2:DeleteWebACL", "wafv2:DisassociateWebACL", "wafv2:GetWebACL", "wafv2:GetWebACLForResource",
			"wafv2:ListTagsForResource", "wafv2:TagResource", "wafv2:UntagResource", "wafv2:UpdateWebACL",
		}, []string{
			"budgets:ListTagsForResource", "budgets:ModifyBudget", "budgets:TagResource", "budgets:UntagResource", "budgets:ViewBudget",
		}, []string{
			"acm:AddTagsToCertificate", "acm:DeleteCertificate", "acm:DescribeCertificate", "acm:ListTagsForCertificate", "acm:RemoveTagsFromCertificate",
		}, []string{
			"route53:ChangeResourceRecordSets", "route53:GetHostedZone", "route53:ListResourceRecordSets",
		}),
			s.arn("elasticloadbalancing", "listener/app/*"), s.arn("elasticloadbalancing", "loadbalancer/app/*"), s.arn("elasticloadbalancing", "targetgroup/*"),
			s.arn("application-autoscaling", "scalable-target/*"),
			s.arn("wafv2", "regional/webacl/"+n.Stack()+"/*"), s.arn("wafv2", "regional/managedruleset/*"),
			s.global("budgets", "budget/*"), s.arn("acm", "certificate/*"), "arn:"+s.Partition+":route53:::hostedzone/*"),

		{Sid: "GiveRolesToTasks", Effect: "Allow", Action: []string{"iam:PassRole"}, Resource: []string{roles},
			Condition: map[string]map[string][]string{"StringEquals": {"iam:PassedToService": {"ecs-tasks.amazonaws.com"}}}},
		// An account that has never used these services has no such roles yet.
		{Sid: "RolesOfServices", Effect: "Allow", Action: []string{"iam:CreateServiceLinkedRole"}, Resource: []string{s.global("iam", "role/aws-service-role/*")},
			Condition: map[string]map[string][]string{"StringEquals": {"iam:AWSServiceName": {
				"ecs.amazonaws.com", "ecs.application-autoscaling.amazonaws.com", "elasticloadbalancing.amazonaws.com"}}}},
	}
}
