"""
Decode Stripe's form encoding: `a[b][0][c]=d` becomes `{"a": {"b": {"0": {"c": "d"}}}}`.

Values stay strings and lists stay objects. `sandbox.contract.requests` converts them.
"""

import re
from urllib.parse import parse_qsl

from sandbox.errors import invalid
from sandbox.json_types import JsonObject

_DEPTH = 10
_NAME = re.compile(r"^([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_PART = re.compile(r"\[([^\[\]]*)\]")


def decode(encoded: str) -> JsonObject:
    """
    Return the parameters of a form body or query string.

    :raises StripeError: 400 if a name is malformed, or given both as an object and as a string.
    """
    root: JsonObject = {}
    try:
        pairs = parse_qsl(encoded, keep_blank_values=True, strict_parsing=False, errors="strict", max_num_fields=5000)
    except (ValueError, UnicodeDecodeError) as error:
        raise invalid("Invalid request: the parameters are not valid UTF-8 form encoding.") from error
    for name, value in pairs:
        _place(root, _path(name), name, value)
    return root


def _path(name: str) -> list[str]:
    found = _NAME.match(name)
    if not found:
        raise invalid(f"Invalid request: malformed parameter name: {name}", param=name)
    path = [found[1], *_PART.findall(found[2])]
    if len(path) > _DEPTH:
        raise invalid(f"Invalid request: parameter nested too deep: {name}", param=name)
    return path


def _place(root: JsonObject, path: list[str], name: str, value: str) -> None:
    node = root
    for part in path[:-1]:
        node = node.setdefault(_key(node, part), {})
        if not isinstance(node, dict):
            raise invalid(f"Invalid request: {name} is both a value and an object.", param=name)
    key = _key(node, path[-1])
    if isinstance(node.get(key), dict):
        raise invalid(f"Invalid request: {name} is both a value and an object.", param=name)
    node[key] = value


def _key(node: JsonObject, part: str) -> str:
    """Return the key of a path segment. An empty one, as in `a[]`, means the next element."""
    return part or str(len(node))
