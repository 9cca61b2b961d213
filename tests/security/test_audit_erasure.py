"""What identifies a person can be taken out of the audit log, and any other change is detected."""

import asyncpg
import pytest

from app.db import audit, subscribers
from app.db.engine.session import Sessions
from app.domain.audit import CHANGED, Selection
from app.services import audit as cases
from app.services.audit import Verification
from tests.db.test_audit import tamper, verified
from tests.support.contexts import database_context


async def noted(sessions: Sessions, *objects: str, actor: str = "staff:agent", subscriber: str | None = None) -> None:
    """Record an entry with a note for each object, and seal them."""
    async with sessions.begin() as session:
        for one in objects:
            await audit.record(
                session,
                actor=actor,
                action="comp.given",
                object_id=one,
                subscriber_id=subscriber,
                note="Ada Byron moved",
            )
    await cases.seal(database_context(sessions))


async def unhashed(database: str, *objects: str) -> None:
    """Insert entries as a release did that neither hashed notes nor knew a reader by our own ID."""
    connection = await asyncpg.connect(database)
    for one in objects:
        row = await connection.fetchval(
            "INSERT INTO audit_log (actor, action, object_id) VALUES ('reader:ada', 'a', $1) RETURNING id", one
        )
        await connection.execute("INSERT INTO audit_notes (audit_id, words) VALUES ($1, 'Ada moved')", row)
    await connection.close()


async def replaced(sessions: Sessions) -> str:
    """Replace the actor of ada's entries, and return her ID."""
    async with sessions.begin() as session:
        ada = await subscribers.ensure(session, sub="ada", email=None, name=None)
        await audit.replace_actor(session, "ada", subscriber_id=ada.id, by="staff:officer")
    return ada.id


def outcome(found: Verification) -> tuple[str | None, str | None]:
    return (found.broken.what, found.broken.words) if found.broken else (None, None)


async def test_a_changed_note_is_detected_and_an_erased_one_is_not(database: str, sessions: Sessions) -> None:
    await noted(sessions, "one", "two", "three")
    assert (await verified(sessions)).broken is None

    await tamper(
        database, "DELETE FROM audit_notes WHERE audit_id = (SELECT id FROM audit_log WHERE object_id = 'one')"
    )
    assert outcome(await verified(sessions)) == (None, None)
    await tamper(database, "UPDATE audit_notes SET words = words || '!'")

    what, words = outcome(await verified(sessions))
    assert what == CHANGED
    assert words is not None
    assert words.startswith("the note of entry")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_notes SET salt = NULL",
        "UPDATE audit_notes SET salt = md5('another')",
        "UPDATE audit_log SET note_hash = NULL",
        "UPDATE audit_log SET note_hash = NULL; UPDATE audit_notes SET salt = NULL, words = 'other'",
        "UPDATE audit_log SET note_hash = md5('another')",
    ],
)
async def test_a_note_cannot_be_changed_with_its_salt_or_hash(database: str, sessions: Sessions, change: str) -> None:
    await noted(sessions, "one")
    await tamper(database, change)
    assert outcome(await verified(sessions))[0] == CHANGED


async def test_the_hash_of_an_erased_note_tells_nothing_about_it(sessions: Sessions) -> None:
    await noted(sessions, "one", "two")
    async with sessions.begin() as session:
        entries = await audit.page(session, Selection(), before=None, limit=2)
    assert len({one.entry.note_hash for one in entries}) == 2  # of the same words


async def test_an_entry_of_an_earlier_release_and_its_note_verify(database: str, sessions: Sessions) -> None:
    await unhashed(database, "one")
    await noted(sessions, "two")
    found = await verified(sessions)
    assert (found.sealed, found.broken) == (2, None)


async def test_an_entry_that_an_earlier_release_sealed_verifies(database: str, sessions: Sessions) -> None:
    await noted(sessions, "one")
    await tamper(
        database, "CREATE TABLE kept AS SELECT note_hash FROM audit_log", "UPDATE audit_log SET note_hash = NULL"
    )
    await tamper(
        database, "TRUNCATE audit_chain", "INSERT INTO audit_unsealed SELECT id, 'audit', now() FROM audit_log"
    )
    await cases.seal(database_context(sessions))  # without the hash, as an earlier release did
    await tamper(database, "UPDATE audit_log SET note_hash = (SELECT note_hash FROM kept)")

    assert (await verified(sessions)).broken is None


async def test_a_replaced_actor_leaves_the_chain_intact(database: str, sessions: Sessions) -> None:
    await unhashed(database, *(f"obj_{n}" for n in range(450)))
    await cases.seal(database_context(sessions))
    ada = await replaced(sessions)
    before = await verified(sessions)
    await cases.seal(database_context(sessions))
    found = await verified(sessions)

    assert (before.broken, found.broken, found.replaced, found.waiting) == (None, None, 450, 0)
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT count(*) FROM audit_log WHERE actor = $1", f"reader:{ada}") == 450
    assert await connection.fetchval("SELECT count(*) FROM audit_log l WHERE l::text LIKE '%reader:ada%'") == 0
    await connection.close()
    await tamper(database, "UPDATE audit_log SET object_id = 'other' WHERE object_id = 'obj_7'")
    assert outcome(await verified(sessions))[0] == CHANGED


async def test_a_subscriber_is_recorded_by_an_id_and_not_by_their_sub(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        ada = await subscribers.ensure(session, sub="ada", email=None, name=None)
        await audit.record(session, actor="reader:ada", action="a", object_id="one", subscriber_id=ada.id)
        await audit.record(session, actor="reader:bob", action="a", object_id="two")
        found = await audit.page(session, Selection(actor="reader:ada"), before=None, limit=5)
        newest = await audit.page(session, Selection(), before=None, limit=1)

    assert [(one.entry.actor, one.entry.object_id) for one in found] == [(f"reader:{ada.id}", "one")]
    assert newest[0].entry.actor == "reader:bob"  # no subscriber


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET actor = 'staff:other' WHERE object_id = 'one'",
        "UPDATE audit_log SET actor = 'reader:bob' WHERE object_id = 'one'",
        "UPDATE audit_log SET actor = 'reader:rdr_1', action = 'b' WHERE object_id = 'one'",
        "UPDATE audit_log SET actor = 'reader:rdr_1' WHERE object_id = 'two'",
        "UPDATE audit_log SET note_hash = NULL WHERE object_id = 'two'",
        "DELETE FROM audit_log",
    ],
)
async def test_the_database_allows_no_other_change_of_an_entry(database: str, sessions: Sessions, change: str) -> None:
    await unhashed(database, "one")
    await noted(sessions, "two")
    connection = await asyncpg.connect(database)
    with pytest.raises(asyncpg.RaiseError, match="append-only"):
        await connection.execute(change)
    await connection.close()
