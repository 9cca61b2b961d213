"""Every column is classified in the register of personal data, and what expires is removed."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy import MetaData

from app.context import Context
from app.db import erasures, retention, subscribers
from app.db.engine.session import Sessions
from app.db.models import Base
from app.db.personal_data import TABLES
from app.db.retention import EXPIRIES, Expiry
from app.domain.personal_data import Table
from app.services.erasures import order_inactive
from app.settings import PREFIX, Settings
from tests.journeys.disputes.test_disputes import open_dispute
from tests.journeys.webhooks.test_inbox import put
from tests.support.shop import Shop

ROWS = """
INSERT INTO subscribers (id, sub, email) VALUES ('rdr_1', 'ada', 'ada@example.com');
INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
                           created_at, work_key)
VALUES ('scr_1', 'sub_1', 'rdr_1', 1, 'annual', false, 'canceled', 4900, 'usd', now(), 'w');
INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason)
VALUES ('pi_1', 'in_1', 'scr_1', 4900, 0, 'usd', now(), 'subscription_create');
"""
_RUN = (
    "INSERT INTO issues (number, title, cover_date, planned_mail_date, label_cutoff, counts_as) VALUES (7, '', now(),"
    " now(), now(), 1) ON CONFLICT DO NOTHING; INSERT INTO label_runs (id, issue_number, number, as_of, mail_date,"
    " frozen_at, frozen_by, copies, control_sum, counts, columns) VALUES ('{id}', 7, right('{id}', 1)::int, now(), now(),"
    " now() - interval '{age}', 'staff:a', 1, 1, '{{}}', '{{}}');"
)
_COPY = (
    "INSERT INTO issues (number, title, cover_date, planned_mail_date, label_cutoff, counts_as)"
    " SELECT n, '', now(), now(), now(), 1 FROM generate_series(1, 9) n ON CONFLICT DO NOTHING;"
    " INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)"
    " VALUES ('in_1', 'scr_1', 'annual', true, now(), now(), 24) ON CONFLICT DO NOTHING;"
)
_ENDED = "UPDATE subscriptions SET ended_at = now() - interval '2 years';"
_CONSENT = (
    "INSERT INTO consents (id, checkout_id, subscriber_id, agreed_at, shown, digest)"
    " VALUES ('{id}', '{id}', 'rdr_1', now() - interval '{age}', '{{}}', '{id}')"
)
OLD_AND_NEW: Mapping[str, str] = {  # a row that has expired, and a row that has not; {age} is its age
    "former email addresses and names": "INSERT INTO contact_changes (id, subscriber_id, email, changed_at, work_key)"
    " VALUES ('{id}', 'rdr_1', 'old@example.com', now() - interval '{age}', 'w')",
    "former postal addresses": "INSERT INTO postal_addresses (id, subscriber_id, line1, country, problems, is_usable,"
    " saved_at, replaced_at, work_key) VALUES ('{id}', 'rdr_1', '1 Lantern Street', 'US', '{{}}', true, now(),"
    " now() - interval '{age}', 'w')",
    "temporary addresses that are over": "INSERT INTO postal_addresses (id, subscriber_id, line1, country, problems,"
    " is_usable, saved_at, since, until, work_key) VALUES ('{id}', 'rdr_1', '1 Lantern Street', 'US', '{{}}', true,"
    " now(), '2000-01-01', now() - interval '{age}', 'w')",
    "addresses on labels": _RUN
    + " INSERT INTO labels (run_id, position, issue_number, subscription_id, term, address_id,"
    " kind, claim_id, country, lines, band, control, flags) VALUES ('{id}', 1, 7, '{id}', 'in_1', 'adr_1', 'copy', '',"
    " 'US', ARRAY['Ada'], 'domestic', 1, 0)",
    "label runs that keep only their counts": _RUN,
    "deliveries of webhooks": "INSERT INTO webhook_deliveries (endpoint_id, sequence, event_id, type, lane, status,"
    " created_at) VALUES ('{id}', 1, 'obx_1', 'copy.mailed', '{id}:', 'delivered', now() - interval '{age}')",
    "erased readers that were announced": "INSERT INTO outbox_events (id, type, version, subscriber_id, sub, data,"
    " created_at) VALUES ('{id}', 'reader.erased', 1, 'rdr_9', 'ada', '{{}}', now() - interval '{age}')",
    "events of the outbox": "INSERT INTO outbox_events (id, type, version, subscriber_id, sub, data, created_at)"
    " VALUES ('{id}', 'address.needed', 1, 'rdr_1', 'ada', '{{}}', now() - interval '{age}')",
    "links to Stripe's payment pages": "INSERT INTO checkouts (id, subscriber_id, plan, print_edition, status, url,"
    " created_at) VALUES ('{id}', 'rdr_1', 'annual', false, 'expired', 'https://pay.example', now() - interval '{age}')",
    "parameters of requests to Stripe": "INSERT INTO intents (key, row_id, action, attempt, parameters, settled_at)"
    " VALUES ('{id}', '{id}', 'push', 1, '{{\"name\": \"Ada\"}}', now() - interval '{age}')",
    "settled requests to Stripe": "INSERT INTO intents (key, row_id, action, attempt, parameters, settled_at)"
    " VALUES ('{id}', '{id}', 'push', 1, '{{}}', now() - interval '{age}')",
    "abandoned checkout sessions": "INSERT INTO checkouts (id, subscriber_id, plan, print_edition, status, created_at)"
    " VALUES ('{id}', 'rdr_1', 'annual', false, 'failed', now() - interval '{age}')",
    "declarations of readers who left": _ENDED
    + "INSERT INTO declarations (id, kind, channel, received_at, subscriber_id, words, acknowledgment, status,"
    " work_key) VALUES ('{id}', 'cancellation', 'reader', now() - interval '{age}', 'rdr_1', '{{}}', '', 'done', 'w')",
    "notifications to nobody that we know": "INSERT INTO notifications (id, kind, about, recipient, data, send_at, status,"
    " channel, created_at, work_key) VALUES ('{id}', 'cancellation_received', '{id}', 'ada@example.com', '{{}}', now(),"
    " 'sent', 'email', now() - interval '{age}', 'w')",
    "what readers agreed to": _ENDED + _CONSENT,
    "what readers agreed to and did not pay for": _CONSENT,
    "resolved anomalies": "INSERT INTO anomalies (id, object_id, code, reason, gone_at)"
    " VALUES ('{id}', '{id}', 'x', 'ada@example.com', now() - interval '{age}')",
    "sessions of staff": "INSERT INTO staff_sessions (id, sub, name, roles, started_at, checked_at)"
    " VALUES ('{id}', 'a', 'Robin', '{{support}}', now() - interval '{age}', now())",
    "sessions of staff that were ended": "INSERT INTO staff_sessions (id, sub, name, roles, started_at, checked_at,"
    " ended_at) VALUES ('{id}', 'a', 'Robin', '{{support}}', now(), now(), now() - interval '{age}')",
    "sign-outs": "INSERT INTO sign_outs (sub, at) VALUES ('{id}', now() - interval '{age}')",
    "names of former staff": "INSERT INTO staff_members (sub, name, roles, seen_at)"
    " VALUES ('{id}', 'Robin Vance', '{{support}}', now() - interval '{age}')",
    "notes of claims": _COPY
    + " INSERT INTO claims (id, subscriber_id, subscription_id, term, issue_number, run_number,"
    " address_id, reason, resolution, note, claimed_by, created_at) VALUES ('{id}', 'rdr_1', 'scr_1', 'in_1',"
    " right('{id}', 1)::int + 1, 0, 'adr_1', 'damaged', 'resend', 'wet', 'staff:a', now() - interval '{age}')",
    "notes of back issues": _COPY + " INSERT INTO back_issues (id, subscriber_id, subscription_id, issue_number, note,"
    " ordered_by, created_at) VALUES ('{id}', 'rdr_1', 'scr_1', 1, 'for her brother', 'staff:a', now() - interval '{age}')",
    "notes of the work queue": "INSERT INTO work_item_marks (object_id, version, note, changed_at)"
    " VALUES ('{id}', 1, 'Ada moved', now() - interval '{age}')",
    "notes of the audit log": "WITH made AS (INSERT INTO audit_log (at, actor, action, object_id)"
    " VALUES (now() - interval '{age}', 'a', 'b', '{id}') RETURNING id)"
    " INSERT INTO audit_notes (audit_id, words) SELECT id, 'Ada moved' FROM made",
    "notes of refunds": "INSERT INTO refunds (id, payment_id, subscriber_id, basis, amount, tax, currency, reason, note,"
    " requested_by, status, created_at, work_key) VALUES ('{id}', 'pi_1', 'rdr_1', 'goodwill', 100, 0, 'usd', 'other',"
    " 'Ada moved', 'staff:a', 'succeeded', now() - interval '{age}', 'w')",
    "notes of approvals": "INSERT INTO approval_requests (id, kind, subscriber_id, amount, reason, note, requested_by,"
    " status, created_at) VALUES ('{id}', 'comp', 'rdr_1', 1, 'other', 'Ada moved', 'staff:a', 'approved',"
    " now() - interval '{age}')",
    "reasons of dismissals": "INSERT INTO dismissals (object_id, dismissed_at, dismissed_by, reason)"
    " VALUES ('{id}', now() - interval '{age}', 'staff:a', 'Ada moved')",
}


def unclassified(schema: MetaData, register: Mapping[str, Table]) -> set[str]:
    """Return the columns that are in the schema or in the register, but not in both, or twice in the register."""
    listed = [
        f"{name}.{column}" for name, table in register.items() for column in (*table.plain.split(), *table.personal)
    ]
    existing = {f"{table.name}.{column.name}" for table in schema.tables.values() for column in table.columns}
    return (set(listed) ^ existing) | {one for one in listed if listed.count(one) > 1}


def test_every_column_is_classified() -> None:
    """A new column is added to the register, with its purpose and its retention if it is about a person."""
    assert unclassified(Base.metadata, TABLES) == set()


def test_a_column_that_nobody_classified_is_found() -> None:
    without = {name: table for name, table in TABLES.items() if name != "refunds"}
    assert "refunds.note" in unclassified(Base.metadata, without)
    assert unclassified(Base.metadata, {**TABLES, "more": Table(plain="id id")}) == {"more.id"}


def test_every_setting_that_the_register_names_exists() -> None:
    named = [one.kept for table in TABLES.values() for one in table.personal.values() if one.kept.startswith(PREFIX)]
    assert [name for name in named if name.removeprefix(PREFIX).lower() not in Settings.model_fields] == []


def test_a_column_about_a_reader_is_found_by_its_reader() -> None:
    """Otherwise neither an export nor an erasure would reach it."""
    for name, table in TABLES.items():
        if any(not one.staff and one.purpose for one in table.personal.values()) and table.of is None:
            assert {column for column, one in table.personal.items() if not one.staff} == {"last_error"}, name


async def test_every_statement_of_the_register_can_be_run(sessions: Sessions) -> None:
    async with sessions.begin() as session:
        ada = await subscribers.ensure(session, sub="ada", email="ada@example.com", name="Ada")
        await erasures.start(session, ada.id, sub="ada", customer_id="cus_1", by="staff:officer")
        found = await erasures.rows_of(session, ada.id, sub="ada")
        erased = await erasures.erase_rows(session, ada.id, sub="ada")

    assert set(found) == {"subscribers", "erasures"}
    assert erased == {"subscribers": 1}


@pytest.mark.parametrize(
    ("address", "left"),
    [
        pytest.param("ada@example.com", {}, id="the reader's"),
        pytest.param("ADA@example.com", {}, id="in another case"),
        pytest.param("old@example.com", {}, id="a former one"),
        pytest.param("ben@example.com", {"email": "ben@example.com"}, id="another reader's"),
        pytest.param("both@example.com", {"email": "both@example.com"}, id="a former one that another reader has now"),
    ],
)
@pytest.mark.parametrize("status", ["received", "queued", "settled"])
async def test_an_erasure_takes_the_cancellations_from_the_readers_address(
    database: str, sessions: Sessions, address: str, left: dict[str, str], status: str
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(ROWS)
    for number, email in enumerate(("old@example.com", "both@example.com")):
        await connection.execute(
            OLD_AND_NEW["former email addresses and names"]
            .format(id=f"one_{number}", age="1 day")
            .replace("old@example.com", email)
        )
    await connection.execute(
        "INSERT INTO subscribers (id, sub, email) VALUES ('rdr_2', 'ben', 'ben@example.com'),"
        " ('rdr_3', 'eve', 'Both@example.com')"
    )
    await connection.execute(
        "INSERT INTO declarations (id, kind, channel, received_at, words, acknowledgment, status, work_key, due_at)"
        " VALUES ('dcl_1', 'cancellation', 'page', now(), $1, 'Dear Ada', $2, 'w', now())",
        json.dumps({"email": address}),
        status,
    )
    await connection.execute(
        "INSERT INTO notifications (id, kind, about, recipient, data, send_at, status, channel, text, html, work_key)"
        " VALUES ('ntf_1', 'cancellation_received', 'dcl_1', $1, '{\"name\": \"Ada\"}', now(), 'sent', 'email', 'Ada',"
        " 'Ada', 'w')",
        address,
    )

    async with sessions.begin() as session:
        await erasures.start(session, "rdr_1", sub="ada", customer_id=None, by="staff:officer")
        await erasures.erase_rows(session, "rdr_1", sub="ada")

    declared = await connection.fetchrow("SELECT words, acknowledgment, status, due_at FROM declarations")
    told = await connection.fetchrow("SELECT recipient, data, text, html FROM notifications")
    await connection.close()
    assert declared is not None
    assert told is not None
    assert json.loads(declared["words"]) == left
    assert (declared["acknowledgment"], told["recipient"]) == (("Dear Ada", address) if left else ("", None))
    assert json.loads(told["data"]) == ({"name": "Ada"} if left else {})
    assert (told["text"], told["html"]) == (("Ada", "Ada") if left else (None, None))
    if left:
        assert (declared["status"], declared["due_at"] is None) == (status, False), "it is still to be acted on"
    else:
        assert (declared["status"], declared["due_at"]) == ("settled" if status == "settled" else "done", None)


def test_every_expiry_has_an_example() -> None:
    assert {one.what for one in EXPIRIES} == set(OLD_AND_NEW)


@pytest.mark.parametrize("expiry", EXPIRIES, ids=lambda one: one.what)
async def test_only_what_has_expired_is_removed(database: str, sessions: Sessions, expiry: Expiry) -> None:
    kept_for = expiry.kept_for(Settings())
    connection = await asyncpg.connect(database)
    await connection.execute(ROWS)
    for number, days in enumerate((kept_for.days + 1, kept_for.days + 2, kept_for.days - 1)):
        await connection.execute(OLD_AND_NEW[expiry.what].format(id=f"one_{number}", age=f"{days} days"))

    removed = []
    for _ in range(3):
        async with sessions.begin() as session:
            removed.append((await retention.expire(session, expiry, kept_for=kept_for, limit=1))[0])

    assert removed == [1, 1, 0]
    await connection.close()


@pytest.mark.parametrize(
    ("statement", "is_inactive"),
    [
        pytest.param("SELECT 1", True, id="ended long ago"),
        pytest.param("UPDATE subscriptions SET ended_at = now() - interval '1 day'", False, id="ended a day ago"),
        pytest.param("UPDATE subscriptions SET ended_at = NULL, status = 'active'", False, id="runs"),
        pytest.param("UPDATE subscriptions SET current_period_end = now()", False, id="was paid until now"),
        pytest.param("UPDATE subscribers SET created_at = now()", False, id="is new"),
        pytest.param("UPDATE subscribers SET sub = 'erased:rdr_1'", False, id="is erased"),
        pytest.param("DELETE FROM payments; DELETE FROM subscriptions", True, id="never subscribed"),
        pytest.param(
            "INSERT INTO comps (id, subscriber_id, plan, starts_at, until, reason, given_by)"
            " VALUES ('cmp_1', 'rdr_1', 'annual', now(), now(), 'press', 'staff:a')",
            False,
            id="has complimentary access",
        ),
        pytest.param(
            "INSERT INTO checkouts (id, subscriber_id, plan, print_edition, status)"
            " VALUES ('chk_1', 'rdr_1', 'annual', false, 'open')",
            False,
            id="may be paying now",
        ),
    ],
)
async def test_readers_without_recent_access_are_inactive(
    database: str, sessions: Sessions, statement: str, *, is_inactive: bool
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(ROWS)
    await connection.execute("UPDATE subscribers SET created_at = now() - interval '9 years'")
    await connection.execute("UPDATE subscriptions SET ended_at = now() - interval '8 years'")
    await connection.execute(statement)
    await connection.close()
    async with sessions.begin() as session:
        before = datetime.now(UTC) - timedelta(days=365)
        found = await erasures.inactive_among(session, before=before, after="", limit=5)
        alone = await erasures.is_inactive(session, "rdr_1", before=before)
    assert (found, alone) == ((["rdr_1"] if is_inactive else [], "rdr_1"), is_inactive)


async def test_inactive_readers_are_found_in_slices(database: str, sessions: Sessions) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute(
        "INSERT INTO subscribers (id, sub, created_at) SELECT 'rdr_' || n, 'sub-' || n, now() - n * interval '1 year'"
        " FROM generate_series(1, 5) n"
    )
    await connection.close()
    before, seen, after = datetime.now(UTC) - timedelta(days=1000), [], ""
    async with sessions.begin() as session:
        while True:
            found, last = await erasures.inactive_among(session, before=before, after=after, limit=2)
            if last is None:
                break
            seen.append(found)
            after = last

    assert seen == [[], ["rdr_3", "rdr_4"], ["rdr_5"]]


async def test_a_reader_who_left_long_ago_is_erased(shop: Shop) -> None:
    kept = await leave(shop, "ada")
    assert shop.app is not None

    assert await order_inactive(shop.app.state.api.ctx, now=YEARS_LATER) == 0  # not set
    assert await order_inactive(kept, now=datetime.now(UTC)) == 0
    assert await order_inactive(kept, now=YEARS_LATER) == 1
    await shop.wait_until("SELECT count(*) = 1 FROM erasures WHERE finished_at IS NOT NULL AND requested_by = 'policy'")
    assert await order_inactive(kept, now=YEARS_LATER) == 0


YEARS_LATER = datetime.now(UTC) + timedelta(days=1100)


async def leave(shop: Shop, *names: str) -> Context:
    """Let readers subscribe and leave; return a context whose former readers are kept for two years."""
    for name in names:
        await shop.subscribe(shop.person(name))
        await shop.post("/v1/me/subscription/cancel", shop.person(name), {"when": "now"})
    await shop.wait_until_idle()
    assert shop.app is not None
    ctx: Context = shop.app.state.api.ctx
    settings = ctx.settings.model_copy(update={"former_readers_kept": timedelta(days=730)})
    return dataclasses.replace(ctx, settings=settings)


async def test_who_came_back_after_a_restored_backup_is_not_erased(shop: Shop) -> None:
    ctx = await leave(shop, "ada")
    before = {one["id"] for one in await shop.rows("SELECT id FROM subscriptions")}
    await shop.subscribe(shop.person("ada"))
    for table in ("grants", "terms", "payments"):  # what a backup from before the second subscription lacks
        await shop.rows(f"DELETE FROM {table} WHERE subscription_id <> ALL($1)", before)
    await shop.rows("DELETE FROM subscriptions WHERE id <> ALL($1)", before)

    assert await order_inactive(ctx, now=YEARS_LATER) == 0

    (customer,) = await shop.stripe_customers()
    running = await shop.stripe_get("/v1/subscriptions", customer=customer["id"])
    assert ([one["status"] for one in running["data"]], await shop.rows("SELECT * FROM erasures")) == (["active"], [])


async def test_nobody_is_erased_for_inactivity_while_events_are_waiting(shop: Shop) -> None:
    ctx = await leave(shop, "ada")
    await put(
        shop,
        "evt_1",
        "failed",
        due_at=datetime.now(UTC) + timedelta(days=1),
        received_at=datetime(2026, 1, 1, tzinfo=UTC),
    )

    assert await order_inactive(ctx, now=YEARS_LATER) == 0
    await shop.execute("DELETE FROM events WHERE id = 'evt_1'")
    assert await order_inactive(ctx, now=YEARS_LATER) == 1


@pytest.mark.parametrize("status", [400, 500])
async def test_a_customer_whom_stripe_refuses_stops_no_other_erasure(shop: Shop, status: int) -> None:
    ctx = await leave(shop, "ada", "bob")
    first, second = await shop.rows("SELECT id, stripe_customer_id AS customer FROM subscribers ORDER BY id")
    path = f"/v1/customers/{first['customer']}"
    await shop.add_fault(method="GET", path=path, when="before", action="status", status=status, times=100)

    assert await order_inactive(ctx, now=YEARS_LATER) == 1
    assert [one["subscriber_id"] for one in await shop.rows("SELECT * FROM erasures")] == [second["id"]]


async def test_stripe_is_not_asked_about_a_reader_whose_money_is_owed(shop: Shop) -> None:
    ctx = await leave(shop, "ada")
    (customer,) = await shop.stripe_customers()
    asked = len(await shop.stripe_requests("GET", f"/v1/customers/{customer['id']}"))
    (payment,) = await shop.rows("SELECT id FROM payments")
    await open_dispute(shop, str(payment["id"]), reason="fraudulent")
    await shop.wait_until_idle()

    assert await order_inactive(ctx, now=YEARS_LATER) == 0
    assert len(await shop.stripe_requests("GET", f"/v1/customers/{customer['id']}")) == asked


async def test_the_nightly_job_runs_and_plans_the_next_night(shop: Shop) -> None:
    await shop.wait_until("SELECT count(*) = 1 FROM retention_runs WHERE due_at > now()")
    await shop.pool.execute(OLD_AND_NEW["sign-outs"].format(id="old", age="31 days"))

    await shop.execute("UPDATE retention_runs SET due_at = now()")
    await shop.wait_until("SELECT finished_at IS NOT NULL AND due_at > now() FROM retention_runs")

    assert await shop.rows("SELECT * FROM sign_outs") == []
    (run,) = await shop.rows("SELECT removed ->> 'sign-outs' AS count, last_error FROM retention_runs")
    assert run == {"count": "1", "last_error": None}
