"""Webhooks of Stripe, and forged ones."""

import asyncio
import json
import time
from typing import Any

import httpx2
import pytest
from stripe import WebhookSignature

from tests.support.shop import Shop


def event(**changes: Any) -> dict[str, Any]:
    """Return an event about an unknown subscription."""
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_772_000_000,
        "livemode": False,
        "type": "customer.subscription.updated",
        "data": {"object": {"id": "sub_nobodys", "object": "subscription"}},
        **changes,
    }


def signed(shop: Shop, body: str, *, ago: int = 0, secret: str | None = None) -> dict[str, str]:
    key = secret or shop.settings.webhook_secrets[0].get_secret_value()
    header = WebhookSignature.generate_signature_header(body, key, int(time.time()) - ago)
    return {"Stripe-Signature": header, "Content-Type": "application/json"}


async def send(shop: Shop, body: str, headers: dict[str, str]) -> httpx2.Response:
    return await shop.http.post("/webhooks/stripe", content=body.encode(), headers=headers)


async def stored(shop: Shop) -> list[dict[str, Any]]:
    return await shop.rows("SELECT id, state, reason, due_at FROM events WHERE id LIKE 'evt_%' ORDER BY id")


async def test_a_repeatedly_delivered_event_is_stored_once(shop: Shop) -> None:
    body = json.dumps(event())

    answers = await asyncio.gather(*(send(shop, body, signed(shop, body)) for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}
    assert len(await stored(shop)) == 1


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param("[]", "not an event", id="list"),
        pytest.param("null", "not an event", id="null"),
        pytest.param('"evt_1"', "not an event", id="string"),
        pytest.param("{", "not JSON", id="truncated"),
        pytest.param("[" * 100_000, "not JSON", id="deeply nested"),
        pytest.param('{"object": "event"}', "lacks", id="no ID"),
        pytest.param(json.dumps(event(id=7)), "lacks", id="number as ID"),
        pytest.param(json.dumps(event(id="evt_\x00")), "lacks", id="NUL in the ID"),
        pytest.param(json.dumps(event(id="evt_\ud800")), "lacks", id="unpaired surrogate in the ID"),
        pytest.param(json.dumps(event(data=None)), "lacks", id="no object"),
        pytest.param(json.dumps(event(data={"object": []})), "lacks", id="list as object"),
    ],
)
async def test_a_signed_body_that_is_not_an_event_is_rejected(shop: Shop, body: str, detail: str) -> None:
    answer = await send(shop, body, signed(shop, body))

    assert (answer.status_code, answer.json()["code"]) == (400, "not_genuine")
    assert detail in answer.json()["detail"]
    assert await stored(shop) == []


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(lambda shop, body: {}, id="no signature"),
        pytest.param(lambda shop, body: {"Stripe-Signature": "t=1,v1=00"}, id="wrong signature"),
        pytest.param(lambda shop, body: {"Stripe-Signature": "nonsense"}, id="nonsense"),
        pytest.param(lambda shop, body: {"Stripe-Signature": "t=,v1="}, id="empty signature"),
        pytest.param(
            lambda shop, body: {"Stripe-Signature": "t=99999999999999999999999,v1=00"}, id="out-of-range time"
        ),
        pytest.param(
            lambda shop, body: {"Stripe-Signature": signed(shop, body)["Stripe-Signature"].replace(",", "=x,", 1)},
            id="time with trailing characters",
        ),
        pytest.param(lambda shop, body: {"Stripe-Signature": b"t=1,v1=\xe9\xff"}, id="not ASCII"),
        pytest.param(lambda shop, body: signed(shop, body, secret="whsec_somebody_elses"), id="another secret"),
        pytest.param(lambda shop, body: signed(shop, body, ago=400), id="too old"),
        pytest.param(lambda shop, body: signed(shop, body, ago=-400), id="in the future"),
        pytest.param(lambda shop, body: signed(shop, body + " "), id="signature of another body"),
    ],
)
async def test_an_invalid_or_old_signature_is_rejected(shop: Shop, headers: Any) -> None:
    body = json.dumps(event())

    answer = await send(shop, body, headers(shop, body))

    assert (answer.status_code, answer.json()["code"]) == (400, "not_genuine")
    assert await stored(shop) == []


async def test_a_body_that_is_not_utf_8_is_rejected(shop: Shop) -> None:
    answer = await shop.http.post("/webhooks/stripe", content=b"\xff\xfe{}", headers=signed(shop, "x"))

    assert (answer.status_code, answer.json()["code"]) == (400, "not_genuine")


async def test_a_body_over_a_megabyte_is_rejected(shop: Shop) -> None:
    body = json.dumps(event(padding="x" * 1_000_001))

    answer = await send(shop, body, signed(shop, body))

    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"livemode": True}, "live mode", id="other mode"),
        pytest.param({"type": "issuing_card.created"}, "Event type is not used", id="unused type"),
        pytest.param({"type": "of.a.future"}, "Event type is not used", id="unknown type"),
        pytest.param(
            {"type": "invoice.paid", "data": {"object": {"id": "in_1", "parent": None}}},
            "Not related to a subscription",
            id="not related to a subscription",
        ),
    ],
)
async def test_an_unused_event_is_stored_as_ignored_with_the_reason(
    shop: Shop, change: dict[str, Any], reason: str
) -> None:
    body = json.dumps(event(**change))

    answer = await send(shop, body, signed(shop, body))

    assert answer.status_code == 200
    (row,) = await stored(shop)
    assert (row["state"], row["due_at"]) == ("ignored", None)
    assert reason in row["reason"]


async def test_an_event_about_a_foreign_object_is_fetched_and_ignored(shop: Shop) -> None:
    body = json.dumps(event())

    await send(shop, body, signed(shop, body))
    await shop.wait_until_idle()

    (row,) = await stored(shop)
    assert row["state"] == "ignored"
    assert "No such subscription" in row["reason"]


async def test_a_subscription_of_another_product_on_the_same_account_is_ignored(shop: Shop) -> None:
    customer = await shop.stripe_post("/v1/customers", email="other@example.com")
    method = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer["id"])
    mugs = await shop.stripe_post("/v1/products", name="Mugs")
    price = await shop.stripe_post(
        "/v1/prices", unit_amount="100", currency="usd", product=mugs["id"], **{"recurring[interval]": "year"}
    )
    await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=method["id"],
        **{"items[0][price]": price["id"]},
    )
    await shop.wait_until_idle()

    states = {row["state"] for row in await stored(shop)}
    assert states == {"ignored"}
    assert await shop.rows("SELECT * FROM subscriptions") == []


async def test_an_event_of_another_api_version_is_applied(shop: Shop) -> None:
    ada = shop.person()
    opened = (await shop.open_checkout(ada)).json()
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.pay_checkout(opened["url"])
    bought = (await shop.stripe_get(f"/v1/checkout/sessions/{opened['id']}"))["subscription"]
    body = json.dumps(event(api_version="2019-12-03", data={"object": {"id": bought, "status": "forged"}}))

    await send(shop, body, signed(shop, body))
    await shop.wait_until_idle()

    assert await shop.may_read(ada)


async def test_the_content_of_an_event_is_not_trusted(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    lie = {"id": held["stripe_id"], "object": "subscription", "status": "canceled", "ended_at": 1}
    body = json.dumps(event(type="customer.subscription.deleted", data={"object": lie}))

    await send(shop, body, signed(shop, body))
    await shop.wait_until_idle()

    assert await shop.may_read(ada)


async def test_several_webhook_secrets_are_accepted_during_a_roll(shop: Shop) -> None:
    body = json.dumps(event())
    ours = signed(shop, body)["Stripe-Signature"]
    rolled = signed(shop, body, secret="whsec_the_new_one")["Stripe-Signature"].partition(",")[2]

    answer = await send(shop, body, {"Stripe-Signature": f"{ours},{rolled}"})

    assert answer.status_code == 200


async def test_pending_events_are_applied_after_an_outage_of_stripe(shop: Shop) -> None:
    ada = shop.person()
    opened = (await shop.open_checkout(ada)).json()
    fault = await shop.add_fault(method="GET", path="/v1/*", when="before", action="status", status=503, times=1000)
    await shop.pay_checkout(opened["url"])
    await shop.wait_until("SELECT count(*) FROM events WHERE state = 'failed'")
    assert not await shop.may_read(ada)

    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.wait_until_idle()

    assert await shop.may_read(ada)
    assert {row["state"] for row in await stored(shop)} <= {"applied", "ignored"}
