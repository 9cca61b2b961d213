"""The nightly removal reads each table a few times, however much it removes."""

import pytest
from sqlalchemy import text

from app.db.engine.session import Sessions
from app.db.retention import EXPIRIES
from app.services import retention
from tests.support.contexts import database_context

KEPT, EXPIRED = 6_000, 3_000
INTENTS = """
INSERT INTO intents (key, row_id, action, attempt, parameters, settled_at)
SELECT n, n, 'push', 1, '{"a": 1}', now() - CASE WHEN %(expired)s THEN interval '60 days' ELSE interval '1 day' END
FROM generate_series(%(first)s, %(last)s) AS rows (n)
"""
READ = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'intents'"


async def rows_read(sessions: Sessions) -> int:
    """Return how many rows of the table were read so far. The pool gives the connection that was used last."""
    async with sessions.begin() as session:
        await session.execute(text("SELECT pg_stat_force_next_flush()"))
    async with sessions.begin() as session:
        return int(await session.scalar(text(READ)) or 0)


@pytest.mark.parametrize("kept_first", [True, False], ids=["behind what is kept", "before what is kept"])
async def test_each_batch_continues_where_the_one_before_it_ended(sessions: Sessions, *, kept_first: bool) -> None:
    """So what is kept, and what was removed by earlier batches, is not read again for each."""
    ctx = database_context(sessions)
    (expiry,) = [one for one in EXPIRIES if one.what == "parameters of requests to Stripe"]
    for number, expired in enumerate((False, True) if kept_first else (True, False)):
        first = number * KEPT + 1
        rows = {"expired": str(expired), "first": first, "last": first + (EXPIRED if expired else KEPT) - 1}
        async with sessions.begin() as session:
            await session.execute(text((INTENTS % rows).replace(":", r"\:")))
    async with sessions() as session:
        await session.execute(text("ANALYZE intents"))
        await session.commit()
    before = await rows_read(sessions)

    assert await retention.remove(ctx, expiry) == EXPIRED

    assert EXPIRED // retention.BATCH_SIZE >= 6
    assert await rows_read(sessions) - before < 3 * (KEPT + EXPIRED)
    async with sessions.begin() as session:
        assert await session.scalar(text("SELECT count(*) FROM intents WHERE parameters <> '{}'")) == KEPT
