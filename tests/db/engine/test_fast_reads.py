"""Fast reads through the driver return what a session reads."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import asyncpg
import pytest
from sqlalchemy import text

from app.db import (
    anomalies,
    audit,
    comps,
    disputes,
    grants,
    inbox,
    payments,
    reader_filters,
    reader_search,
    refunds,
    sign_outs,
    subscribers,
    subscriptions,
)
from app.db.engine.fast_reads import FastReads, Reads
from app.db.engine.pool import fetch_in_time, open_pool
from app.db.engine.session import QUERY_TIMEOUT, DatabaseUnreachable, Sessions
from app.domain.reader_search import Filters
from tests.support.database import END_THE_OTHERS, OFTEN
from tests.support.timeouts import TIMEOUT

ROWS = """
INSERT INTO subscribers (id, sub, email, name) VALUES ('rdr_1', 'ada', 'ada@example.com', 'Ada Marlowe');
INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
    created_at, work_key) VALUES ('scr_1', 'sub_1', 'rdr_1', 1, 'annual', false, 'active', 4900, 'usd', now(), 'k');
INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)
VALUES ('in_1', 'scr_1', 'annual', false, now(), now() + interval '1 year', 24),
    ('in_2', 'scr_1', 'annual', false, now() + interval '1 year', now() + interval '2 years', 24);
INSERT INTO issue_adjustments (id, invoice_id, subscription_id, kind, issues, reason, by, created_at)
VALUES ('adj_1', 'in_1', 'scr_1', 'extension', 3, 'goodwill', 'staff:x', now());
INSERT INTO payments (id, invoice_id, invoice_number, subscription_id, amount, tax, currency, paid_at, billing_reason)
VALUES ('pi_1', 'in_1', 'NS-1', 'scr_1', 4900, 0, 'usd', now(), 'subscription_create');
INSERT INTO refunds (id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by, status, created_at,
    work_key) VALUES ('rfd_1', 'pi_1', 'rdr_1', 'goodwill', 100, 0, 'usd', 'other', 'staff:x', 'succeeded', now(), 'k');
INSERT INTO disputes (id, payment_id, charge_id, subscriber_id, status, amount, currency, reason, is_charge_refundable,
    opened_at) VALUES ('dp_1', 'pi_1', 'ch_1', 'rdr_1', 'lost', 4900, 'usd', 'fraudulent', false, now());
INSERT INTO comps (id, subscriber_id, plan, starts_at, until, reason, given_by)
VALUES ('cmp_1', 'rdr_1', 'annual', now(), now() + interval '1 day', 'press', 'staff:x');
INSERT INTO grants (id, subscriber_id, source, features) VALUES ('grt_1', 'rdr_1', 'comp', '{"audio": [[1, 2, "comp"]]}');
INSERT INTO anomalies (id, object_id, code, reason, subscriber_id) VALUES ('ano_1', 'sub_1', 'two_plans', 'odd', 'rdr_1');
INSERT INTO audit_log (actor, action, object_id, subscriber_id) VALUES ('staff:x', 'refund.requested', 'rfd_1', 'rdr_1');
INSERT INTO audit_notes (audit_id, words) SELECT id, 'Asked nicely.' FROM audit_log;
INSERT INTO events (id, type, state, payload, work_key) VALUES ('evt_1', 'invoice.paid', 'dead', '{}', 'subscription:sub_1');
INSERT INTO sign_outs (sub, at) VALUES ('robin', now());
"""
Ask = Callable[[Reads], Awaitable[object]]


@pytest.fixture
async def reading(database: str) -> AsyncIterator[FastReads]:
    """Provide a database with one row of each kind."""
    owner = await asyncpg.connect(database)
    await owner.execute(ROWS)
    await owner.close()
    pool = await open_pool(database, size=2, pooler=False)
    yield FastReads(pool)
    await pool.close()


async def test_fast_reads_and_sessions_return_the_same_page(reading: FastReads, sessions: Sessions) -> None:
    asked: list[Ask] = [
        lambda read: subscribers.by_id(read, "rdr_1"),
        lambda read: reader_search.by_value(read, "ns-1"),
        lambda read: reader_search.details(read, ["rdr_1"]),
        lambda read: reader_filters.newest(read, Filters(plan="annual"), after=None, limit=5, now=datetime.now(UTC)),
        lambda read: subscriptions.of_subscriber(read, "rdr_1"),
        lambda read: subscriptions.terms_by_subscription(read, "rdr_1"),
        lambda read: payments.of_subscriber(read, "rdr_1"),
        lambda read: refunds.of_subscriber(read, "rdr_1"),
        lambda read: disputes.of_subscriber(read, "rdr_1"),
        lambda read: comps.of_subscriber(read, "rdr_1"),
        lambda read: grants.of_subscriber(read, "rdr_1"),
        lambda read: anomalies.of_subscriber(read, "rdr_1"),
        lambda read: audit.list_for_subscriber(read, "rdr_1"),
        lambda read: inbox.list_by_keys(read, ["subscription:sub_1"]),
        lambda read: sign_outs.last(read, "robin"),
    ]
    for number, ask in enumerate(asked):
        straight = await ask(reading)
        async with sessions.begin() as session:
            assert straight == await ask(session), number
        assert straight, number


async def test_a_reader_without_rows_has_empty_parts(reading: FastReads) -> None:
    assert await subscribers.by_id(reading, "rdr_made_up") is None
    assert await subscriptions.terms_by_subscription(reading, "rdr_made_up") == {}
    assert await inbox.list_by_keys(reading, []) == []
    assert await sign_outs.last(reading, "nobody") is None


async def test_fast_reads_survive_a_restart_of_the_server(reading: FastReads, database: str) -> None:
    other = await asyncpg.connect(database)
    for _ in range(OFTEN):
        assert await subscribers.by_id(reading, "rdr_1") is not None
        await other.execute(END_THE_OTHERS)
    await other.close()


async def test_reads_on_one_connection_survive_a_restart_of_the_server(database: str) -> None:
    """They give the lost connection back first: the pool may have no other."""
    pool, other = await open_pool(database, size=1, pooler=False), await asyncpg.connect(database)
    for _ in range(OFTEN):
        async with FastReads.on_one_connection(pool) as read:
            assert await subscribers.by_id(read, "rdr_made_up") is None
            await other.execute(END_THE_OTHERS)
            for _ in range(2):
                assert await subscribers.by_id(read, "rdr_made_up") is None
    await other.close()
    await pool.close()


async def test_a_page_waits_longer_for_a_connection_than_for_a_query(database: str) -> None:
    pool = await open_pool(database, size=1, pooler=False)

    async def wait() -> None:
        async with FastReads.on_one_connection(pool) as read:
            await read.fetch("SELECT 1")

    async with FastReads.on_one_connection(pool) as read:
        second = asyncio.create_task(wait())
        await read.fetch("SELECT pg_sleep($1)", QUERY_TIMEOUT + 0.2)
    await second
    await pool.close()


async def test_pages_that_wait_for_connections_leave_one_for_checks(database: str) -> None:
    pool, done, kept = await open_pool(database, size=4, pooler=False), asyncio.Event(), list[FastReads]()

    async def show_page() -> None:
        async with FastReads.on_one_connection(pool) as read:
            kept.append(read)
            await done.wait()

    async with asyncio.TaskGroup() as pages:
        for _ in range(8):
            pages.create_task(show_page())
        async with asyncio.timeout(TIMEOUT):
            while len(kept) < 3:
                await asyncio.sleep(0.01)
        assert await fetch_in_time(pool, "SELECT 1")
        assert len(kept) == 3
        done.set()
    assert len(kept) == 8
    await pool.close()


async def test_a_server_without_a_free_connection_is_an_outage(database: str) -> None:
    owner = await asyncpg.connect(database)
    await owner.execute("CREATE ROLE newsstand_full LOGIN CONNECTION LIMIT 0")
    pool = await open_pool(database.replace("postgres@", "newsstand_full@", 1), size=2, pooler=False)
    try:
        with pytest.raises(DatabaseUnreachable, match="TooManyConnections"):
            await FastReads(pool).fetch("SELECT 1")
        with pytest.raises(DatabaseUnreachable, match="TooManyConnections"):
            async with FastReads.on_one_connection(pool):
                pass
    finally:
        await pool.close()
        await owner.execute("DROP ROLE newsstand_full")
        await owner.close()


@pytest.mark.parametrize("state", ["55P03", "57014", "40P01", "40001", "25006"])  # a conflict with recovery is 40001
async def test_a_busy_or_read_only_database_is_an_outage(state: str, reading: FastReads) -> None:
    with pytest.raises(DatabaseUnreachable):
        await reading.fetch(f"DO $$ BEGIN RAISE SQLSTATE '{state}'; END $$")


async def test_only_the_transaction_of_a_closed_connection_fails(sessions: Sessions, database: str) -> None:
    other = await asyncpg.connect(database)

    async def ends() -> None:
        async with sessions.begin() as session:
            await session.execute(text("SELECT 1"))
            await other.execute(END_THE_OTHERS)
            await session.execute(text("SELECT 2"))

    for _ in range(OFTEN):
        with pytest.raises(DatabaseUnreachable):
            await ends()
        async with sessions.begin() as session:
            assert await session.scalar(text("SELECT 3")) == 3
    await other.close()


async def test_only_the_last_sign_out_counts(sessions: Sessions) -> None:
    early, late = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
    for at in (late, early):
        async with sessions.begin() as session:
            await sign_outs.save(session, "robin", at)
    async with sessions.begin() as session:
        assert await sign_outs.last(session, "robin") == late
