"""Application Auto Scaling, which keeps a service's count within its bounds."""

import time
import uuid
from typing import Any

from .calls import Api
from .ecs_state import Service, world
from .stacks import now
from .wire import ApiError, Call, operation

SERVICE = "application-autoscaling"

Key = tuple[str, str, str, str, str]  # account, region, namespace, resource, dimension
_targets: dict[Key, dict[str, Any]] = {}
_policies: dict[tuple[Key, str], dict[str, Any]] = {}


def _key(call: Call) -> Key:
    p = call.params
    return call.account, call.region, p["ServiceNamespace"], p["ResourceId"], p["ScalableDimension"]


def _service(call: Call) -> Service | None:
    _, cluster, name = call.params["ResourceId"].split("/")
    for s in world.of(Api(call.account, call.region), cluster):
        if s.name == name and s.status == "ACTIVE":
            return s
    return None


@operation(SERVICE, "RegisterScalableTarget")
def register(call: Call) -> dict[str, Any]:
    p, key = call.params, _key(call)
    with world.lock:
        service = _service(call)
        if service is None:
            raise ApiError("ValidationException", f"ECS service doesn't exist: {p['ResourceId']}")
        target = _targets.setdefault(key, {
            "ServiceNamespace": key[2], "ResourceId": key[3], "ScalableDimension": key[4], "CreationTime": now(),
            "RoleARN": f"arn:aws:iam::{call.account}:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService",
            "ScalableTargetARN": Api(call.account, call.region).arn(SERVICE, "scalable-target/" + uuid.uuid4().hex),
        })
        target.update({k: p[k] for k in ("MinCapacity", "MaxCapacity", "SuspendedState") if k in p})
        if "MinCapacity" not in target or "MaxCapacity" not in target or target["MinCapacity"] > target["MaxCapacity"]:
            raise ApiError("ValidationException", "Maximum capacity cannot be less than minimum capacity")
        service.bounds = target["MinCapacity"], target["MaxCapacity"], time.monotonic()
    return {"ScalableTargetARN": target["ScalableTargetARN"]}


@operation(SERVICE, "DescribeScalableTargets")
def describe(call: Call) -> dict[str, Any]:
    p = call.params
    wanted = p.get("ResourceIds")
    return {"ScalableTargets": [t for k, t in _targets.items() if k[:3] == (call.account, call.region, p["ServiceNamespace"]) and (not wanted or k[3] in wanted)]}


@operation(SERVICE, "DeregisterScalableTarget")
def deregister(call: Call) -> None:
    key = _key(call)
    service = _service(call)
    if service is not None:
        service.bounds = None
    if _targets.pop(key, None) is None:
        raise ApiError("ObjectNotFoundException", "No scalable target found for service namespace: ecs")
    for other in [k for k in _policies if k[0] == key]:
        del _policies[other]


@operation(SERVICE, "PutScalingPolicy")
def put_policy(call: Call) -> dict[str, Any]:
    p, key = call.params, _key(call)
    if key not in _targets:
        raise ApiError("ObjectNotFoundException", "No scalable target registered for service namespace: ecs")
    policy = _policies.setdefault((key, p["PolicyName"]), {
        "PolicyARN": Api(call.account, call.region).arn("autoscaling", f"scalingPolicy:{uuid.uuid4()}:resource/ecs/{key[3]}:policyName/{p['PolicyName']}"),
        "CreationTime": now(), "Alarms": [],
    })
    policy.update(p)
    return {"PolicyARN": policy["PolicyARN"], "Alarms": []}


@operation(SERVICE, "DescribeScalingPolicies")
def describe_policies(call: Call) -> dict[str, Any]:
    p = call.params
    return {"ScalingPolicies": [v for (k, _), v in _policies.items() if k[:3] == (call.account, call.region, p["ServiceNamespace"]) and p.get("ResourceId") in (None, k[3])]}


@operation(SERVICE, "DeleteScalingPolicy")
def delete_policy(call: Call) -> None:
    if _policies.pop((_key(call), call.params["PolicyName"]), None) is None:
        raise ApiError("ObjectNotFoundException", "No scaling policy found for service namespace: ecs")


@operation(SERVICE, "DescribeScalingActivities")
def activities(call: Call) -> dict[str, Any]:
    return {"ScalingActivities": []}
