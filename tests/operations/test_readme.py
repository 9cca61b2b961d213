"""What the README and CONTRIBUTING tell people to type, ask and grant exists."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
import httpx2
import pytest
import typer

from app import main
from app.__main__ import command_line
from app.settings import Settings
from tests.operations.composefile import read
from tests.operations.processes import ROOT, run

README, CONTRIBUTING = (ROOT / "README.md").read_text(), (ROOT / "CONTRIBUTING.md").read_text()
DOCUMENTS = {"README.md": README, "CONTRIBUTING.md": CONTRIBUTING}
COMPOSE = read((ROOT / "docker-compose.yml").read_text())


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)


def commands() -> Iterator[tuple[str, ...]]:
    """Yield every command of the documents, `&&` taken apart."""
    for text in DOCUMENTS.values():
        for block in blocks(text, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for command in line.split("&&"):
                    words = shlex.split(command, comments=True)
                    words = words[: words.index(">")] if ">" in words else words  # where its output goes
                    if words:
                        yield tuple(words)


COMMANDS = sorted(set(commands()))


def of(*programs: str) -> list[tuple[str, ...]]:
    return [command for command in COMMANDS if command[0].removeprefix(".venv/bin/") in programs]


def test_the_documents_use_no_program_that_is_not_checked_here() -> None:
    checked = of("make", "newsstand", "python", "docker", "cp", "curl")
    assert set(COMMANDS) == set(checked)


@pytest.mark.parametrize("command", of("make"), ids=shlex.join)
def test_a_make_target_exists(command: tuple[str, ...]) -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(command[1:]) <= set(targets)


def accepts(words: list[str]) -> None:
    """Go down `newsstand`'s commands, and see that every word is a command, an option or the value of one."""
    found: Any = typer.main.get_command(command_line())
    while hasattr(found, "commands") and words and not words[0].startswith("-"):
        assert words[0] in found.commands, f"{found.name} has no {words[0]}"
        found = found.commands[words.pop(0)]
    if words != ["--help"]:
        found.make_context("newsstand", words)


@pytest.mark.parametrize("wrong", ["nothing", "catalogue nothing", "serve --nothing", "keys create --name x"])
def test_what_newsstand_does_not_know_is_noticed(wrong: str) -> None:
    with pytest.raises(Exception, match=r"no nothing|--nothing|scope"):
        accepts(wrong.split())


@pytest.mark.parametrize("command", of("newsstand"), ids=shlex.join)
def test_a_command_of_newsstand_exists_with_its_options(command: tuple[str, ...]) -> None:
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
def test_a_module_or_a_test_that_is_run_exists(command: tuple[str, ...]) -> None:
    assert command[1] == "-m"
    if command[2] == "pytest":
        for word in (word for word in command[3:] if word.startswith("tests/")):
            path, _, name = word.partition("::")
            assert (ROOT / path).exists(), path
            assert not name or f"def {name}(" in (ROOT / path).read_text(), name
    else:
        folder = ROOT / command[2].replace(".", "/")
        assert folder.with_suffix(".py").exists() or (folder / "__main__.py").exists()


def test_the_sandbox_has_the_options_that_are_told() -> None:
    told = {word for command in of("python") if command[2] == "sandbox" for word in command if word.startswith("--")}
    offered = run(["-m", "sandbox", "--help"], {})
    assert offered.returncode == 0, offered.stderr
    assert all(option in offered.stdout for option in told)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_and_every_file_that_is_named_exists(name: str) -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", DOCUMENTS[name]) if "://" not in link]
    files = re.findall(r"`((?:app|sandbox|demo|bench|tests|migrations|requirements)/[\w./-]*)`", DOCUMENTS[name])
    assert [path for path in (*links, *files) if not (ROOT / path).exists()] == []


def test_the_readme_has_every_route_of_the_api_and_no_other() -> None:
    told = set(re.findall(r"^\| `((?:GET|POST|PUT|PATCH|DELETE) /\S*)` \|", README, re.MULTILINE))
    paths: dict[str, dict[str, Any]] = main.document(main.application(Settings()))["paths"]
    assert told == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_the_readme_names_every_resource_of_stripes_that_is_called() -> None:
    calls = [
        call
        for path in (ROOT / "app" / "gateway").glob("*.py")
        for call in re.findall(r"sdk\.v1\.([\w.]+)\.(\w+)_async", path.read_text())
    ]
    rows = re.findall(r"^ *\| (`[a-z_.]+`.*?) \| (read|write) \|", README, re.MULTILINE)
    told = {resource: permission for row, permission in rows for resource in re.findall(r"`([a-z_.]+)`", row)}
    needed = {
        resource: "read" if {verb for of, verb in calls if of == resource} <= {"list", "retrieve"} else "write"
        for resource, _ in calls
    }
    assert needed.items() <= told.items()
    assert told.keys() - needed.keys() == {"charges"}  # read with their payment intent


def test_stripe_knows_every_event_that_the_readme_subscribes_to(sandbox: Any) -> None:
    (events,) = blocks(README, "text")
    named = events.split()
    assert len(named) == len(set(named))
    answer = httpx2.post(
        f"{sandbox.url}/v1/webhook_endpoints",
        headers={"Authorization": f"Bearer {sandbox.key()}"},
        data={"url": "https://newsstand.example/webhooks/stripe", "enabled_events[]": named},
    )
    assert answer.status_code == 200, answer.text


async def test_the_role_of_the_readme_reads_and_writes_but_changes_neither_schema_nor_audit_log(database: str) -> None:
    (statements,) = blocks(README, "sql")
    owner = await asyncpg.connect(database)
    try:
        await owner.execute(statements)
        service = await asyncpg.connect(database, user="newsstand_service")
        try:
            tables = await service.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for (table,) in tables:
                await service.fetch(f'SELECT FROM "{table}"')
            await service.execute("INSERT INTO audit_log (actor, action, object_id) VALUES ('a', 'b', 'c')")
            await service.execute("DELETE FROM events")
            for forbidden in (
                "UPDATE audit_log SET actor = 'x'",
                "DELETE FROM audit_log",
                "TRUNCATE audit_log",
                "UPDATE audit_seals SET hash = 'x'",
                "DELETE FROM audit_seals",
                "TRUNCATE audit_seals",
                "ALTER TABLE audit_log DISABLE TRIGGER ALL",
                "DROP TABLE audit_log",
                "ALTER TABLE events ADD COLUMN more text",
                "CREATE TABLE more (id int)",
                "UPDATE alembic_version SET version_num = '0'",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await service.execute(forbidden)
        finally:
            await service.close()
    finally:
        await owner.execute("DROP OWNED BY newsstand_service; DROP ROLE newsstand_service")
        await owner.close()


def test_no_document_shows_an_image_that_is_not_there() -> None:
    images = [image for text in DOCUMENTS.values() for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)]
    assert [image for image in images if not Path(ROOT / image).exists()] == []
