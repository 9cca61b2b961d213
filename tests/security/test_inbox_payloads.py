"""The inbox stores no names, addresses or email addresses, and replay works without them."""

import json

import asyncpg

from app.db import events as rows
from app.db.engine.session import Sessions
from app.gateway.events import reduced_payload
from app.services import events
from tests.support.contexts import database_context
from tests.support.shop import Shop
from tests.support.words import words_in

PERSONAL = ("ada", "invented", "lantern", "springfield", "62701", "example.com")
INSERT = "INSERT INTO events (id, type, state, payload, work_key) VALUES ($1, $2, 'ignored', $3, '-')"


def whole(event_id: str, kind: str, version: str) -> str:
    """Return an event as an earlier release stored it."""
    thing = {
        "id": "re_1",
        "payment_intent": "pi_1",
        "receipt_email": "ada@example.com",
        "billing_details": {"name": "Ada Invented", "address": {"line1": "1 Lantern Street"}},
    }
    body = {"id": event_id, "object": "event", "type": kind, "api_version": version, "created": 1_772_388_000}
    return json.dumps({**body, "livemode": False, "data": {"object": thing, "previous_attributes": thing}})


async def test_a_subscription_leaves_nothing_about_its_reader_in_the_inbox(shop: Shop) -> None:
    await shop.subscribe(shop.person(), print_edition=True)

    stored = [row["row"] for row in await shop.rows("SELECT events::text AS row FROM events")]

    assert len(stored) > 5
    assert [row for row in stored if words_in(row, *PERSONAL)] == []
    assert (await shop.rows("SELECT count(*) AS whole FROM events WHERE NOT is_reduced"))[0]["whole"] == 0


async def test_payloads_of_an_earlier_release_are_reduced_and_can_be_replayed(shop: Shop) -> None:
    admin = shop.person("operator", roles=("admin",))
    versions = ("2017-08-15", "2026-10-28.endive", "2099-01-01.unknown")
    for number, version in enumerate(versions):
        await shop.pool.execute(
            INSERT, f"evt_{number}", "refund.updated", whole(f"evt_{number}", "refund.updated", version)
        )
    await shop.pool.execute(
        INSERT, "evt_new", "tax_id.created", whole("evt_new", "tax_id.created", "2026-10-28.endive")
    )
    await shop.pool.execute(INSERT, "evt_odd", "refund.updated", "[" * 50_000)
    shown = (await shop.get("/v1/support/events/evt_0", admin)).text

    assert shop.app is not None
    await events.reduce_payloads(shop.app.state.api.ctx)
    await shop.wait_until("SELECT bool_and(is_reduced) FROM events")  # the worker's housekeeping may have some in hand
    payloads = {row["id"]: row["payload"] for row in await shop.rows("SELECT id, payload FROM events")}
    replayed = await shop.post("/v1/support/events/replay", admin, {"state": ["ignored"]})
    await shop.wait_until_idle()

    assert [found for text in (shown, *payloads.values()) for found in words_in(text, *PERSONAL)] == []
    assert payloads["evt_odd"] == "{}"
    assert replayed.json() == {"matched": 5, "replayed": 3, "without_effect": 2}
    keys = await shop.rows("SELECT DISTINCT work_key FROM events WHERE type = 'refund.updated' AND payload <> '{}'")
    assert keys == [{"work_key": "payment:pi_1"}]


async def test_a_killed_reduction_continues_where_it_stopped(database: str, sessions: Sessions) -> None:
    ctx, text = database_context(sessions), whole("evt_1", "refund.updated", "2017-08-15")
    connection = await asyncpg.connect(database)
    await connection.executemany(INSERT, [(f"evt_{n:03}", "refund.updated", text) for n in range(250)])
    await connection.close()
    async with sessions.begin() as session:  # one batch, then the process ends
        assert await rows.reduce_payloads(session, reduced_payload, limit=100) == 100

    assert await events.reduce_payloads(ctx) == 150
    assert await events.reduce_payloads(ctx) == 0
