"""The commands, options, files, routes and permissions that the documents name exist."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import httpx2
import pytest
import typer

from app import main
from app.__main__ import command_line
from app.settings import Settings
from tests.operations.composefile import read
from tests.operations.processes import ROOT, run
from tests.support.timeouts import TIMEOUT

PATHS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")] + sorted(
    (ROOT / "docs").rglob("*.md")
)
DOCUMENTS = {str(path.relative_to(ROOT)): path.read_text() for path in PATHS}
README_LINES = 150
COMPOSE = read((ROOT / "docker-compose.yml").read_text())


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, ...]]:
    """Yield every command of the documents; `&&` separates two."""
    for text in DOCUMENTS.values():
        for block in blocks(text, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for command in line.split("&&"):
                    words = shlex.split(command, comments=True)
                    words = words[: words.index(">")] if ">" in words else words  # without a redirection
                    if words:
                        yield tuple(words)


COMMANDS = sorted(set(commands()))


def of(*programs: str) -> list[tuple[str, ...]]:
    return [command for command in COMMANDS if command[0].removeprefix(".venv/bin/") in programs]


def test_every_program_in_the_documents_is_checked_here() -> None:
    checked = of("make", "newsstand", "python", "docker", "cp", "curl")
    checked += of("pg_dump", "pg_restore")  # run by tests/journeys/operations/test_recovery.py
    checked += of("pip", "npm")  # run by tests/clients/test_packages.py
    assert set(COMMANDS) == set(checked)


@pytest.mark.parametrize("command", of("make"), ids=shlex.join)
def test_a_make_target_exists(command: tuple[str, ...]) -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(command[1:]) <= set(targets)


def accepts(words: list[str]) -> None:
    """Check that every word is a command of `newsstand`, an option or the value of one."""
    found: Any = typer.main.get_command(command_line())
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        assert words[0] in found.commands, f"{found.name} has no {words[0]}"
        found = found.commands[words.pop(0)]
    if words != ["--help"]:
        try:
            found.make_context("newsstand", words)
        except typer.BadParameter as wrong:
            if "does not exist" not in wrong.message:  # a file of the operator's
                raise


@pytest.mark.parametrize("wrong", ["nothing", "catalogue nothing", "serve --nothing", "keys create --name x"])
def test_an_unknown_command_or_option_is_detected(wrong: str) -> None:
    with pytest.raises(Exception, match=r"no nothing|--nothing|scope"):
        accepts(wrong.split())


@pytest.mark.parametrize("command", of("newsstand"), ids=shlex.join)
def test_a_newsstand_command_exists_with_its_options(command: tuple[str, ...]) -> None:
    accepts(list(command[1:]))


@pytest.mark.parametrize("command", of("docker"), ids=shlex.join)
def test_a_service_of_the_compose_file_exists(command: tuple[str, ...]) -> None:
    assert command[1] == "compose"
    for before, word in pairwise(command):
        if before == "--profile":
            assert word in {p for service in COMPOSE["services"].values() for p in service.get("profiles", [])}
    if "run" in command:
        service, program, *words = command[command.index("run") + 2 :]
        assert service in COMPOSE["services"]
        assert program == "newsstand"
        accepts(words)


@pytest.mark.parametrize("command", of("python"), ids=shlex.join)
def test_a_python_module_or_test_exists(command: tuple[str, ...]) -> None:
    assert command[1] == "-m"
    if command[2] == "pytest":
        for word in (word for word in command[3:] if word.startswith("tests/")):
            path, _, name = word.partition("::")
            assert (ROOT / path).exists(), path
            assert not name or f"def {name}(" in (ROOT / path).read_text(), name
    else:
        folder = ROOT / command[2].replace(".", "/")
        assert folder.with_suffix(".py").exists() or (folder / "__main__.py").exists()


def test_the_sandbox_has_the_documented_options() -> None:
    documented = {
        word for command in of("python") if command[2] == "sandbox" for word in command if word.startswith("--")
    }
    offered = run(["-m", "sandbox", "--help"], {})
    assert offered.returncode == 0, offered.stderr
    assert all(option in offered.stdout for option in documented)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_image_and_file_in_a_document_exists(name: str) -> None:
    folder = (ROOT / name).parent
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", DOCUMENTS[name]) if "://" not in link]
    files = re.findall(
        r"`((?:app|sandbox|demo|bench|tests|migrations|requirements|clients|deploy|docs)/[\w./-]*)`", DOCUMENTS[name]
    )
    assert [link for link in links if not (folder / link).exists()] == []
    assert [path for path in files if not (ROOT / path).exists()] == []


def test_the_readme_is_short() -> None:
    assert len(DOCUMENTS["README.md"].splitlines()) <= README_LINES


def test_the_reference_has_every_route_of_the_api_and_no_other() -> None:
    documented = set(
        re.findall(r"^### `((?:GET|POST|PUT|PATCH|DELETE) /\S*)`", DOCUMENTS["docs/reference/api.md"], re.MULTILINE)
    )
    paths: dict[str, dict[str, Any]] = main.document(main.application(Settings()))["paths"]
    assert documented == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_the_permissions_cover_every_call_to_stripe() -> None:
    gateway = "".join(path.read_text() for path in (ROOT / "app" / "gateway").glob("*.py"))
    calls = re.findall(r"sdk\.v1\.([\w.]+)\.(\w+)_async", gateway)
    calls += [(of.replace("invoiceitems", "invoice_items"), "list") for of in re.findall(r'"/v1/(\w+)[/"]', gateway)]
    rows = re.findall(r"^\| (`[a-z_.]+`.*?) \| (read|write) \|", DOCUMENTS["docs/operate/going-live.md"], re.MULTILINE)
    documented = {resource: permission for row, permission in rows for resource in re.findall(r"`([a-z_.]+)`", row)}
    needed = {
        resource: "read" if {verb for of, verb in calls if of == resource} <= {"list", "retrieve"} else "write"
        for resource, _ in calls
    }
    assert needed.items() <= documented.items()
    assert documented.keys() == needed.keys()


def test_stripe_accepts_every_event_type_of_the_endpoint(sandbox: Any) -> None:
    (events,) = blocks(DOCUMENTS["docs/reference/events.md"], "text")
    named = events.split()
    assert len(named) == len(set(named))
    answer = httpx2.post(
        f"{sandbox.url}/v1/webhook_endpoints",
        headers={"Authorization": f"Bearer {sandbox.key()}"},
        data={"url": "https://newsstand.example/webhooks/stripe", "enabled_events[]": named},
        timeout=TIMEOUT,
    )
    assert answer.status_code == 200, answer.text
