"""Subscriptions whose copies are not known are queued a slice at a time, and one that is interrupted loses none."""

import asyncpg
import pytest
from sqlalchemy import text

from app.db.engine.session import DATABASE_FAILURES, Sessions
from app.services import label_runs
from tests.support.contexts import database_context

SUBSCRIPTIONS, SLICE = 7, 3
TERMS = """
INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)
SELECT 'in_' || n, 'scr_' || n, 'annual', true, now(), now() + interval '1 year', 24
FROM generate_series(1, $1::int) AS rows (n)
"""
FAIL = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'interrupted'; END $$;
CREATE TRIGGER fail BEFORE INSERT ON calendar_work FOR EACH ROW WHEN (NEW.id = 'scr_7') EXECUTE FUNCTION fail();
"""


@pytest.fixture
async def unknown(database: str) -> None:
    """Write terms as an earlier release did."""
    connection = await asyncpg.connect(database)
    await connection.execute("SET session_replication_role = replica")  # no subscribers
    await connection.execute(TERMS, SUBSCRIPTIONS)
    await connection.close()


async def queued(sessions: Sessions) -> tuple[list[str], list[tuple[int, bool]]]:
    """Return what is queued, and of each unfinished change how many it has found and whether it may be completed."""
    async with sessions.begin() as session:
        ids = await session.scalars(text("SELECT id FROM calendar_work ORDER BY id"))
        runs = await session.execute(
            text("SELECT found, due_at <= now() FROM derivation_runs WHERE finished_at IS NULL")
        )
        return list(ids), [(row[0], row[1]) for row in runs]


@pytest.mark.usefixtures("unknown")
async def test_all_are_queued_for_one_change(sessions: Sessions) -> None:
    await label_runs.queue_unknown(database_context(sessions), size=SLICE)

    assert await queued(sessions) == ([f"scr_{n + 1}" for n in range(SUBSCRIPTIONS)], [(SUBSCRIPTIONS, True)])


@pytest.mark.usefixtures("unknown")
async def test_what_an_interruption_left_out_is_queued_the_next_time(sessions: Sessions) -> None:
    ctx = database_context(sessions)
    async with sessions.begin() as session:
        connection = await (await session.connection()).get_raw_connection()
        assert connection.driver_connection is not None
        await connection.driver_connection.execute(FAIL)

    with pytest.raises(DATABASE_FAILURES):
        await label_runs.queue_unknown(ctx, size=SLICE)
    assert await queued(sessions) == ([f"scr_{n + 1}" for n in range(6)], [(6, False)])
    await label_runs.queue_unknown(ctx, size=SLICE)  # one after the other
    assert (await queued(sessions))[1] == [(6, False)]

    async with sessions.begin() as session:
        for done in (
            "DROP TRIGGER fail ON calendar_work",
            "UPDATE terms SET last_issue = 0 WHERE subscription_id IN (SELECT id FROM calendar_work)",
            "DELETE FROM calendar_work",
            "UPDATE derivation_runs SET due_at = NULL, finished_at = now()",
        ):
            await session.execute(text(done))
    await label_runs.queue_unknown(ctx, size=SLICE)
    assert await queued(sessions) == (["scr_7"], [(1, True)])
