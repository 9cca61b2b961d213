"""What a process learns of its own changes."""

from app.db.engine.change_feed import ENTITLEMENTS
from app.db.engine.notifications import Notifier
from app.db.engine.pool import open_pool
from app.db.engine.session import make_engine, make_sessions, notify_after_commit


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
