"""How resources of a type are made, changed and removed: what all types share."""

import random
import string
from dataclasses import dataclass, field
from typing import Any, Callable

from .calls import Api, Failed
from .shapes import request


@dataclass
class Made:
    """What a resource is on the account: its physical id and its attributes."""

    id: str
    attributes: dict[str, str] = field(default_factory=dict)


@dataclass
class Site:
    """Where a resource is being worked on."""

    api: Api
    stack: str
    logical: str
    tags: dict[str, str] = field(default_factory=dict)
    cancelled: Callable[[], bool] = lambda: False

    def name(self, longest: int = 128) -> str:
        """A name as CloudFormation makes one up."""
        suffix = "".join(random.choices(string.ascii_uppercase + string.digits, k=12))
        return f"{self.stack}-{self.logical}"[: longest - 13].rstrip("-") + "-" + suffix


Properties = dict[str, Any]


class Kind:
    """A type of resource. Subclasses say how it is made; the docstring names the type."""

    type = ""
    # Properties that cannot be changed on a resource that exists: it is replaced.
    fixed: frozenset[str] = frozenset()

    def create(self, site: Site, p: Properties) -> Made:
        raise NotImplementedError

    def update(self, site: Site, made: Made, old: Properties, new: Properties) -> Made:
        changed = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
        raise Failed("NotUpdatable", f"the emulator cannot change {', '.join(changed)} of {self.type}")

    def delete(self, site: Site, made: Made, p: Properties) -> None:
        raise NotImplementedError


_kinds: dict[str, Kind] = {}


def register(cls: type[Kind]) -> type[Kind]:
    _kinds[cls.type] = cls()
    return cls


def kind(name: str) -> Kind:
    found = _kinds.get(name)
    if found is None:
        raise Failed("TypeNotFound", f"Unrecognized resource types: [{name}] (the emulator has none of that type)")
    return found


def without(p: Properties, *names: str) -> Properties:
    return {k: v for k, v in p.items() if k not in names}


def call(site: Site, service: str, operation: str, p: Properties) -> dict[str, Any]:
    """Calls an operation whose parameters are called as the properties are."""
    return site.api(service, operation, **request(site.api, service, operation, p))


def pairs(tags: Any) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in tags or []}


def ignoring(code: str, f: Callable[[], Any]) -> None:
    """Calls f, for which the error of that code is as good as success."""
    try:
        f()
    except Failed as e:
        if code not in e.code:
            raise
