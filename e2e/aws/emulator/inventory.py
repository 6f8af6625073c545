"""Everything that an account has in a region, so that a test can see what was left."""

from typing import Any, Callable

from .autoscaling import _targets
from .calls import Api
from .stacks import book

# What is listed: a name, the call, where its answer has the list, and what names one.
_LISTED: list[tuple[str, str, str, dict[str, Any], str, Callable[[Any], str]]] = [
    ("vpc", "ec2", "DescribeVpcs", {"Filters": [{"Name": "is-default", "Values": ["false"]}]}, "Vpcs", lambda v: v["VpcId"]),
    ("subnet", "ec2", "DescribeSubnets", {"Filters": [{"Name": "default-for-az", "Values": ["false"]}]}, "Subnets", lambda v: v["SubnetId"]),
    ("internet gateway", "ec2", "DescribeInternetGateways", {}, "InternetGateways", lambda v: v["InternetGatewayId"]),
    ("route table", "ec2", "DescribeRouteTables", {}, "RouteTables", lambda v: v["RouteTableId"]),
    ("NAT gateway", "ec2", "DescribeNatGateways", {"Filter": [{"Name": "state", "Values": ["available", "pending"]}]}, "NatGateways", lambda v: v["NatGatewayId"]),
    ("address", "ec2", "DescribeAddresses", {}, "Addresses", lambda v: v["AllocationId"]),
    ("security group", "ec2", "DescribeSecurityGroups", {}, "SecurityGroups", lambda v: v["GroupId"]),
    ("endpoint", "ec2", "DescribeVpcEndpoints", {}, "VpcEndpoints", lambda v: v["VpcEndpointId"] + " " + v.get("State", "")),
    ("load balancer", "elbv2", "DescribeLoadBalancers", {}, "LoadBalancers", lambda v: v["LoadBalancerArn"]),
    ("target group", "elbv2", "DescribeTargetGroups", {}, "TargetGroups", lambda v: v["TargetGroupArn"]),
    ("certificate", "acm", "ListCertificates", {}, "CertificateSummaryList", lambda v: v["CertificateArn"]),
    ("firewall", "wafv2", "ListWebACLs", {"Scope": "REGIONAL"}, "WebACLs", lambda v: v["ARN"]),
    ("role", "iam", "ListRoles", {}, "Roles", lambda v: v["RoleName"]),
    ("cluster", "ecs", "ListClusters", {}, "clusterArns", str),
    ("task definition", "ecs", "ListTaskDefinitions", {}, "taskDefinitionArns", str),
    ("log group", "logs", "DescribeLogGroups", {}, "logGroups", lambda v: v["logGroupName"]),
    ("metric filter", "logs", "DescribeMetricFilters", {}, "metricFilters", lambda v: v["filterName"]),
    ("secret", "secretsmanager", "ListSecrets", {"IncludePlannedDeletion": True}, "SecretList", lambda v: v["Name"] + (" (to be deleted)" if v.get("DeletedDate") else "")),
    ("alarm", "cloudwatch", "DescribeAlarms", {}, "MetricAlarms", lambda v: v["AlarmName"]),
    ("dashboard", "cloudwatch", "ListDashboards", {}, "DashboardEntries", lambda v: v["DashboardName"]),
    ("topic", "sns", "ListTopics", {}, "Topics", lambda v: v["TopicArn"]),
    ("repository", "ecr", "DescribeRepositories", {}, "repositories", lambda v: v["repositoryName"]),
    ("zone", "route53", "ListHostedZones", {}, "HostedZones", lambda v: v["Name"]),
]


def inventory(api: Api) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for kind, service, operation, params, where, name in _LISTED:
        found[kind] = sorted(name(v) for v in api(service, operation, **params).get(where, []))
    found["stack"] = sorted(f"{s.name} {s.status}" for s in book.of(api) if s.status != "DELETE_COMPLETE")
    found["change set"] = sorted(c.name for s in book.of(api) if s.status != "DELETE_COMPLETE" for c in s.change_sets.values())
    found["scalable target"] = sorted(k[3] for k in _targets if k[:2] == (api.account, api.region))
    found["budget"] = sorted(b["BudgetName"] for b in api("budgets", "DescribeBudgets", AccountId=api.account).get("Budgets", []))
    found["record"] = sorted(
        f"{r['Name']} {r['Type']}" for z in api("route53", "ListHostedZones")["HostedZones"]
        for r in api("route53", "ListResourceRecordSets", HostedZoneId=z["Id"])["ResourceRecordSets"]
    )
    return {k: v for k, v in found.items() if v}
