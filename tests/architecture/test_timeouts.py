"""Tests wait for a condition as long as a busy machine needs: see tests/support/timeouts.py."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
SENDS = {"AsyncClient", "Client", "delete", "get", "patch", "post", "put", "request", "stream"}
FILES = [path for path in sorted(TESTS.rglob("*.py")) if "soak_ha" not in path.parts]


def short_waits(source: str) -> list[int]:
    """
    Return the lines that wait only as long as httpx2 does by default, which is five seconds, or for a number of seconds.

    A transport may be the application itself, which httpx2 doesn't limit.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        called = ast.unparse(node.func)
        if called == "asyncio.timeout" and isinstance(node.args[0], ast.Constant) and node.args[0].value is not None:
            found.append(node.lineno)
        if called.startswith("httpx2.") and node.func.attr in SENDS:
            named = {keyword.arg for keyword in node.keywords}
            if not named & {"timeout", "transport"}:
                found.append(node.lineno)
    return found


def test_no_test_waits_for_less_than_a_busy_machine_needs() -> None:
    found = {str(path.relative_to(TESTS)): short_waits(path.read_text()) for path in FILES}

    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("async with asyncio.timeout(5): pass", [1]),
        ("async with asyncio.timeout(TIMEOUT): pass", []),
        ("async with asyncio.timeout(None): pass", []),
        ("httpx2.get(url)", [1]),
        ("httpx2.get(url, timeout=TIMEOUT)", []),
        ("httpx2.AsyncClient(base_url=url)", [1]),
        ("httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app))", []),
        ("answer.get(url)", []),
    ],
)
def test_short_waits_are_found(source: str, lines: list[int]) -> None:
    assert short_waits(source) == lines
