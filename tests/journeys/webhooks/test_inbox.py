"""Operators list, inspect and replay the events of the inbox."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from app.settings import Settings
from tests.operations.processes import run_newsstand
from tests.support.processes import environment
from tests.support.shop import Person, Shop

SECRETS = {"client_secret": "cs_secret_1", "url": "https://pay.example/open", "hosted_invoice_url": "https://i.example"}


def admin_of(shop: Shop) -> Person:
    return shop.person("operator", roles=("admin",))


async def newsstand(settings: Settings, *words: str) -> tuple[int, str, str]:
    """Run a command, and return its exit status and output."""
    wanted = {name: value for name, value in environment(settings).items() if name.startswith("NEWSSTAND_")}
    done = await asyncio.to_thread(run_newsstand, words, wanted)
    return done.returncode, done.stdout, done.stderr


async def put(shop: Shop, event_id: str, state: str, **more: object) -> None:
    """Insert an event with a given state into the inbox."""
    values: Mapping[str, Any] = {
        "type": "customer.subscription.updated",
        "object_id": "sub_1",
        "work_key": "subscription:sub_1",
        "payload": "{}",
        "attempts": 12,
        **more,
    }
    names = ", ".join(["id", "state", *values])
    places = ", ".join(f"${n}" for n in range(1, len(values) + 3))
    await shop.rows(f"INSERT INTO events ({names}) VALUES ({places})", event_id, state, *values.values())


async def test_replaying_a_dead_event_records_the_admin(shop: Shop) -> None:
    ada, admin = shop.person(), admin_of(shop)
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    stored_event = {"object": "event", "data": {"object": {"id": held["stripe_id"], **SECRETS}}}
    await put(
        shop,
        "evt_dead",
        "dead",
        object_id=held["stripe_id"],
        work_key=f"subscription:{held['stripe_id']}",
        last_error="StripeRefused: the key sk_live_51Abc may not",
        payload=json.dumps(stored_event),
    )

    listed = (await shop.get("/v1/support/events", admin, state="dead")).json()
    shown = (await shop.get("/v1/support/events/evt_dead", admin)).json()
    replayed = await shop.post("/v1/support/events/evt_dead/replay", admin)
    await shop.wait_until_idle()

    assert [event["id"] for event in listed["data"]] == ["evt_dead"]
    assert shown["last_error"] == "StripeRefused: the key [redacted] may not"
    assert shown["payload"]["data"]["object"] == {"id": held["stripe_id"]}
    assert (replayed.status_code, replayed.json()["state"], replayed.json()["attempts"]) == (200, "received", 0)
    assert (await shop.get("/v1/support/events/evt_dead", admin)).json()["state"] == "applied"
    (entry,) = await shop.rows("SELECT actor, object_id, before FROM audit_log WHERE action = 'event.replay'")
    assert entry == {"actor": "staff:operator", "object_id": "evt_dead", "before": '{"state": "dead"}'}


async def test_matching_events_are_counted_before_they_are_replayed(shop: Shop) -> None:
    admin = admin_of(shop)
    for number in range(3):
        await put(shop, f"evt_dead_{number}", "dead", type="invoice.paid")
    await put(shop, "evt_other", "dead", type="customer.deleted")
    await put(shop, "evt_new", "ignored", work_key="-", payload=json.dumps(_event("refund.updated")))
    await put(shop, "evt_foreign", "ignored", work_key="-", payload=json.dumps(_event("issuing_card.created")))
    chosen = {"state": ["dead"], "type": "invoice.*"}

    counted = await shop.post("/v1/support/events/replay", admin, {**chosen, "dry_run": True})
    changed = await shop.post("/v1/support/events/replay", admin, {**chosen, "expected": 2})
    done = await shop.post("/v1/support/events/replay", admin, {**chosen, "expected": 3})
    read_again = await shop.post("/v1/support/events/replay", admin, {"state": ["ignored"]})
    await shop.wait_until_idle()

    assert counted.json() == {"matched": 3, "replayed": 0, "without_effect": 0}
    assert (changed.status_code, changed.json()["code"]) == (409, "selection_changed")
    assert done.json() == {"matched": 3, "replayed": 3, "without_effect": 0}
    assert read_again.json() == {"matched": 2, "replayed": 1, "without_effect": 1}
    states = {row["id"]: row["state"] for row in await shop.rows("SELECT id, state FROM events")}
    assert states == {
        **{f"evt_dead_{number}": "ignored" for number in range(3)},  # sub_1 does not exist at Stripe
        "evt_other": "dead",
        "evt_new": "ignored",  # neither does pi_1, but it was fetched
        "evt_foreign": "ignored",
    }
    (new,) = await shop.rows("SELECT work_key FROM events WHERE id = 'evt_new'")
    assert new["work_key"] == "payment:pi_1"


def _event(kind: str) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "type": kind,
        "livemode": False,
        "data": {"object": {"id": "re_1", "payment_intent": "pi_1"}},
    }


async def test_events_are_listed_in_pages_newest_first(shop: Shop) -> None:
    admin = admin_of(shop)
    for number in range(5):
        await put(shop, f"evt_{number}", "dead", object_id=f"in_{number}")

    seen: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = (await shop.get("/v1/support/events", admin, limit="2", **after)).json()
        seen += [event["id"] for event in page["data"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}

    assert seen == [f"evt_{number}" for number in (4, 3, 2, 1, 0)]
    about = (await shop.get("/v1/support/events", admin, object="in_3")).json()["data"]
    assert [event["id"] for event in about] == ["evt_3"]
    looked_at = (await shop.get("/v1/support/events", admin, object="sub_1")).json()["data"]
    assert len(looked_at) == 5
    nonsense = await shop.get("/v1/support/events", admin, after="nonsense")
    assert (nonsense.status_code, nonsense.json()["code"]) == (422, "bad_cursor")
    for nobodys in (shop.person(), shop.agent):
        assert (await shop.get("/v1/support/events", nobodys)).status_code == 403


async def test_an_operator_lists_and_replays_events_by_command(shop: Shop) -> None:
    await put(shop, "evt_dead", "dead", last_error="StripeRefused: no", payload=json.dumps(_event("invoice.paid")))

    _, listed, _ = await newsstand(shop.settings, "events", "list", "--state", "dead", "--since", "1h")
    _, shown, _ = await newsstand(shop.settings, "events", "show", "evt_dead", "--json")
    _, counted, _ = await newsstand(shop.settings, "events", "replay", "--state", "dead", "--dry-run")
    unasked, _, _ = await newsstand(shop.settings, "events", "replay", "--state", "dead")
    still = await shop.rows("SELECT state FROM events")
    _, replayed, _ = await newsstand(shop.settings, "events", "replay", "--state", "dead", "--yes")
    missing, _, why = await newsstand(shop.settings, "events", "replay", "evt_none")
    await shop.wait_until_idle()

    assert "evt_dead" in listed
    assert "(StripeRefused: no)" in listed
    assert json.loads(shown)["payload"]["type"] == "invoice.paid"
    assert counted == "1 event matches.\n"
    assert unasked == 1
    assert still == [{"state": "dead"}]
    assert replayed.endswith("1 event is queued.\n")
    assert (missing, why) == (1, "The event does not exist, or was deleted after its retention period\n")
    (entry,) = await shop.rows("SELECT actor, after FROM audit_log WHERE action = 'event.replay_all'")
    assert entry["actor"].startswith("operator:")
    assert json.loads(entry["after"]) == {"states": ["dead"], "events": 1}
