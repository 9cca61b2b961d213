"""What CONTRIBUTING says about the code: its paths are the real imports, and its answers are found where it says."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.operations.processes import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
QUESTIONS = [
    "the 60-day rule",
    "until when a subscription gives access, and what its reader is told",
    "the grace period",
    "the signature check",
    "a new webhook type",
    "what one person may give alone",
    "outbound rate limiting",
    "the console's refund page",
    "the catalogue push",
    "a new cancel reason",
    "the subscriber lock",
    "which mail a subscription owes",
    "job back-off",
    "request idempotency",
    "the audit chain",
    "token signing",
    "what needs a recent sign-in",
    "the form of API keys",
]
ANSWERS = re.findall(r"^\| ([^|]+) \| `(app/[\w/.]+)`[^|]* \| `(\w+)` \|$", TEXT, re.MULTILINE)
PATHS = dict(re.findall(r"^\*\*([^*]+):\*\*\n(`app/.+→.+)$", TEXT, re.MULTILINE))
JOURNEYS = {"A webhook arrives", "A webhook is applied", "A refund", "A check", "A console page"}


def steps(path: str) -> list[list[str]]:
    """Return the files of each step of a path."""
    return [re.findall(r"`([^`]+)`", step) for step in path.split("→")]


def imported_by(file: str) -> set[str]:
    """Return the files that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
    paths = {module.replace(".", "/") for module in found}
    return {f"{path}/__init__.py" if (ROOT / path / "__init__.py").exists() else f"{path}.py" for path in paths}


def defined_in(file: str) -> Iterator[str]:
    """Yield the names that a module defines: its functions, classes and constants."""
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_every_question_has_an_answer() -> None:
    assert [question for question, _, _ in ANSWERS] == QUESTIONS


@pytest.mark.parametrize(("question", "file", "name"), ANSWERS, ids=QUESTIONS)
def test_each_answer_is_defined_in_its_file(question: str, file: str, name: str) -> None:
    assert name in set(defined_in(file)), question


def test_every_path_is_described() -> None:
    assert PATHS.keys() == JOURNEYS


@pytest.mark.parametrize("journey", sorted(JOURNEYS))
def test_the_files_of_a_path_import_each_other_in_order(journey: str) -> None:
    for before, after in pairwise(steps(PATHS[journey])):
        imports = {file for one in before for file in imported_by(one)}
        assert set(after) <= imports, f"{before} does not import {set(after) - imports}"


def test_the_map_names_every_layer() -> None:
    layers = {
        f"app/{path.name}/" for path in (ROOT / "app").iterdir() if path.is_dir() and (path / "__init__.py").exists()
    }
    assert layers <= set(re.findall(r"^\| `(app/\w+/)`", TEXT, re.MULTILINE))


def test_the_readme_links_to_this_file() -> None:
    assert "(CONTRIBUTING.md)" in Path(ROOT / "README.md").read_text()
