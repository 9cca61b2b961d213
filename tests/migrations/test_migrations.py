"""Migrations can be applied, undone and repeated, and they match the models."""

from collections.abc import AsyncIterator
from pathlib import Path

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


async def test_a_migration_that_was_killed_after_its_first_commit_can_be_repeated(empty: str) -> None:
    """What is done outside a transaction commits everything before it, while the database still has the version before."""
    connection = await asyncpg.connect(empty)
    for step in reversed(list(ScriptDirectory.from_config(schema.config()).walk_revisions())):
        await schema.migrate(empty, step.revision)
        if "autocommit_block" in Path(step.path).read_text():
            await connection.execute("UPDATE alembic_version SET version_num = $1", step.down_revision)
            await schema.migrate(empty, step.revision)
    await connection.close()


async def test_the_entries_before_the_chain_are_queued_for_it_in_batches(empty: str) -> None:
    await schema.migrate(empty, "reconciliation")
    connection = await asyncpg.connect(empty)
    insert = "INSERT INTO audit_log (actor, action, object_id) SELECT 'robin', 'refund.requested', n::text"
    await connection.execute(f"{insert} FROM generate_series(1, 25000) n")

    await schema.migrate(empty, "audit_chain")

    await connection.execute(f"{insert} FROM generate_series(25001, 25001) n")
    queued = "SELECT count(*) FROM audit_log JOIN audit_unsealed AS u ON u.id = audit_log.id::text"
    assert await connection.fetchval(queued) == 25_001
    await connection.close()


async def test_print_terms_without_an_address_are_marked_in_batches(empty: str) -> None:
    """In one statement, a million of them would lock out their readers' payments for minutes."""
    await schema.migrate(empty, "price_migrations")
    connection = await asyncpg.connect(empty)
    await connection.execute(
        """
        INSERT INTO subscribers (id, sub) VALUES ('rdr_1', 'ada');
        INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount,
            currency, created_at, work_key)
        VALUES ('scr_1', 'sub_1', 'rdr_1', 1, 'annual', true, 'active', 7300, 'usd', now(), 'subscription:sub_1');
        INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)
        SELECT 'in_' || n, 'scr_1', 'annual', n % 2 = 0, now(), now() + interval '1 year', 24
        FROM generate_series(1, 12000) n;
        """
    )
    before = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")

    await schema.migrate(empty, "print_again")

    marked = (
        "SELECT count(*) FILTER (WHERE lacks_address), count(DISTINCT xmin::text::bigint) FILTER (WHERE lacks_address)"
    )
    found = await connection.fetchrow(f"{marked} FROM terms WHERE xmin::text::bigint > $1", before)
    assert found is not None
    assert tuple(found) == (6000, 3)
    await connection.close()


GROWING = {
    "checkouts",
    "electronic_copies",
    "entitlements",
    "events",
    "grants",
    "intents",
    "labels",
    "notifications",
    "outbox_events",
    "payments",
    "price_changes",
    "reader_name_parts",
    "reader_views",
    "subscribers",
    "subscriptions",
    "terms",
    "webhook_deliveries",
    "webhook_lanes",
}


async def test_growing_tables_are_vacuumed_before_a_fifth_has_changed(database: str) -> None:
    connection = await asyncpg.connect(database)
    settings = "SELECT relname, reloptions FROM pg_class WHERE relkind = 'r' AND reloptions IS NOT NULL"
    found = {
        row["relname"] for row in await connection.fetch(settings) if "autovacuum_vacuum_" in str(row["reloptions"])
    }
    assert GROWING - found == set()
    await connection.close()


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
        "UPDATE audit_chain SET hash = 'x'",
        "DELETE FROM audit_chain",
        "TRUNCATE audit_chain",
    ],
)
async def test_the_audit_log_cannot_be_changed(database: str, change: str) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("INSERT INTO audit_log (actor, action, object_id) VALUES ('a', 'b', 'c')")

    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await connection.execute(change)
    await connection.close()
