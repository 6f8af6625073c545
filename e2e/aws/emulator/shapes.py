"""Properties of templates as parameters of API calls.

Templates write ContainerDefinitions where ECS's API has containerDefinitions,
and numbers where an API wants text. botocore's shapes say which.
"""

from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from .calls import Api
from .template import text


class Extraneous(Exception):
    """A property that the API does not know."""


def request(api: Api, service: str, operation: str, properties: dict[str, Any]) -> dict[str, Any]:
    """The parameters of an operation whose names are those of the properties."""
    shape = api.model(service).operation_model(operation).input_shape
    return _convert(shape, properties, "") if shape else {}


def _convert(shape: Shape, value: Any, path: str) -> Any:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        names = {n.lower(): n for n in shape.members}
        converted = {}
        for key, inner in value.items():
            name = names.get(key.lower())
            if name is None:
                raise Extraneous(f"Model validation failed (#{path}: extraneous key [{key}] is not permitted)")
            converted[name] = _convert(shape.members[name], inner, f"{path}/{key}")
        return converted
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_convert(shape.member, v, f"{path}/{i}") for i, v in enumerate(value)]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {k: _convert(shape.value, v, f"{path}/{k}") for k, v in value.items()}
    kind = shape.type_name
    if isinstance(value, (dict, list)):
        raise Extraneous(f"Model validation failed (#{path}: expected type: {kind}, found: {type(value).__name__})")
    try:
        if kind in ("integer", "long"):
            return int(text(value))
        if kind in ("float", "double"):
            return float(text(value))
    except ValueError as e:
        raise Extraneous(f"Model validation failed (#{path}: expected type: Number, found: String)") from e
    if kind == "boolean":
        if text(value) not in ("true", "false"):
            raise Extraneous(f"Model validation failed (#{path}: expected type: Boolean, found: String)")
        return text(value) == "true"
    return text(value) if kind == "string" else value
