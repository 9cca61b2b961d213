"""The nightly removal reads a bounded part of each table, continues where it ended, and survives a part that fails."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from app.context import DatabaseContext
from app.db.engine.session import Sessions
from app.db.retention import EXPIRIES, Expiry, Progress
from app.services import retention
from tests.support.contexts import database_context

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NIGHT = timedelta(days=1)
KEPT, EXPIRED = 6_000, 3_000
PARAMETERS = "parameters of requests to Stripe"
INTENTS = """
INSERT INTO intents (key, row_id, action, attempt, parameters, settled_at)
SELECT n, n, 'push', 1, '{"a": 1}', now() - CASE WHEN %(expired)s THEN interval '60 days' ELSE interval '1 day' END
FROM generate_series(%(first)s, %(last)s) AS rows (n)
"""
LEFT = "SELECT count(*) FROM intents WHERE parameters <> '{}'"
READ = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'intents'"
SIGN_OUT = "INSERT INTO sign_outs (sub, at) VALUES ('old', now() - interval '31 days')"
STAFF = "INSERT INTO staff_members (sub, name, roles, seen_at) VALUES ('old', 'Ada', '{}', now() - interval '4 years')"
FAILS = """
CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'broken'; END $$;
CREATE TRIGGER fail BEFORE DELETE ON staff_members FOR EACH ROW EXECUTE FUNCTION fail();
"""


async def execute(sessions: Sessions, *statements: str) -> None:
    """Run statements in a transaction."""
    async with sessions.begin() as session:
        for statement in statements:
            await session.execute(text(statement.replace(":", r"\:")))


async def scalar(sessions: Sessions, query: str) -> object:
    """Return the result of a query."""
    async with sessions.begin() as session:
        return await session.scalar(text(query))


async def rows_read(sessions: Sessions) -> int:
    """Return how many rows of the table were read so far. The pool gives the connection that was used last."""
    await execute(sessions, "SELECT pg_stat_force_next_flush()")
    return int(str(await scalar(sessions, READ) or 0))


async def fill(sessions: Sessions, *, kept_first: bool) -> None:
    """Write requests to Stripe: those with parameters that are kept, and those with parameters that have expired."""
    for number, expired in enumerate((False, True) if kept_first else (True, False)):
        first = number * KEPT + 1
        rows = {"expired": str(expired), "first": first, "last": first + (EXPIRED if expired else KEPT) - 1}
        await execute(sessions, INTENTS % rows)
    async with sessions() as session:
        await session.execute(text("ANALYZE intents"))
        await session.commit()


def of(what: str) -> Expiry:
    """Return what the job removes, by its name."""
    (expiry,) = [one for one in EXPIRIES if one.what == what]
    return expiry


async def make_due(ctx: DatabaseContext) -> None:
    """Let the next run begin."""
    await execute(
        ctx.sessions,
        "INSERT INTO retention_runs (id, work_key, due_at) VALUES ('nightly', 'retention', now())"
        " ON CONFLICT (id) DO UPDATE SET due_at = now()",
    )


@pytest.mark.parametrize("kept_first", [True, False], ids=["behind what is kept", "before what is kept"])
async def test_each_batch_continues_where_the_one_before_it_ended(sessions: Sessions, *, kept_first: bool) -> None:
    """So what is kept, and what was removed by earlier batches, is not read again for each."""
    ctx, progress = database_context(sessions), Progress()
    await fill(sessions, kept_first=kept_first)
    before = await rows_read(sessions)

    await retention.remove(ctx, of(PARAMETERS), progress, blocks=20)

    assert progress.removed == {PARAMETERS: EXPIRED}
    assert EXPIRED // retention.BATCH_SIZE >= 6
    assert await rows_read(sessions) - before < 3 * (KEPT + EXPIRED)
    assert await scalar(sessions, LEFT) == KEPT


async def test_a_large_table_is_read_on_in_the_next_night(sessions: Sessions) -> None:
    ctx, night = database_context(sessions), NOW
    await fill(sessions, kept_first=True)
    left = [KEPT + EXPIRED]
    while left[-1] > KEPT:
        await make_due(ctx)
        before = await rows_read(sessions)
        await retention.run(ctx, now=night, blocks=5, blocks_a_night=24)
        assert await rows_read(sessions) - before < (KEPT + EXPIRED) / 2
        left.append(int(str(await scalar(sessions, LEFT))))
        assert len(left) < 10
        night += NIGHT

    assert left[1] == KEPT + EXPIRED, "the first night only reads what is kept"
    assert len(left) > 3, "more than one night"


async def test_what_fails_stops_nothing_else_and_is_tried_again_alone(sessions: Sessions) -> None:
    ctx = database_context(sessions)
    await execute(sessions, STAFF, SIGN_OUT, *FAILS.strip().split("\n"))
    await make_due(ctx)

    with pytest.raises(retention.NotRemoved, match=r"names of former staff \(DBAPIError\)"):
        await retention.run(ctx, now=NOW)
    assert await scalar(sessions, "SELECT count(*) FROM sign_outs") == 0
    await execute(sessions, SIGN_OUT)
    with pytest.raises(retention.NotRemoved):
        await retention.run(ctx, now=NOW)
    assert await scalar(sessions, "SELECT count(*) FROM sign_outs") == 1, "it was done in this night"

    await execute(sessions, "DROP TRIGGER fail ON staff_members")
    await retention.run(ctx, now=NOW)

    assert await scalar(sessions, "SELECT count(*) FROM staff_members") == 0
    done = "SELECT removed ->> 'names of former staff' || (removed ->> 'sign-outs') FROM retention_runs WHERE due_at > now()"
    assert await scalar(sessions, done) == "11"


async def test_a_night_does_not_wait_for_what_failed_in_the_last_one(sessions: Sessions) -> None:
    ctx = database_context(sessions)
    await execute(sessions, STAFF, *FAILS.strip().split("\n"))
    await make_due(ctx)
    with pytest.raises(retention.NotRemoved):
        await retention.run(ctx, now=NOW)
    await execute(sessions, SIGN_OUT)

    with pytest.raises(retention.NotRemoved):
        await retention.run(ctx, now=NOW + NIGHT)

    assert await scalar(sessions, "SELECT count(*) FROM sign_outs") == 0


async def test_a_night_that_failed_continues_at_its_place(sessions: Sessions) -> None:
    ctx = database_context(sessions)
    await fill(sessions, kept_first=True)
    await make_due(ctx)
    await execute(
        sessions,
        FAILS.strip().split("\n")[0],
        "CREATE TRIGGER fail BEFORE UPDATE ON intents FOR EACH ROW WHEN (OLD.key = '7000') EXECUTE FUNCTION fail()",
    )
    with pytest.raises(retention.NotRemoved):
        await retention.run(ctx, now=NOW, blocks=5)
    left = int(str(await scalar(sessions, LEFT)))
    assert KEPT < left < KEPT + EXPIRED
    await execute(sessions, "DROP TRIGGER fail ON intents")
    before = await rows_read(sessions)

    await retention.run(ctx, now=NOW + NIGHT, blocks=5, blocks_a_night=10)

    assert await rows_read(sessions) - before < KEPT / 2, "what is kept is not read first"
    assert int(str(await scalar(sessions, LEFT))) < left


async def test_nothing_is_done_before_the_night(sessions: Sessions) -> None:
    ctx = database_context(sessions)
    await make_due(ctx)
    await execute(sessions, "UPDATE retention_runs SET due_at = now() + interval '1 hour'", SIGN_OUT)

    await retention.run(ctx, now=NOW)

    assert await scalar(sessions, "SELECT count(*) FROM sign_outs") == 1
