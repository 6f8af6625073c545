"""Stacks, their resources and events, as one account and region has them."""

import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from .calls import Api
from .kinds import Made
from .template import Scope, UNKNOWN, invalid, text


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class Event:
    stack: "Stack"
    logical: str
    physical: str
    type: str
    status: str
    reason: str | None = None
    token: str | None = None
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    time: datetime = field(default_factory=now)


@dataclass
class Resource:
    """A resource that exists, with the properties it was given last."""

    logical: str
    type: str
    made: Made
    properties: dict[str, Any]
    definition: dict[str, Any]  # of the template
    status: str = "CREATE_COMPLETE"
    reason: str | None = None
    updated: datetime = field(default_factory=now)


@dataclass
class ChangeSet:
    id: str
    name: str
    kind: str  # CREATE or UPDATE
    body: str
    template: dict[str, Any]
    values: dict[str, str]
    tags: dict[str, str]
    capabilities: list[str]
    description: str | None
    on_failure: str | None
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    execution: str = "UNAVAILABLE"
    changes: list[dict[str, Any]] = field(default_factory=list)
    created: datetime = field(default_factory=now)


@dataclass
class Stack:
    id: str
    name: str
    api: Api
    status: str
    reason: str | None = None
    body: str = ""
    template: dict[str, Any] = field(default_factory=lambda: {"Resources": {}})
    values: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    capabilities: list[str] = field(default_factory=list)
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)
    resources: dict[str, Resource] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    protected: bool = False
    disable_rollback: bool = False
    created: datetime = field(default_factory=now)
    updated: datetime | None = None
    deleted: datetime | None = None
    token: str | None = None  # of the operation that runs or ran last
    cancel: threading.Event = field(default_factory=threading.Event)
    worker: threading.Thread | None = None

    def report(self, status: str, reason: str | None = None) -> None:
        """Changes the stack's own status, which is an event."""
        self.status, self.reason = status, reason
        self.events.append(Event(self, self.name, self.id, "AWS::CloudFormation::Stack", status, reason, self.token))

    def event(self, r: Resource, status: str, reason: str | None = None) -> None:
        """Changes the status of a resource."""
        r.status, r.reason, r.updated = status, reason, now()
        self.events.append(Event(self, r.logical, r.made.id, r.type, status, reason, self.token))

    def pseudo(self) -> dict[str, Any]:
        return {
            "AWS::AccountId": self.api.account, "AWS::Region": self.api.region, "AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com",
            "AWS::StackName": self.name, "AWS::StackId": self.id, "AWS::NotificationARNs": [],
        }

    def scope(self, template: dict[str, Any], values: dict[str, str], replaced: set[str] = frozenset()) -> Scope:
        """Where a template is resolved: the stack's resources but those to be replaced, which are unknown as new ones are."""

        def lookup(name: str, attribute: str | None) -> str:
            resource = self.resources.get(name)
            if resource is None or name in replaced:
                return UNKNOWN
            if attribute is None:
                return resource.made.id
            if attribute not in resource.made.attributes:
                raise invalid(f"Template error: resource {name} does not support attribute type {attribute} in Fn::GetAtt")
            return resource.made.attributes[attribute]

        return Scope(template, values, self.pseudo(), lookup)

    def masked(self, template: dict[str, Any], values: dict[str, str]) -> list[dict[str, str]]:
        """Parameters as answers show them."""
        declared = template.get("Parameters", {})
        return [{"ParameterKey": k, "ParameterValue": "****" if text(declared[k].get("NoEcho", "")) == "true" else v} for k, v in values.items()]

    def secrets(self, template: dict[str, Any], values: dict[str, str]) -> set[str]:
        """Values that no answer may show."""
        declared = template.get("Parameters", {})
        return {v for k, v in values.items() if len(v) >= 6 and text(declared[k].get("NoEcho", "")) == "true"}


class Book:
    """All stacks of all accounts."""

    def __init__(self) -> None:
        self.stacks: list[Stack] = []
        self.lock = threading.RLock()

    def of(self, api: Api) -> list[Stack]:
        return [s for s in self.stacks if (s.api.account, s.api.region) == (api.account, api.region)]

    def find(self, api: Api, name: str) -> Stack | None:
        """A stack by its id, or by its name where it is not deleted."""
        for s in self.of(api):
            if s.id == name or s.name == name and s.status != "DELETE_COMPLETE":
                return s
        return None

    def get(self, api: Api, name: str) -> Stack:
        found = self.find(api, name)
        if found is None:
            raise invalid(f"Stack with id {name} does not exist")
        return found

    def add(self, api: Api, name: str, status: str) -> Stack:
        id = api.arn("cloudformation", f"stack/{name}/{uuid.uuid4()}")
        stack = Stack(id, name, api, status)
        self.stacks.append(stack)
        return stack


book = Book()


class Busy:
    """When the emulator was at work on something that AWS would take its time for."""

    def __init__(self) -> None:
        self._spans: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def begin(self, account: str, what: str) -> dict[str, Any]:
        span = {"account": account, "what": what, "start": time.time(), "end": None}
        with self._lock:
            self._spans.append(span)
        return span

    @staticmethod
    def end(span: dict[str, Any]) -> None:
        span["end"] = span["end"] or time.time()

    def of(self, account: str) -> list[dict[str, Any]]:
        """The spans of an account, in Unix seconds; one without an end goes on."""
        with self._lock:
            return [dict(s) for s in self._spans if s["account"] == account]


busy = Busy()
