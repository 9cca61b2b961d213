"""
A database with readers as they are after their first year: subscribed, paid, granted, told of by Stripe.

It is filled once for all benches that read it. What belongs to a reader is called by their number.
"""

import asyncpg

from app.db import issues
from app.db.engine.session import make_engine, make_sessions
from app.domain.calendar_files import plan_year
from app.domain.entitlements import ENDED, PAID_TERM
from app.domain.plans import Plan

_DAY = "LATERAL (SELECT timestamptz '2026-02-01' + n % 90 * interval '1 day' AS at) d"
_ALL = f"generate_series(0, $1::bigint - 1) n, {_DAY}"
_SPELLS = f"""
(SELECT jsonb_object_agg(feature, jsonb_build_array(jsonb_build_array(
    extract(epoch FROM at)::bigint, extract(epoch FROM at + interval '1 year')::bigint, '{PAID_TERM}')))
 FROM unnest($2::text[]) feature)
"""
_FILL = (
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
    FROM {_ALL}
    """,
    f"""
    INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)
    SELECT 'in_' || n, 'scr_' || n, 'annual', false, at, at + interval '1 year', 24 FROM {_ALL}
    """,
    f"""
    INSERT INTO payments (id, invoice_id, invoice_number, subscription_id, amount, tax, currency, paid_at, billing_reason)
    SELECT 'pi_' || n, 'in_' || n, 'NS-' || n, 'scr_' || n, 4900, 0, 'usd', at, 'subscription_create' FROM {_ALL}
    """,
    f"""
    INSERT INTO events (id, type, state, object_id, payload, work_key, received_at, applied_at)
    SELECT 'evt_' || n || '_' || i, type, 'applied', 'in_' || n, '{{}}', 'subscription:sub_' || n, at, at
    FROM {_ALL}, unnest(ARRAY['customer.subscription.created', 'invoice.paid']) WITH ORDINALITY AS told (type, i)
    """,
)
_GRANTED = (
    f"""
    INSERT INTO grants (id, subscriber_id, subscription_id, source, features)
    SELECT 'grt_in_' || n, 'rdr_' || n, 'scr_' || n, '{PAID_TERM}', {_SPELLS} FROM {_ALL}
    """,
    f"""
    INSERT INTO entitlements (sub, subscriber_id, version, access)
    SELECT 'user-' || n, 'rdr_' || n, 1, jsonb_build_object('otherwise', '{ENDED}', 'features', {_SPELLS}) FROM {_ALL}
    """,
)
_SOME = (
    f"""
    INSERT INTO refunds (id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by, status,
        created_at, recorded_at, work_key)
    SELECT 'rfd_' || n, 'pi_' || n, 'rdr_' || n, 'goodwill', 500, 0, 'usd', 'copies_missing', 'staff:agent', 'succeeded',
        at + interval '40 days', at + interval '40 days', 'payment:pi_' || n
    FROM {_ALL} WHERE n % 10 = 0
    """,
    f"""
    INSERT INTO audit_log (at, actor, action, object_id, subscriber_id, reason)
    SELECT at + interval '40 days', 'staff:agent', 'refund.requested', 'rfd_' || n, 'rdr_' || n, 'copies_missing'
    FROM {_ALL} WHERE n % 10 = 0
    """,
)


async def fill(dsn: str, readers: int, plan: Plan) -> None:
    """
    Insert readers and two years of issues.

    The triggers of the tables are asleep meanwhile: a notice for each reader and foreign keys are not what is measured.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        for statement in (*_FILL, *_SOME):
            await connection.execute(statement, readers)
        for statement in _GRANTED:
            await connection.execute(statement, readers, list(plan.features_of(print_edition=False)))
        await connection.execute("RESET session_replication_role; RESET synchronous_commit")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()
    engine = make_engine(dsn, pool_size=1)
    async with make_sessions(engine).begin() as session:
        await issues.save(session, plan_year(2026, first_number=1) + plan_year(2027, first_number=25))
    await engine.dispose()
