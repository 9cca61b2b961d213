"""A webhook endpoint on an older API version, thin events, and payloads that many parsers fail on."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.cancellations.test_ends import make_past_due
from tests.journeys.webhooks.test_webhooks import event, send, signed, stored
from tests.support.refunds import payment_ids
from tests.support.shop import START_TIME, Shop, open_shop

OLDER = "2024-06-20"


@pytest.fixture
async def older_shop(database: str, sandbox: Any, issuer: Any) -> AsyncIterator[Shop]:
    """Provide a shop whose webhook endpoint has an older API version."""
    async with open_shop(database, sandbox, issuer, endpoint_version=OLDER) as opened:
        yield opened


async def test_a_subscriptions_life_is_followed_through_an_older_endpoint(older_shop: Shop) -> None:
    shop, ada = older_shop, older_shop.person()
    await shop.subscribe(ada, print_edition=True)
    (first,) = await payment_ids(shop, ada)
    await shop.stripe_post("/v1/refunds", payment_intent=first, amount="500")
    await shop.advance_to(START_TIME + timedelta(days=366))
    charge = (await shop.stripe_get(f"/v1/payment_intents/{first}"))["latest_charge"]
    await shop.stripe.post(f"/_sandbox/charges/{charge}/warn", json={})
    await shop.wait_until_idle()

    received = await shop.rows("SELECT type, state, reason, api_version FROM events WHERE id LIKE 'evt_%'")
    assert {row["api_version"] for row in received} == {OLDER}
    kinds = {str(row["type"]) for row in received}
    assert {"invoice.paid", "charge.refunded", "refund.created", "customer.subscription.updated"} <= kinds
    assert [row for row in received if row["state"] != "applied"] == []
    assert len((await shop.overview(ada))["payments"]) == 2


async def test_a_failed_renewal_is_followed_through_an_older_endpoint(older_shop: Shop) -> None:
    shop, ada = older_shop, older_shop.person()

    await make_past_due(shop, ada)

    (held,) = (await shop.overview(ada))["subscriptions"]
    assert held["status"] == "past_due"
    (failed,) = await shop.rows("SELECT DISTINCT state, work_key FROM events WHERE type = 'invoice.payment_failed'")
    assert failed == {"state": "applied", "work_key": f"subscription:{held['stripe_id']}"}


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        pytest.param("invoice.paid", lambda ids: {"id": ids["invoice"]}, id="an invoice of an unknown shape"),
        pytest.param("charge.refunded", lambda ids: {"id": ids["charge"]}, id="a charge without its payment"),
        pytest.param(
            "charge.refunded",
            lambda ids: {"id": ids["charge"], "invoice": ids["invoice"]},
            id="a charge with its invoice",
        ),
        pytest.param(
            "charge.refund.updated", lambda ids: {"id": "re_1", "charge": ids["charge"]}, id="a refund with its charge"
        ),
        pytest.param("payment_intent.processing", lambda ids: {"id": ids["payment"]}, id="a payment intent"),
        pytest.param(
            "payment_intent.succeeded",
            lambda ids: {"id": ids["payment"], "invoice": ids["invoice"]},
            id="a payment intent with its invoice",
        ),
        pytest.param(
            "charge.dispute.created",
            lambda ids: {"id": ids["dispute"], "charge": ids["charge"]},
            id="a dispute's charge",
        ),
    ],
)
async def test_an_event_about_an_object_of_ours_is_never_ignored(shop: Shop, kind: str, thing: Any) -> None:
    await shop.subscribe(shop.person())
    (payment,) = (await shop.overview(shop.person()))["payments"]
    charge = (await shop.stripe_get(f"/v1/payment_intents/{payment['id']}"))["latest_charge"]
    ids = {"payment": payment["id"], "invoice": payment["invoice"], "charge": charge}
    if "dispute" in kind:
        made = await shop.stripe.post(f"/_sandbox/charges/{charge}/dispute", json={})
        ids["dispute"] = made.json()["id"]
        await shop.wait_until_idle()

    body = json.dumps(event(id="evt_old", type=kind, api_version="2017-08-15", data={"object": thing(ids)}))
    answer = await send(shop, body, signed(shop, body))
    await shop.wait_until_idle()

    assert answer.status_code == 200
    (old,) = await shop.rows("SELECT state, reason, work_key FROM events WHERE id = 'evt_old'")
    assert (old["state"], old["reason"]) == ("applied", None)
    assert old["work_key"].partition(":")[0] in {"subscription", "payment", "credited"}


async def test_objects_of_another_product_are_ignored_after_a_look(shop: Shop) -> None:
    """A charge, an intent or an invoice of an unknown shape is fetched, and is not ours."""
    customer = await shop.stripe_post("/v1/customers", test_clock=shop.clock)
    product = await shop.stripe_post("/v1/products", name="A mug")
    await shop.stripe_post(
        "/v1/invoiceitems", customer=customer["id"], amount="900", currency="usd", description="A mug"
    )
    invoice = await shop.stripe_post("/v1/invoices", customer=customer["id"])
    assert product["id"]
    for number, (kind, thing) in enumerate(
        [("invoice.paid", {"id": invoice["id"]}), ("invoice.paid", {"id": "in_gone"})]
    ):
        body = json.dumps(event(id=f"evt_{number}", type=kind, data={"object": thing}))
        assert (await send(shop, body, signed(shop, body))).status_code == 200
    await shop.wait_until_idle()

    assert {(row["id"], row["state"]) for row in await stored(shop) if row["id"] in {"evt_0", "evt_1"}} == {
        ("evt_0", "ignored"),
        ("evt_1", "ignored"),
    }


async def test_a_thin_event_is_answered_200_and_stored_as_ignored(shop: Shop) -> None:
    sent = (await shop.stripe.post("/_sandbox/thin_events", json={"type": "v2.core.account.updated"})).json()

    assert sent["statuses"] == [200]
    assert await stored(shop) == [
        {"id": sent["event"]["id"], "state": "ignored", "reason": "Thin events are not used", "due_at": None}
    ]
    forged = json.dumps(sent["event"])
    refused = await send(shop, forged, signed(shop, forged, secret="whsec_somebody_elses"))
    assert (refused.status_code, refused.json()["code"]) == (400, "not_genuine")


def deep(levels: int) -> Any:
    """Return lists in each other."""
    value: Any = "inside"
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({"name": "\ud83d"}, id="an unpaired surrogate"),
        pytest.param({"\udc00": 1}, id="an unpaired surrogate in a name"),
        pytest.param(deep(260), id="260 levels"),
        pytest.param({"value": float("1e308") * 10}, id="out of range"),
        pytest.param({"value": 10**4000}, id="a huge number"),
        pytest.param({"value": "\x00"}, id="NUL"),
    ],
)
async def test_an_odd_payload_is_stored_and_shown_or_refused(shop: Shop, metadata: Any) -> None:
    admin = shop.person("root", roles=("admin",))
    body = json.dumps(event(data={"object": {"id": "sub_nobodys", "metadata": metadata}})).replace("Infinity", "1e999")
    answer = await send(shop, body, signed(shop, body))
    await shop.wait_until_idle()
    earlier = "evt_earlier"  # stored as it came by an earlier release
    await shop.pool.execute(
        "INSERT INTO events (id, type, state, payload, work_key) VALUES ($1, 'invoice.paid', 'ignored', $2, '-')",
        earlier,
        body,
    )

    assert answer.status_code in {200, 400}
    for one in await stored(shop):
        shown = await shop.get(f"/v1/support/events/{one['id']}", admin)
        assert shown.status_code == 200, shown.text
        assert shown.json()["payload"]["id"] == "evt_1"


async def test_a_stored_payload_that_is_not_json_is_shown_empty(shop: Shop) -> None:
    admin = shop.person("root", roles=("admin",))
    for number, payload in enumerate(("[" * 50_000, "not JSON", "[]", "")):
        await shop.pool.execute(
            "INSERT INTO events (id, type, state, payload, work_key) VALUES ($1, 'invoice.paid', 'ignored', $2, '-')",
            f"evt_{number}",
            payload,
        )
        shown = await shop.get(f"/v1/support/events/evt_{number}", admin)
        assert (shown.status_code, list(shown.json()["payload"])) == (200, [])
        assert (await shop.post(f"/v1/support/events/evt_{number}/replay", admin)).status_code < 500
