"""Architecture rules that import-linter cannot check."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "app"
USE_CASES = sorted(path for layer in ("services", "aggregates") for path in (APP / layer).rglob("*.py"))


def test_the_import_contracts_hold() -> None:
    checked = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout


def _imported_from(tree: ast.Module, package: str) -> set[str]:
    """Return the names that a module imports from a package."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(package):
            names |= {alias.asname or alias.name for alias in node.names}
    return names


def _transactions(tree: ast.AST) -> Iterator[ast.AsyncWith]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith) and any(
            isinstance(call := item.context_expr, ast.Call)
            and isinstance(call.func, ast.Attribute)
            and call.func.attr == "begin"
            for item in node.items
        ):
            yield node


def _is_gateway(node: ast.AST) -> bool:
    """Return whether an argument is ``gateway`` or ``ctx.gateway``."""
    named = isinstance(node, ast.Name) and node.id == "gateway"
    return named or (isinstance(node, ast.Attribute) and node.attr == "gateway")


OUR_METADATA = ("OUR_REFUND", "OUR_SUBSCRIBER", "OUR_SUB", "OUR_CHECKOUT")


def calls_to_stripe_inside_transactions(source: str) -> list[int]:
    """Return the lines that call the gateway inside a transaction."""
    tree = ast.parse(source)
    gateway = _imported_from(tree, "app.gateway") - {"Gateway", "Gone", *OUR_METADATA}
    found = []
    for transaction in _transactions(tree):
        for node in ast.walk(transaction):
            if isinstance(node, ast.Call):
                root = node.func
                while isinstance(root, ast.Attribute):
                    root = root.value
                if isinstance(root, ast.Name) and root.id in gateway | {"gateway"}:
                    found.append(node.lineno)
                if any(_is_gateway(argument) for argument in node.args):
                    found.append(node.lineno)
    return found


@pytest.mark.parametrize("path", USE_CASES, ids=lambda path: str(path.relative_to(APP)))
def test_no_service_calls_stripe_inside_a_transaction(path: Path) -> None:
    assert calls_to_stripe_inside_transactions(path.read_text()) == []


def test_the_transaction_check_detects_a_call_to_stripe() -> None:
    direct = """
from app.gateway import refunds as at_stripe
async def f(ctx):
    async with ctx.sessions.begin() as session:
        await at_stripe.create(ctx.gateway, {}, key="k")
"""
    indirect = """
async def f(ctx):
    async with ctx.sessions.begin() as session:
        await helper(ctx.gateway)
"""
    assert calls_to_stripe_inside_transactions(direct)
    assert calls_to_stripe_inside_transactions(indirect)


READS_TIME = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today"), ("time", "time")}
MEASURES_ONLY = {APP / "clock.py"}


@pytest.mark.parametrize("path", sorted(APP.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_clock_reads_the_time(path: Path) -> None:
    if path in MEASURES_ONLY:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in READS_TIME, f"line {node.lineno}"


@pytest.mark.parametrize("path", sorted((ROOT / "sandbox").rglob("*.py")) + sorted((ROOT / "demo").rglob("*.py")))
def test_the_sandbox_and_the_demo_never_import_the_service(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        modules = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        assert not any(module.split(".")[0] == "app" for module in modules)


def test_files_have_at_most_400_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("app", "sandbox", "demo", "bench")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long
