"""
The containers without a container engine: the files of the image, and the command of each service as a process.

Only addresses are replaced by local ones; the database is a real PostgreSQL.
"""

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from app.settings import PREFIX, SANDBOX_API_KEY, Settings
from tests.operations.compose_project import FILE, LOCAL, SERVICES, Folder, Project
from tests.operations.composefile import filled_in
from tests.operations.processes import GRACE, ROOT, until
from tests.support.database_roles import Roles
from tests.support.timeouts import TIMEOUT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COPIED = [
    source
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE)
    for source in line.split()[:-1]
    if not source.startswith("requirements/")
]


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
def project(image: Path, tmp_path: Path, roles: Roles) -> Iterator[Project]:
    """Provide the project with no service started."""
    with ExitStack() as stack:
        yield Project(Folder(image), tmp_path, roles, stack)


def test_the_services_start_and_stop_as_the_compose_file_describes(project: Project) -> None:
    sandbox = project.start("sandbox")
    assert "The database schema is at head." in project.output_of("migrate")
    api, worker = project.start("api"), project.start("worker")
    ready = api.wait_for(f"http://{LOCAL}:{project.api}/readyz").json()
    assert "changes were made." in project.output_of("catalogue")

    assert ready["status"] == "ok"
    assert project.is_healthy("api")
    sandbox.wait_for(f"http://{LOCAL}:{project.sandbox}/_sandbox/health")
    assert project.is_healthy("sandbox")

    assert_every_webhook_arrived(project)

    assert worker.is_alive(), worker.output()
    for process in (worker, api, sandbox):
        assert process.terminate() < GRACE, process.output()
        assert process.stopped_well(), (process.popen.returncode, process.output())


def assert_every_webhook_arrived(project: Project) -> None:
    """Check that the events of the pushed products and prices arrive, signed with the default secret of both services."""

    def all_arrived() -> bool:
        """Return whether the last attempt of each delivery succeeded; early ones may fail while the service starts."""
        answer = httpx2.get(
            f"http://{LOCAL}:{project.sandbox}/_sandbox/deliveries",
            headers={"Authorization": f"Bearer {SANDBOX_API_KEY}"},
            trust_env=False,
            timeout=TIMEOUT,
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
    mine = {
        f"{PREFIX}STRIPE_URL": "https://api.stripe.com",
        f"{PREFIX}DATABASE_URL": "",
        "POSTGRES_OWNER_PASSWORD": "one",
        "POSTGRES_SERVICE_PASSWORD": "other",
    }
    service = {
        f"{PREFIX}STRIPE_URL": "https://api.stripe.com",
        f"{PREFIX}DATABASE_URL": "postgresql://newsstand_service:other@postgres:5432/newsstand",  # pragma: allowlist secret
        f"{PREFIX}MIGRATION_DATABASE_URL": "",
        "POSTGRES_OWNER_PASSWORD": "",
    }
    url = "postgresql://newsstand_owner:one@postgres:5432/newsstand"  # pragma: allowlist secret
    owner = {f"{PREFIX}MIGRATION_DATABASE_URL": url}
    for name in ("api", "worker", "catalogue"):
        assert filled_in(FILE["services"][name]["environment"], mine) == service
    assert filled_in(FILE["services"]["migrate"]["environment"], mine) == service | owner


def test_migrations_use_the_database_that_env_names() -> None:
    mine = {f"{PREFIX}DATABASE_URL": "postgresql://db.example/x"}
    environment = filled_in(FILE["services"]["migrate"]["environment"], mine)
    assert environment[f"{PREFIX}MIGRATION_DATABASE_URL"] == "postgresql://db.example/x"


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_confined(service: str) -> None:
    confined = SERVICES[service]
    assert confined["read_only"] is True
    assert confined["cap_drop"] == ["ALL"]
    assert confined["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in confined["tmpfs"]
    assert confined.get("user", "") not in ("root", "0")
    assert "privileged" not in confined
    assert not [
        volume for volume in confined.get("volumes", []) if volume.startswith((".", "/")) and ":ro" not in volume
    ]


@pytest.mark.parametrize("variable", ["POSTGRES_IMAGE", "SERVICE_IMAGE", "PYTHON_IMAGE"])
def test_an_exact_image_can_be_given_by_its_digest(variable: str) -> None:
    exact = "registry.example/image@sha256:" + "0" * 64
    given = json.dumps(filled_in(FILE["services"], {variable: exact}))
    assert exact in given
    assert "ARG PYTHON_IMAGE=" in DOCKERFILE
    assert "FROM ${PYTHON_IMAGE}" in DOCKERFILE
    assert "@sha256:" not in json.dumps(filled_in(FILE["services"], {}))


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
