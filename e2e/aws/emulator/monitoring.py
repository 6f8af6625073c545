"""Logs, metrics, alarms, dashboards, topics and budgets."""

import json

from .kinds import Kind, Made, Properties, Site, call, ignoring, pairs, register, without


@register
class LogGroup(Kind):
    type = "AWS::Logs::LogGroup"
    fixed = frozenset({"LogGroupName", "KmsKeyId"})

    def create(self, site: Site, p: Properties) -> Made:
        name = p.get("LogGroupName") or site.name(512)
        tags = {**pairs(p.get("Tags")), **site.tags}
        site.api("logs", "CreateLogGroup", logGroupName=name, **({"tags": tags} if tags else {}))
        self._retain(site, name, p)
        return Made(name, {"Arn": site.api.arn("logs", f"log-group:{name}:*")})

    @staticmethod
    def _retain(site: Site, name: str, p: Properties) -> None:
        if "RetentionInDays" in p:
            site.api("logs", "PutRetentionPolicy", logGroupName=name, retentionInDays=int(p["RetentionInDays"]))

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        self._retain(site, made.id, new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("logs", "DeleteLogGroup", logGroupName=made.id)


@register
class MetricFilter(Kind):
    type = "AWS::Logs::MetricFilter"
    fixed = frozenset({"FilterName", "LogGroupName"})

    def create(self, site: Site, p: Properties) -> Made:
        name = p.get("FilterName") or site.name(512)
        self._put(site, name, p)
        return Made(name)

    @staticmethod
    def _put(site: Site, name: str, p: Properties) -> None:
        transformations = [dict(t) for t in p["MetricTransformations"]]
        for t in transformations:
            if "Dimensions" in t:  # a list in templates, a map in the API
                t["Dimensions"] = {d["Key"]: d["Value"] for d in t["Dimensions"]}
        call(site, "logs", "PutMetricFilter", {**p, "FilterName": name, "MetricTransformations": transformations})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        self._put(site, made.id, new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("logs", "DeleteMetricFilter", logGroupName=p["LogGroupName"], filterName=made.id)


@register
class LogResourcePolicy(Kind):
    type = "AWS::Logs::ResourcePolicy"
    fixed = frozenset({"PolicyName"})

    def create(self, site: Site, p: Properties) -> Made:
        site.api("logs", "PutResourcePolicy", policyName=p["PolicyName"], policyDocument=p["PolicyDocument"])
        return Made(p["PolicyName"])

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(site, new)

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("logs", "DeleteResourcePolicy", policyName=made.id)


@register
class Alarm(Kind):
    type = "AWS::CloudWatch::Alarm"
    fixed = frozenset({"AlarmName"})

    def create(self, site: Site, p: Properties) -> Made:
        name = p.get("AlarmName") or site.name(255)
        return self._put(site, name, p)

    @staticmethod
    def _put(site: Site, name: str, p: Properties) -> Made:
        call(site, "cloudwatch", "PutMetricAlarm", {**p, "AlarmName": name})
        return Made(name, {"Arn": site.api.arn("cloudwatch", "alarm:" + name)})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        return self._put(site, made.id, new)

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("cloudwatch", "DeleteAlarms", AlarmNames=[made.id])


@register
class Dashboard(Kind):
    type = "AWS::CloudWatch::Dashboard"
    fixed = frozenset({"DashboardName"})

    def create(self, site: Site, p: Properties) -> Made:
        json.loads(p["DashboardBody"])  # refused by CloudWatch where it is no JSON
        name = p.get("DashboardName") or site.name(255)
        site.api("cloudwatch", "PutDashboard", DashboardName=name, DashboardBody=p["DashboardBody"])
        return Made(name)

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(site, {**new, "DashboardName": made.id})

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("cloudwatch", "DeleteDashboards", DashboardNames=[made.id])


@register
class Topic(Kind):
    type = "AWS::SNS::Topic"
    fixed = frozenset({"TopicName"})

    def create(self, site: Site, p: Properties) -> Made:
        name = p.get("TopicName") or site.name(256)
        attributes = {k: str(p[k]) for k in ("DisplayName", "KmsMasterKeyId") if k in p}
        arn = site.api("sns", "CreateTopic", Name=name, Attributes=attributes)["TopicArn"]
        self._subscribe(site, arn, p)
        return Made(arn, {"TopicName": name, "TopicArn": arn})

    @staticmethod
    def _subscribe(site: Site, arn: str, p: Properties) -> None:
        for s in p.get("Subscription", []):
            site.api("sns", "Subscribe", TopicArn=arn, Protocol=s["Protocol"], Endpoint=s["Endpoint"])

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        for s in site.api("sns", "ListSubscriptionsByTopic", TopicArn=made.id)["Subscriptions"]:
            site.api("sns", "Unsubscribe", SubscriptionArn=s["SubscriptionArn"])
        self._subscribe(site, made.id, new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        for s in site.api("sns", "ListSubscriptionsByTopic", TopicArn=made.id)["Subscriptions"]:
            site.api("sns", "Unsubscribe", SubscriptionArn=s["SubscriptionArn"])
        site.api("sns", "DeleteTopic", TopicArn=made.id)


@register
class TopicPolicy(Kind):
    type = "AWS::SNS::TopicPolicy"

    def create(self, site: Site, p: Properties) -> Made:
        for topic in p["Topics"]:
            site.api("sns", "SetTopicAttributes", TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(p["PolicyDocument"]))
        return Made(site.name())

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        self.create(site, new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        """The policy goes with its topic."""


@register
class Budget(Kind):
    type = "AWS::Budgets::Budget"
    fixed = frozenset({"Budget", "NotificationsWithSubscribers"})

    def create(self, site: Site, p: Properties) -> Made:
        name = p["Budget"].get("BudgetName") or site.name(100)
        call(site, "budgets", "CreateBudget", {**p, "Budget": {**p["Budget"], "BudgetName": name}, "AccountId": site.api.account})
        return Made(name)

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("budgets", "DeleteBudget", AccountId=site.api.account, BudgetName=made.id)


@register
class Subscription(Kind):
    type = "AWS::SNS::Subscription"
    fixed = frozenset({"TopicArn", "Protocol", "Endpoint"})

    def create(self, site: Site, p: Properties) -> Made:
        return Made(call(site, "sns", "Subscribe", without(p))["SubscriptionArn"])

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        ignoring("NotFound", lambda: site.api("sns", "Unsubscribe", SubscriptionArn=made.id))
