"""Old completed events are deleted."""

from datetime import timedelta

from sqlalchemy import text

from app.db.engine.session import Sessions
from app.services import events
from tests.support.contexts import database_context

WEEK = timedelta(days=7)  # which is too short: Stripe lists its events for 30 days


async def test_only_old_completed_events_are_deleted(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        for state in ("received", "applied", "failed", "dead", "ignored"):
            for age, many in (("32 days", 700), ("30 days", 1)):
                await session.execute(
                    text(
                        f"""
                        INSERT INTO events (id, type, state, payload, work_key, received_at)
                        SELECT 'evt_' || gen_random_uuid(), 'invoice.paid', :state, '{{}}', 'subscription:sub_1',
                               now() - interval '{age}' FROM generate_series(1, {many})
                        """
                    ),
                    {"state": state},
                )

    assert await events.prune(database_context(sessions, events_kept=WEEK)) == 1400
    assert await events.prune(database_context(sessions, events_kept=WEEK)) == 0

    async with sessions.begin() as session:
        left = await session.execute(text("SELECT state, count(*) FROM events GROUP BY state"))
    assert dict(left.all()) == {"received": 701, "applied": 1, "failed": 701, "dead": 701, "ignored": 1}
