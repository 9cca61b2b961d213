"""What is left to apply in a recovery: found by a look, and counted only up to a limit."""

from datetime import timedelta

from sqlalchemy import text

from app.db import recovery
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
