"""
The containers without a container engine: the files of the image, and the command of each service as a process.

Only addresses are replaced by local ones; the database is a real PostgreSQL.
"""

import json
import re
import shutil
import tomllib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.settings import PREFIX, SANDBOX_API_KEY, Settings
from tests.operations.composefile import filled_in, read
from tests.operations.processes import ROOT, Process, free_port, run, running, until
from tests.support.database import Postgres

FILE = read((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = filled_in(FILE["services"], {})
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = [
    source
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
    for source in line.split()[:-1]
    if not source.startswith("requirements/")
]
LOCAL = "127.0.0.1"
QUICKLY = 9.0  # seconds: less than the 10 that are left to requests in progress


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Provide a folder with the files that the Dockerfile copies."""
    folder = tmp_path / "image"
    for source in COPIED:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(ROOT / source, folder / source)
    return folder


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncIterator[str]:
    """Provide the URL of an empty database."""
    dsn = await postgres.create(empty=True)
    yield dsn
    await postgres.drop(dsn)


@dataclass
class Project:
    """The services of the compose file on this machine."""

    image: Path
    logs: Path
    database: str
    stack: ExitStack
    api: int
    sandbox: int

    def _here(self, text: str) -> str:
        """Return a part of the file with local addresses."""
        for theirs, ours in (
            ("postgresql://newsstand:newsstand@postgres:5432/newsstand", self.database),
            ("sandbox.localhost:4242", f"{LOCAL}:{self.sandbox}"),
            ("api:8000", f"{LOCAL}:{self.api}"),
            ("127.0.0.1:8000", f"{LOCAL}:{self.api}"),
            ("127.0.0.1:4242", f"{LOCAL}:{self.sandbox}"),
        ):
            text = text.replace(theirs, ours)
        return {"8000": str(self.api), "4242": str(self.sandbox), "0.0.0.0": LOCAL}.get(text, text)

    def _command(self, command: Sequence[str]) -> list[str]:
        """Return the command for the interpreter: `newsstand` is `python -m app`, as in the Dockerfile."""
        program, *rest = (self._here(part) for part in command)
        return {"newsstand": ["-m", "app"], "python": list[str]()}[program] + rest

    def _environment(self, service: str) -> dict[str, str]:
        return {name: self._here(value) for name, value in SERVICES[service].get("environment", {}).items()}

    def run(self, service: str) -> str:
        """Run a one-time service, and return its output."""
        ended = run(self._command(SERVICES[service]["command"]), self._environment(service), cwd=self.image)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def start(self, service: str) -> Process:
        """Start a long-running service."""
        arguments, settings = self._command(SERVICES[service]["command"]), self._environment(service)
        log = self.logs / f"{service}.log"
        return self.stack.enter_context(running(arguments, settings, log, cwd=self.image))

    def is_healthy(self, service: str) -> bool:
        """Run the health check of a service."""
        how, *command = SERVICES[service]["healthcheck"]["test"]
        assert how == "CMD"
        return run(self._command(command), self._environment(service), cwd=self.image).returncode == 0


@pytest.fixture
def project(image: Path, tmp_path: Path, empty: str) -> Iterator[Project]:
    """Provide the project with no service started."""
    with ExitStack() as stack:
        yield Project(image, tmp_path, empty, stack, api=free_port(), sandbox=free_port())


def test_the_services_start_and_stop_as_the_compose_file_describes(project: Project) -> None:
    sandbox = project.start("sandbox")
    assert "The database schema is at head." in project.run("migrate")
    api, worker = project.start("api"), project.start("worker")
    ready = api.wait_for(f"http://{LOCAL}:{project.api}/readyz").json()
    assert "changes were made." in project.run("catalogue")

    assert ready["status"] == "ok"
    assert project.is_healthy("api")
    sandbox.wait_for(f"http://{LOCAL}:{project.sandbox}/_sandbox/health")
    assert project.is_healthy("sandbox")

    assert_every_webhook_arrived(project)

    assert worker.is_alive(), worker.output()
    for process in (worker, api, sandbox):
        assert process.terminate() < QUICKLY, process.output()
        assert process.stopped_well(), (process.popen.returncode, process.output())


def assert_every_webhook_arrived(project: Project) -> None:
    """Check that the events of the pushed products and prices arrive, signed with the default secret of both services."""

    def all_arrived() -> bool:
        """Return whether the last attempt of each delivery succeeded; early ones may fail while the service starts."""
        answer = httpx2.get(
            f"http://{LOCAL}:{project.sandbox}/_sandbox/deliveries",
            headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"},
            trust_env=False,
        ).json()
        last = {made["event"]: made["status"] for made in answer["data"]}
        return bool(last) and set(last.values()) == {200}

    assert until(all_arrived)


def test_the_health_check_fails_while_no_service_listens(project: Project) -> None:
    assert not project.is_healthy("api")
    assert not project.is_healthy("sandbox")


def test_every_service_waits_for_its_dependencies() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    for service in ("api", "worker"):
        assert SERVICES[service]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert SERVICES["catalogue"]["depends_on"] == {"sandbox": {"condition": "service_healthy"}}


def test_the_local_stripe_runs_only_in_its_profile() -> None:
    assert {name for name, service in SERVICES.items() if service.get("profiles") == ["sandbox"]} == {
        "sandbox",
        "catalogue",
    }


def test_nothing_listens_beyond_this_machine() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_settings_in_env_override_the_addresses_of_the_file() -> None:
    mine = {f"{PREFIX}STRIPE_URL": "https://api.stripe.com", f"{PREFIX}DATABASE_URL": "", "POSTGRES_PASSWORD": "other"}
    environment = filled_in(FILE["services"]["api"]["environment"], mine)
    assert environment == {
        f"{PREFIX}STRIPE_URL": "https://api.stripe.com",
        f"{PREFIX}DATABASE_URL": "postgresql://newsstand:other@postgres:5432/newsstand",
    }


def test_the_file_names_only_settings_that_exist() -> None:
    named = set(re.findall(rf"{PREFIX}(\w+)", json.dumps(FILE)))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_build_context_has_only_files_that_the_image_copies() -> None:
    ignored, *kept = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert ignored == "*"
    copied = {source.rstrip("/") for source in COPIED} | {"requirements"}
    assert {line.removeprefix("!") for line in kept if line.startswith("!")} == copied


def test_the_image_runs_unprivileged_and_installs_by_hash() -> None:
    assert re.search(r"^USER (?!root)\w+", DOCKERFILE, re.MULTILINE)
    installs = re.findall(r"pip install (.+)", DOCKERFILE)
    assert installs
    assert all(install.startswith("--require-hashes --no-deps -r ") for install in installs)


def test_the_image_installs_all_declared_dependencies() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {
        re.split(r"[\[=><;]", line)[0]
        for line in (*declared["dependencies"], *declared["optional-dependencies"]["sandbox"])
    }
    locked = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements" / "runtime.lock").read_text(), re.MULTILINE))
    assert wanted <= locked
