"""Which AWS call a request is, and how its answer is written.

The shapes are botocore's, read and written by moto's own parsers, so that an
operation here is a function from its parameters to its result.
"""

import functools
import io
import re
from dataclasses import dataclass, field
from typing import Any, Callable
from urllib.parse import parse_qs

from moto.core.exceptions import ServiceException
from moto.core.parse import PROTOCOL_PARSERS
from moto.core.request import determine_request_protocol
from moto.core.serialize import get_serializer_class
from moto.core.utils import get_service_model
from werkzeug.wrappers import Request, Response

DEFAULT_ACCOUNT = "123456789012"

# Names that requests are signed for, where botocore calls the service otherwise.
SIGNED_AS = {"elasticloadbalancing": "elbv2", "monitoring": "cloudwatch"}

_credential = re.compile(r"Credential=([^/]+)/\d+/([^/]+)/([^/]+)/aws4_request")


class ApiError(ServiceException):
    """An error as the service's model knows it: ApiError("ThrottlingException", "Rate exceeded")."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


@dataclass
class Call:
    """One request of one account in one region."""

    account: str
    region: str
    service: str
    operation: str
    params: dict[str, Any] = field(default_factory=dict)
    principal: str = ""


Handler = Callable[[Call], dict[str, Any] | None]

_handlers: dict[tuple[str, str], Handler] = {}


def operation(service: str, name: str) -> Callable[[Handler], Handler]:
    """Registers a function as the answer to an operation of a service."""

    def register(f: Handler) -> Handler:
        _handlers[service, name] = f
        return f

    return register


def body_of(environ: dict[str, Any]) -> bytes:
    """The request's body, left in place for whoever reads it next."""
    body = Request(environ).get_data(cache=False)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    return body


def identify(environ: dict[str, Any], body: bytes) -> Call | None:
    """The call that a signed request is, None where it is not signed."""
    found = _credential.search(environ.get("HTTP_AUTHORIZATION", ""))
    if not found:
        return None
    access_key, region, service = found.groups()
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        name = target.rsplit(".", 1)[-1]
    else:
        form = parse_qs(body.decode("utf-8", "replace")) if body[:1] not in (b"", b"{") else {}
        query = parse_qs(environ.get("QUERY_STRING", ""))
        name = (form.get("Action") or query.get("Action") or [""])[0]
    account = environ.get("HTTP_X_MOTO_ACCOUNT_ID", DEFAULT_ACCOUNT)
    return Call(account, region, SIGNED_AS.get(service, service), name, principal=access_key)


def answer(call: Call, environ: dict[str, Any]) -> Response | None:
    """Answers a call that is written here, None where it is moto's."""
    handler = _handlers.get((call.service, call.operation))
    if handler is None:
        return None
    request = Request(environ)
    model = _model(call.service)
    shape = model.operation_model(call.operation)
    protocol = determine_request_protocol(model, request.content_type)
    parsed = PROTOCOL_PARSERS[protocol](shape).parse(
        {
            "method": request.method,
            "values": request.values,
            "headers": request.headers,
            "body": request.get_data(),
            "url_path": request.path,
            "url_params": {},
        }
    )
    call.params = parsed
    try:
        result: Any = handler(call) or {}
    except ServiceException as error:
        result = error
    written = get_serializer_class(model.service_name, protocol)(operation_model=shape).serialize(result)
    return Response(written["body"], written["status_code"], dict(written["headers"]))


@functools.cache
def _model(service: str) -> Any:
    return get_service_model(service)
