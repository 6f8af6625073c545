"""The Rules section of templates, which checks parameters against each other."""

from typing import Any

from .template import Scope, invalid, text


def check(template: dict[str, Any], values: dict[str, str]) -> None:
    """Raises the error of the first rule that does not hold."""
    scope = Scope(template, values, {}, lambda name, _: "")
    for name, rule in template.get("Rules", {}).items():
        if "RuleCondition" in rule and not _holds(scope, rule["RuleCondition"]):
            continue
        for assertion in rule["Assertions"]:
            if not _holds(scope, assertion["Assert"]):
                why = assertion.get("AssertDescription", "assertion failed")
                raise invalid(f"Template error: Rule {name} failed: {why}")


def _holds(scope: Scope, node: Any) -> bool:
    if not isinstance(node, dict) or len(node) != 1:
        raise invalid(f"Template error: {node!r} is no rule function")
    (function, value), = node.items()
    if function == "Fn::Contains":
        return text(_value(scope, value[1])) in [text(v) for v in _value(scope, value[0])]
    if function == "Fn::EachMemberIn":
        return {text(v) for v in _value(scope, value[0])} <= {text(v) for v in _value(scope, value[1])}
    if function == "Fn::EachMemberEquals":
        return all(text(v) == text(_value(scope, value[1])) for v in _value(scope, value[0]))
    if function == "Fn::Equals":
        return text(_value(scope, value[0])) == text(_value(scope, value[1]))
    if function == "Fn::Not":
        return not _holds(scope, value[0])
    if function == "Fn::And":
        return all([_holds(scope, v) for v in value])
    if function == "Fn::Or":
        return any([_holds(scope, v) for v in value])
    raise invalid(f"Template error: {function} cannot be used in the Rules block")


def _value(scope: Scope, node: Any) -> Any:
    """Rules see parameters and literals, and nothing of the stack."""
    if isinstance(node, dict):
        (function, value), = node.items()
        if function != "Ref" or value not in scope.values:
            raise invalid(f"Template error: {function} {value} cannot be used in the Rules block")
        return scope.ref(value)
    return [_value(scope, v) for v in node] if isinstance(node, list) else node
