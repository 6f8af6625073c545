"""Calls that the emulator makes itself, as CloudFormation and ECS do on AWS.

They are made with boto3, whose requests go to the server's application without
a socket. botocore checks the parameters, so that a property of a wrong type or
name is found as it would be on AWS.
"""

import contextvars
import functools
import threading
from typing import Any, Callable

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from botocore.exceptions import ClientError, ParamValidationError
from botocore.model import ServiceModel
from moto.core.botocore_stubber import MockRawResponse
from werkzeug.test import EnvironBuilder, run_wsgi_app

_application: Callable[..., Any] | None = None
_account: contextvars.ContextVar[str] = contextvars.ContextVar("account")
_making = threading.Lock()


def use(application: Callable[..., Any]) -> None:
    """Names the application that answers the calls."""
    global _application
    _application = application


class Failed(Exception):
    """A call that was answered with an error; code is AWS's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# What CloudFormation called for whom, which takes the rights of who asked it:
# account, service, operation and parameters.
made_for_stacks: list[tuple[str, str, str, dict[str, Any]]] = []


class Api:
    """The AWS API as seen from one account and region.

    With noted, calls are those of a stack operation and kept in made_for_stacks.
    """

    def __init__(self, account: str, region: str, noted: bool = False) -> None:
        self.account, self.region, self.noted = account, region, noted

    def __call__(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Calls an operation by its name in the API reference."""
        client = _client(service, self.region)
        if self.noted:
            made_for_stacks.append((self.account, service, operation, params))
        token = _account.set(self.account)
        try:
            return client._make_api_call(operation, params)
        except ClientError as e:
            error = e.response["Error"]
            raise Failed(error.get("Code", ""), error.get("Message", "")) from e
        except ParamValidationError as e:
            raise Failed("ValidationException", str(e)) from e
        finally:
            _account.reset(token)

    def model(self, service: str) -> ServiceModel:
        return _client(service, self.region).meta.service_model

    def arn(self, service: str, rest: str) -> str:
        return f"arn:aws:{service}:{self.region}:{self.account}:{rest}"


@functools.cache
def _client(service: str, region: str) -> Any:
    with _making:  # boto3's default session is not made for several threads
        client = boto3.client(
            service,
            region_name=region,
            aws_access_key_id="AKIAEMULATOR00000000",
            aws_secret_access_key="emulator",
            endpoint_url="http://emulator.invalid",
            config=Config(retries={"max_attempts": 1}),
        )
    client.meta.events.register("before-send", _send)
    return client


def _send(request: Any, **_: Any) -> AWSResponse:
    body = request.body or b""
    if isinstance(body, str):
        body = body.encode()
    headers = {k: v.decode() if isinstance(v, bytes) else v for k, v in request.headers.items()}
    headers["x-moto-account-id"] = _account.get()
    path = request.url.split("emulator.invalid", 1)[1]
    environ = EnvironBuilder(method=request.method, path=path or "/", headers=headers, data=body).get_environ()
    chunks, status, answered = run_wsgi_app(_application, environ, buffered=True)
    return AWSResponse(request.url, int(status.split()[0]), dict(answered), MockRawResponse(b"".join(chunks)))
