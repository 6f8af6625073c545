"""Whether a policy allows an action, as far as execution roles and simulations need it."""

import fnmatch
import json
from typing import Any

from .calls import Api, Failed
from .control import settings
from .wire import ApiError, Call, operation


class Policy:
    """The statements of several documents."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self.statements = [s for d in documents for s in _list(d["Statement"])]

    def allows(self, action: str, resource: str) -> bool:
        """Whether a statement allows it and none denies it. Conditions count as met."""
        matching = [s for s in self.statements if _any(action.lower(), s.get("Action"), lower=True) and _any(resource, s.get("Resource"))]
        return any(s["Effect"] == "Allow" for s in matching) and not any(s["Effect"] == "Deny" for s in matching)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _any(value: str, patterns: Any, lower: bool = False) -> bool:
    return any(fnmatch.fnmatchcase(value, p.lower() if lower else p) for p in _list(patterns or []))


def of_role(api: Api, arn: str) -> Policy:
    """What the policies inside a role say; no role, no rights."""
    name = arn.rsplit("/", 1)[-1]
    documents = []
    try:
        for policy in api("iam", "ListRolePolicies", RoleName=name)["PolicyNames"]:
            document = api("iam", "GetRolePolicy", RoleName=name, PolicyName=policy)["PolicyDocument"]
            documents.append(document if isinstance(document, dict) else json.loads(document))
    except Failed:
        return Policy([])
    return Policy(documents)


@operation("iam", "SimulatePrincipalPolicy")
def simulate(call: Call) -> dict[str, Any]:
    """Allows everything but what a test says is not; it is refused where no test says anything."""
    denied = settings(call.account).denied
    if denied is None:
        raise ApiError("AccessDenied", f"User: {call.params['PolicySourceArn']} is not authorized to perform: iam:SimulatePrincipalPolicy")
    results = [
        {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": "implicitDeny" if _any(action, denied) else "allowed"}
        for action in call.params["ActionNames"] for resource in call.params.get("ResourceArns") or ["*"]
    ]
    start = int(call.params.get("Marker") or 0)
    size = int(call.params.get("MaxItems") or 100)
    more = {"IsTruncated": True, "Marker": str(start + size)} if len(results) > start + size else {"IsTruncated": False}
    return {**more, "EvaluationResults": results[start : start + size]}


@operation("sts", "GetCallerIdentity")
def identity(call: Call) -> dict[str, Any]:
    """Everybody is somebody who took on the role that deploys."""
    return {"UserId": "AROAEXAMPLE:test", "Account": call.account, "Arn": f"arn:aws:sts::{call.account}:assumed-role/selvedge-deploy/test"}
