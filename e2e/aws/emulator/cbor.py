"""Requests in CBOR, which newer SDKs speak with CloudWatch and moto does not.

They are asked again as boto3 does, and their answers written in CBOR.
"""

import re
from typing import Any

from botocore.parsers import RpcV2CBORParser
from botocore.serialize import RpcV2CBORSerializer
from botocore.model import Shape, StructureShape
from werkzeug.wrappers import Response

from .calls import Api, Failed
from .wire import Call

_path = re.compile(r"^/service/[^/]+/operation/([^/]+)$")
_text = Shape("Text", {"type": "string"})


def operation_of(environ: dict[str, Any]) -> str | None:
    """The operation that a request in CBOR is for, None for any other request."""
    found = _path.match(environ.get("PATH_INFO", ""))
    return found.group(1) if found and environ.get("HTTP_SMITHY_PROTOCOL") == "rpc-v2-cbor" else None


def answer(call: Call, body: bytes) -> Response:
    parser = RpcV2CBORParser()
    params = parser.parse_data_item(parser.get_peekable_stream_from_bytes(body)) if body else {}
    api = Api(call.account, call.region)
    try:
        result = api(call.service, call.operation, **params)
    except Failed as e:
        return _response(400, {"__type": e.code, "message": str(e)}, None)
    result.pop("ResponseMetadata", None)
    return _response(200, result, api.model(call.service).operation_model(call.operation).output_shape)


def _response(status: int, value: dict[str, Any], shape: StructureShape | None) -> Response:
    written = bytearray()
    serializer = RpcV2CBORSerializer()
    if shape is None:  # texts by name, as errors are
        written += bytes([0xA0 + len(value)])
        for pair in value.items():
            for item in pair:
                serializer._serialize_data_item(written, item, _text)
    else:
        serializer._serialize_data_item(written, value, shape)
    return Response(bytes(written), status, {"smithy-protocol": "rpc-v2-cbor"}, content_type="application/cbor")
