"""What happens to readers is in the outbox, once and in order; what did not change, or happened long ago, isn't."""

import json
from datetime import timedelta
from typing import Any

from tests.journeys.subscribing.test_importing import create_former_subscriber, run_import
from tests.support.reconciliation import reconcile
from tests.support.shop import START_TIME, Shop

REFETCHED = "UPDATE events SET due_at = now(), state = 'received', attempts = 0 WHERE state = 'applied'"


async def announced(shop: Shop) -> list[dict[str, Any]]:
    """Return the events of the outbox in their order."""
    rows = await shop.rows("SELECT type, version, sub, data FROM outbox_events ORDER BY sequence")
    return [{**row, "data": json.loads(row["data"])} for row in rows]


async def types(shop: Shop) -> list[str]:
    return [event["type"] for event in await announced(shop)]


async def test_a_subscription_is_announced_from_its_beginning_to_its_refund(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    begun = await types(shop)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    await shop.post("/v1/me/subscription/resume", ada)
    await shop.wait_until_idle()
    changed = await types(shop)
    await shop.advance_to(START_TIME.replace(year=2027) + timedelta(days=1))
    renewed = await types(shop)
    (_, payment) = await shop.rows("SELECT id FROM payments ORDER BY paid_at")
    quote = {"amount": 1_00, "currency": "usd"}
    goodwill = {
        "payment": payment["id"],
        "basis": "goodwill",
        "amount": quote,
        "expected_amount": quote,
        "reason": "other",
        "note": "torn",
    }
    await shop.post("/v1/support/refunds", shop.agent, goodwill, **{"Idempotency-Key": "k1"})
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.wait_until_idle()
    ended = await types(shop)
    await shop.execute(REFETCHED)
    await shop.wait_until_idle()
    await reconcile(shop)
    await shop.wait_until_idle()

    assert begun == ["subscription.started", "entitlements.changed"]
    assert [one for one in changed[2:] if one != "entitlements.changed"] == [
        "subscription.cancel_scheduled",
        "subscription.cancel_undone",
    ]
    assert renewed[len(changed) :][0] == "subscription.renewed"
    assert sorted(ended[len(renewed) :]) == ["entitlements.changed", "refund.succeeded", "subscription.ended"]
    assert await types(shop) == ended  # nothing new was learned
    events = await announced(shop)
    assert {event["sub"] for event in events} == {"ada"}
    assert events[-1]["data"].keys() <= {"before", "after", "subscription", "reason", "refund"}
    states = [event["data"] for event in events if event["type"] == "entitlements.changed"]
    assert states[0]["before"]["features"] == {}
    assert states[-1]["before"]["features"]
    assert not states[-1]["after"]["features"]


async def test_an_import_announces_no_history_but_what_a_reader_has(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    fay = await create_former_subscriber(shop, "fay@example.com")
    await create_former_subscriber(shop, "una@example.com")  # nobody knows her yet
    await shop.advance_to(START_TIME + timedelta(days=400))
    await run_import(shop, fay=fay)
    await shop.wait_until_idle()

    assert [(event["type"], event["sub"]) for event in await announced(shop)] == [("entitlements.changed", "fay")]
