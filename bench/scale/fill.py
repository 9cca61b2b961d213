"""
Fill a migrated database: how many rows each table has for each reader, and what is in them.

Values are skewed as in practice, and each column that lists can be filtered by has one value that only the three oldest
rows have. Secondary indexes are created after the rows are inserted, because that takes a fraction of the time.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from app.db.engine import schema
from bench.scale.ids import sql_id
from bench.scale.price_rows import PRICE_CHANGE, PRICE_MIGRATION
from bench.scale.rows import FEW, Rows
from bench.scale.samples import ACTIONS, EVENT_TYPES
from bench.scale.tables_of_events import TABLES_OF_EVENTS

SLICE = 200_000  # rows in one statement
FEWEST_ROWS = 10_000  # of a table, so that it is not too small for an index
FEATURES = "ARRAY['archive', 'audio', 'digital_edition', 'exclusive_content', 'print_edition']"
RARE_ACTION, RARE_ACTOR, RARE_OBJECT = "issue.changed", "staff:rare", "iss_rare"
RARE_TYPE, RARE_STATUS = "radar.early_fraud_warning.created", "requires_action"
RARE_PLAN = "patron"
FEW_ROWS = 100
RARE = 3  # the first rows have these


def _array(values: tuple[str, ...], index: str) -> str:
    return f"(ARRAY[{', '.join(repr(value) for value in values)}])[1 + ({index}) % {len(values)}]"


def _spells(grant: str, first: int, last: int) -> str:
    """Return the stored form of yearly periods: from ``first`` years ago to ``last`` years ahead."""
    years = ", ".join(
        f"jsonb_build_array(b.at + {31_536_000 * year}, b.at + {31_536_000 * (year + 1)}, 'paid_term'{grant})"
        for year in range(first, last)
    )
    begun = "(SELECT 1700000000 + (k % 8000) * 3600 AS at) b"
    return f"(SELECT jsonb_object_agg(f, jsonb_build_array({years})) FROM unnest({FEATURES}) f, {begun})"


_READER, _SUBSCRIPTION = sql_id("rdr", "k % {n}"), sql_id("scr", "k % {s}")
_LONG_AGO = "now() - interval '1100 days' * (1 - k::float8 / {of_table})"  # the newest row is the last
_STRIPE = "k % {s}"
TABLES = (
    Rows("subscribers", 1, {
        "id": _READER, "sub": "'auth0|' || md5(k::text)", "email": "'reader-' || k || '@example.com'",
        "name": "'Given' || k % 997 || ' Family' || k % 7919", "stripe_customer_id": sql_id("cus", "k"),
        "created_at": _LONG_AGO, "indexed_name": "'Given' || k % 997 || ' Family' || k % 7919",
    }),
    # The first five parts of the given name, and the first seven of the family name.
    Rows("reader_name_parts", 12, {
        "part": "CASE WHEN k % 12 < 5 THEN substr('given' || k / 12 % 997, 1 + (k % 12)::int) "
        "ELSE substr('family' || k / 12 % 7919, (k % 12)::int - 4) END",
        "subscriber_id": sql_id("rdr", "k / 12"),
    }),
    Rows("subscriptions", 1.2, {
        "id": sql_id("scr", "k"), "stripe_id": sql_id("sub", "k"), "subscriber_id": _READER, "version": "3",
        "plan": f"CASE WHEN k < {RARE} THEN '{RARE_PLAN}' ELSE 'annual' END", "print_edition": "k % 3 = 0",
        "status": "CASE WHEN k % 20 < 16 THEN 'active' WHEN k % 20 = 16 THEN 'past_due' ELSE 'canceled' END",
        "price_amount": "4900", "currency": "'usd'", "created_at": _LONG_AGO,
        "current_period_start": "now() - interval '1 hour' * (k % 8760)",
        "current_period_end": "now() + interval '1 hour' * (8760 - k % 8760)",
        "ended_at": "CASE WHEN k % 20 > 16 THEN now() - interval '1 hour' * (k % 8760) END",
        "cancel_at": "CASE WHEN k % 20 < 16 AND k % 13 = 0 THEN now() + interval '1 hour' * (k % 8760) END",
        "card_brand": "'visa'", "card_last4": "lpad((k % 10000)::text, 4, '0')",
        "check_at": "CASE WHEN k % 20 < 17 THEN now() + interval '1 hour' * (8760 - k % 8760) END",
        "work_key": f"'subscription:' || {sql_id('sub', 'k')}",
    }),
    Rows("terms", 2.5, {
        "invoice_id": sql_id("in", "k"), "subscription_id": _SUBSCRIPTION, "plan": "'annual'",
        "print_edition": "k % 3 = 0", "starts_at": _LONG_AGO, "ends_at": f"{_LONG_AGO} + interval '1 year'",
        "issues_owed": "24", "copies": "'{{[1,25)}}'", "expire": "24",
        "last_issue": "CASE WHEN k % 3 > 0 THEN 24 + k % 72 WHEN k % 6 = 0 THEN 0 END",
    }),
    Rows("payments", 2.5, {
        "id": sql_id("pi", "k"), "invoice_id": sql_id("in", "k"), "invoice_number": "'NS-' || k",
        "subscription_id": _SUBSCRIPTION, "amount": "4900", "tax": "0", "currency": "'usd'", "paid_at": _LONG_AGO,
        "billing_reason": "CASE WHEN k < {s} THEN 'subscription_create' ELSE 'subscription_cycle' END",
    }),
    Rows("grants", 2.5, {
        "id": f"'grt_' || {sql_id('in', 'k')}", "subscriber_id": sql_id("rdr", "(k % {s}) % {n}"),
        "subscription_id": _SUBSCRIPTION, "source": "'paid_term'", "features": _spells("", 0, 1),
    }),
    Rows("entitlements", 1, {
        "sub": "'auth0|' || md5(k::text)", "subscriber_id": _READER, "version": "3",
        "access": "jsonb_build_object('otherwise', 'ended', 'features', "
        + _spells(f", 'grt_' || {sql_id('in', 'k')}", 2, 4) + ")",
    }),
    Rows("refunds", 0.1, {
        "id": sql_id("rfd", "k"), "payment_id": sql_id("pi", "k"), "subscriber_id": sql_id("rdr", "(k % {s}) % {n}"),
        "basis": "CASE WHEN k % 3 = 0 THEN 'goodwill' ELSE 'guarantee' END", "amount": "500", "tax": "0",
        "currency": "'usd'", "reason": "'copies_missing'", "requested_by": "'staff:agent-' || k % 20",
        "status": f"CASE WHEN k < {RARE} THEN '{RARE_STATUS}' WHEN k % 100 = 50 THEN 'failed' "
        "WHEN k % 1000 = 51 THEN 'awaiting_approval' ELSE 'succeeded' END",
        "stripe_refund_id": sql_id("re", "k"), "created_at": _LONG_AGO, "recorded_at": _LONG_AGO,
        "attention": f"CASE WHEN k < {RARE} THEN 'refund_failed' WHEN k % 200 = 52 THEN 'credit_note_refused' END",
        "work_key": f"'payment:' || {sql_id('pi', 'k')}",
    }),
    Rows("audit_log", 5, {
        "id": "k + 1", "at": _LONG_AGO,
        "actor": f"CASE WHEN k < {RARE} THEN '{RARE_ACTOR}' WHEN k % 2 = 0 THEN 'policy' WHEN k % 5 = 0 THEN 'stripe' "
        "WHEN k % 5 = 1 THEN 'staff:agent-' || k % 20 ELSE 'reader:auth0|' || md5((k % {n})::text) END",
        "action": f"CASE WHEN k < {RARE} THEN '{RARE_ACTION}' ELSE {_array(ACTIONS, 'k % 7 * (k % 11)')} END",
        "object_id": f"CASE WHEN k < {RARE} THEN '{RARE_OBJECT}' WHEN k % 100 = 0 THEN 'events' "
        f"ELSE {sql_id('scr', 'k % {s}')} END",
        "subscriber_id": sql_id("rdr", "(k % {s}) % {n}"), "reason": "'copies_missing'",
        "request_id": "md5(k::text)",
    }),
    Rows("audit_chain", 5, {
        "seq": "k + 1", "audit_id": "k + 1", "hash": "sha256(int8send(k + 1))", "previous": "sha256(int8send(k))",
    }),
    Rows("audit_notes", 0.1, {"audit_id": "k + 1", "words": "'a torn copy'"}),
    Rows("events", 2.5, {
        "id": sql_id("evt", "k"),
        "type": f"CASE WHEN k < {RARE} THEN '{RARE_TYPE}' ELSE {_array(EVENT_TYPES, 'k % 13 * (k % 3)')} END",
        "api_version": "'2026-10-28.endive'", "livemode": "true", "object_id": sql_id("sub", _STRIPE),
        "created_at": "now() - interval '40 days' * (1 - k::float8 / {of_table})",
        "received_at": "now() - interval '40 days' * (1 - k::float8 / {of_table})", "applied_at": "now()",
        "state": f"CASE WHEN k < {RARE} THEN 'dead' WHEN k % 20 = 0 THEN 'ignored' WHEN k % 5000 = 11 THEN 'failed' "
        "ELSE 'applied' END",
        "is_reduced": "true", "payload": "replace($3, 'SUBSCRIPTION', md5(k::text))",
        "work_key": f"CASE WHEN k % 20 = 0 THEN '-' ELSE 'subscription:' || {sql_id('sub', _STRIPE)} END",
    }),
    Rows("checkouts", 2, {
        "id": sql_id("chk", "k"), "stripe_id": sql_id("cs", "k"), "subscriber_id": _READER, "plan": "'annual'",
        "print_edition": "false", "status": "CASE WHEN k < {s} THEN 'complete' ELSE 'expired' END",
        "created_at": _LONG_AGO,
        "stripe_subscription_id": "CASE WHEN k < {s} THEN " + sql_id("sub", "k") + " END",
    }),
    Rows("intents", 2.2, {
        "key": sql_id("chk", "k") + " || ':open_checkout:1'", "row_id": sql_id("chk", "k"),
        "action": "'open_checkout'", "attempt": "1",
        "parameters": "jsonb_build_object('customer', " + sql_id("cus", "k % {n}") + ", 'url', repeat('x', 300))",
        "created_at": _LONG_AGO, "settled_at": _LONG_AGO,
    }),
    Rows("disputes", 0.01, {
        "id": sql_id("dp", "k"), "payment_id": sql_id("pi", "k"), "charge_id": sql_id("ch", "k"),
        "subscriber_id": sql_id("rdr", "(k % {s}) % {n}"),
        "status": "CASE WHEN k % 10 = 0 THEN 'needs_response' ELSE 'lost' END",
        "amount": "4900", "currency": "'usd'", "reason": "'fraudulent'",
        "due_by": "CASE WHEN k % 7 > 0 THEN " + _LONG_AGO + " END", "is_charge_refundable": "false",
        "opened_at": _LONG_AGO, "closed_at": "CASE WHEN k % 10 > 0 THEN now() END",
        "concern": "CASE WHEN k % 9 = 0 THEN 'not_ours' END",
    }),
    Rows("fraud_warnings", 0.01, {
        "id": sql_id("issfr", "k"), "payment_id": sql_id("pi", "k"), "subscriber_id": sql_id("rdr", "(k % {s}) % {n}"),
        "actionable": "k % 3 > 0", "fraud_type": "'made_with_stolen_card'", "created_at": _LONG_AGO,
        "acted_as": "CASE WHEN k % 9 = 1 THEN 'kept' ELSE 'refunded' END",
    }),
    Rows("dismissals", FEW, {
        "object_id": sql_id("issfr", "k"), "dismissed_at": "now()", "dismissed_by": "'staff:agent'", "reason": "'other'",
    }),
    Rows("comps", 0.05, {
        "id": sql_id("cmp", "k"), "subscriber_id": _READER, "plan": "'annual'", "starts_at": _LONG_AGO,
        "until": _LONG_AGO + " + interval '90 days'", "reason": "'press'", "given_by": "'staff:agent-' || k % 20",
    }),
    Rows("contact_changes", 0.1, {
        "id": sql_id("ctc", "k"), "subscriber_id": _READER, "email": "'former-' || k || '@example.com'",
        "name": "'Given' || k % 997 || ' Former' || k % 7919", "changed_at": _LONG_AGO,
        "work_key": "'contact:' || " + _READER,
    }),
    Rows("anomalies", 0.05, {
        "id": sql_id("ano", "k"), "object_id": sql_id("sub", _STRIPE), "code": "'unknown_plan'", "reason": "'the plan'",
        "subscriber_id": sql_id("rdr", "(k % {s}) % {n}"), "seen_at": _LONG_AGO,
        "gone_at": "CASE WHEN k % 10 > 0 THEN now() END",
    }),
    Rows("approval_requests", 0.01, {
        "id": sql_id("adj", "k"), "kind": "'extension'", "subscriber_id": _READER, "subscription_id": _SUBSCRIPTION,
        "amount": "2", "issues": "2", "reason": "'copies_missing'", "requested_by": "'staff:agent-' || k % 20",
        "status": "CASE WHEN k % 100 = 0 THEN 'awaiting_approval' ELSE 'approved' END", "created_at": _LONG_AGO,
    }),
    Rows("issue_adjustments", 0.05, {
        "id": sql_id("adj", "k"), "invoice_id": sql_id("in", "k"), "subscription_id": _SUBSCRIPTION,
        "kind": "'extension'", "issues": "2", "reason": "'copies_missing'", "by": "'staff:agent-' || k % 20",
        "created_at": _LONG_AGO,
    }),
    Rows("credits", 0.02, {
        "id": sql_id("cn", "k"), "kind": "'balance'", "subscription_id": _SUBSCRIPTION, "invoice_id": sql_id("in", "k"),
        "amount": "100", "currency": "'usd'", "created_at": _LONG_AGO,
    }),
    Rows("idempotent_requests", 0.1, {
        "caller": "'reader:auth0|' || md5((k % {n})::text)", "route": "'POST /v1/me/refunds'", "key": "md5(k::text)",
        "body_hash": "md5(k::text) || md5(k::text)", "object_id": sql_id("rfd", "k"), "status": "201", "answer": "'{{}}'",
        "created_at": "now() - interval '1 day' * (1 - k::float8 / {of_table})",
    }),
    Rows("revocations", 0.1, {
        "id": "k + 1", "sub": "'auth0|' || md5((k % {n})::text)", "version": "4",
        "at": "now() - interval '2 hours' * (1 - k::float8 / {of_table})",
    }),
    Rows("reader_views", 0.1, {
        "subscriber_id": _READER, "viewer": f"CASE WHEN k < {RARE} THEN '{RARE_ACTOR}' ELSE 'staff:agent-' || k % 20 END",
        "place": "'console'", "at": _LONG_AGO, "slot": _LONG_AGO,
    }),
    Rows("sweeps", FEW, {
        "id": sql_id("swp", "k"), "kind": "CASE WHEN k % 50 = 0 THEN 'import' ELSE 'reconcile' END", "by": "'operator:ops'",
        "dry_run": "false", "phase": "'done'", "cursor": "'{{}}'", "counts": "'{{\"subscriptions\": 1}}'",
        "work_key": "'reconcile'", "created_at": _LONG_AGO, "finished_at": _LONG_AGO,
    }),
    Rows("differences", 0.05, {
        "sweep_id": sql_id("swp", "k % 50"), "object_id": sql_id("sub", _STRIPE), "words": "'the status differs'",
        "key": "'subscription:' || " + sql_id("sub", _STRIPE),
    }),
    Rows("issues", FEW, {
        "number": "k + 1", "title": "'Issue'", "cover_date": "DATE '2026-01-01' + k::int * 15",
        "planned_mail_date": "DATE '2026-01-01' + k::int * 15", "label_cutoff": "DATE '2025-12-20' + k::int * 15",
        "counts_as": "1",
    }),
    Rows("postal_addresses", 1, {
        "id": sql_id("adr", "k"), "subscriber_id": _READER, "name": "'Given' || k % 997 || ' Family' || k % 7919",
        "line1": "k % 9999 || ' Lantern Street'", "line2": "''", "company": "''", "district": "''",
        "city": "'City ' || k % 501", "region": "'IL'", "postal_code": "lpad((k * 7919 % 99999)::text, 5, '0')",
        "country": "'US'", "problems": "ARRAY[]::text[]", "is_usable": "k % 500 > 0", "saved_at": _LONG_AGO,
        "lines": "ARRAY['Given' || k % 997 || ' Family' || k % 7919, k % 9999 || ' Lantern Street', 'CITY, IL']",
        "work_key": f"'address:' || {_READER}",
    }),
    Rows("print_changes", 0.1, {
        "id": sql_id("pch", "k"), "subscription_id": sql_id("scr", "k % {s}"),
        "subscriber_id": sql_id("rdr", "(k % {s}) % {n}"),
        "kind": "'add'", "status": "'completed'", "issues": "12", "price": "1200", "total": "1200", "tax": "0",
        "due": "1200", "currency": "'usd'", "starts_at": _LONG_AGO, "ends_at": _LONG_AGO, "requested_by": "'reader:x'",
        "to_balance": "'{{}}'",
        "created_at": _LONG_AGO, "work_key": "'print:' || " + sql_id("scr", "k % {s}"),
    }),
    Rows("notifications", 3, {
        "id": sql_id("ntf", "k"), "kind": "CASE WHEN k % 3 = 0 THEN 'renewal_ahead' ELSE 'canceled' END",
        "about": sql_id("in", "k"), "subscriber_id": _READER, "subscription_id": _SUBSCRIPTION, "data": "'{{}}'",
        "send_at": "now() + interval '1 hour' * (k % 8760)", "channel": "'email'", "text": "repeat('text ', 100)",
        "status": "CASE WHEN k % 3 = 0 THEN 'scheduled' WHEN k % 500 = 1 THEN 'refused' ELSE 'sent' END",
        "due_at": "CASE WHEN k % 3 = 0 THEN now() + interval '1 hour' * (k % 8760) END",
        "work_key": f"'notification:' || {sql_id('ntf', 'k')}"}),
    Rows("price_migrations", FEW, PRICE_MIGRATION),
    Rows("price_changes", 0.5, PRICE_CHANGE),
    Rows("label_runs", FEW, {
        "id": "'lbl_' || k", "issue_number": "k + 1", "number": "0", "as_of": "now()", "mail_date": "CURRENT_DATE",
        "frozen_at": _LONG_AGO, "frozen_by": "'staff:circulation'", "copies": "1", "control_sum": "0",
        "columns": "'{{\"columns\": []}}'", "electronic": "CASE WHEN k % 2 = 1 THEN 1 END",
        "counts": "'{{\"bands\": [], \"flags\": {{}}}}'",
    }),
    Rows("labels", 1, {
        "run_id": "'lbl_' || (k % 10)", "position": "k / 10 + 1", "issue_number": "k % 10 + 1",
        "subscription_id": sql_id("scr", "k / 10"), "term": sql_id("in", "k / 10"), "address_id": sql_id("adr", "k / 10"),
        "kind": "'copy'", "claim_id": "''", "name": "'Ada Invented'", "line1": "'1 Lantern Street'", "country": "'US'",
        "lines": "ARRAY['Ada Invented']", "band": "'domestic'", "control": "k % 1000000", "flags": "0",
    }),
    Rows("electronic_copies", 1, {
        "issue_number": "k % 10 + 2", "subscription_id": sql_id("scr", "k / 10"), "term": sql_id("in", "k / 10"),
        "amount_paid": "4900",
    }),
    Rows("claims", 0.05, {
        "id": sql_id("clm", "k"), "subscriber_id": _READER, "subscription_id": sql_id("scr", "k"), "term": sql_id("in", "k"),
        "issue_number": "k % 10 + 1", "run_number": "0", "address_id": sql_id("adr", "k"), "reason": "'damaged'",
        "resolution": "'resend'", "claimed_by": "'staff:agent-' || k % 20", "created_at": _LONG_AGO, "granted_at": _LONG_AGO,
    }),
    Rows("back_issues", 0.05, {
        "id": sql_id("bki", "k"), "subscriber_id": _READER, "subscription_id": _SUBSCRIPTION, "issue_number": "k % 10 + 1",
        "ordered_by": "'staff:agent-' || k % 20", "created_at": _LONG_AGO,
    }),
    Rows("consents", 1, {
        "id": sql_id("cns", "k"), "checkout_id": sql_id("chk", "k"), "subscriber_id": _READER, "agreed_at": _LONG_AGO,
        "shown": "'{{}}'", "digest": "md5(k::text)", "ip": "'203.0.113.7'", "user_agent": "'Mozilla/5.0'",
    }),
    Rows("declarations", 0.2, {
        "id": sql_id("dcl", "k"), "kind": "CASE k % 5 WHEN 0 THEN 'withdrawal' ELSE 'cancellation' END",
        "channel": "'reader'", "received_at": _LONG_AGO, "subscriber_id": _READER, "subscription_id": sql_id("scr", "k"),
        "words": "'{{}}'", "acknowledgment": "'Received'",
        "work_key": "'declaration:' || k", "status": "CASE WHEN k % 997 = 0 THEN 'queued' ELSE 'done' END",
    }),
    Rows("holds", 0.05, {
        "id": sql_id("hld", "k"), "subscriber_id": _READER, "starts_on": f"({_LONG_AGO})::date", "issues": "2",
        "keeps_digital": "true", "over_by": f"({_LONG_AGO})::date + 60", "created_by": f"'reader:' || {_READER}",
        "created_at": _LONG_AGO,
    }),
    Rows("liability_entries", 2, {
        "subscription_id": sql_id("scr", "k / 2"), "month": "DATE '2026-03-01' + interval '1 month' * (k % 2)",
        "currency": "'usd'", "sold": "4900", "earned": "400", "reversed": "0", "refunded": "0",
    }),
    *TABLES_OF_EVENTS,
    Rows("calendar_work", 0.05, {
        "id": _SUBSCRIPTION, "work_key": "'ledger:' || " + _SUBSCRIPTION, "due_at": "now()",
    }),
)  # fmt: skip
SMALL_TABLES = frozenset(
    {
        "api_keys", "buckets", "calendar_edition", "figures", "issues", "leases", "logout_tokens", "sign_outs",
        "signing_keys", "staff_members", "staff_sessions", "audit_unsealed", "erasures", "retention_runs",
        "work_item_marks", "issue_circulation", "liability_closings", "derivation_runs", "offers", "offer_versions",
        "pending_revocations", "price_migrations", "recoveries",
    }
)  # fmt: skip
"""Tables that don't grow with the readers, but for a backlog."""


@dataclass(frozen=True, slots=True)
class Size:
    """The number of rows of a database with ``readers``."""

    readers: int

    def rows(self, table: Rows) -> int:
        """Return the number of rows of a table."""
        if table.for_each_reader == FEW:
            return FEW_ROWS
        return max(int(self.readers * table.for_each_reader), FEWEST_ROWS)

    def rows_of(self, table: str) -> int:
        """Return the number of rows of the table with a name."""
        return self.rows(next(one for one in TABLES if one.table == table))

    @property
    def subscriptions(self) -> int:
        """Return the number of subscriptions."""
        return self.rows_of("subscriptions")


async def fill(dsn: str, size: Size, *, report: Callable[[str], None], payload: str = "{}") -> None:
    """
    Insert the rows into a migrated database.

    :param payload: of each event; ``SUBSCRIPTION`` in it is replaced by an ID.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '256MB'"
        )
        indexes = await _drop_secondary_indexes(connection)
        for table in TABLES:
            await _insert(connection, table, size, report=report, payload=payload)
        for name in ("audit_log", "revocations"):
            await connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))"
            )
        started_at = time.monotonic()
        for statement in indexes:
            await connection.execute(statement)
        report(f"created {len(indexes)} indexes in {time.monotonic() - started_at:.0f} s")
        await connection.execute("RESET session_replication_role; RESET synchronous_commit")
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _insert(
    connection: "asyncpg.Connection[asyncpg.Record]",
    table: Rows,
    size: Size,
    *,
    report: Callable[[str], None],
    payload: str,
) -> None:
    rows, started_at = size.rows(table), time.monotonic()
    named = {"n": str(size.readers), "s": str(size.subscriptions), "of_table": str(rows)}
    values = ", ".join(expression.format(**named) for expression in table.columns.values())
    statement = (
        f"INSERT INTO {table.table} ({', '.join(table.columns)}) OVERRIDING SYSTEM VALUE "
        f"SELECT {values} FROM generate_series($1::bigint, $2::bigint) k"
    )
    arguments = [payload] if "$3" in statement else []
    for first in range(0, rows, SLICE):
        await connection.execute(statement, first, min(first + SLICE, rows) - 1, *arguments)
    report(f"{table.table}: {rows:,} rows in {time.monotonic() - started_at:.0f} s")


async def _drop_secondary_indexes(connection: "asyncpg.Connection[asyncpg.Record]") -> list[str]:
    """Drop the indexes that don't enforce a key, and return the statements that create them again."""
    found = await connection.fetch(
        "SELECT c.relname AS name, pg_get_indexdef(i.indexrelid) AS statement FROM pg_index i"
        " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid)"
    )
    for row in found:
        await connection.execute(f'DROP INDEX "{row["name"]}"')
    return [row["statement"] for row in found]


async def create(maintenance_dsn: str, name: str) -> str:
    """Create and migrate a database, and return its DSN."""
    dsn = await schema.create_database(maintenance_dsn, name)
    await schema.migrate(dsn)
    return dsn
