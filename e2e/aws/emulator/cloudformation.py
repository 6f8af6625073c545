"""The operations of CloudFormation's API on stacks."""

import json
import threading
import time
import uuid
from typing import Any

from . import execution, rules
from .calls import Api
from .changes import changes as changes_of
from .stacks import ChangeSet, Stack, book, busy, now
from .template import capabilities, check_capabilities, invalid, order, parameters, read, text
from .wire import ApiError, Call, operation

EVENTS_A_PAGE = 100

UPDATABLE = {
    "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_FAILED", "CREATE_FAILED", "IMPORT_COMPLETE",
}


def api_of(call: Call) -> Api:
    return Api(call.account, call.region, noted=True)


def prepared(api: Api, p: dict[str, Any], stack: Stack | None) -> tuple[str, dict[str, Any], dict[str, str], dict[str, str], list[str]]:
    """A request's template, parameter values, tags and capabilities, all checked."""
    if p.get("UsePreviousTemplate"):
        if stack is None or not stack.body:
            raise invalid("No previous template is there to be used")
        body = stack.body
    elif p.get("TemplateURL"):
        raise invalid("the emulator reads no templates from S3")
    elif not p.get("TemplateBody"):
        raise invalid("Either Template URL or Template Body must be specified.")
    else:
        body = p["TemplateBody"]
    template = read(body)
    given: dict[str, str] = {}
    for one in p.get("Parameters", []):
        key = one["ParameterKey"]
        if one.get("UsePreviousValue"):
            if "ParameterValue" in one:
                raise invalid(f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true and non empty value for a parameter")
            if stack is None or key not in stack.values:
                raise invalid(f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true for a parameter key not in the previous template")
            given[key] = stack.values[key]
        else:
            given[key] = one.get("ParameterValue", "")
    values = parameters(template, given)
    rules.check(template, values)
    check_capabilities(template, p.get("Capabilities", []))
    # What refers to something that will not be there is found before anything is made.
    scope = Stack("", p["StackName"], api, "").scope(template, values)
    for name in order(template, scope.active()):
        scope.resolve(template["Resources"][name].get("Properties", {}))
    scope.outputs()
    tags = {t["Key"]: t["Value"] for t in p.get("Tags", [])} if "Tags" in p or stack is None else stack.tags
    return body, template, values, tags, p.get("Capabilities", [])


def must_be_updatable(stack: Stack) -> None:
    if stack.status not in UPDATABLE:
        raise invalid(f"Stack:{stack.id} is in {stack.status} state and can not be updated.")


@operation("cloudformation", "CreateStack")
def create_stack(call: Call) -> dict[str, Any]:
    p, api = call.params, api_of(call)
    with book.lock:
        if book.find(api, p["StackName"]):
            raise ApiError("AlreadyExistsException", f"Stack [{p['StackName']}] already exists")
        body, template, values, tags, caps = prepared(api, p, None)
        stack = book.add(api, p["StackName"], "CREATE_IN_PROGRESS")
        stack.protected = bool(p.get("EnableTerminationProtection"))
        _settle(stack, body, template, values, tags, caps, p.get("ClientRequestToken"))
        stack.report("CREATE_IN_PROGRESS", "User Initiated")
        on_failure = "DO_NOTHING" if p.get("DisableRollback") else p.get("OnFailure", "ROLLBACK")
        execution.start(stack, "create", lambda: execution.create(stack, template, values, on_failure))
    return {"StackId": stack.id}


def _settle(stack: Stack, body: str, template: dict[str, Any], values: dict[str, str], tags: dict[str, str], caps: list[str], token: str | None) -> None:
    stack.body, stack.template, stack.values, stack.tags, stack.capabilities, stack.token = body, template, values, tags, caps, token


@operation("cloudformation", "UpdateStack")
def update_stack(call: Call) -> dict[str, Any]:
    p, api = call.params, api_of(call)
    with book.lock:
        stack = book.get(api, p["StackName"])
        must_be_updatable(stack)
        body, template, values, tags, caps = prepared(api, p, stack)
        if not changes_of(stack, template, values) and tags == stack.tags:
            raise invalid("No updates are to be performed.")
        stack.tags, stack.capabilities, stack.token = tags, caps, p.get("ClientRequestToken")
        stack.report("UPDATE_IN_PROGRESS", "User Initiated")
        keep = bool(p.get("DisableRollback"))
        execution.start(stack, "update", lambda: execution.update(stack, body, template, values, keep))
    return {"StackId": stack.id}


@operation("cloudformation", "CancelUpdateStack")
def cancel_update(call: Call) -> None:
    with book.lock:
        stack = book.get(api_of(call), call.params["StackName"])
        if stack.status != "UPDATE_IN_PROGRESS":
            raise invalid(f"CancelUpdateStack cannot be called from current stack status {stack.status}")
        stack.cancel.set()


@operation("cloudformation", "DeleteStack")
def delete_stack(call: Call) -> None:
    p = call.params
    with book.lock:
        stack = book.find(api_of(call), p["StackName"])
        if stack is None or stack.status in ("DELETE_COMPLETE", "DELETE_IN_PROGRESS"):
            return
        if stack.protected:
            raise invalid(f"Stack [{stack.id}] cannot be deleted while TerminationProtection is enabled")
        retain = p.get("RetainResources", [])
        if retain and stack.status != "DELETE_FAILED":
            raise invalid(f"Invalid operation on stack [{stack.id}]. Stack must be in [DELETE_FAILED] to retain resources")
        if stack.status.endswith("_IN_PROGRESS") and stack.status != "REVIEW_IN_PROGRESS":
            raise invalid(f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
        stack.token = p.get("ClientRequestToken")
        stack.report("DELETE_IN_PROGRESS", "User Initiated")
        execution.start(stack, "delete", lambda: execution.delete(stack, retain))


@operation("cloudformation", "UpdateTerminationProtection")
def protect(call: Call) -> dict[str, Any]:
    stack = book.get(api_of(call), call.params["StackName"])
    stack.protected = bool(call.params["EnableTerminationProtection"])
    return {"StackId": stack.id}


@operation("cloudformation", "RollbackStack")
def rollback_stack(call: Call) -> dict[str, Any]:
    raise ApiError("ValidationError", "the emulator does not roll back stacks that failed without rollback")


@operation("cloudformation", "DescribeStacks")
def describe_stacks(call: Call) -> dict[str, Any]:
    api, name = api_of(call), call.params.get("StackName")
    stacks = [book.get(api, name)] if name else [s for s in book.of(api) if s.status != "DELETE_COMPLETE"]
    return {"Stacks": [_described(s) for s in stacks]}


def _described(s: Stack) -> dict[str, Any]:
    return {
        "StackId": s.id, "StackName": s.name, "StackStatus": s.status, "StackStatusReason": s.reason, "CreationTime": s.created,
        "LastUpdatedTime": s.updated, "DeletionTime": s.deleted, "Description": s.template.get("Description"),
        "Parameters": s.masked(s.template, s.values), "Outputs": list(s.outputs.values()), "Capabilities": s.capabilities,
        "Tags": [{"Key": k, "Value": v} for k, v in s.tags.items()], "DisableRollback": s.disable_rollback,
        "EnableTerminationProtection": s.protected, "NotificationARNs": [], "RollbackConfiguration": {},
    }


@operation("cloudformation", "ListStacks")
def list_stacks(call: Call) -> dict[str, Any]:
    wanted = call.params.get("StackStatusFilter")
    return {"StackSummaries": [
        {"StackId": s.id, "StackName": s.name, "StackStatus": s.status, "CreationTime": s.created, "DeletionTime": s.deleted, "LastUpdatedTime": s.updated}
        for s in reversed(book.of(api_of(call))) if not wanted or s.status in wanted
    ]}


@operation("cloudformation", "DescribeStackEvents")
def describe_events(call: Call) -> dict[str, Any]:
    events = list(reversed(book.get(api_of(call), call.params["StackName"]).events))
    # New events come in at the front: a page is counted from the end.
    left = int(call.params.get("NextToken") or len(events))
    page = events[len(events) - left :][:EVENTS_A_PAGE]
    more = {"NextToken": str(left - len(page))} if left > len(page) else {}
    return {**more, "StackEvents": [
        {"StackId": e.stack.id, "StackName": e.stack.name, "EventId": e.id, "LogicalResourceId": e.logical, "PhysicalResourceId": e.physical,
         "ResourceType": e.type, "Timestamp": e.time, "ResourceStatus": e.status, "ResourceStatusReason": e.reason, "ClientRequestToken": e.token}
        for e in page
    ]}


def _resources(stack: Stack) -> list[dict[str, Any]]:
    return [
        {"StackId": stack.id, "StackName": stack.name, "LogicalResourceId": r.logical, "PhysicalResourceId": r.made.id, "ResourceType": r.type,
         "ResourceStatus": r.status, "ResourceStatusReason": r.reason, "Timestamp": r.updated, "LastUpdatedTimestamp": r.updated}
        for r in list(stack.resources.values())
    ]


@operation("cloudformation", "ListStackResources")
def list_resources(call: Call) -> dict[str, Any]:
    found = _resources(book.get(api_of(call), call.params["StackName"]))
    start = int(call.params.get("NextToken") or 0)
    more = {"NextToken": str(start + 100)} if len(found) > start + 100 else {}
    return {**more, "StackResourceSummaries": found[start : start + 100]}


@operation("cloudformation", "DescribeStackResources")
def describe_resources(call: Call) -> dict[str, Any]:
    found = _resources(book.get(api_of(call), call.params["StackName"]))
    logical = call.params.get("LogicalResourceId")
    return {"StackResources": [r for r in found if not logical or r["LogicalResourceId"] == logical][:100]}


@operation("cloudformation", "DescribeStackResource")
def describe_resource(call: Call) -> dict[str, Any]:
    stack, logical = book.get(api_of(call), call.params["StackName"]), call.params["LogicalResourceId"]
    for r in _resources(stack):
        if r["LogicalResourceId"] == logical:
            return {"StackResourceDetail": r}
    raise invalid(f"Resource {logical} does not exist for stack {stack.name}")


@operation("cloudformation", "GetTemplate")
def get_template(call: Call) -> dict[str, Any]:
    stack = book.get(api_of(call), call.params["StackName"])
    body = stack.body
    if call.params.get("ChangeSetName"):
        body = find_change_set(api_of(call), stack.name, call.params["ChangeSetName"])[1].body
    return {"TemplateBody": body, "StagesAvailable": ["Original", "Processed"]}


@operation("cloudformation", "GetTemplateSummary")
def template_summary(call: Call) -> dict[str, Any]:
    p = call.params
    template = read(p["TemplateBody"]) if p.get("TemplateBody") else book.get(api_of(call), p["StackName"]).template
    return {**_summary(template), "ResourceTypes": sorted({r["Type"] for r in template["Resources"].values()}), "Version": "2010-09-09"}


@operation("cloudformation", "ValidateTemplate")
def validate_template(call: Call) -> dict[str, Any]:
    return _summary(read(call.params["TemplateBody"]))


def _summary(template: dict[str, Any]) -> dict[str, Any]:
    declared = template.get("Parameters", {})
    return {
        "Description": template.get("Description"), "Capabilities": capabilities(template),
        "CapabilitiesReason": "The following resource(s) require capabilities: [AWS::IAM::Role]" if capabilities(template) else None,
        "Parameters": [
            {"ParameterKey": k, "DefaultValue": text(d["Default"]) if "Default" in d else None, "ParameterType": d.get("Type", "String"),
             "NoEcho": text(d.get("NoEcho", "")) == "true", "Description": d.get("Description"),
             "ParameterConstraints": {"AllowedValues": [text(v) for v in d["AllowedValues"]]} if "AllowedValues" in d else None}
            for k, d in declared.items()
        ],
    }


@operation("cloudformation", "CreateChangeSet")
def create_change_set(call: Call) -> dict[str, Any]:
    p, api = call.params, api_of(call)
    name, kind = p["StackName"], p.get("ChangeSetType", "UPDATE")
    with book.lock:
        stack = book.find(api, name)
        if kind == "CREATE":
            if stack is not None and stack.status != "REVIEW_IN_PROGRESS":
                raise invalid(f"Stack [{name}] already exists and cannot be created again with the changeSet [{p['ChangeSetName']}].")
        elif stack is None:
            raise invalid(f"Stack [{name}] does not exist")
        else:
            must_be_updatable(stack)
        if stack is not None and p["ChangeSetName"] in stack.change_sets:
            raise ApiError("AlreadyExistsException", f"ChangeSet {p['ChangeSetName']} already exists")
        body, template, values, tags, caps = prepared(api, p, stack)
        if stack is None:
            stack = book.add(api, name, "REVIEW_IN_PROGRESS")
            stack.report("REVIEW_IN_PROGRESS", "User Initiated")
        id = api.arn("cloudformation", f"changeSet/{p['ChangeSetName']}/{uuid.uuid4()}")
        on_failure = p.get("OnStackFailure")
        change_set = ChangeSet(id, p["ChangeSetName"], kind, body, template, values, tags, caps, p.get("Description"), on_failure)
        stack.change_sets[change_set.name] = change_set
    span = busy.begin(call.account, f"change set {name}")
    threading.Thread(target=_work_out, args=(stack, change_set, span), daemon=True).start()
    return {"Id": id, "StackId": stack.id}


def _work_out(stack: Stack, c: ChangeSet, span: dict[str, Any]) -> None:
    """Finds the changes, which takes a moment."""
    time.sleep(0.2)
    try:
        c.changes = changes_of(stack, c.template, c.values)
        if c.kind == "UPDATE" and not c.changes and c.tags == stack.tags and not _outputs_differ(stack, c):
            c.status, c.reason = "FAILED", "The submitted information didn't contain changes. Submit different information to create a change set."
        else:
            c.status, c.execution = "CREATE_COMPLETE", "AVAILABLE"
    except ApiError as e:
        c.status, c.reason = "FAILED", e.message
    finally:
        busy.end(span)


def _outputs_differ(stack: Stack, c: ChangeSet) -> bool:
    return stack.scope(c.template, c.values).outputs() != stack.outputs


def find_change_set(api: Api, stack_name: str | None, name: str) -> tuple[Stack, ChangeSet]:
    if stack_name:
        stacks = [book.get(api, stack_name)]
    elif name.startswith("arn:"):
        stacks = book.of(api)
    else:
        raise invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
    for stack in stacks:
        for c in stack.change_sets.values():
            if name in (c.name, c.id):
                return stack, c
    raise ApiError("ChangeSetNotFound", f"ChangeSet [{name}] does not exist")


@operation("cloudformation", "DescribeChangeSet")
def describe_change_set(call: Call) -> dict[str, Any]:
    stack, c = find_change_set(api_of(call), call.params.get("StackName"), call.params["ChangeSetName"])
    changes = c.changes
    if not call.params.get("IncludePropertyValues"):
        changes = json.loads(json.dumps(changes))
        for change in changes:
            one = change["ResourceChange"]
            one.pop("BeforeContext", None)
            one.pop("AfterContext", None)
            for detail in one["Details"]:
                for key in ("BeforeValue", "AfterValue", "Path", "AttributeChangeType"):
                    detail["Target"].pop(key, None)
    return {
        "ChangeSetName": c.name, "ChangeSetId": c.id, "StackId": stack.id, "StackName": stack.name, "Description": c.description,
        "Parameters": stack.masked(c.template, c.values), "CreationTime": c.created, "ExecutionStatus": c.execution, "Status": c.status,
        "StatusReason": c.reason, "Capabilities": c.capabilities, "Changes": changes, "NotificationARNs": [], "RollbackConfiguration": {},
        "Tags": [{"Key": k, "Value": v} for k, v in c.tags.items()], "IncludeNestedStacks": False, "OnStackFailure": c.on_failure,
    }


@operation("cloudformation", "ListChangeSets")
def list_change_sets(call: Call) -> dict[str, Any]:
    stack = book.get(api_of(call), call.params["StackName"])
    return {"Summaries": [
        {"StackId": stack.id, "StackName": stack.name, "ChangeSetId": c.id, "ChangeSetName": c.name, "Status": c.status, "StatusReason": c.reason,
         "ExecutionStatus": c.execution, "CreationTime": c.created, "Description": c.description}
        for c in stack.change_sets.values()
    ]}


@operation("cloudformation", "DeleteChangeSet")
def delete_change_set(call: Call) -> None:
    """The stack of a change set that would have made it stays in review."""
    try:
        stack, c = find_change_set(api_of(call), call.params.get("StackName"), call.params["ChangeSetName"])
    except ApiError as e:
        if e.code == "ChangeSetNotFound":
            return
        raise
    if c.execution == "EXECUTE_IN_PROGRESS" or c.status == "CREATE_IN_PROGRESS":
        raise ApiError("InvalidChangeSetStatus", f"ChangeSet [{c.id}] cannot be deleted in {c.status} status")
    stack.change_sets.pop(c.name, None)


@operation("cloudformation", "ExecuteChangeSet")
def execute_change_set(call: Call) -> None:
    p = call.params
    with book.lock:
        stack, c = find_change_set(api_of(call), p.get("StackName"), p["ChangeSetName"])
        if c.execution != "AVAILABLE":
            raise ApiError("InvalidChangeSetStatus", f"ChangeSet [{c.id}] cannot be executed in its current execution status of [{c.execution}]")
        if c.kind == "UPDATE":
            must_be_updatable(stack)
        c.execution = "EXECUTE_IN_PROGRESS"
        for other in [n for n, o in stack.change_sets.items() if o is not c]:
            del stack.change_sets[other]  # made for a state that is no more
        stack.tags, stack.capabilities, stack.token = c.tags, c.capabilities, p.get("ClientRequestToken")
        stack.report(c.kind + "_IN_PROGRESS", "User Initiated")
        keep = bool(p.get("DisableRollback")) or c.on_failure == "DO_NOTHING"
        stack.disable_rollback = keep

        def work() -> None:
            if c.kind == "CREATE":
                stack.created = now()
                _settle(stack, c.body, c.template, c.values, c.tags, c.capabilities, stack.token)
                execution.create(stack, c.template, c.values, "DO_NOTHING" if keep else c.on_failure or "ROLLBACK")
            else:
                execution.update(stack, c.body, c.template, c.values, keep)
            failed = "ROLLBACK" in stack.status or "FAILED" in stack.status
            c.execution = "EXECUTE_FAILED" if failed else "EXECUTE_COMPLETE"

        execution.start(stack, c.kind.lower(), work)


@operation("cloudformation", "ContinueUpdateRollback")
def continue_rollback(call: Call) -> None:
    raise ApiError("ValidationError", "the emulator does not continue rollbacks")
