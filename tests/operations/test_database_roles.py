"""The roles of deploy/postgres: the service's role can change neither the schema nor the audit log."""

import asyncio

import asyncpg
import pytest

from app.db.engine import schema
from tests.operations.processes import environment, run_newsstand
from tests.support.commands import Command
from tests.support.database_roles import OWNER, SERVICE, Roles, with_user
from tests.support.timeouts import TIMEOUT

CHANGES_OF_SEALS = (
    "UPDATE audit_chain SET hash = 'x'",
    "DELETE FROM audit_chain",
    "TRUNCATE audit_chain",
    "UPDATE audit_seals SET audit_id = 0",
    "DELETE FROM audit_seals",
)
FORBIDDEN = (
    "UPDATE audit_log SET actor = 'x'",
    "DELETE FROM audit_log",
    "TRUNCATE audit_log",
    *CHANGES_OF_SEALS,
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "DROP TABLE audit_log",
    "ALTER TABLE events ADD COLUMN more text",
    "CREATE TABLE more (id int)",
    "CREATE ROLE more",
    "UPDATE alembic_version SET version_num = '0'",
    "COPY events TO PROGRAM 'cat'",
)


async def test_the_service_can_change_neither_schema_nor_audit_log(roles: Roles) -> None:
    migrated = await asyncio.to_thread(run_newsstand, ["migrate"], roles.settings())
    assert migrated.returncode == 0, migrated.stderr

    service = await asyncpg.connect(roles.service)
    try:
        assert await service.fetchval("SELECT current_setting('idle_in_transaction_session_timeout')") == "30s"
        for role in (OWNER, SERVICE):
            assert not await service.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = $1", role)
        tables = await service.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        assert tables
        for (table,) in tables:
            await service.fetch(f'SELECT FROM "{table}"')
        await service.execute("INSERT INTO audit_log (actor, action, object_id) VALUES ('a', 'b', 'c')")
        await service.execute("DELETE FROM events")
        for forbidden in FORBIDDEN:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(forbidden)
    finally:
        await service.close()


REPLACE_ADA = "SELECT replace_audit_actor('ada', 'rdr_1')"
MAY_CALL = "SELECT has_function_privilege($1::text, $2::oid, 'EXECUTE')"
AS_OWNER = "SELECT oid FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"


async def test_only_the_service_may_call_what_runs_as_the_owner(roles: Roles) -> None:
    migrated = await asyncio.to_thread(run_newsstand, ["migrate"], roles.settings())
    assert migrated.returncode == 0, migrated.stderr

    service, other = await asyncpg.connect(roles.service), await asyncpg.connect(roles.superuser)
    try:
        await service.execute("INSERT INTO audit_log (actor, action, object_id) VALUES ('reader:ada', 'b', 'c')")
        await other.execute(
            f"CREATE TEMPORARY TABLE audit_log (id bigint, actor text); GRANT ALL ON audit_log TO {OWNER}"
        )
        assert len(await other.fetch(REPLACE_ADA)) == 1, "a temporary table does not stand in for ours"
        assert not await service.fetch(REPLACE_ADA)
        await service.fetch("SELECT empty_adjustment_notes('rdr_1')")
        for (function,) in await other.fetch(AS_OWNER):
            assert await other.fetchval(MAY_CALL, SERVICE, function)
            assert not await other.fetchval(MAY_CALL, "pg_monitor", function), "everybody may call it"
    finally:
        await service.close()
        await other.close()


async def test_the_service_keeps_its_privileges_when_the_seals_move(roles: Roles) -> None:
    """Processes of the release before read and seal before ``newsstand migrate`` has granted them what is new."""
    migrated = await asyncio.to_thread(run_newsstand, ["migrate", "print_suspended"], roles.settings())
    assert migrated.returncode == 0, migrated.stderr
    other = await asyncpg.connect(roles.superuser)
    await other.execute("GRANT SELECT ON audit_seals TO PUBLIC")

    await schema.migrate(roles.owner)

    service = await asyncpg.connect(roles.service)
    try:
        await service.execute("INSERT INTO audit_seals SELECT 1, 1, repeat('ab', 32), repeat('00', 32)")
        await service.execute("INSERT INTO audit_chain SELECT 2, 2, sha256('2'), sha256('1')")
        assert await service.fetchval("SELECT hash FROM audit_seals WHERE seq = 1") == "ab" * 32
        for forbidden in CHANGES_OF_SEALS:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await service.execute(forbidden)
        for table in ("audit_seals", "audit_chain"):
            assert await other.fetchval("SELECT has_table_privilege('pg_monitor', $1, 'SELECT')", table)
    finally:
        await service.close()
        await other.close()


async def test_a_second_migration_grants_the_same_again(roles: Roles) -> None:
    for revision in ("head", "base", "head"):
        migrated = await asyncio.to_thread(run_newsstand, ["migrate", revision], roles.settings())
        assert migrated.returncode == 0, migrated.stderr


GRANTING = f"""SELECT count(*) FROM pg_stat_activity
WHERE usename = '{OWNER}' AND query LIKE 'GRANT%' AND wait_event_type = 'Lock'"""
HAS_ITS_TURN = f"""SELECT EXISTS (SELECT FROM pg_stat_activity JOIN pg_locks USING (pid)
WHERE usename = '{OWNER}' AND query LIKE 'GRANT%' AND locktype = 'advisory' AND granted)"""


async def test_two_migrations_at_once_grant_one_after_the_other(roles: Roles) -> None:
    migrated = await asyncio.to_thread(run_newsstand, ["migrate"], roles.settings())
    assert migrated.returncode == 0, migrated.stderr
    other, watcher = await asyncpg.connect(roles.superuser), await asyncpg.connect(roles.superuser)
    transaction = other.transaction()
    await transaction.start()
    await other.execute("GRANT SELECT ON audit_log TO pg_monitor")  # blocks other grants on this table

    commands = [Command(["migrate"], environment(roles.settings())) for _ in range(2)]
    async with asyncio.timeout(TIMEOUT):
        while await watcher.fetchval(GRANTING) < 2 and not await watcher.fetchval(HAS_ITS_TURN):
            await asyncio.sleep(0.1)
    await transaction.rollback()

    for command in commands:
        done = await asyncio.to_thread(command.wait)
        assert done.returncode == 0, done.stderr
    await other.close()
    await watcher.close()


async def test_a_role_that_does_not_exist_is_named(roles: Roles) -> None:
    wrong = roles.settings() | {"NEWSSTAND_DATABASE_URL": with_user(roles.service, "no_such_role")}
    refused = await asyncio.to_thread(run_newsstand, ["migrate"], wrong)
    assert refused.returncode == 1
    assert refused.stderr == "The role no_such_role of NEWSSTAND_DATABASE_URL does not exist. Create it first.\n"
