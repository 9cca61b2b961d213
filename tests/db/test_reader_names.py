"""Names whose joined parts are stored, while workers of the release before run: they do not know ``joined_name``."""

from sqlalchemy import text

from app.db import reader_names
from app.db.engine.session import Sessions

READER = "INSERT INTO subscribers (id, sub, name) VALUES ('rdr_1', 'nia', 'Anne-Marie Roe')"
OUTDATED_BEFORE = "UPDATE subscribers SET indexed_name = 'outdated: ' || id"
INDEXED_BEFORE = "UPDATE subscribers SET indexed_name = name"
ERASED_BEFORE = "UPDATE subscribers SET sub = 'erased', name = NULL, indexed_name = NULL"


async def run(sessions: Sessions, *statements: str) -> None:
    async with sessions.begin() as session:
        for one in statements:
            await session.execute(text(one))


async def is_due(sessions: Sessions) -> bool:
    async with sessions.begin() as session:
        return await reader_names.is_due(session)


async def index(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        await reader_names.replace(session, {one.id: {"anne"} for one in await reader_names.take(session, limit=10)})


async def joined(sessions: Sessions) -> str | None:
    async with sessions.begin() as session:
        return str(found) if (found := await session.scalar(text("SELECT joined_name FROM subscribers"))) else None


async def test_what_the_release_before_indexes_again_is_due_once_more(sessions: Sessions) -> None:
    await run(sessions, READER)
    await index(sessions)
    assert not await is_due(sessions)
    await run(sessions, OUTDATED_BEFORE, INDEXED_BEFORE)
    assert await is_due(sessions)
    await index(sessions)
    assert (await is_due(sessions), await joined(sessions)) == (False, "Anne-Marie Roe")


async def test_an_erasure_by_the_release_before_leaves_no_name(sessions: Sessions) -> None:
    await run(sessions, READER)
    await index(sessions)
    assert await joined(sessions) == "Anne-Marie Roe"
    await run(sessions, ERASED_BEFORE)
    assert await joined(sessions) is None
    await index(sessions)
    assert not await is_due(sessions)


async def test_an_address_that_changes_is_indexed_once(sessions: Sessions) -> None:
    await run(sessions, READER)
    await index(sessions)
    async with sessions.begin() as session:
        await reader_names.outdate(session, "rdr_1")
    await index(sessions)
    assert (await is_due(sessions), await joined(sessions)) == (False, "Anne-Marie Roe")
