"""The seals of the audit log become bytes: none is lost or changed, and the release before goes on sealing."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import BigInteger, Column, MetaData, Table, Text, insert, text

from app.db import audit
from app.db.engine import schema
from app.db.engine.session import Sessions
from app.domain.audit import Seal, Selection
from app.domain.audit import seal as next_seal
from app.services import audit as cases
from tests.db.test_audit import note, tamper, verified
from tests.migrations.test_concurrent_runs import ended, migrate
from tests.support.contexts import database_context
from tests.support.timeouts import TIMEOUT

BEFORE = "print_suspended"
LOCK_CHAIN = "SELECT pg_advisory_lock(hashtextextended('newsstand: the end of the audit chain', 0))"
UNLOCK_CHAIN = "SELECT pg_advisory_unlock(hashtextextended('newsstand: the end of the audit chain', 0))"
SEAL = """INSERT INTO audit_seals SELECT n, n, encode(sha256(int8send(n)), 'hex'), encode(sha256(int8send(n - 1)), 'hex')
FROM generate_series($1::bigint, $2::bigint) n"""
COPIED = "SELECT count(*) FROM audit_chain_copy"
INTACT = """SELECT count(*) FROM audit_chain
WHERE audit_id = seq AND hash = sha256(int8send(seq)) AND previous = sha256(int8send(seq - 1))"""
MIGRATIONS = """FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND application_name NOT LIKE 'test %'"""
AS_BEFORE = Table(
    "audit_seals",
    MetaData(),
    Column("seq", BigInteger),
    Column("audit_id", BigInteger),
    Column("hash", Text),
    Column("previous", Text),
)
"""The table of the release before."""


async def sealed(sessions: Sessions, *objects: str) -> None:
    await note(sessions, *objects)
    await cases.seal(database_context(sessions))


async def test_a_killed_copy_is_continued_with_what_was_sealed_meanwhile(database: str) -> None:
    await schema.migrate(database, BEFORE)
    worker = await asyncpg.connect(database, server_settings={"application_name": "test worker"})
    await worker.execute(SEAL, 1, 25_000)
    await worker.execute(LOCK_CHAIN)  # it is sealing, so the tables can't be swapped yet
    killed = migrate(database)
    async with asyncio.timeout(TIMEOUT):
        while not await worker.fetchval("SELECT to_regclass('audit_chain_copy')") or not await worker.fetchval(COPIED):
            await asyncio.sleep(0.02)
    killed.kill()
    await worker.execute(f"SELECT pg_terminate_backend(pid) {MIGRATIONS}")
    async with asyncio.timeout(TIMEOUT):
        while await worker.fetchval(f"SELECT count(*) {MIGRATIONS}"):
            await asyncio.sleep(0.02)
    await worker.execute(SEAL, 25_001, 25_100)
    await worker.execute(UNLOCK_CHAIN)

    await asyncio.gather(*map(ended, (migrate(database), migrate(database))))

    assert await worker.fetchval(INTACT) == 25_100
    await worker.execute(SEAL, 25_101, 25_200)  # in the view
    assert await worker.fetchval(INTACT) == 25_200
    await worker.close()


async def test_the_release_before_continues_the_chain(database: str, sessions: Sessions) -> None:
    await sealed(sessions, "one", "two")
    await schema.migrate(database, BEFORE)
    await schema.migrate(database)
    await note(sessions, "three")
    async with sessions.begin() as session:
        entries = await audit.page(session, Selection(), before=None, limit=1)
        last = (await session.execute(AS_BEFORE.select().order_by(AS_BEFORE.c.seq.desc()).limit(1))).one()
        seal = next_seal(entries[0].entry, after=Seal(**last._asdict()))
        row = {"seq": seal.seq, "audit_id": seal.audit_id, "hash": seal.hash, "previous": seal.previous}
        await session.execute(insert(AS_BEFORE), [row])
        await session.execute(text("DELETE FROM audit_unsealed"))
    await sealed(sessions, "four")

    found = await verified(sessions, seal.hash)

    assert (found.sealed, found.waiting, found.broken, found.holds) == (4, 0, None, True)
    async with sessions.begin() as session:
        seen = (await session.execute(AS_BEFORE.select().order_by(AS_BEFORE.c.seq))).all()
        assert [Seal(**one._asdict()) for one in seen] == [
            one for one, _, _ in await audit.chain(session, after=0, limit=9)
        ]


@pytest.mark.parametrize(
    ("change", "what", "intact"),
    [
        pytest.param("hash = 'x' WHERE seq = 2", "changed", 1, id="no hexadecimal"),
        pytest.param("hash = upper(hash) WHERE seq = 2", "changed", 1, id="capital letters"),
        pytest.param("hash = hash || '00' WHERE seq = 2", "changed", 1, id="too long"),
        pytest.param("previous = '' WHERE seq = 3", "inserted", 2, id="empty"),
        pytest.param("previous = 'ä' || right(previous, 63) WHERE seq = 3", "inserted", 2, id="no ASCII"),
    ],
)
async def test_a_seal_changed_by_hand_breaks_the_chain_after_the_migration(
    database: str, sessions: Sessions, change: str, what: str, intact: int
) -> None:
    await sealed(sessions, "one", "two", "three")
    await schema.migrate(database, BEFORE)
    await tamper(database, f"UPDATE audit_seals SET {change}")

    output = await ended(migrate(database))

    found = await verified(sessions)
    assert found.broken is not None
    assert (found.broken.what, found.sealed) == (what, intact)
    assert f"Seal {intact + 1} has a value that is no hash" in output


async def test_undoing_the_migration_restores_every_seal(database: str, sessions: Sessions) -> None:
    await sealed(sessions, "one", "two", "three")
    async with sessions.begin() as session:
        chain = [seal for seal, _, _ in await audit.chain(session, after=0, limit=9)]

    await schema.migrate(database, BEFORE)

    async with sessions.begin() as session:
        rows = (await session.execute(AS_BEFORE.select().order_by(AS_BEFORE.c.seq))).all()
    assert [Seal(**row._asdict()) for row in rows] == chain
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await execute(database, "DELETE FROM audit_seals")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_seals SET hash = 'x'",
        "UPDATE audit_seals SET audit_id = 7",
        "DELETE FROM audit_seals",
    ],
)
async def test_seals_cannot_be_changed_in_the_view_either(database: str, sessions: Sessions, change: str) -> None:
    await sealed(sessions, "one")
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await execute(database, change)


@pytest.mark.parametrize("table", ["audit_chain", "audit_seals"])
async def test_a_seal_of_another_length_is_refused(database: str, table: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await execute(database, f"INSERT INTO {table} VALUES (1, 1, 'abcd', 'abcd')")


async def execute(database: str, statement: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
