"""The audit log in the database: sealed as it becomes visible, and verified."""

import asyncio

import asyncpg
import pytest

from app.db import audit
from app.db.engine.session import Sessions
from app.domain.audit import GENESIS, Selection
from app.services import audit as cases
from app.services.audit import Verification
from tests.support.contexts import database_context


async def note(sessions: Sessions, *objects: str) -> None:
    async with sessions.begin() as session:
        for one in objects:
            await audit.record(session, actor="staff:agent", action="comp.given", object_id=one, after={"issues": 2})


async def verified(sessions: Sessions, kept: str | None = None) -> Verification:
    return await cases.verify(database_context(sessions), known_hash=kept, progress=lambda _: None)


async def tamper(database: str, *statements: str) -> None:
    """Run a statement that bypasses the triggers, as the owner of the tables."""
    owner = await asyncpg.connect(database)
    await owner.execute("SET session_replication_role = replica; " + "; ".join(statements))
    await owner.close()


async def test_an_entry_committed_late_with_a_lower_id_is_sealed(sessions: Sessions) -> None:
    async with sessions.begin() as slow:
        await audit.record(slow, actor="policy", action="dispute.lost", object_id="first")  # the ID is assigned now
        await note(sessions, "second")
        await cases.seal(database_context(sessions))
        assert [one.entry.object_id for one in await _sealed(sessions)] == ["second"]
    await cases.seal(database_context(sessions))

    async with sessions.begin() as session:
        chain = await audit.chain(session, after=0, limit=10)
    assert [(seal.seq, entry.object_id) for seal, entry, _ in chain if entry] == [(1, "second"), (2, "first")]
    assert chain[0][0].audit_id > chain[1][0].audit_id
    found = await verified(sessions)
    assert (found.sealed, found.waiting, found.broken) == (2, 0, None)


async def _sealed(sessions: Sessions) -> list[audit.ListedEntry]:
    page = await cases.page(database_context(sessions), Selection(), after=None, limit=100)
    return [one for one in page.items if one.hash]


async def test_concurrent_sealing_produces_one_chain(sessions: Sessions) -> None:
    await asyncio.gather(*(note(sessions, *(f"obj_{writer}_{n}" for n in range(25))) for writer in range(4)))
    await asyncio.gather(*(cases.seal(database_context(sessions)) for _ in range(3)))

    found = await verified(sessions)

    assert (found.sealed, found.waiting, found.broken, found.holds) == (100, 0, None, True)


async def test_unsealed_entries_do_not_break_the_chain(sessions: Sessions) -> None:
    await note(sessions, "one", "two")

    found = await verified(sessions)

    assert (found.sealed, found.waiting, found.broken, found.head) == (0, 2, None, GENESIS)


@pytest.mark.parametrize(
    ("statement", "what", "where"),
    [
        ("UPDATE audit_log SET after = '{\"issues\": 1}' WHERE object_id = 'two'", "changed", "two"),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE object_id = 'two'", "changed", "two"),
        ("DELETE FROM audit_log WHERE object_id = 'two'", "removed", "two"),
        ("DELETE FROM audit_chain WHERE seq = 2", "removed", None),
        ("INSERT INTO audit_log (actor, action, object_id) VALUES ('a', 'b', 'put in')", "inserted", "put in"),
    ],
)
async def test_a_change_that_bypasses_the_triggers_is_reported(
    sessions: Sessions, database: str, statement: str, what: str, where: str | None
) -> None:
    await note(sessions, "one", "two", "three")
    await cases.seal(database_context(sessions))
    ids = {one.entry.object_id: one.entry.id for one in await _sealed(sessions)}
    await tamper(database, statement)

    found = (await verified(sessions)).broken

    assert found is not None
    assert found.what == what
    assert where is None or found.audit_id == ids.get(where, max(ids.values()) + 1)


async def test_an_entry_removed_before_sealing_is_detected(sessions: Sessions, database: str) -> None:
    await note(sessions, "one", "two")
    await tamper(database, "DELETE FROM audit_log WHERE object_id = 'one'")
    await cases.seal(database_context(sessions))

    found = await verified(sessions)

    assert found.sealed == 1
    assert found.broken is not None
    assert found.broken.what == "removed"


async def test_an_external_copy_of_the_head_reveals_removed_newest_entries(sessions: Sessions, database: str) -> None:
    await note(sessions, "one", "two", "three")
    await cases.seal(database_context(sessions))
    kept = (await verified(sessions)).head
    await note(sessions, "four")
    await cases.seal(database_context(sessions))
    assert (await verified(sessions, kept)).holds, "the log has grown since"

    await tamper(database, "DELETE FROM audit_chain WHERE seq > 2", "DELETE FROM audit_log WHERE id > 2")

    found = await verified(sessions, kept)
    assert (found.broken, found.sealed, found.holds) == (None, 2, False)


async def test_personal_notes_can_be_erased_without_breaking_the_chain(sessions: Sessions, database: str) -> None:
    async with sessions.begin() as session:
        await audit.record(
            session, actor="staff:agent", action="comp.given", object_id="cmp_1", reason="other: for Ada Byron"
        )
    await cases.seal(database_context(sessions))
    (listed,) = await _sealed(sessions)
    assert (listed.entry.reason, listed.note) == ("other", "for Ada Byron")

    service = await asyncpg.connect(database)
    await service.execute("DELETE FROM audit_notes")
    await service.close()

    assert (await verified(sessions)).broken is None
