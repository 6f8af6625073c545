"""What tests ask of the emulator and tell it, below /_emulator/.

    GET  /_emulator/ready        {"moto": version}
    GET  /_emulator/busy         when it did what AWS would take its time for
    GET  /_emulator/calls        what CloudFormation called in the account's name
    GET  /_emulator/inventory    everything that the account has, by type
    GET  /_emulator/resolved     a stack's resources with logical names for ids
    POST /_emulator/set          {"pace": 2, "doomed": {"service": {"how": "exit"}}, "denied": ["ecs:*"]}
    POST /_emulator/log          {"service": name, "lines": [...], "at": Unix seconds}

The account is in the header that moto reads it from, the region in the query.
"""

import json
from typing import Any

import moto
from werkzeug.wrappers import Request, Response

from . import ecs_start
from .calls import Api, made_for_stacks
from .control import settings
from .ecs_state import world
from .inventory import inventory
from .stacks import book, busy
from .wire import DEFAULT_ACCOUNT


def handle(environ: dict[str, Any]) -> Response:
    request = Request(environ)
    api = Api(request.headers.get("x-moto-account-id", DEFAULT_ACCOUNT), request.args.get("region", "us-east-1"))
    name = request.path.removeprefix("/_emulator/")
    body = json.loads(request.get_data() or b"{}")
    try:
        if name == "ready":
            return _json({"moto": moto.__version__})
        if name == "busy":
            return _json(busy.of(api.account))
        if name == "calls":
            return _json([{"service": s, "operation": o, "params": p} for a, s, o, p in made_for_stacks if a == api.account])
        if name == "inventory":
            return _json(inventory(api))
        if name == "resolved":
            return _json(_resolved(api, request.args["stack"]))
        if name == "set":
            for key, value in body.items():
                if not hasattr(settings(api.account), key):
                    return Response(f"no setting {key}", 400)
                setattr(settings(api.account), key, value)
            return _json({})
        if name == "log":
            with world.lock:
                tasks = [t for s in world.of(api) if s.name == body["service"] for t in s.running()]
            if not tasks:
                return Response(f"no task of {body['service']} runs", 409)
            ecs_start.write(tasks[0], body["lines"], body.get("at"))
            return _json({"task": tasks[0].id})
    except Exception as e:
        return Response(repr(e), 500)
    return Response("not found", 404)


def _json(value: Any) -> Response:
    return Response(json.dumps(value, default=str), content_type="application/json")


def _resolved(api: Api, name: str) -> dict[str, Any]:
    """The resources as the template and the parameters make them, whatever their ids became."""
    stack = book.get(api, name)
    scope = stack.scope(stack.template, stack.values)
    scope.lookup = lambda logical, attribute: f"<{logical}.{attribute}>" if attribute else f"<{logical}>"
    return {n: {"Type": stack.template["Resources"][n]["Type"], "Properties": scope.resolve(stack.template["Resources"][n].get("Properties", {}))}
            for n in scope.active()}
