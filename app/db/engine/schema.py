"""Create databases and migrate their schema."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from sqlalchemy import Connection

from app.db.engine.session import make_engine

if TYPE_CHECKING:
    from alembic.config import Config

ROOT = Path(__file__).parents[3]


def config() -> "Config":
    """Return Alembic's configuration, independent of the working directory."""
    from alembic.config import Config  # slow to import, and only migrations need it

    return Config(str(ROOT / "alembic.ini"))


@functools.cache
def older_versions() -> frozenset[str]:
    """
    Return the schema versions before the newest one: those that a migration upgrades from.

    They are read from the files, because importing Alembic takes a tenth of a process's start.
    """
    files = (ROOT / "migrations" / "versions").glob("*.py")
    found = (re.search(r'^down_revision = "(\w+)"', file.read_text(), re.MULTILINE) for file in files)
    return frozenset(match[1] for match in found if match is not None)


async def create_database(maintenance_dsn: str, name: str) -> str:
    """Create a database on the server of ``maintenance_dsn`` unless it exists, and return its DSN."""
    connection = await asyncpg.connect(maintenance_dsn)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f'CREATE DATABASE "{name}"')
    except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
        pass  # another process was faster
    finally:
        await connection.close()
    return urlunsplit(urlsplit(maintenance_dsn)._replace(path=f"/{name}"))


# Rows, but neither the schema nor what is append-only: the tables with that trigger, and Alembic's version. The few changes
# that such tables allow are functions that run as their owner.
_GRANT = """
SELECT format('GRANT USAGE ON SCHEMA public TO %1$I', $1::text)
UNION ALL
SELECT format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO %1$I', $1)
UNION ALL
SELECT format('REVOKE UPDATE, DELETE ON %1$s FROM %2$I', tgrelid::regclass, $1)
FROM pg_trigger WHERE tgname = 'audit_is_append_only'
UNION ALL
SELECT format('REVOKE INSERT, UPDATE, DELETE ON %1$s FROM %2$I', found, $1)
FROM to_regclass('alembic_version') AS found WHERE found IS NOT NULL
UNION ALL
SELECT format('GRANT EXECUTE ON FUNCTION %1$s TO %2$I', oid::regprocedure, $1)
FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace
"""


class UnknownRole(Exception):
    """The database has no role of this name."""


def grant(connection: Connection, role: str) -> None:
    """
    Allow a role to read and write rows, but not to change the schema or to rewrite the audit log, in one transaction.

    :param connection: as the owner of the tables, in its turn: PostgreSQL lets one of two transactions fail that grant on
        the same table at the same time ("tuple concurrently updated").
    :raises UnknownRole: create it first.
    """
    if not connection.exec_driver_sql("SELECT 1 FROM pg_roles WHERE rolname = $1", (role,)).scalar():
        raise UnknownRole(role)
    for statement in connection.exec_driver_sql(_GRANT, (role,)).scalars().all():
        connection.exec_driver_sql(statement)
    connection.commit()


async def migrate(dsn: str, revision: str = "head", *, role: str | None = None) -> None:
    """
    Upgrade or downgrade the database to a revision; ``base`` is an empty database.

    :param role: is allowed to use the tables, see :func:`grant`. None: the owner of the tables is the only one.
    :raises UnknownRole: the role does not exist. The tables are migrated nevertheless.
    """
    from alembic import command
    from alembic.script import ScriptDirectory

    engine = make_engine(dsn, pool_size=1)

    def run(connection: Connection) -> None:
        settings = config()
        settings.attributes |= {"connection": connection, "role": role}
        script = ScriptDirectory.from_config(settings)
        current = connection.exec_driver_sql("SELECT to_regclass('alembic_version')").scalar()
        at = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if current else None
        connection.rollback()
        older = [step.revision for step in script.iterate_revisions(at, "base")] if at else []
        if revision == "base" or (revision in older and revision != at):
            command.downgrade(settings, revision)
        else:
            command.upgrade(settings, revision)

    try:
        async with engine.connect() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()
