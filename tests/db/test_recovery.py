"""A recovery: what is left to apply is counted up to a limit, and numbers are above all that were given."""

from datetime import UTC, datetime, timedelta

import asyncpg
from sqlalchemy import text

from app.db import recovery, revocations
from app.db.engine.session import Sessions

ADD = text(
    "INSERT INTO events (id, type, state, payload, work_key, due_at, last_error)"
    " SELECT :prefix || n, 'invoice.paid', :state, '{}', 'invoice:' || n, now(), 'StripeFault'"
    " FROM generate_series(1, :rows) n"
)


async def test_what_is_left_is_counted_up_to_a_limit(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        before = await recovery.database_time(session) + timedelta(minutes=1)
        assert not await recovery.is_pending(session, before=before)
        assert not await recovery.pending_work(session, before=before)

        await session.execute(ADD, {"prefix": "evt_r", "state": "received", "rows": 12_000})
        many = await recovery.pending_work(session, before=before)
        assert await recovery.is_pending(session, before=before)
        assert not await recovery.is_pending(session, before=before - timedelta(minutes=2)), "it arrived later"
        await session.execute(text("UPDATE events SET due_at = NULL WHERE id = 'evt_r1'"))
        fewer = await recovery.pending_work(session, before=before)

    assert (many.rows, many.counted) == (10_000, "10,000 or more")
    assert fewer.rows == 10_000
    assert fewer.mark != many.mark, "one was done, so it goes on"


async def test_an_event_that_fails_again_is_no_progress(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        before = await recovery.database_time(session) + timedelta(minutes=1)
        await session.execute(ADD, {"prefix": "evt_f", "state": "failed", "rows": 2})
        first = await recovery.pending_work(session, before=before)
        await session.execute(text("UPDATE events SET due_at = now() + interval '1 minute', attempts = 2"))
        second = await recovery.pending_work(session, before=before)

    assert first == second
    assert first.failing == [f"event evt_f{n} (invoice:{n}): failed, StripeFault" for n in (1, 2)]


async def test_each_run_gives_numbers_above_all_that_were_given(database: str, sessions: Sessions) -> None:
    since, first_run = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    connection = await asyncpg.connect(database)
    await connection.execute("SET session_replication_role = replica")  # no subscribers
    await connection.execute(
        "INSERT INTO entitlements (sub, subscriber_id, version, access)"
        " SELECT 'reader-' || n, 'sub_' || n, n, '{}' FROM generate_series(1, 5) n"
    )
    await connection.close()

    found = []
    for now in (first_run, first_run + timedelta(days=1)):
        async with sessions.begin() as session:
            found.append(await recovery.begin(session, since=since, now=now))
    first, second = found
    last: str | None = ""
    while last is not None:
        async with sessions.begin() as session:
            last = await recovery.raise_versions(session, second.numbers_from, after=last, limit=2)

    assert (first.began_at, second.began_at) == (first_run, first_run), "what was due by then may have been sent"
    assert second.numbers_from > first.numbers_from
    async with sessions.begin() as session:
        versions = await session.scalars(text("SELECT DISTINCT version FROM entitlements"))
        assert versions.all() == [second.numbers_from]
        await session.execute(text("INSERT INTO pending_revocations (sub, version) VALUES ('ada', 1)"))
        await revocations.publish(session)
        assert await revocations.newest(session) == second.numbers_from + 1
        await session.execute(
            text("INSERT INTO outbox_events (id, type, version, data) VALUES ('obx_1', 'x', 1, '{}')")
        )
        assert await session.scalar(text("SELECT sequence FROM outbox_events")) == second.numbers_from + 1
