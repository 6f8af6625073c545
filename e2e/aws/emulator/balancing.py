"""Load balancers, target groups and listeners."""

from .kinds import Kind, Made, Properties, Site, call, register, without


def _last(arn: str, marker: str) -> str:
    return arn.split(marker, 1)[1]


@register
class LoadBalancer(Kind):
    type = "AWS::ElasticLoadBalancingV2::LoadBalancer"
    fixed = frozenset({"Name", "Scheme", "Type"})

    def create(self, site: Site, p: Properties) -> Made:
        named = {"Name": p.get("Name") or site.name(32)}
        lb = call(site, "elbv2", "CreateLoadBalancer", {**without(p, "LoadBalancerAttributes"), **named})["LoadBalancers"][0]
        self._attributes(site, lb["LoadBalancerArn"], p)
        return Made(lb["LoadBalancerArn"], {
            "LoadBalancerArn": lb["LoadBalancerArn"], "DNSName": lb["DNSName"], "LoadBalancerName": lb["LoadBalancerName"],
            "LoadBalancerFullName": _last(lb["LoadBalancerArn"], ":loadbalancer/"), "CanonicalHostedZoneID": "Z35SXDOTRQ7X7K",
        })

    @staticmethod
    def _attributes(site: Site, arn: str, p: Properties) -> None:
        if p.get("LoadBalancerAttributes"):
            call(site, "elbv2", "ModifyLoadBalancerAttributes", {"LoadBalancerArn": arn, "Attributes": p["LoadBalancerAttributes"]})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        if old.get("SecurityGroups") != new.get("SecurityGroups"):
            site.api("elbv2", "SetSecurityGroups", LoadBalancerArn=made.id, SecurityGroups=new["SecurityGroups"])
        if old.get("Subnets") != new.get("Subnets"):
            site.api("elbv2", "SetSubnets", LoadBalancerArn=made.id, Subnets=new["Subnets"])
        self._attributes(site, made.id, new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("elbv2", "DeleteLoadBalancer", LoadBalancerArn=made.id)


@register
class TargetGroup(Kind):
    type = "AWS::ElasticLoadBalancingV2::TargetGroup"
    fixed = frozenset({"Name", "Port", "Protocol", "ProtocolVersion", "TargetType", "VpcId"})
    changeable = ("HealthCheckPath", "HealthCheckPort", "HealthCheckProtocol", "HealthCheckIntervalSeconds", "HealthCheckTimeoutSeconds",
                  "HealthyThresholdCount", "UnhealthyThresholdCount", "HealthCheckEnabled", "Matcher")

    def create(self, site: Site, p: Properties) -> Made:
        named = {"Name": p.get("Name") or site.name(32)}
        tg = call(site, "elbv2", "CreateTargetGroup", {**without(p, "TargetGroupAttributes"), **named})["TargetGroups"][0]
        arn = tg["TargetGroupArn"]
        self._attributes(site, arn, p)
        full = "targetgroup/" + _last(arn, ":targetgroup/")
        return Made(arn, {"TargetGroupArn": arn, "TargetGroupName": tg["TargetGroupName"], "TargetGroupFullName": full})

    @staticmethod
    def _attributes(site: Site, arn: str, p: Properties) -> None:
        if p.get("TargetGroupAttributes"):
            call(site, "elbv2", "ModifyTargetGroupAttributes", {"TargetGroupArn": arn, "Attributes": p["TargetGroupAttributes"]})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        checks = {k: v for k, v in new.items() if k in self.changeable}
        call(site, "elbv2", "ModifyTargetGroup", {"TargetGroupArn": made.id, **checks})
        self._attributes(site, made.id, new)
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("elbv2", "DeleteTargetGroup", TargetGroupArn=made.id)


@register
class Listener(Kind):
    type = "AWS::ElasticLoadBalancingV2::Listener"
    fixed = frozenset({"LoadBalancerArn"})

    def create(self, site: Site, p: Properties) -> Made:
        arn = call(site, "elbv2", "CreateListener", without(p, "ListenerAttributes"))["Listeners"][0]["ListenerArn"]
        return Made(arn, {"ListenerArn": arn})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        call(site, "elbv2", "ModifyListener", {"ListenerArn": made.id, **without(new, "LoadBalancerArn", "ListenerAttributes")})
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("elbv2", "DeleteListener", ListenerArn=made.id)


@register
class Rule(Kind):
    type = "AWS::ElasticLoadBalancingV2::ListenerRule"
    fixed = frozenset({"ListenerArn"})

    def create(self, site: Site, p: Properties) -> Made:
        arn = call(site, "elbv2", "CreateRule", p)["Rules"][0]["RuleArn"]
        return Made(arn, {"RuleArn": arn})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        call(site, "elbv2", "ModifyRule", {"RuleArn": made.id, **without(new, "ListenerArn", "Priority")})
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("elbv2", "DeleteRule", RuleArn=made.id)
