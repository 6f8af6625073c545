"""Searching log groups as CloudWatch does, which moto does for single words only."""

import json
import re
from typing import Any

from moto.logs.models import logs_backends

from .wire import ApiError, Call, operation

# A pattern of words, and one of JSON: { $.function = "hello" && $.status >= 500 }.
_token = re.compile(r"""\s*(\(|\)|&&|\|\||!=|>=|<=|=|>|<|"(?:[^"\\]|\\.)*"|\$[\w.\[\]"'-]*|[^\s()&|=<>!]+)""")


@operation("logs", "FilterLogEvents")
def filter_events(call: Call) -> dict[str, Any]:
    p = call.params
    name = p.get("logGroupName") or p.get("logGroupIdentifier", "").split(":log-group:")[-1]
    group = logs_backends[call.account][call.region].groups.get(name)
    if group is None:
        raise ApiError("ResourceNotFoundException", "The specified log group does not exist.")
    matches = matcher(p.get("filterPattern") or "")
    found = []
    for stream in list(group.streams.values()):
        if p.get("logStreamNames") and stream.log_stream_name not in p["logStreamNames"]:
            continue
        if not stream.log_stream_name.startswith(p.get("logStreamNamePrefix") or ""):
            continue
        for e in list(stream.events):
            if p.get("startTime", 0) <= e.timestamp < p.get("endTime", 1 << 62) and matches(e.message):
                found.append({**e.to_filter_dict(), "logStreamName": stream.log_stream_name})
    found.sort(key=lambda e: e["timestamp"])
    start, size = int(p.get("nextToken") or 0), int(p.get("limit") or 10_000)
    more = {"nextToken": str(start + size)} if len(found) > start + size else {}
    return {**more, "events": found[start : start + size], "searchedLogStreams": []}


def matcher(pattern: str) -> Any:
    """What tells whether a message matches a filter pattern."""
    pattern = pattern.strip()
    if pattern.startswith("{") and pattern.endswith("}"):
        tokens = _token.findall(pattern[1:-1])
        tree, rest = _either(tokens)
        if rest:
            raise _invalid(pattern)
        return lambda message: _json_matches(tree, message)
    words = re.findall(r'[?-]?"(?:[^"\\]|\\.)*"|\S+', pattern)
    return lambda message: _words_match(words, message)


def _invalid(pattern: Any) -> ApiError:
    return ApiError("InvalidParameterException", f"Invalid filter pattern: {pattern}")


def _words_match(words: list[str], message: str) -> bool:
    def bare(word: str) -> str:
        word = word.lstrip("?-")
        return json.loads(word) if word.startswith('"') else word

    optional = [w for w in words if w.startswith("?")]
    if any(bare(w) in message for w in words if w.startswith("-")):
        return False
    if not all(bare(w) in message for w in words if w[0] not in "?-"):
        return False
    return not optional or any(bare(w) in message for w in optional)


def _either(tokens: list[str]) -> tuple[Any, list[str]]:
    left, tokens = _both(tokens)
    while tokens and tokens[0] == "||":
        right, tokens = _both(tokens[1:])
        left = ("||", left, right)
    return left, tokens


def _both(tokens: list[str]) -> tuple[Any, list[str]]:
    left, tokens = _one(tokens)
    while tokens and tokens[0] == "&&":
        right, tokens = _one(tokens[1:])
        left = ("&&", left, right)
    return left, tokens


def _one(tokens: list[str]) -> tuple[Any, list[str]]:
    if tokens and tokens[0] == "(":
        inside, tokens = _either(tokens[1:])
        if not tokens or tokens[0] != ")":
            raise _invalid("a parenthesis is not closed")
        return inside, tokens[1:]
    if len(tokens) >= 3 and tokens[0].startswith("$") and tokens[1] in ("=", "!=", ">", "<", ">=", "<="):
        value = tokens[2]
        return (tokens[1], tokens[0], json.loads(value) if value.startswith('"') else value), tokens[3:]
    raise _invalid(" ".join(tokens))


def _json_matches(tree: Any, message: str) -> bool:
    try:
        value = json.loads(message)
    except ValueError:
        return False

    def holds(node: Any) -> bool:
        kind, a, b = node
        if kind == "&&":
            return holds(a) and holds(b)
        if kind == "||":
            return holds(a) or holds(b)
        found: Any = value
        for part in a.lstrip("$").strip(".").split("."):
            found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            return False
        if kind in ("=", "!="):
            shown = found if isinstance(found, str) else json.dumps(found)
            equal = re.fullmatch(re.escape(b).replace(r"\*", ".*"), shown) is not None
            return equal == (kind == "=")
        try:
            x, y = float(found), float(b)
        except (TypeError, ValueError):
            return False
        return {">": x > y, "<": x < y, ">=": x >= y, "<=": x <= y}[kind]

    return holds(tree)
