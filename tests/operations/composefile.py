"""
Read docker-compose.yml, which uses a small subset of YAML: blocks of ``key: value``, and JSON values.

Other YAML is rejected, so that the file is never misread.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

_LINE = re.compile(r"(?P<indent> *)(?P<key>[\w.<-]+):(?: &(?P<anchor>\w+))?(?: (?P<value>\S.*))?")
_PLAIN = re.compile(r"[\w./:-]+")
_VARIABLE = re.compile(r"\$\{(\w+):-((?:[^${}]|\$\{[^{}]*\})*)\}")


def read(text: str) -> dict[str, Any]:
    """
    Return the file as Compose parses it, before it replaces variables.

    :raises ValueError: for a line outside this subset of YAML.
    """
    root: dict[str, Any] = {}
    open_blocks: list[tuple[int, dict[str, Any]]] = [(-1, root)]
    anchors: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"line {number} is not `key: value`: {line}")
        depth, key, value = len(found["indent"]), found["key"], found["value"]
        while open_blocks[-1][0] >= depth:
            open_blocks.pop()
        block = open_blocks[-1][1]
        if key == "<<" and value:
            block.update(anchors[value.removeprefix("*")])
        elif value is None:
            made: dict[str, Any] = {}
            block[key] = made
            open_blocks.append((depth, made))
            if found["anchor"]:
                anchors[found["anchor"]] = made
        else:
            block[key] = _scalar(value, number)
    return root


def _scalar(value: str, number: int) -> Any:
    if value[0] in '[{"' or value in ("true", "false") or value.isdigit():
        return json.loads(value)
    if not _PLAIN.fullmatch(value):
        raise ValueError(f"line {number}: use double quotes: {value}")
    return value


def filled_in(value: Any, variables: Mapping[str, str]) -> Any:
    """Return a part of the file with ``${NAME:-default}`` replaced as Compose does; empty variables count as unset."""
    if isinstance(value, Mapping):
        return {key: filled_in(part, variables) for key, part in value.items()}
    if isinstance(value, list):
        return [filled_in(part, variables) for part in value]
    while isinstance(value, str) and (found := _VARIABLE.search(value)):
        value = value[: found.start()] + (variables.get(found[1]) or found[2]) + value[found.end() :]
    return value
