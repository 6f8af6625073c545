"""Clusters, task definitions, services and tasks, and how services settle.

Time runs faster than on AWS: what takes ECS a minute takes a second or so here,
times the account's pace.
"""

import random
import threading
import time
import traceback
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import ecs_start
from .calls import Api
from .control import settings
from .stacks import busy, now

# How long a task takes to each of its states, in seconds after its start.
PENDING, RUNNING, HEALTHY = 0.1, 0.25, 0.5
DRAINING = 0.3  # from a task's end being decided to its stop
BOUNDED = 0.3  # until a new scalable target has its effect
FAILURES_OF_BREAKER = 3
STOPPED_SHOWN = 3600.0


@dataclass
class Task:
    service: "Service"
    deployment: "Deployment"
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started: float = field(default_factory=time.monotonic)
    created: datetime = field(default_factory=now)
    status: str = "PROVISIONING"
    health: str = "initial"  # of its target
    ending: float | None = None
    stopped: datetime | None = None
    reason: str = ""
    code: str = ""
    exit: int | None = None
    container_reason: str = ""
    address: str = field(default_factory=lambda: f"10.0.{random.randint(0, 31)}.{random.randint(4, 250)}")

    @property
    def arn(self) -> str:
        return self.service.api.arn("ecs", f"task/{self.service.cluster}/{self.id}")

    @property
    def live(self) -> bool:
        return self.status not in ("STOPPED",)


@dataclass
class Deployment:
    definition: str
    id: str = field(default_factory=lambda: f"ecs-svc/{random.randint(10**18, 10**19 - 1)}")
    status: str = "PRIMARY"
    rollout: str = "IN_PROGRESS"
    reason: str = ""
    failed: int = 0
    doomed: dict[str, Any] | None = None  # how its tasks fail, where the test wants them to
    created: datetime = field(default_factory=now)
    updated: datetime = field(default_factory=now)
    span: dict[str, Any] = field(default_factory=dict)

    def say(self, rollout: str, reason: str) -> None:
        self.rollout, self.reason, self.updated = rollout, reason, now()


@dataclass
class Service:
    api: Api
    cluster: str
    name: str
    settings: dict[str, Any]  # as given to CreateService and UpdateService
    desired: int
    status: str = "ACTIVE"
    deployments: list[Deployment] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    created: datetime = field(default_factory=now)
    # The least and the most that its scalable target allows, and since when.
    bounds: tuple[int, int, float] | None = None

    @property
    def arn(self) -> str:
        return self.api.arn("ecs", f"service/{self.cluster}/{self.name}")

    @property
    def primary(self) -> Deployment:
        return next(d for d in self.deployments if d.status == "PRIMARY")

    def say(self, message: str) -> None:
        self.events.insert(0, {"id": str(uuid.uuid4()), "createdAt": now(), "message": f"(service {self.name}) {message}"})

    def deploy(self, definition: str, doomed: dict[str, Any] | None = None, reason: str = "") -> Deployment:
        """Makes a task definition the one to run; what runs now stays until it does."""
        for d in self.deployments:
            if d.status == "PRIMARY":
                d.status = "ACTIVE"
                busy.end(d.span)
        new = Deployment(definition, doomed=doomed, reason=reason)
        new.reason = reason or f"ECS deployment {new.id} in progress."
        new.span = busy.begin(self.api.account, f"deployment {self.name}")
        self.deployments.insert(0, new)
        return new

    def running(self, d: Deployment | None = None) -> list[Task]:
        return [t for t in self.tasks if t.status == "RUNNING" and (d is None or t.deployment is d)]

    def steady(self) -> bool:
        """Whether there is one deployment, with as many tasks as there should be."""
        live = [t for t in self.tasks if t.live]
        return len(self.deployments) == 1 and len(live) == self.desired and all(t.health == "healthy" for t in live)


class World:
    """All clusters, task definitions and services of all accounts."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clusters: dict[str, dict[str, Any]] = {}  # by ARN
        self.definitions: dict[str, dict[str, Any]] = {}  # by ARN
        self.services: list[Service] = []

    def of(self, api: Api, cluster: str | None = None) -> list[Service]:
        return [s for s in self.services if (s.api.account, s.api.region) == (api.account, api.region) and cluster in (None, s.cluster)]

    def run(self) -> None:
        """Keeps services going, for as long as the emulator runs."""
        while True:
            time.sleep(0.05)
            with self.lock:
                for service in list(self.services):
                    try:
                        _advance(service)
                    except Exception:
                        traceback.print_exc()


world = World()


def _advance(s: Service) -> None:
    pace = settings(s.api.account).pace
    for task in s.tasks:
        if task.live:
            _advance_task(s, task, pace)
    s.tasks = [t for t in s.tasks if t.live or (now() - t.stopped).total_seconds() < STOPPED_SHOWN]
    if s.status != "ACTIVE":
        for task in s.tasks:
            end(task, "Scaling activity initiated by " + s.primary.id if s.deployments else "")
        return
    if s.bounds and (time.monotonic() - s.bounds[2]) / pace >= BOUNDED:
        s.desired = min(max(s.desired, s.bounds[0]), s.bounds[1])
    d = s.primary
    mine = [t for t in s.tasks if t.deployment is d and t.live and t.ending is None]
    for _ in range(s.desired - len(mine) if d.rollout != "FAILED" else 0):
        task = Task(s, d)
        s.tasks.append(task)
        s.say(f"has started 1 tasks: (task {task.id}).")
    for task in mine[s.desired :]:
        end(task, f"Scaling activity initiated by (deployment {d.id})")
    healthy = [t for t in mine if t.health == "healthy"]
    if d.rollout == "IN_PROGRESS" and len(healthy) >= s.desired:
        d.say("COMPLETED", f"ECS deployment {d.id} completed.")
        busy.end(d.span)
        s.say(f"(deployment {d.id}) deployment completed.")
        for task in s.tasks:
            if task.deployment is not d:
                end(task, f"Scaling activity initiated by (deployment {d.id})")
    if d.rollout == "COMPLETED" and len(s.deployments) > 1 and not [t for t in s.tasks if t.live and t.deployment is not d]:
        s.deployments = [d]
        s.say("has reached a steady state.")
    if d.rollout == "IN_PROGRESS" and d.failed >= FAILURES_OF_BREAKER and _breaker(s).get("enable"):
        _break(s, d)


def _breaker(s: Service) -> dict[str, Any]:
    return s.settings.get("deploymentConfiguration", {}).get("deploymentCircuitBreaker", {})


def _break(s: Service, d: Deployment) -> None:
    d.say("FAILED", "ECS deployment circuit breaker: tasks failed to start.")
    busy.end(d.span)
    s.say(f"(deployment {d.id}) deployment failed: tasks failed to start.")
    for task in s.tasks:
        if task.deployment is d:
            end(task, f"Scaling activity initiated by (deployment {d.id})")
    last = next((o for o in s.deployments if o.rollout == "COMPLETED"), None)
    if _breaker(s).get("rollback") and last is not None:
        s.say(f"rolling back to (deployment {last.id}).")
        s.settings["taskDefinition"] = last.definition
        new = s.deploy(last.definition, reason=f"ECS deployment circuit breaker: rolling back to deploymentId {last.id}.")
        for task in s.tasks:  # what ran all the time goes on
            if task.deployment is last:
                task.deployment = new
        s.deployments = [new, d]


def _advance_task(s: Service, task: Task, pace: float) -> None:
    age = (time.monotonic() - task.started) / pace
    if task.ending is not None:
        if (time.monotonic() - task.ending) / pace >= DRAINING:
            _stop(task, task.code or "ServiceSchedulerInitiated", task.reason, 0, "")
        return
    if task.status == "PROVISIONING" and age >= PENDING:
        task.status = "PENDING"
    if task.status == "PENDING" and age >= RUNNING:
        fault = ecs_start.fault(task)
        if fault is not None:
            task.deployment.failed += 1
            _stop(task, fault.code, fault.reason, fault.exit, fault.container)
            s.say(f"(task {task.id}) failed to start: {fault.reason}")
            return
        task.status = "RUNNING"
        ecs_start.log_start(task)
    if task.status == "RUNNING" and task.health == "initial" and age >= HEALTHY:
        fault = ecs_start.fault_of_health(task)
        if fault is not None:
            task.deployment.failed += 1
            task.health = "unhealthy"
            s.say(f"(task {task.id}) {fault.reason}")
            _stop(task, fault.code, fault.reason, fault.exit, fault.container)
            return
        task.health = "healthy"


def end(task: Task, reason: str) -> None:
    if task.live and task.ending is None:
        task.ending, task.reason, task.health = time.monotonic(), reason, "draining"


def _stop(task: Task, code: str, reason: str, exit: int | None, container: str) -> None:
    task.status, task.stopped, task.health = "STOPPED", now(), ""
    task.code, task.reason, task.exit, task.container_reason = code, reason, exit, container
