"""What a change set says: which resources would change, which properties, and why."""

import json
from typing import Any

from . import kinds
from .calls import Failed
from .stacks import Resource, Stack
from .template import UNKNOWN, order, references, text


def changes(stack: Stack, template: dict[str, Any], values: dict[str, str]) -> list[dict[str, Any]]:
    """The changes from what a stack has to a template and values."""
    secret = stack.secrets(template, values) | stack.secrets(stack.template, stack.values)
    changed_values = {k for k in {*values, *stack.values} if values.get(k) != stack.values.get(k)}
    replaced: set[str] = set()
    found = []
    names = order(template, stack.scope(template, values).active())
    for name in names:
        definition = template["Resources"][name]
        scope = stack.scope(template, values, replaced)
        after = scope.resolve(definition.get("Properties", {}))
        before = stack.resources.get(name)
        if before is None or before.type != definition["Type"]:
            found.append(_added(name, definition, after, secret))
        elif before.properties != after:
            change = _modified(before, definition, after, changed_values, replaced, secret)
            if change["ResourceChange"]["Replacement"] == "True":
                replaced.add(name)
            found.append(change)
    for name, r in stack.resources.items():
        if name not in names:
            found.append(_removed(r, secret))
    return found


def _entry(change: dict[str, Any]) -> dict[str, Any]:
    return {"Type": "Resource", "ResourceChange": change}


def _added(name: str, definition: dict[str, Any], after: dict[str, Any], secret: set[str]) -> dict[str, Any]:
    return _entry({
        "Action": "Add", "LogicalResourceId": name, "ResourceType": definition["Type"], "Scope": [], "Details": [],
        "AfterContext": _context(after, secret),
    })


def _removed(r: Resource, secret: set[str]) -> dict[str, Any]:
    keeps = r.definition.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")
    return _entry({
        "PolicyAction": "Retain" if keeps else "Delete", "Action": "Remove", "LogicalResourceId": r.logical, "PhysicalResourceId": r.made.id,
        "ResourceType": r.type, "Scope": [], "Details": [], "BeforeContext": _context(r.properties, secret),
    })


def _modified(
    r: Resource, definition: dict[str, Any], after: dict[str, Any], changed_values: set[str], replaced: set[str], secret: set[str]
) -> dict[str, Any]:
    try:
        fixed = kinds.kind(r.type).fixed
    except Failed:
        fixed = frozenset()
    details = []
    certain = possible = False
    for name in sorted(k for k in {*r.properties, *after} if r.properties.get(k) != after.get(k)):
        dynamic = UNKNOWN in json.dumps(after.get(name), default=str)
        recreation = ("Conditionally" if dynamic else "Always") if name in fixed else "Never"
        certain = certain or recreation == "Always"
        possible = possible or recreation == "Conditionally"
        source, cause = _cause(definition.get("Properties", {}).get(name), r.definition.get("Properties", {}).get(name), changed_values, replaced)
        for path, old, new in _leaves(f"/Properties/{name}", r.properties.get(name), after.get(name)):
            target = {"Attribute": "Properties", "Name": name, "Path": path, "RequiresRecreation": recreation,
                      "AttributeChangeType": "Add" if old is None else "Remove" if new is None else "Modify"}
            if old is not None:
                target["BeforeValue"] = _shown(old, secret)
            if new is not None:
                target["AfterValue"] = _shown(new, secret)
            detail = {"Target": target, "Evaluation": "Dynamic" if dynamic else "Static", "ChangeSource": source}
            if cause:
                detail["CausingEntity"] = cause
            details.append(detail)
    change = {
        "Action": "Modify", "LogicalResourceId": r.logical, "PhysicalResourceId": r.made.id, "ResourceType": r.type,
        "Replacement": "True" if certain else "Conditional" if possible else "False", "Scope": ["Properties"], "Details": details,
        "BeforeContext": _context(r.properties, secret), "AfterContext": _context(after, secret),
    }
    if certain:
        keeps = definition.get("UpdateReplacePolicy") in ("Retain",)
        change["PolicyAction"] = "ReplaceAndRetain" if keeps else "ReplaceAndDelete"
    return _entry(change)


def _cause(new: Any, old: Any, changed_values: set[str], replaced: set[str]) -> tuple[str, str | None]:
    """Why a property changes, as far as AWS tells."""
    if new != old:
        return "DirectModification", None
    names = references(new)
    for name in sorted(names):
        if name.split(".")[0] in replaced:
            return ("ResourceAttribute", name) if "." in name else ("ResourceReference", name)
    for name in sorted(names & changed_values):
        return "ParameterReference", name
    return "DirectModification", None  # by a condition


def _leaves(path: str, old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    """The smallest parts that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [leaf for k in sorted({*old, *new}) if old.get(k) != new.get(k) for leaf in _leaves(f"{path}/{k}", old.get(k), new.get(k))]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [leaf for i in range(len(old)) if old[i] != new[i] for leaf in _leaves(f"{path}/{i}", old[i], new[i])]
    return [(path, old, new)]


def _shown(value: Any, secret: set[str]) -> str:
    shown = text(value) if not isinstance(value, (dict, list)) else json.dumps(value)
    for s in secret:
        shown = shown.replace(s, "****")
    return shown


def _context(properties: dict[str, Any], secret: set[str]) -> str:
    return _shown({"Properties": properties}, secret)
