package stack

// protection is the firewall and the budget.
func protection() []Resource {
	seen := func(suffix string) Map {
		return object("CloudWatchMetricsEnabled", true, "SampledRequestsEnabled", true, "MetricName", Sub(string(stackName)+suffix))
	}
	counted := func(name string) Map {
		return object("Name", name, "ActionToUse", object("Count", Map{}))
	}
	mail := func(kind string, percent int) Map {
		return object(
			"Notification", object("NotificationType", kind, "ComparisonOperator", "GREATER_THAN", "Threshold", percent, "ThresholdType", "PERCENTAGE"),
			"Subscribers", List{object("SubscriptionType", "EMAIL", "Address", Ref("AlarmEmail"))})
	}
	return []Resource{
		{Section: "Firewall and budget", Name: "WebAcl", Type: "AWS::WAFv2::WebACL", Condition: "HasWaf",
			Comment: "Two of the common rules only count: bodies above 8 KB and callers without a\nUser-Agent are usual for functions.",
			Properties: object(
				"Name", stackName, "Scope", "REGIONAL", "DefaultAction", object("Allow", Map{}), "VisibilityConfig", seen(""),
				"Rules", List{
					object("Name", "rate", "Priority", 0, "Action", object("Block", Map{}), "VisibilityConfig", seen("-rate"),
						"Statement", object("RateBasedStatement", object("Limit", Ref("WafRateLimit"), "AggregateKeyType", "IP"))),
					object("Name", "common", "Priority", 1, "OverrideAction", object("None", Map{}), "VisibilityConfig", seen("-common"),
						"Statement", object("ManagedRuleGroupStatement", object("VendorName", "AWS", "Name", "AWSManagedRulesCommonRuleSet",
							"RuleActionOverrides", List{counted("SizeRestrictions_BODY"), counted("NoUserAgent_HEADER")}))),
				})},
		{Name: "WebAclAssociation", Type: "AWS::WAFv2::WebACLAssociation", Condition: "HasWaf", Properties: object(
			"ResourceArn", Ref("LoadBalancer"), "WebACLArn", GetAtt("WebAcl.Arn"))},
		{Name: "Budget", Type: "AWS::Budgets::Budget", Condition: "HasBudget",
			Comment: "It is the account's: AWS tells costs of one stack apart only by tags that the\naccount's owner has to activate. It has no name of its own, because another\naddress makes another budget in its place.",
			Properties: object(
				"Budget", object("BudgetType", "COST", "TimeUnit", "MONTHLY",
					"BudgetLimit", object("Amount", Ref("MonthlyBudgetUSD"), "Unit", "USD")),
				"NotificationsWithSubscribers", List{mail("ACTUAL", 80), mail("FORECASTED", 100)})},
	}
}
