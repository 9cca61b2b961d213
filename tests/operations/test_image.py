"""The image's file system, built for real, and the services of docker-compose.yml in it (see tests/operations/image.py)."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx2
import jwt
import pytest

from tests.operations.compose_project import LOCAL, Program, Project
from tests.operations.image import DOCKERFILE, PYTHON, Containers, Image, build, python_of, reason_to_skip
from tests.operations.processes import until
from tests.support.database import base_folder
from tests.support.database_roles import Roles
from tests.support.issuer import Issuer
from tests.support.timeouts import TIMEOUT

SKIPPED = reason_to_skip()
pytestmark = [pytest.mark.image, pytest.mark.skipif(SKIPPED is not None, reason=SKIPPED or "")]


@pytest.fixture(scope="module")
def image() -> Iterator[Image]:
    """Provide the image, built once."""
    folder = Path(tempfile.mkdtemp(prefix="newsstand-image-", dir=base_folder()))
    folder.chmod(0o755)
    yield build(folder / "root")
    shutil.rmtree(folder)


@dataclass(frozen=True)
class WithoutVolumes:
    """Containers whose data directory can't be written."""

    containers: Containers

    def program(self, service: str, command: Sequence[str], environment: Mapping[str, str]) -> Program:
        """Return the program with the data directory in the read-only file system."""
        return self.containers.program(service, command, {**environment, "NEWSSTAND_DATA_DIR": "/srv/newsstand/var"})


@pytest.fixture
def project(image: Image, tmp_path: Path, roles: Roles, issuer: Issuer) -> Iterator[Project]:
    """Provide the project with no service started."""
    settings = {"NEWSSTAND_OIDC_ISSUER": issuer.url, "NEWSSTAND_DRAIN_DELAY": "PT0S"}
    with ExitStack() as stack:
        yield Project(Containers(image, tmp_path, roles.service), tmp_path, roles, stack, settings)


def test_the_stand_in_has_the_python_of_the_dockerfile(project: Project) -> None:
    assert python_of(DOCKERFILE.read_text()) == PYTHON
    assert project.output_of("api", ["python", "--version"]).startswith(f"Python {PYTHON}.")


def test_the_service_runs_in_its_image_up_to_a_signed_token(project: Project, issuer: Issuer, tmp_path: Path) -> None:
    project.start("sandbox").wait_for(f"http://{LOCAL}:{project.sandbox}/_sandbox/health")
    assert "The database schema is at head." in project.output_of("migrate")
    api, worker = project.start("api"), project.start("worker")
    url = f"http://{LOCAL}:{project.api}"
    assert api.wait_for(f"{url}/readyz").json()["status"] == "ok"
    assert until(lambda: project.is_healthy("api"))
    assert "changes were made." in project.output_of("catalogue")

    minted = httpx2.post(
        f"{url}/v1/me/entitlement-tokens",
        headers={"Authorization": f"Bearer {issuer.token('user-1')}"},
        trust_env=False,
        timeout=TIMEOUT,
    )
    assert minted.status_code == 200, minted.text
    (public,) = httpx2.get(f"{url}/.well-known/jwks.json", trust_env=False, timeout=TIMEOUT).json()["keys"]
    claims = jwt.decode(minted.json()["token"], jwt.PyJWK(public), algorithms=["ES256"], audience="newsstand-site")
    assert claims["sub"] == "user-1"
    secret = tmp_path / "data" / "token-secret"
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (10001, 0o600)

    key = project.output_of(
        "api", ["newsstand", "keys", "create", "--scope", "entitlements:read", "--name", "the site"]
    )
    answer = httpx2.post(
        f"{url}/v1/entitlements/check",
        headers={"Authorization": f"Bearer {key.strip()}"},
        json={"subscriber": "user-1", "feature": "archive"},
        trust_env=False,
        timeout=TIMEOUT,
    )
    assert answer.status_code == 200, answer.text
    for process in (worker, api):
        assert worker.is_alive() or process is not worker, worker.output()
        process.terminate()
        assert process.stopped_well(), process.output()


@pytest.mark.parametrize("service", ["migrate", "api", "worker", "sandbox", "catalogue"])
def test_a_container_has_no_privileges_and_writes_only_where_it_may(project: Project, service: str) -> None:
    script = """
import os, pathlib
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":\\t" in line)
print(os.getuid(), os.getgroups(), status["CapEff"], status["CapBnd"], status["NoNewPrivs"])
for path in ("/x", "/srv/newsstand/app/x", "/usr/local/bin/x", "/tmp/x", "/var/lib/newsstand/x"):
    try:
        pathlib.Path(path).touch()
    except OSError as refused:
        print(path, refused.strerror)
    else:
        print(path, "written")
"""
    first, *written = project.output_of(service, ["python", "-c", script]).splitlines()
    none = "0" * 16
    assert first == f"10001 [] {none} {none} 1"
    refused = "Read-only file system"
    own = "written" if service not in ("sandbox",) else refused
    assert written == [
        f"/x {refused}",
        f"/srv/newsstand/app/x {refused}",
        f"/usr/local/bin/x {refused}",
        "/tmp/x written",
        f"/var/lib/newsstand/x {own}",
    ]


def test_without_a_volume_the_missing_setting_is_named(project: Project) -> None:
    assert isinstance(project.place, Containers)
    bare = replace(project, place=WithoutVolumes(project.place))
    ended = bare.run("api")
    assert ended.returncode == 2
    assert ended.stderr == (
        "Newsstand cannot start. Invalid configuration:\n"
        "NEWSSTAND_TOKEN_SECRETS: required, because NEWSSTAND_DATA_DIR is not a writable directory\n"
    )


def test_the_image_starts_the_service_by_default(image: Image) -> None:
    assert image.command[:2] == ["newsstand", "serve"]
    assert image.user_and_group()[0] == 10001
