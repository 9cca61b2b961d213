"""What a process learns of its own changes."""

from structlog.contextvars import bound_contextvars

from app.db.engine.change_feed import ENTITLEMENTS
from app.db.engine.notifications import Notifier
from app.db.engine.pool import open_pool
from app.db.engine.session import make_engine, make_sessions, notify_after_commit
from bench.query_recorder import record_statements


async def test_a_process_knows_at_the_commit_whose_entitlements_it_changed(database: str) -> None:
    """So a check that follows the response to a change never gets the answer from before it, in the same process."""
    pool, engine = await open_pool(database, size=1, pooler=False), make_engine(database, pool_size=1)
    notifier, changed = Notifier(pool), list[str]()
    notifier.follow_entitlements(changed.append)
    sessions = make_sessions(engine, send=notifier.send)

    async with sessions.begin() as session:
        notify_after_commit(session, ENTITLEMENTS, "ada")
        notify_after_commit(session, "newsstand_work", "events")
        assert changed == []
    assert changed == ["ada"]
    async with sessions() as session:
        notify_after_commit(session, ENTITLEMENTS, "bea")
        await session.rollback()
    assert changed == ["ada"]

    await notifier.close()
    await pool.close()
    await engine.dispose()


async def test_a_request_does_not_send_the_notifications_of_others(database: str) -> None:
    """Otherwise the request that comes first in a moment has one statement more, and errors are logged as its own."""
    pool = await open_pool(database, size=1, pooler=False)
    notifier = Notifier(pool)
    with bound_contextvars(request_id="the-first"):
        async with record_statements(pool) as all_sent, record_statements(pool, request_id="the-first") as own:
            notifier.send({("newsstand_work", "events")})
            await notifier.close()

    assert len(all_sent) == 1
    assert own == []
    await pool.close()
