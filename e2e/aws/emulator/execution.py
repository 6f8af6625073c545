"""What a stack operation does to its resources, and how it is undone."""

import threading
import traceback
from typing import Any, Callable

from . import kinds
from .calls import Failed
from .kinds import Made, Properties, Site
from .shapes import Extraneous
from .stacks import Resource, Stack, busy, now
from .template import order
from .wire import ApiError

def start(stack: Stack, what: str, work: Callable[[], None]) -> None:
    """Runs an operation of a stack beside the requests."""
    span = busy.begin(stack.api.account, f"{what} {stack.name}")

    def run() -> None:
        try:
            work()
        except Exception as e:  # a fault of the emulator; tests must see it
            traceback.print_exc()
            stack.report(stack.status.split("_")[0] + "_FAILED", f"fault in the emulator: {e!r}")
        finally:
            busy.end(span)

    stack.cancel.clear()
    stack.worker = threading.Thread(target=run, name=f"{what} {stack.name}", daemon=True)
    stack.worker.start()


class ResourceFailed(Exception):
    """An operation stopped at a resource."""

    def __init__(self, logical: str, verb: str) -> None:
        super().__init__(f"The following resource(s) failed to {verb}: [{logical}]. ")


class Operation:
    """The making of resources, with what it takes to go back."""

    def __init__(self, stack: Stack, template: dict[str, Any], values: dict[str, str]) -> None:
        self.stack, self.template, self.values = stack, template, values
        self.undo: list[Callable[[], None]] = []
        self.old: list[Resource] = []  # replaced or removed, and so to be cleaned up after success
        self.new: list[Resource] = []  # made, and so to be cleaned up after going back

    def forward(self) -> None:
        scope = self.stack.scope(self.template, self.values)
        names = order(self.template, scope.active())
        for name in names:
            definition = self.template["Resources"][name]
            if self.stack.cancel.is_set():
                raise ResourceFailed(name, "update")
            before = self.stack.resources.get(name)
            try:
                properties = scope.resolve(definition.get("Properties", {}))
            except ApiError as e:
                self._fail(name, definition, before, e.message)
            if before is None or before.type != definition["Type"]:
                self._create(name, definition, properties)
            elif before.properties != properties:
                self._change(before, definition, properties)
            else:
                before.definition = definition
        for name in [n for n in self.stack.resources if n not in names]:
            gone = self.stack.resources.pop(name)
            self.old.insert(0, gone)
            self.undo.append(lambda r=gone: self.stack.resources.update({r.logical: r}))

    def _fail(self, name: str, definition: dict[str, Any], before: Resource | None, why: str) -> None:
        verb = "CREATE" if before is None else "UPDATE"
        self.stack.event(before or Resource(name, definition["Type"], Made(""), {}, definition), verb + "_FAILED", why)
        raise ResourceFailed(name, verb.lower())

    def _create(self, name: str, definition: dict[str, Any], properties: Properties) -> None:
        r = Resource(name, definition["Type"], Made(""), properties, definition)
        self.undo.append(lambda: self.stack.resources.pop(name, None))
        self._make(r, "CREATE")
        self.stack.resources[name] = r

    def _make(self, r: Resource, verb: str) -> None:
        """Makes a resource, new or in the place of another."""
        stack = self.stack
        stack.event(r, verb + "_IN_PROGRESS", None if verb == "CREATE" else "Requested update requires the creation of a new physical resource; hence creating one.")
        try:
            kind = kinds.kind(r.type)
            r.made = kind.create(self._site(r), r.properties)
        except PartlyMade as e:  # there is something that must be removed again
            r.made = e.made
            self.new.append(r)
            stack.resources.setdefault(r.logical, r)
            stack.event(r, verb + "_FAILED", _reason(r.type, e))
            raise ResourceFailed(r.logical, verb.lower()) from e
        except (Failed, Extraneous, KeyError) as e:
            stack.event(r, verb + "_FAILED", _reason(r.type, e))
            raise ResourceFailed(r.logical, verb.lower()) from e
        self.new.append(r)
        stack.event(r, verb + "_IN_PROGRESS", "Resource creation Initiated")
        stack.event(r, verb + "_COMPLETE")

    def _change(self, before: Resource, definition: dict[str, Any], properties: Properties) -> None:
        stack, name = self.stack, before.logical
        kind = kinds.kind(before.type)
        changed = {k for k in {*before.properties, *properties} if before.properties.get(k) != properties.get(k)}
        if changed & kind.fixed:
            after = Resource(name, before.type, Made(""), properties, definition)
            self._make(after, "UPDATE")
            stack.resources[name] = after
            self.old.insert(0, before)
            self.undo.append(lambda: stack.resources.update({name: before}))
            return
        old, old_definition = before.properties, before.definition
        stack.event(before, "UPDATE_IN_PROGRESS")

        def back() -> None:
            stack.event(before, "UPDATE_IN_PROGRESS")
            before.made = kind.update(self._site(before, cancellable=False), before.made, properties, old)
            before.properties, before.definition = old, old_definition
            stack.event(before, "UPDATE_COMPLETE")

        self.undo.append(back)
        try:
            before.made = kind.update(self._site(before), before.made, old, properties)
        except (Failed, Extraneous, KeyError) as e:
            stack.event(before, "UPDATE_FAILED", _reason(before.type, e))
            raise ResourceFailed(name, "update") from e
        before.properties, before.definition = properties, definition
        stack.event(before, "UPDATE_COMPLETE")

    def _site(self, r: Resource, cancellable: bool = True) -> Site:
        cancelled = self.stack.cancel.is_set if cancellable else lambda: False
        return Site(self.stack.api, self.stack.name, r.logical, self.stack.tags, cancelled)

    def back(self) -> None:
        """Undoes what was done, in the order that resources need each other."""
        for undo in self.undo:
            undo()

    def clean(self, gone: list[Resource], policy: str) -> bool:
        """Removes resources that are no longer the stack's, unless their policy keeps them."""
        ok = True
        for r in gone:
            replaced = r.logical in self.stack.resources
            ok = remove(self.stack, r, policy if replaced else "DeletionPolicy") and ok
        return ok


class PartlyMade(Failed):
    """A resource that is there and failed all the same."""

    def __init__(self, made: Made, message: str) -> None:
        super().__init__("GeneralServiceException", message)
        self.made = made


def _reason(type: str, e: Exception) -> str:
    if isinstance(e, KeyError):
        return f"Model validation failed (#: required key [{e.args[0]}] not found)"
    if isinstance(e, Extraneous):
        return str(e)
    return f'Resource handler returned message: "{e}" (RequestToken: 00000000, HandlerErrorCode: {getattr(e, "code", "") or "GeneralServiceException"})'


def remove(stack: Stack, r: Resource, policy: str) -> bool:
    """Removes a resource, or leaves it where its policy says so."""
    if r.definition.get(policy) in ("Retain", "RetainExceptOnCreate"):
        stack.event(r, "DELETE_SKIPPED")
        return True
    stack.event(r, "DELETE_IN_PROGRESS")
    site = Site(stack.api, stack.name, r.logical, stack.tags)
    try:
        kinds.kind(r.type).delete(site, r.made, r.properties)
    except (Failed, KeyError) as e:
        stack.event(r, "DELETE_FAILED", _reason(r.type, e))
        return False
    stack.event(r, "DELETE_COMPLETE")
    return True


def create(stack: Stack, template: dict[str, Any], values: dict[str, str], on_failure: str) -> None:
    """Makes a new stack's resources. on_failure: ROLLBACK, DELETE or DO_NOTHING."""
    op = Operation(stack, template, values)
    try:
        op.forward()
    except ResourceFailed as e:
        if on_failure == "DO_NOTHING":
            stack.report("CREATE_FAILED", str(e))
            return
        stack.report("ROLLBACK_IN_PROGRESS", f"{e}Rollback requested by user.")
        _delete_all(stack, op)
        stack.report("ROLLBACK_COMPLETE")
        if on_failure == "DELETE":
            stack.report("DELETE_IN_PROGRESS")
            delete(stack, [])
        return
    stack.outputs = stack.scope(template, values).outputs()
    stack.report("CREATE_COMPLETE")


def _delete_all(stack: Stack, op: Operation | None) -> bool:
    ok = True
    names = order(stack.template, [n for n in stack.template["Resources"] if n in stack.resources])
    for name in reversed(names):
        r = stack.resources[name]
        # A create that fails removes also what is kept in any other case.
        if op and r.definition.get("DeletionPolicy") == "RetainExceptOnCreate":
            r.definition = {**r.definition, "DeletionPolicy": "Delete"}
        if remove(stack, r, "DeletionPolicy"):
            del stack.resources[name]
        else:
            ok = False
    return ok


def update(stack: Stack, body: str, template: dict[str, Any], values: dict[str, str], disable_rollback: bool) -> None:
    """Brings a stack to a new template or new values, or back to what it was."""
    before = stack.body, stack.template, stack.values
    op = Operation(stack, template, values)
    stack.body, stack.template, stack.values = body, template, values
    try:
        op.forward()
    except ResourceFailed as e:
        stack.updated = now()
        if disable_rollback:
            stack.report("UPDATE_FAILED", str(e))
            return
        stack.report("UPDATE_ROLLBACK_IN_PROGRESS", "Update cancelled by user." if stack.cancel.is_set() else str(e))
        stack.body, stack.template, stack.values = before
        try:
            op.back()
        except Failed as f:
            stack.report("UPDATE_ROLLBACK_FAILED", str(f))
            return
        stack.report("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        op.clean(list(reversed(op.new)), "DeletionPolicy")
        stack.report("UPDATE_ROLLBACK_COMPLETE")
        return
    stack.updated = now()
    stack.outputs = stack.scope(template, values).outputs()
    stack.report("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
    op.clean(op.old, "UpdateReplacePolicy")
    stack.report("UPDATE_COMPLETE")


def delete(stack: Stack, retain: list[str]) -> None:
    """Removes a stack. What retain names is left; AWS allows that after a failure."""
    for name in retain:
        stack.resources.pop(name, None)
    if not _delete_all(stack, None):
        left = ", ".join(stack.resources)
        stack.report("DELETE_FAILED", f"The following resource(s) failed to delete: [{left}]. ")
        return
    stack.deleted = now()
    stack.report("DELETE_COMPLETE")
