"""Starts the emulator: python3 -m emulator.serve [PORT] in the folder above this one.

It listens on loopback, at a free port unless one is given, and says where on
its first line of output.
"""

import sys
import threading
import time
import warnings
from typing import Any

warnings.simplefilter("ignore")

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import WSGIRequestHandler, make_server  # noqa: E402
from werkzeug.wrappers import Response  # noqa: E402

# Each registers its operations or its types of resources.
from . import autoscaling, cloudformation, ecs_api, ecs_services, logs, policies  # noqa: E402, F401
from . import balancing, containers, fronting, identity, monitoring, network, storing  # noqa: E402, F401
from . import calls, cbor, endpoint, wire  # noqa: E402
from .ecs_state import world  # noqa: E402


class Application:
    """Answers what is written here, and leaves the rest to moto."""

    def __init__(self) -> None:
        self.moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("PATH_INFO", "").startswith("/_emulator/"):
            return endpoint.handle(environ)(environ, start_response)
        body = wire.body_of(environ)
        call = wire.identify(environ, body)
        answer: Response | None = None
        if call and (name := cbor.operation_of(environ)):
            call.operation = name
            answer = cbor.answer(call, body)
        elif call:
            answer = wire.answer(call, environ)
        if answer is not None:
            return answer(environ, start_response)
        return self.moto(environ, start_response)


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, *_: Any) -> None:
        """The recorder of the tests knows the requests."""


def main(port: int) -> None:
    application = Application()
    calls.use(application)
    threading.Thread(target=world.run, name="services", daemon=True).start()
    server = make_server("127.0.0.1", port, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=warm, name="warm", daemon=True).start()
    print(f"listening on http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


def warm() -> None:
    """Loads what the first calls would wait for."""
    api = calls.Api("000000000000", "us-east-1")
    started = time.time()
    endpoint.inventory(api)
    print(f"warm after {time.time() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
