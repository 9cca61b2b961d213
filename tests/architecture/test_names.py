"""Names of tests are plain sentences of at most 80 characters."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
LONGEST = 80  # characters, including `test_`
BANNED = re.compile(r"whoever|given_back|looked_at|is_told|goes_on|nobody_known|anew")


def names_of_tests(source: str) -> list[str]:
    """Return the names of the test functions and methods in a module."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, functions) and node.name.startswith("test_")
    ]


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_names_of_tests_are_short_and_plain(path: Path) -> None:
    names = names_of_tests(path.read_text())

    assert [name for name in names if len(name) > LONGEST or BANNED.search(name)] == []
