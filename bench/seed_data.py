"""
Seed data for the benchmarks, inserted with SQL.

``fill_entitlements`` inserts readers with their entitlements only, ``fill_history`` a year of subscriptions, terms,
payments, events, grants, refunds and audit entries. IDs end in the number of the reader. One of them has a long history.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.db import issues
from app.db.engine.session import make_engine, make_sessions
from app.domain.calendar_files import plan_year
from app.domain.entitlements import AccessReason
from app.domain.plans import PRINT_FEATURE, Plan

_START_DATE = "LATERAL (SELECT timestamptz '2026-02-01' + n % 90 * interval '1 day' AS at) d"
_READERS = f"generate_series(0, $1::bigint - 1) n, {_START_DATE}"
_SPELLS = f"""
(SELECT jsonb_object_agg(feature, jsonb_build_array(jsonb_build_array(
    extract(epoch FROM at)::bigint, extract(epoch FROM at + interval '1 year')::bigint, '{AccessReason.PAID_TERM}')))
 FROM unnest($2::text[]) feature)
"""
_SUBSCRIPTIONS = (
    """
    INSERT INTO subscribers (id, sub, email, name, stripe_customer_id)
    SELECT 'rdr_' || n, 'user-' || n, 'reader-' || n || '@example.com',
        'Given' || n % 997 || ' Family' || n % 7919, 'cus_' || n
    FROM generate_series(0, $1::bigint - 1) n
    """,
    f"""
    INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
        created_at, current_period_start, current_period_end, work_key)
    SELECT 'scr_' || n, 'sub_' || n, 'rdr_' || n, 1, 'annual', false, 'active', 4900, 'usd', at, at,
        at + interval '1 year', 'subscription:sub_' || n
    FROM {_READERS}
    """,
    f"""
    INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)
    SELECT 'in_' || n, 'scr_' || n, 'annual', false, at, at + interval '1 year', 24 FROM {_READERS}
    """,
    f"""
    INSERT INTO payments (id, invoice_id, invoice_number, subscription_id, amount, tax, currency, paid_at, billing_reason)
    SELECT 'pi_' || n, 'in_' || n, 'NS-' || n, 'scr_' || n, 4900, 0, 'usd', at, 'subscription_create' FROM {_READERS}
    """,
    f"""
    INSERT INTO events (id, type, state, object_id, payload, work_key, received_at, applied_at)
    SELECT 'evt_' || n || '_' || i, type, 'applied', 'in_' || n, '{{}}', 'subscription:sub_' || n, at, at
    FROM {_READERS}, unnest(ARRAY['customer.subscription.created', 'invoice.paid']) WITH ORDINALITY AS event_types (type, i)
    """,
)
_GRANTS = (
    f"""
    INSERT INTO grants (id, subscriber_id, subscription_id, source, features)
    SELECT 'grt_in_' || n, 'rdr_' || n, 'scr_' || n, '{AccessReason.PAID_TERM}', {_SPELLS} FROM {_READERS}
    """,
    f"""
    INSERT INTO entitlements (sub, subscriber_id, version, access)
    SELECT 'user-' || n, 'rdr_' || n, 1,
        jsonb_build_object('otherwise', '{AccessReason.ENDED}', 'features', {_SPELLS}) FROM {_READERS}
    """,
)
_REFUNDS = (
    f"""
    INSERT INTO refunds (id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by, status,
        created_at, recorded_at, work_key)
    SELECT 'rfd_' || n, 'pi_' || n, 'rdr_' || n, 'goodwill', 500, 0, 'usd', 'copies_missing', 'staff:agent', 'succeeded',
        at + interval '40 days', at + interval '40 days', 'payment:pi_' || n
    FROM {_READERS} WHERE n % 10 = 0
    """,
    f"""
    INSERT INTO audit_log (at, actor, action, object_id, subscriber_id, reason)
    SELECT at + interval '40 days', 'staff:agent', 'refund.requested', 'rfd_' || n, 'rdr_' || n, 'copies_missing'
    FROM {_READERS} WHERE n % 10 = 0
    """,
)


# One reader with 40 payments: that of the running subscription, and 39 of eight subscriptions that have ended.
LONG_HISTORY = 42  # the number of the reader
_OLD = "generate_series(1, 39) p, LATERAL (SELECT p % 8 AS s, timestamptz '2026-01-01' - p * interval '1 year' AS at) d"
_LONG_HISTORY = (
    """
    INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
        created_at, ended_at, end_reason, work_key)
    SELECT 'scr_old_' || s, 'sub_old_' || s, 'rdr_42', 1, 'annual', true, 'canceled', 7300, 'usd',
        timestamptz '1986-01-01' + s * interval '40 days', timestamptz '2026-01-01' - s * interval '1 day',
        'cancellation_requested', 'subscription:sub_old_' || s
    FROM generate_series(0, 7) s
    """,
    f"""
    INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)
    SELECT 'in_old_' || p, 'scr_old_' || s, 'annual', true, at, at + interval '1 year', 24 FROM {_OLD}
    """,
    f"""
    INSERT INTO payments (id, invoice_id, invoice_number, subscription_id, amount, tax, currency, paid_at, billing_reason)
    SELECT 'pi_old_' || p, 'in_old_' || p, 'NS-OLD-' || p, 'scr_old_' || s, 7300, 300, 'usd', at, 'subscription_cycle'
    FROM {_OLD}
    """,
    f"""
    INSERT INTO events (id, type, state, object_id, payload, work_key, received_at, applied_at)
    SELECT 'evt_old_' || p || '_' || i, type, 'applied', 'in_old_' || p, '{{}}', 'subscription:sub_old_' || s, at, at
    FROM {_OLD}, unnest(ARRAY['customer.subscription.updated', 'invoice.paid']) WITH ORDINALITY AS event_types (type, i)
    """,
)


_SUB = "'auth0|' || lpad(to_hex(n), 24, '0')"  # the same as reader_sub()
_ENTITLED_READERS = f"""
INSERT INTO subscribers (id, sub, email)
SELECT 'rdr_' || n, {_SUB}, 'reader-' || n || '@example.com' FROM generate_series(0, $1::bigint - 1) n
"""
_ENTITLEMENTS = f"""
INSERT INTO entitlements (sub, subscriber_id, version, access)
SELECT {_SUB}, 'rdr_' || n, 2, jsonb_build_object('otherwise', '{AccessReason.ENDED}', 'features', (
    SELECT jsonb_object_agg(feature, periods) FROM unnest($2::text[]) feature
    WHERE n % 3 = 0 OR feature <> '{PRINT_FEATURE}'
))
FROM generate_series(0, $1::bigint - 1) n,
LATERAL (SELECT extract(epoch FROM now())::bigint - 31536000 - 3600 * (n % 8000 + 1) AS begun) b,
LATERAL (SELECT jsonb_build_array(
    jsonb_build_array(begun, begun + 31536000, '{AccessReason.PAID_TERM}', 'grt_in_1R' || n),
    jsonb_build_array(begun + 31536000, begun + 63072000, '{AccessReason.PAID_TERM}', 'grt_in_2R' || n),
    jsonb_build_array(begun + 63072000, begun + 63331200, '{AccessReason.RENEWAL_PENDING}', 'grt_in_2R' || n)
) AS periods) s
"""


def reader_sub(number: int) -> str:
    """Return the ``sub`` of a reader that ``fill_entitlements`` inserts."""
    return f"auth0|{number:024x}"


async def fill_entitlements(dsn: str, readers: int, plan: Plan) -> None:
    """Insert readers in the second year of an active subscription, every third one with print."""
    async with _bulk_load(dsn) as connection:
        await connection.execute(_ENTITLED_READERS, readers)
        await connection.execute(_ENTITLEMENTS, readers, list(plan.features_of(print_edition=True)))


async def fill_history(dsn: str, readers: int, plan: Plan) -> None:
    """Insert readers with a year of history, and two years of issues."""
    async with _bulk_load(dsn) as connection:
        for statement in (*_SUBSCRIPTIONS, *_REFUNDS):
            await connection.execute(statement, readers)
        for statement in _GRANTS:
            await connection.execute(statement, readers, list(plan.features_of(print_edition=False)))
        if readers > LONG_HISTORY:
            for statement in _LONG_HISTORY:
                await connection.execute(statement)
    engine = make_engine(dsn, pool_size=1)
    async with make_sessions(engine).begin() as session:
        await issues.save(session, plan_year(2026, first_number=1) + plan_year(2027, first_number=25))
    await engine.dispose()


@asynccontextmanager
async def _bulk_load(dsn: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """Disable triggers and foreign keys while data is inserted, and analyze the tables afterwards."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        yield connection
        await connection.execute("RESET session_replication_role; RESET synchronous_commit")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
