"""No module of the service imports itself through others, not even for type annotations."""

import ast
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.operations.processes import ROOT


def imports_of_the_service() -> dict[str, set[str]]:
    """Return the modules of ``app`` that each module of it imports."""
    files = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in (ROOT / "app").rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in files.items()}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        found = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    found.add(inner if inner in modules else node.module)
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        graph[module] = (found & modules.keys()) - {module}
    return graph


def test_no_module_imports_itself_through_others() -> None:
    graph = imports_of_the_service()
    assert "app.domain.rules" in graph["app.context"]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as cycle:
        pytest.fail(" → ".join(cycle.args[1]))
