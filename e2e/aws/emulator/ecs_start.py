"""What happens when a task starts: whether it can, and what it logs.

A task is looked at as ECS's agent does: its image must be in the registry, its
secrets must exist in the version and with the key that is asked for, its log
group must be there, and its execution role must allow all of that.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import policies
from .calls import Api, Failed

if TYPE_CHECKING:
    from .ecs_state import Task


@dataclass
class Fault:
    """Why a task stops."""

    code: str
    reason: str
    exit: int | None = None
    container: str = ""


def _definition(task: "Task") -> dict[str, Any]:
    from .ecs_state import world

    return world.definitions[task.deployment.definition]


def fault(task: "Task") -> Fault | None:
    """Why the task cannot start, None where it can."""
    definition, api = _definition(task), task.service.api
    doomed = task.deployment.doomed or {}
    if doomed.get("how") == "pull":
        return _cannot_pull(definition["containerDefinitions"][0]["image"], "not found")
    role = policies.of_role(api, definition.get("executionRoleArn", ""))
    for container in definition["containerDefinitions"]:
        found = _pull(api, role, container) or _secrets(api, role, container) or _log_group(api, role, container)
        if found:
            return found
    if doomed.get("how") == "exit":
        write(task, doomed.get("lines") or ['{"level":"error","event":"fatal","msg":"the server could not start"}'])
        return Fault("EssentialContainerExited", "Essential container in task exited", 1)
    return None


def fault_of_health(task: "Task") -> Fault | None:
    """Why the task's target does not become healthy, None where it does."""
    doomed = task.deployment.doomed or {}
    if doomed.get("how") != "health":
        return None
    write(task, doomed.get("lines") or ['{"level":"error","event":"health","msg":"not ready"}'])
    groups = [b["targetGroupArn"] for b in task.service.settings.get("loadBalancers", [])]
    return Fault("ServiceSchedulerInitiated", f"Task failed ELB health checks in (target-group {', '.join(groups)})", 0, "Health checks failed with these codes: [503]")


# A registry of ECR, or the one that stands for it.
_account_registry = re.compile(r"\d{12}\.dkr\.ecr\.|127\.0\.0\.1:|localhost:|registry\.example$")


def _cannot_pull(image: str, why: str) -> Fault:
    return Fault("TaskFailedToStart", f"CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref {image}: {image}: {why}")


def _pull(api: Api, role: policies.Policy, container: dict[str, Any]) -> Fault | None:
    image = container["image"]
    host, _, rest = image.partition("/")
    if not _account_registry.match(host):
        return None  # public, and taken to be there
    repository, _, digest = rest.partition("@")
    if not digest:
        repository, _, tag = rest.partition(":")
        which = {"imageTag": tag or "latest"}
    else:
        which = {"imageDigest": digest}
    arn = api.arn("ecr", "repository/" + repository)
    for action, on in (("ecr:GetAuthorizationToken", "*"), ("ecr:BatchGetImage", arn), ("ecr:GetDownloadUrlForLayer", arn)):
        if not role.allows(action, on):
            return Fault("TaskFailedToStart", f"ResourceInitializationError: unable to pull secrets or registry auth: the execution role is not authorized to perform: {action} on resource: {on}")
    try:
        api("ecr", "DescribeImages", repositoryName=repository, imageIds=[which])
    except Failed as e:
        return _cannot_pull(image, "not found" if e.code == "ImageNotFoundException" else str(e))
    return None


def _secrets(api: Api, role: policies.Policy, container: dict[str, Any]) -> Fault | None:
    for secret in container.get("secrets", []):
        name, value_from = secret["name"], secret["valueFrom"]
        parts = value_from.split(":")
        # arn:aws:secretsmanager:region:account:secret:name-suffix[:key:stage:version]
        if len(parts) not in (7, 10) or parts[2] != "secretsmanager":
            return _secret_fault(name, f"invalid ARN {value_from}")
        arn, (key, stage, version) = ":".join(parts[:7]), (parts[7:] or ["", "", ""])
        if not role.allows("secretsmanager:GetSecretValue", arn):
            return _secret_fault(name, f"the execution role is not authorized to perform: secretsmanager:GetSecretValue on resource: {arn}")
        which = {k: v for k, v in {"VersionStage": stage, "VersionId": version}.items() if v}
        try:
            value = api("secretsmanager", "GetSecretValue", SecretId=arn, **which)["SecretString"]
        except Failed as e:
            return _secret_fault(name, str(e))
        if key:
            try:
                if key not in json.loads(value):
                    return _secret_fault(name, f"retrieved secret from Secrets Manager did not contain json key {key}")
            except ValueError:
                return _secret_fault(name, "invalid character in the secret, which is no JSON")
    return None


def _secret_fault(name: str, why: str) -> Fault:
    return Fault("TaskFailedToStart", f"ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm ({name}): {why}")


def _options(container: dict[str, Any]) -> dict[str, str]:
    configuration = container.get("logConfiguration", {})
    return configuration.get("options", {}) if configuration.get("logDriver") == "awslogs" else {}


def _log_group(api: Api, role: policies.Policy, container: dict[str, Any]) -> Fault | None:
    group = _options(container).get("awslogs-group")
    if not group:
        return None
    arn = api.arn("logs", f"log-group:{group}:log-stream:x")
    for action in ("logs:CreateLogStream", "logs:PutLogEvents"):
        if not role.allows(action, arn):
            return Fault("TaskFailedToStart", f"ResourceInitializationError: failed to validate logger args: the execution role is not authorized to perform: {action} on {group}")
    if not any(g["logGroupName"] == group for g in api("logs", "DescribeLogGroups", logGroupNamePrefix=group)["logGroups"]):
        return Fault("TaskFailedToStart", "ResourceInitializationError: failed to validate logger args: The specified log group does not exist.")
    return None


def log_start(task: "Task") -> None:
    """Writes what the server logs when it starts."""
    write(task, [json.dumps({"level": "info", "event": "serving", "msg": "serves the functions", "task": task.id})])


def write(task: "Task", lines: list[str], at: float | None = None) -> None:
    """Puts lines into the task's log stream, at a time in Unix seconds."""
    api = task.service.api
    for container in _definition(task)["containerDefinitions"]:
        options = _options(container)
        if "awslogs-group" not in options:
            continue
        group, stream = options["awslogs-group"], f"{options.get('awslogs-stream-prefix', '')}/{container['name']}/{task.id}"
        try:
            api("logs", "CreateLogStream", logGroupName=group, logStreamName=stream)
        except Failed as e:
            if e.code != "ResourceAlreadyExistsException":
                return  # the group is gone, and ECS drops what it cannot deliver
        time_of = int((at or time.time()) * 1000)
        api("logs", "PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=[{"timestamp": time_of, "message": l} for l in lines])
        return
