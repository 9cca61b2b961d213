"""Migrations can be applied, undone and repeated, and they match the models."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from app.db.engine import schema
from app.db.engine.session import make_engine
from app.db.models import Base
from tests.support.database import Postgres


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncIterator[str]:
    """Provide the URL of an empty database."""
    dsn = await postgres.create(empty=True)
    yield dsn
    await postgres.drop(dsn)


async def tables(dsn: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        return {r[0] for r in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    finally:
        await connection.close()


async def test_migrations_can_be_undone_and_repeated(empty: str) -> None:
    await schema.migrate(empty)
    full = await tables(empty)
    assert full == set(Base.metadata.tables) | {"alembic_version"}

    await schema.migrate(empty, "base")
    assert await tables(empty) == {"alembic_version"}

    await schema.migrate(empty)
    await schema.migrate(empty)
    assert await tables(empty) == full


def test_the_older_versions_are_all_of_alembics_but_the_newest() -> None:
    newest, *older = (step.revision for step in ScriptDirectory.from_config(schema.config()).walk_revisions())
    assert schema.older_versions() == set(older)
    assert newest not in schema.older_versions()


async def test_the_migrations_produce_the_schema_of_the_models(database: str) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, Base.metadata))

    engine = make_engine(database)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()

    assert found == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET actor = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log CASCADE",
        "UPDATE audit_seals SET hash = 'x'",
        "DELETE FROM audit_seals",
        "TRUNCATE audit_seals",
    ],
)
async def test_the_audit_log_cannot_be_changed(database: str, change: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO audit_log (actor, action, object_id) VALUES ('a', 'b', 'c')")

    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await connection.execute(change)
    await connection.close()
