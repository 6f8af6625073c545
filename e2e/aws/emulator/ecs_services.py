"""The operations of ECS's API on services and tasks."""

from typing import Any

from .control import settings
from .ecs_api import api_of, bare, cluster_of, find_definition, find_service
from .ecs_state import Deployment, Service, Task, end, world
from .stacks import busy
from .wire import ApiError, Call, operation


@operation("ecs", "CreateService")
def create_service(call: Call) -> dict[str, Any]:
    p, cluster = dict(call.params), cluster_of(call)
    with world.lock:
        if find_service(call, p["serviceName"]):
            raise ApiError("InvalidParameterException", "Creation of service was not idempotent.")
        definition = find_definition(call, p["taskDefinition"])
        _check(p, definition)
        p["taskDefinition"] = definition["taskDefinitionArn"]
        service = Service(api_of(call), cluster["clusterName"], p["serviceName"], p, int(p.get("desiredCount", 1)))
        service.deploy(definition["taskDefinitionArn"], _doom(service))
        world.services.append(service)
    return {"service": shown(service)}


def _check(p: dict[str, Any], definition: dict[str, Any]) -> None:
    """What ECS refuses at once."""
    if p.get("launchType") and p.get("capacityProviderStrategy"):
        raise ApiError("InvalidParameterException", "Specifying both a launch type and capacity provider strategy is not supported.")
    if definition["status"] != "ACTIVE":
        raise ApiError("ClientException", "TaskDefinition is inactive")
    ports = {(c["name"], m["containerPort"]) for c in definition["containerDefinitions"] for m in c.get("portMappings", [])}
    for balancer in p.get("loadBalancers", []):
        if (balancer["containerName"], balancer["containerPort"]) not in ports:
            raise ApiError(
                "InvalidParameterException",
                f"The container {balancer['containerName']} did not have a container port {balancer['containerPort']} defined.",
            )


def _doom(service: Service) -> dict[str, Any] | None:
    """How the next deployment fails, which holds for one."""
    doomed = settings(service.api.account).doomed
    return doomed.pop(service.name, None) or doomed.pop("*", None)


@operation("ecs", "UpdateService")
def update_service(call: Call) -> dict[str, Any]:
    p = dict(call.params)
    with world.lock:
        service = find_service(call, p["service"])
        if service is None:
            raise ApiError("ServiceNotFoundException", "Service not found.")
        if "desiredCount" in p:
            service.desired = int(p.pop("desiredCount"))
        definition = find_definition(call, p.get("taskDefinition") or service.settings["taskDefinition"])
        arn = definition["taskDefinitionArn"]
        _check({**service.settings, **p}, definition)
        # What needs new tasks; a doom is not for the way back to what runs already.
        rolls = p.get("forceNewDeployment") or arn != service.primary.definition or any(
            service.settings.get(k) != p[k] for k in ("networkConfiguration", "loadBalancers", "capacityProviderStrategy", "platformVersion") if k in p
        )
        ours = {k: v for k, v in p.items() if k not in ("service", "cluster", "forceNewDeployment", "taskDefinition")}
        service.settings.update(ours)
        service.settings["taskDefinition"] = arn
        if rolls:
            service.deploy(arn, _doom(service))
    return {"service": shown(service)}


@operation("ecs", "DeleteService")
def delete_service(call: Call) -> dict[str, Any]:
    with world.lock:
        service = find_service(call, call.params["service"])
        if service is None:
            raise ApiError("ServiceNotFoundException", "Service not found.")
        if service.desired > 0 and not call.params.get("force"):
            raise ApiError("InvalidParameterException", "The service cannot be stopped while it is scaled above 0.")
        service.desired, service.status = 0, "INACTIVE"
        for d in service.deployments:
            busy.end(d.span)
    return {"service": shown(service)}


@operation("ecs", "DescribeServices")
def describe_services(call: Call) -> dict[str, Any]:
    cluster_of(call)
    found, failures = [], []
    with world.lock:
        for name in call.params["services"]:
            of_that_name = [s for s in world.of(api_of(call), bare(call.params.get("cluster") or "default")) if s.name == bare(name)]
            if of_that_name:
                found.append(shown(of_that_name[-1], "TAGS" in call.params.get("include", [])))
            else:
                failures.append({"arn": name, "reason": "MISSING"})
    return {"services": found, "failures": failures}


@operation("ecs", "ListServices")
def list_services(call: Call) -> dict[str, Any]:
    cluster = cluster_of(call)
    return {"serviceArns": [s.arn for s in world.of(api_of(call), cluster["clusterName"]) if s.status == "ACTIVE"]}


def shown(s: Service, tags: bool = True) -> dict[str, Any]:
    """A service as answers have it."""
    live = [t for t in s.tasks if t.live]
    own = {k: v for k, v in s.settings.items() if k not in ("cluster", "desiredCount", "clientToken") and (tags or k != "tags")}
    return {
        **own, "serviceArn": s.arn, "serviceName": s.name, "clusterArn": s.api.arn("ecs", "cluster/" + s.cluster), "status": s.status,
        "desiredCount": s.desired, "runningCount": len([t for t in live if t.status == "RUNNING"]),
        "pendingCount": len([t for t in live if t.status in ("PROVISIONING", "PENDING")]), "schedulingStrategy": "REPLICA",
        "deployments": [_deployment(s, d) for d in s.deployments], "events": s.events[:100], "createdAt": s.created,
        "deploymentController": {"type": "ECS"},
    }


def _deployment(s: Service, d: Deployment) -> dict[str, Any]:
    mine = [t for t in s.tasks if t.live and t.deployment is d]
    return {
        "id": d.id, "status": d.status, "taskDefinition": d.definition, "desiredCount": s.desired if d.status == "PRIMARY" else 0,
        "runningCount": len([t for t in mine if t.status == "RUNNING"]),
        "pendingCount": len([t for t in mine if t.status in ("PROVISIONING", "PENDING")]), "failedTasks": d.failed,
        "createdAt": d.created, "updatedAt": d.updated, "rolloutState": d.rollout, "rolloutStateReason": d.reason,
        "launchType": s.settings.get("launchType"), "networkConfiguration": s.settings.get("networkConfiguration"),
    }


@operation("ecs", "ListTasks")
def list_tasks(call: Call) -> dict[str, Any]:
    p, cluster = call.params, cluster_of(call)
    stopped = p.get("desiredStatus") == "STOPPED"
    with world.lock:
        found = [
            t for s in world.of(api_of(call), cluster["clusterName"]) if not p.get("serviceName") or s.name == bare(p["serviceName"])
            for t in s.tasks if _goes(t) == stopped and p.get("startedBy") in (None, t.deployment.id)
            and p.get("family") in (None, world.definitions[t.deployment.definition]["family"])
        ]
    return {"taskArns": [t.arn for t in found]}


def _goes(t: Task) -> bool:
    return not t.live or t.ending is not None


@operation("ecs", "DescribeTasks")
def describe_tasks(call: Call) -> dict[str, Any]:
    cluster = cluster_of(call)
    found, failures = [], []
    with world.lock:
        tasks = {t.id: t for s in world.of(api_of(call), cluster["clusterName"]) for t in s.tasks}
        for name in call.params["tasks"]:
            task = tasks.get(bare(name))
            if task is None:
                failures.append({"arn": name, "reason": "MISSING"})
            else:
                found.append(_shown_task(task))
    return {"tasks": found, "failures": failures}


def _shown_task(t: Task) -> dict[str, Any]:
    s = t.service
    definition = world.definitions[t.deployment.definition]
    health = "HEALTHY" if t.health == "healthy" else "UNHEALTHY" if t.health == "unhealthy" else "UNKNOWN"
    return {
        "taskArn": t.arn, "clusterArn": s.api.arn("ecs", "cluster/" + s.cluster), "taskDefinitionArn": t.deployment.definition,
        "lastStatus": "DEACTIVATING" if t.live and t.ending is not None else t.status, "desiredStatus": "STOPPED" if _goes(t) else "RUNNING",
        "group": "service:" + s.name, "startedBy": t.deployment.id, "createdAt": t.created, "stoppedAt": t.stopped,
        "stopCode": t.code or None, "stoppedReason": t.reason or None, "healthStatus": health, "launchType": "FARGATE",
        "cpu": definition.get("cpu"), "memory": definition.get("memory"), "availabilityZone": s.api.region + "a",
        "containers": [
            {"name": c["name"], "image": c["image"], "lastStatus": t.status, "exitCode": t.exit, "reason": t.container_reason or None,
             "healthStatus": health, "taskArn": t.arn, "networkInterfaces": [{"privateIpv4Address": t.address}]}
            for c in definition["containerDefinitions"]
        ],
    }


@operation("ecs", "StopTask")
def stop_task(call: Call) -> dict[str, Any]:
    with world.lock:
        for s in world.of(api_of(call)):
            for t in s.tasks:
                if t.id == bare(call.params["task"]) and t.live:
                    end(t, call.params.get("reason", "Task stopped by user"))
                    return {"task": _shown_task(t)}
    raise ApiError("InvalidParameterException", "The referenced task was not found.")


@operation("elbv2", "DescribeTargetHealth")
def target_health(call: Call) -> dict[str, Any]:
    """The targets of a group are the tasks of the services that name it."""
    arn = call.params["TargetGroupArn"]
    states = {
        "initial": {"State": "initial", "Reason": "Elb.RegistrationInProgress", "Description": "Target registration is in progress"},
        "healthy": {"State": "healthy"},
        "unhealthy": {"State": "unhealthy", "Reason": "Target.ResponseCodeMismatch", "Description": "Health checks failed with these codes: [503]"},
        "draining": {"State": "draining", "Reason": "Target.DeregistrationInProgress", "Description": "Target deregistration is in progress"},
    }
    with world.lock:
        found = [
            {"Target": {"Id": t.address, "Port": b["containerPort"], "AvailabilityZone": s.api.region + "a"},
             "HealthCheckPort": str(b["containerPort"]), "TargetHealth": states[t.health]}
            for s in world.of(api_of(call)) for b in s.settings.get("loadBalancers", []) if b.get("targetGroupArn") == arn
            for t in s.tasks if t.status == "RUNNING"
        ]
    if not any(g["TargetGroupArn"] == arn for g in api_of(call)("elbv2", "DescribeTargetGroups")["TargetGroups"]):
        raise ApiError("TargetGroupNotFound", f"Target groups '{arn}' not found")
    return {"TargetHealthDescriptions": found}
