"""CloudFormation templates: reading them, checking parameters, resolving functions.

A template's short forms (!Ref) become long ones (Ref) when it is read. Values
are resolved in a Scope, which has the parameters and the resources that exist.
"""

import re
from typing import Any, Callable

import yaml

from .wire import ApiError

LARGEST_BODY = 51_200  # bytes of a template in a request; larger ones go through S3
LONGEST_PARAMETER = 4_096  # bytes


def invalid(message: str) -> ApiError:
    return ApiError("ValidationError", message)


class _Loader(yaml.SafeLoader):
    """YAML as CloudFormation reads it: with tags, and dates are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _tagged(loader: yaml.Loader, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else "Fn::" + suffix: value}


_Loader.add_multi_constructor("!", _tagged)


def read(body: str) -> dict[str, Any]:
    """Reads a template of a request and checks what can be checked without parameters."""
    if len(body.encode()) > LARGEST_BODY:
        raise invalid(
            f"1 validation error detected: Value at 'templateBody' failed to satisfy constraint: "
            f"Member must have length less than or equal to {LARGEST_BODY}"
        )
    try:
        template = yaml.load(body, Loader=_Loader)
    except yaml.YAMLError as e:
        raise invalid(f"Template format error: YAML not well-formed. {e}") from e
    if not isinstance(template, dict) or not template.get("Resources"):
        raise invalid("Template format error: At least one Resources member must be defined.")
    for name, resource in template["Resources"].items():
        if not re.fullmatch(r"[A-Za-z0-9]+", name):
            raise invalid(f"Template format error: Resource name {name} is non alphanumeric.")
        unknown = set(resource) - {
            "Type", "Properties", "Condition", "DependsOn", "DeletionPolicy", "UpdateReplacePolicy", "Metadata",
            "CreationPolicy", "UpdatePolicy",
        }
        if unknown:
            raise invalid(f"Invalid template resource property '{sorted(unknown)[0]}'")
        if resource.get("Condition") and resource["Condition"] not in template.get("Conditions", {}):
            raise invalid(f"Template format error: Unresolved condition dependency {resource['Condition']} in the Resources block of the template")
    if len(template.get("Description", "").encode()) > 1024:
        raise invalid("Template format error: 'Description' length is greater than 1024.")
    return template


def capabilities(template: dict[str, Any]) -> list[str]:
    """What a caller must acknowledge."""
    need = []
    for r in template["Resources"].values():
        if r["Type"].startswith("AWS::IAM::"):
            named = {"RoleName", "UserName", "GroupName", "ManagedPolicyName"} & set(r.get("Properties", {}))
            need.append("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM")
    return sorted(set(need), reverse=True)[:1]


def check_capabilities(template: dict[str, Any], given: list[str]) -> None:
    for need in capabilities(template):
        if need not in given and "CAPABILITY_NAMED_IAM" not in given:
            raise ApiError("InsufficientCapabilitiesException", f"Requires capabilities : [{need}]")


def text(value: Any) -> str:
    """A scalar as CloudFormation writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def parameters(template: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """The values of all parameters, or the error of the first that is wrong."""
    declared = template.get("Parameters", {})
    unknown = [k for k in given if k not in declared]
    if unknown:
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {k: text(given[k] if k in given else d["Default"]) for k, d in declared.items() if k in given or "Default" in d}
    missing = [k for k in declared if k not in values]
    if missing:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    for k, d in declared.items():
        _check_parameter(k, d, values[k])
    return values


def _check_parameter(name: str, d: dict[str, Any], value: str) -> None:
    def wrong(why: str) -> ApiError:
        why = d.get("ConstraintDescription") or why
        return invalid(f"Parameter '{name}' {why}" if "ConstraintDescription" not in d else f"Parameter {name} failed to satisfy constraint: {why}")

    if len(value.encode()) > LONGEST_PARAMETER:
        raise wrong(f"must not be longer than {LONGEST_PARAMETER} bytes")
    if "AllowedValues" in d and value not in [text(v) for v in d["AllowedValues"]]:
        raise wrong("must be one of AllowedValues")
    if d.get("Type") == "Number":
        if not re.fullmatch(r"-?\d+(\.\d+)?", value):
            raise wrong("must be a number")
        if float(value) < float(d.get("MinValue", "-inf")) or float(value) > float(d.get("MaxValue", "inf")):
            raise wrong("must be between MinValue and MaxValue")
    if "AllowedPattern" in d and not re.fullmatch(d["AllowedPattern"], value):
        raise wrong(f"must match pattern {d['AllowedPattern']}")
    if len(value) < int(d.get("MinLength", 0)):
        raise wrong(f"must contain at least {d['MinLength']} characters")
    if "MaxLength" in d and len(value) > int(d["MaxLength"]):
        raise wrong(f"must contain at most {d['MaxLength']} characters")


UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"  # how change sets write what does not exist yet


class _NoValue:
    """The absence that AWS::NoValue makes."""


NO_VALUE = _NoValue()

# What a resource is referred to by: a Ref (attribute None) or a GetAtt.
Lookup = Callable[[str, str | None], str]


class Scope:
    """Where the functions of a template get their values."""

    def __init__(self, template: dict[str, Any], values: dict[str, str], pseudo: dict[str, Any], lookup: Lookup) -> None:
        self.template, self.values, self.pseudo, self.lookup = template, values, pseudo, lookup
        self._conditions: dict[str, bool] = {}

    def active(self) -> list[str]:
        """The resources whose conditions hold, in the template's order."""
        return [n for n, r in self.template["Resources"].items() if "Condition" not in r or self.condition(r["Condition"])]

    def condition(self, name: str) -> bool:
        if name not in self._conditions:
            conditions = self.template.get("Conditions", {})
            if name not in conditions:
                raise invalid(f"Template error: unresolved condition dependency: {name}")
            self._conditions[name] = self.truth(conditions[name])
        return self._conditions[name]

    def truth(self, node: Any) -> bool:
        """A condition function's result."""
        if not isinstance(node, dict) or len(node) != 1:
            raise invalid(f"Template error: {node!r} is no condition")
        (function, value), = node.items()
        if function == "Condition":
            return self.condition(value)
        if function == "Fn::Equals":
            a, b = (self.resolve(v) for v in value)
            return text(a) == text(b)
        if function == "Fn::Not":
            return not self.truth(value[0])
        if function == "Fn::And":
            return all([self.truth(v) for v in self._operands(function, value)])
        if function == "Fn::Or":
            return any([self.truth(v) for v in self._operands(function, value)])
        raise invalid(f"Template error: {function} is no condition function")

    @staticmethod
    def _operands(function: str, value: list[Any]) -> list[Any]:
        if not 2 <= len(value) <= 10:
            raise invalid(f"Template error: every {function} object requires a list of at least 2 and at most 10 boolean parameters.")
        return value

    def resolve(self, node: Any) -> Any:
        """A value with all functions applied; what is AWS::NoValue is left out."""
        if isinstance(node, list):
            return [r for r in map(self.resolve, node) if r is not NO_VALUE]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            (name, value), = node.items()
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](self, value)
            if name.startswith("Fn::"):
                raise invalid(f"Template error: the emulator does not know {name}")
        resolved = {k: self.resolve(v) for k, v in node.items()}
        return {k: v for k, v in resolved.items() if v is not NO_VALUE}

    def ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        if name in self.pseudo:
            return self.pseudo[name]
        if name in self.values:
            value = self.values[name]
            kind = self.template["Parameters"][name].get("Type", "String")
            return [v.strip() for v in value.split(",")] if kind == "CommaDelimitedList" or kind.startswith("List<") else value
        self._must_exist(name)
        return self.lookup(name, None)

    def attribute(self, name: str, attribute: str) -> Any:
        self._must_exist(name)
        return self.lookup(name, attribute)

    def _must_exist(self, name: str) -> None:
        resource = self.template["Resources"].get(name)
        if resource is None or "Condition" in resource and not self.condition(resource["Condition"]):
            raise invalid(f"Template format error: Unresolved resource dependencies [{name}] in the Resources block of the template")

    def outputs(self) -> dict[str, dict[str, str]]:
        """The outputs whose conditions hold."""
        found = {}
        for name, o in self.template.get("Outputs", {}).items():
            if "Condition" not in o or self.condition(o["Condition"]):
                found[name] = {"OutputKey": name, "OutputValue": text(self.resolve(o["Value"]))}
                if "Description" in o:
                    found[name]["Description"] = o["Description"]
        return found


def _sub(scope: Scope, value: Any) -> str:
    pattern, own = (value, {}) if isinstance(value, str) else (value[0], value[1])

    def one(m: re.Match[str]) -> str:
        name = m.group(1)
        if name.startswith("!"):
            return "${" + name[1:] + "}"
        if name in own:
            return text(scope.resolve(own[name]))
        head, dot, attribute = name.partition(".")
        return text(scope.attribute(head, attribute) if dot else scope.ref(name))

    return re.sub(r"\$\{([^}]+)\}", one, pattern)


def _select(scope: Scope, value: Any) -> Any:
    index, items = int(text(scope.resolve(value[0]))), scope.resolve(value[1])
    if index >= len(items):
        raise invalid("Template error: Fn::Select cannot select nonexistent value at index %d" % index)
    return items[index]


def _find_in_map(scope: Scope, value: Any) -> Any:
    found: Any = scope.template.get("Mappings", {})
    for key in value:
        found = found.get(text(scope.resolve(key))) if isinstance(found, dict) else None
    if found is None:
        raise invalid(f"Template error: Unable to get mapping for {'::'.join(map(text, value))}")
    return found


_FUNCTIONS: dict[str, Callable[[Scope, Any], Any]] = {
    "Ref": lambda s, v: s.ref(v),
    "Fn::GetAtt": lambda s, v: s.attribute(v[0], ".".join(v[1:])),
    "Fn::Sub": _sub,
    "Fn::If": lambda s, v: s.resolve(v[1] if s.condition(v[0]) else v[2]),
    "Fn::Join": lambda s, v: v[0].join(text(i) for i in s.resolve(v[1])),
    "Fn::Split": lambda s, v: text(s.resolve(v[1])).split(v[0]),
    "Fn::Select": _select,
    "Fn::FindInMap": _find_in_map,
    "Fn::GetAZs": lambda s, v: [(s.resolve(v) or s.pseudo["AWS::Region"]) + zone for zone in "abc"],
    "Fn::Base64": lambda s, v: __import__("base64").b64encode(text(s.resolve(v)).encode()).decode(),
    "Fn::Equals": lambda s, v: s.truth({"Fn::Equals": v}),
    "Fn::Not": lambda s, v: s.truth({"Fn::Not": v}),
    "Fn::And": lambda s, v: s.truth({"Fn::And": v}),
    "Fn::Or": lambda s, v: s.truth({"Fn::Or": v}),
}


def references(node: Any) -> set[str]:
    """The names that a part of a template refers to: resources, parameters, and attributes as Name.Attribute."""
    found: set[str] = set()
    if isinstance(node, list):
        for item in node:
            found |= references(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "Ref" and isinstance(value, str):
                found.add(value)
            elif key == "Fn::GetAtt":
                found.add(".".join(value))
            elif key == "Fn::Sub":
                pattern = value if isinstance(value, str) else value[0]
                own = {} if isinstance(value, str) else value[1]
                found |= {n for n in re.findall(r"\$\{([^!}][^}]*)\}", pattern) if n not in own}
                found |= references(list(own.values()))
            else:
                found |= references(value)
    return found


def order(template: dict[str, Any], active: list[str]) -> list[str]:
    """The resources so that each comes after what it needs."""
    def needs(name: str) -> list[str]:
        resource = template["Resources"][name]
        depends = resource.get("DependsOn", [])
        direct = {depends} if isinstance(depends, str) else set(depends)
        direct |= {r.split(".", 1)[0] for r in references(resource.get("Properties", {}))}
        return [n for n in active if n in direct]

    done: list[str] = []

    def visit(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise invalid(f"Circular dependency between resources: [{', '.join(above[above.index(name):])}]")
        if name not in done:
            for other in needs(name):
                visit(other, (*above, name))
            done.append(name)

    for name in active:
        visit(name, ())
    return done
