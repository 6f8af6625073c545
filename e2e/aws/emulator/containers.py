"""Clusters, task definitions and services of templates, and their scaling."""

import time

from .calls import Failed
from .execution import PartlyMade
from .kinds import Kind, Made, Properties, Site, call, ignoring, register, without


@register
class Cluster(Kind):
    type = "AWS::ECS::Cluster"
    fixed = frozenset({"ClusterName"})

    def create(self, site: Site, p: Properties) -> Made:
        settings = {"settings": p["ClusterSettings"]} if "ClusterSettings" in p else {}
        arn = call(site, "ecs", "CreateCluster", {**without(p, "ClusterSettings"), **settings, "ClusterName": p.get("ClusterName") or site.name(255)})["cluster"]["clusterArn"]
        return Made(arn.rsplit("/", 1)[1], {"Arn": arn})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        providers = ("CapacityProviders", "DefaultCapacityProviderStrategy")
        settings = {"settings": new.get("ClusterSettings", [])}
        call(site, "ecs", "UpdateCluster", {"Cluster": made.id, **settings, **({"Configuration": new["Configuration"]} if "Configuration" in new else {})})
        if any(old.get(k) != new.get(k) for k in providers):
            call(site, "ecs", "PutClusterCapacityProviders", {"Cluster": made.id, **{k: new.get(k, []) for k in providers}})
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ecs", "DeleteCluster", cluster=made.id)


@register
class CapacityProviders(Kind):
    type = "AWS::ECS::ClusterCapacityProviderAssociations"
    fixed = frozenset({"Cluster"})

    def create(self, site: Site, p: Properties) -> Made:
        call(site, "ecs", "PutClusterCapacityProviders", p)
        return Made(p["Cluster"])

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(site, new)

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ecs", "PutClusterCapacityProviders", cluster=made.id, capacityProviders=[], defaultCapacityProviderStrategy=[])


@register
class TaskDefinition(Kind):
    """Every change but that of its tags makes a new revision."""

    type = "AWS::ECS::TaskDefinition"
    fixed = frozenset({
        "ContainerDefinitions", "Cpu", "Memory", "ExecutionRoleArn", "TaskRoleArn", "Family", "NetworkMode", "RequiresCompatibilities",
        "RuntimePlatform", "Volumes", "EphemeralStorage", "PidMode", "IpcMode", "ProxyConfiguration", "PlacementConstraints",
    })

    def create(self, site: Site, p: Properties) -> Made:
        arn = call(site, "ecs", "RegisterTaskDefinition", {**p, "Family": p.get("Family") or site.name(255)})["taskDefinition"]["taskDefinitionArn"]
        return Made(arn, {"TaskDefinitionArn": arn})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        call(site, "ecs", "TagResource", {"ResourceArn": made.id, "Tags": new.get("Tags", [])})
        return made

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        site.api("ecs", "DeregisterTaskDefinition", taskDefinition=made.id)


@register
class Service(Kind):
    """Made and changed when it has settled, as CloudFormation waits for that."""

    type = "AWS::ECS::Service"
    fixed = frozenset({"ServiceName", "Cluster", "LaunchType", "SchedulingStrategy", "DeploymentController"})

    def create(self, site: Site, p: Properties) -> Made:
        service = call(site, "ecs", "CreateService", {**p, "ServiceName": p.get("ServiceName") or site.name(255)})["service"]
        made = Made(service["serviceArn"], {"Name": service["serviceName"], "ServiceArn": service["serviceArn"]})
        try:
            self._wait(site, p["Cluster"], made.id)
        except Failed as e:
            raise PartlyMade(made, str(e)) from e
        return made

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        params = without(new, "ServiceName", "LaunchType", "SchedulingStrategy", "DeploymentController", "Role", "Tags")
        call(site, "ecs", "UpdateService", {"Service": made.id, **params})
        self._wait(site, new["Cluster"], made.id)
        return made

    @staticmethod
    def _wait(site: Site, cluster: str, arn: str) -> None:
        broken = "Error occurred during operation 'ECS Deployment Circuit Breaker was triggered'."
        first = None
        while True:
            deployments = site.api("ecs", "DescribeServices", cluster=cluster, services=[arn])["services"][0]["deployments"]
            primary = next(d for d in deployments if d["status"] == "PRIMARY")
            first = first or primary["id"]
            if primary["rolloutState"] == "FAILED" or primary["id"] != first:
                raise Failed("GeneralServiceException", broken)
            if primary["rolloutState"] == "COMPLETED":
                return
            if site.cancelled():
                raise Failed("OperationCancelled", "Resource update cancelled")
            time.sleep(0.05)

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        ignoring("ServiceNotFoundException", lambda: site.api("ecs", "DeleteService", cluster=p["Cluster"], service=made.id, force=True))
        while any(s["runningCount"] for s in site.api("ecs", "DescribeServices", cluster=p["Cluster"], services=[made.id])["services"]):
            time.sleep(0.05)


@register
class ScalableTarget(Kind):
    type = "AWS::ApplicationAutoScaling::ScalableTarget"
    fixed = frozenset({"ServiceNamespace", "ResourceId", "ScalableDimension"})

    def create(self, site: Site, p: Properties) -> Made:
        call(site, "application-autoscaling", "RegisterScalableTarget", p)
        return Made("|".join((p["ResourceId"], p["ScalableDimension"], p["ServiceNamespace"])))

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(site, new)

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        which = {k: p[k] for k in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
        ignoring("ObjectNotFoundException", lambda: site.api("application-autoscaling", "DeregisterScalableTarget", **which))


@register
class ScalingPolicy(Kind):
    type = "AWS::ApplicationAutoScaling::ScalingPolicy"
    fixed = frozenset({"PolicyName", "ScalingTargetId", "ServiceNamespace", "ResourceId", "ScalableDimension"})

    def _params(self, p: Properties) -> Properties:
        params = without(p, "ScalingTargetId")
        if "ScalingTargetId" in p:
            params["ResourceId"], params["ScalableDimension"], params["ServiceNamespace"] = p["ScalingTargetId"].split("|")
        return params

    def create(self, site: Site, p: Properties) -> Made:
        arn = call(site, "application-autoscaling", "PutScalingPolicy", self._params(p))["PolicyARN"]
        return Made(arn, {"Arn": arn})

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        return self.create(site, new)

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        which = {k: self._params(p)[k] for k in ("PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension")}
        ignoring("ObjectNotFoundException", lambda: site.api("application-autoscaling", "DeleteScalingPolicy", **which))
