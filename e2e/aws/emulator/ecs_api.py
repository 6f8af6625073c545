"""The operations of ECS's API on clusters and task definitions."""

from typing import Any

from .calls import Api
from .ecs_state import Service, world
from .stacks import now
from .wire import ApiError, Call, operation

# CPU units of Fargate, and the memory (MiB) that each can have.
FARGATE = {
    "256": [512, 1024, 2048], "512": range(1024, 4097, 1024), "1024": range(2048, 8193, 1024), "2048": range(4096, 16385, 1024),
    "4096": range(8192, 30721, 1024), "8192": range(16384, 61441, 4096), "16384": range(32768, 122881, 8192),
}


def api_of(call: Call) -> Api:
    return Api(call.account, call.region)


def bare(name: str) -> str:
    """The name in an ARN or the name itself."""
    return name.rsplit("/", 1)[-1]


def cluster_of(call: Call, must: bool = True) -> dict[str, Any]:
    name = bare(call.params.get("cluster") or "default")
    found = world.clusters.get(api_of(call).arn("ecs", "cluster/" + name))
    if found is None or found["status"] == "INACTIVE" and must:
        raise ApiError("ClusterNotFoundException", "Cluster not found.")
    return found


@operation("ecs", "CreateCluster")
def create_cluster(call: Call) -> dict[str, Any]:
    p = call.params
    name = p.get("clusterName", "default")
    arn = api_of(call).arn("ecs", "cluster/" + name)
    cluster = {
        **{k: p[k] for k in ("settings", "configuration", "capacityProviders", "defaultCapacityProviderStrategy", "tags", "serviceConnectDefaults") if k in p},
        "clusterArn": arn, "clusterName": name, "status": "ACTIVE",
    }
    with world.lock:
        world.clusters[arn] = cluster
    return {"cluster": _shown_cluster(cluster)}


def _shown_cluster(cluster: dict[str, Any]) -> dict[str, Any]:
    services = [s for s in world.services if s.arn.startswith(cluster["clusterArn"].replace(":cluster/", ":service/") + "/")]
    live = [t for s in services for t in s.tasks if t.live]
    return {
        **cluster, "activeServicesCount": len([s for s in services if s.status == "ACTIVE"]),
        "runningTasksCount": len([t for t in live if t.status == "RUNNING"]), "pendingTasksCount": len([t for t in live if t.status != "RUNNING"]),
    }


@operation("ecs", "DescribeClusters")
def describe_clusters(call: Call) -> dict[str, Any]:
    api, found, failures = api_of(call), [], []
    for name in call.params.get("clusters") or ["default"]:
        arn = api.arn("ecs", "cluster/" + bare(name))
        if arn in world.clusters:
            found.append(_shown_cluster(world.clusters[arn]))
        else:
            failures.append({"arn": arn, "reason": "MISSING"})
    return {"clusters": found, "failures": failures}


@operation("ecs", "ListClusters")
def list_clusters(call: Call) -> dict[str, Any]:
    prefix = api_of(call).arn("ecs", "cluster/")
    return {"clusterArns": [a for a, c in world.clusters.items() if a.startswith(prefix) and c["status"] == "ACTIVE"]}


@operation("ecs", "UpdateCluster")
def update_cluster(call: Call) -> dict[str, Any]:
    cluster = cluster_of(call)
    cluster.update({k: v for k, v in call.params.items() if k != "cluster"})
    return {"cluster": _shown_cluster(cluster)}


@operation("ecs", "PutClusterCapacityProviders")
def put_providers(call: Call) -> dict[str, Any]:
    cluster = cluster_of(call)
    cluster.update({k: call.params[k] for k in ("capacityProviders", "defaultCapacityProviderStrategy")})
    return {"cluster": _shown_cluster(cluster)}


@operation("ecs", "DeleteCluster")
def delete_cluster(call: Call) -> dict[str, Any]:
    cluster = cluster_of(call)
    with world.lock:
        if _shown_cluster(cluster)["activeServicesCount"]:
            raise ApiError("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
        cluster["status"] = "INACTIVE"
    return {"cluster": _shown_cluster(cluster)}


@operation("ecs", "RegisterTaskDefinition")
def register(call: Call) -> dict[str, Any]:
    p, api = call.params, api_of(call)
    if "FARGATE" in p.get("requiresCompatibilities", []):
        cpu, memory = p.get("cpu", ""), p.get("memory", "")
        if p.get("networkMode") != "awsvpc":
            raise ApiError("ClientException", "Fargate only supports network mode ‘awsvpc’.")
        if cpu not in FARGATE or not memory.isdigit() or int(memory) not in FARGATE[cpu]:
            raise ApiError("ClientException", f"No Fargate configuration exists for given values: {cpu} CPU, {memory} memory.")
        if not p.get("executionRoleArn") and any(c.get("secrets") or c.get("logConfiguration") for c in p["containerDefinitions"]):
            raise ApiError("ClientException", "Fargate requires task definition to have execution role ARN to support log driver awslogs.")
        if any(c.get("stopTimeout", 0) > 120 for c in p["containerDefinitions"]):
            raise ApiError("ClientException", "The stop timeout must be no more than 120 seconds.")
    with world.lock:
        prefix = api.arn("ecs", f"task-definition/{p['family']}:")
        revision = 1 + max([d["revision"] for a, d in world.definitions.items() if a.startswith(prefix)], default=0)
        definition = {
            **{k: v for k, v in p.items() if k != "tags"}, "taskDefinitionArn": prefix + str(revision), "revision": revision, "status": "ACTIVE",
            "registeredAt": now(), "registeredBy": f"arn:aws:iam::{call.account}:root", "compatibilities": ["EC2", "FARGATE"], "tags": p.get("tags", []),
        }
        world.definitions[definition["taskDefinitionArn"]] = definition
    return {"taskDefinition": _shown(definition), "tags": definition["tags"]}


def _shown(definition: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in definition.items() if k != "tags"}


def find_definition(call: Call, name: str) -> dict[str, Any]:
    """A task definition by ARN, family:revision, or family for its newest active one."""
    api = api_of(call)
    family, _, revision = name.rsplit("/", 1)[-1].partition(":")
    prefix = api.arn("ecs", f"task-definition/{family}:")
    if revision:
        found = world.definitions.get(prefix + revision)
    else:
        active = [d for a, d in world.definitions.items() if a.startswith(prefix) and d["status"] == "ACTIVE"]
        found = max(active, key=lambda d: d["revision"], default=None)
    if found is None:
        raise ApiError("ClientException", "Unable to describe task definition.")
    return found


@operation("ecs", "DescribeTaskDefinition")
def describe_definition(call: Call) -> dict[str, Any]:
    found = find_definition(call, call.params["taskDefinition"])
    tags = {"tags": found["tags"]} if "TAGS" in call.params.get("include", []) else {}
    return {"taskDefinition": _shown(found), **tags}


@operation("ecs", "ListTaskDefinitions")
def list_definitions(call: Call) -> dict[str, Any]:
    p, api = call.params, api_of(call)
    prefix, status = api.arn("ecs", "task-definition/"), p.get("status", "ACTIVE")
    found = [d for a, d in world.definitions.items() if a.startswith(prefix) and d["status"] == status and p.get("familyPrefix") in (None, d["family"])]
    found.sort(key=lambda d: (d["family"], d["revision"]), reverse=p.get("sort") == "DESC")
    start, size = int(p.get("nextToken") or 0), int(p.get("maxResults") or 100)
    more = {"nextToken": str(start + size)} if len(found) > start + size else {}
    return {**more, "taskDefinitionArns": [d["taskDefinitionArn"] for d in found[start : start + size]]}


@operation("ecs", "DeregisterTaskDefinition")
def deregister(call: Call) -> dict[str, Any]:
    found = find_definition(call, call.params["taskDefinition"])
    found["status"], found["deregisteredAt"] = "INACTIVE", now()
    return {"taskDefinition": _shown(found)}


@operation("ecs", "DeleteTaskDefinitions")
def delete_definitions(call: Call) -> dict[str, Any]:
    deleted, failures = [], []
    for name in call.params["taskDefinitions"]:
        found = find_definition(call, name)
        if found["status"] != "INACTIVE":
            failures.append({"arn": found["taskDefinitionArn"], "reason": "The specified task definition is not INACTIVE."})
            continue
        with world.lock:
            found["status"] = "DELETE_IN_PROGRESS"
            del world.definitions[found["taskDefinitionArn"]]
        deleted.append(_shown(found))
    return {"taskDefinitions": deleted, "failures": failures}


def _tagged(call: Call) -> list[dict[str, str]]:
    """The tags of what resourceArn names, to be changed in place."""
    arn = call.params["resourceArn"]
    for holder in (world.definitions, world.clusters):
        if arn in holder:
            return holder[arn].setdefault("tags", [])
    for service in world.of(api_of(call)):
        if service.arn == arn:
            return service.settings.setdefault("tags", [])
    raise ApiError("InvalidParameterException", "The specified resource is not found.")


@operation("ecs", "ListTagsForResource")
def list_tags(call: Call) -> dict[str, Any]:
    return {"tags": _tagged(call)}


@operation("ecs", "TagResource")
def tag_resource(call: Call) -> None:
    tags = _tagged(call)
    for new in call.params["tags"]:
        tags[:] = [t for t in tags if t["key"] != new["key"]] + [new]


@operation("ecs", "UntagResource")
def untag_resource(call: Call) -> None:
    tags = _tagged(call)
    tags[:] = [t for t in tags if t["key"] not in call.params["tagKeys"]]


def find_service(call: Call, name: str) -> Service | None:
    cluster = bare(call.params.get("cluster") or "default")
    for service in world.of(api_of(call), cluster):
        if service.name == bare(name) and service.status != "INACTIVE":
            return service
    return None
