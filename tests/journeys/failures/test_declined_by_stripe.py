"""When Stripe declines a request, the next click sends it anew under another key, and the audit log says what happened."""

from typing import Any

import pytest

from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.journeys.refunds.test_guarantee import subscribe
from tests.support.shop import Shop

CANCEL, RESUME = "/v1/me/subscription/cancel", "/v1/me/subscription/resume"
DECLINED = {
    "action": "status",
    "status": 400,
    "times": 1,
    "body": {"error": {"type": "invalid_request_error", "code": "testmode_charges_only", "message": "Stripe's words."}},
}


async def keys(shop: Shop, path: str, method: str = "POST") -> list[Any]:
    """Return the idempotency keys of the requests that the sandbox received, without replayed ones."""
    return [one["idempotency_key"] for one in await shop.stripe_requests(method, path)]


@pytest.mark.parametrize("step", ["cancel", "resume"])
@pytest.mark.parametrize("by", ["reader", "staff"])
async def test_a_declined_cancellation_works_with_the_next_click(shop: Shop, step: str, by: str) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    if step == "resume":
        await shop.post(CANCEL, ada, {"when": "period_end"})
    path, who = (
        ("/v1/me/subscription", ada) if by == "reader" else (f"/v1/support/subscriptions/{held['id']}", shop.agent)
    )
    body = {"reason": "requested_by_reader"} | ({"when": "period_end"} if step == "cancel" else {})
    at_stripe = f"/v1/subscriptions/{held['stripe_id']}"
    await shop.add_fault(method="POST", path=at_stripe, when="before", **DECLINED)
    asked = await keys(shop, at_stripe)

    declined = await shop.post(f"{path}/{step}", who, body)
    again = await shop.post(f"{path}/{step}", who, body)

    status = 503 if (by, step) == ("reader", "cancel") else 409
    assert declined.status_code == status, declined.text
    assert again.status_code == 200, again.text
    assert (await shop.stripe_get(at_stripe))["cancel_at_period_end"] is (step == "cancel")
    sent = [key for key in await keys(shop, at_stripe) if key not in asked]
    assert len(set(sent)) == 2, sent
    name = {"cancel": "subscription.cancel_at_period_end", "resume": "subscription.resume"}[step]
    entries = await shop.rows("SELECT actor, action, reason, before, after FROM audit_log ORDER BY id")
    refused = [one for one in entries if one["action"].endswith(".refused")]
    assert [(one["actor"], one["action"], one["reason"]) for one in refused] == [
        ("stripe", f"{name}.refused", "testmode_charges_only")
    ]
    assert refused[0]["before"] == refused[0]["after"], "nothing changed"
    assert [one["action"] for one in entries][-3:] == [name, f"{name}.refused", name]
    timeline = " ".join(one["words"] for one in (await shop.overview(ada))["timeline"])
    assert "Stripe declined to" in timeline


async def test_a_declined_checkout_works_with_the_next_click(shop: Shop) -> None:
    ada = shop.person()
    await shop.add_fault(method="POST", path="/v1/checkout/sessions", when="before", **DECLINED)

    declined, again = [await shop.open_checkout(ada) for _ in range(2)]

    assert (declined.status_code, again.status_code) == (409, 201), declined.text
    assert len(set(await keys(shop, "/v1/checkout/sessions"))) == 2


async def test_a_declined_customer_works_with_the_next_click(shop: Shop) -> None:
    ada = shop.person()
    await shop.add_fault(method="POST", path="/v1/customers", when="before", **DECLINED)

    declined, again = [await shop.open_checkout(ada) for _ in range(2)]

    assert (declined.status_code, again.status_code) == (409, 201), declined.text
    assert len(await shop.stripe_customers()) == 1


@pytest.mark.parametrize("subscribed_before", [False, True])
async def test_a_checkout_for_a_deleted_customer_creates_another_customer(
    shop: Shop, *, subscribed_before: bool
) -> None:
    ada = shop.person()
    if subscribed_before:
        await shop.subscribe(ada)
        await shop.post(CANCEL, ada, {"when": "now"})
        await shop.wait_until_idle()
    else:
        opened = (await shop.open_checkout(ada)).json()
        await shop.stripe_post(f"/v1/checkout/sessions/{opened['id']}/expire")
        await shop.wait_until_idle()
    (customer,) = await shop.stripe_customers()
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe.delete(f"/v1/customers/{customer['id']}")

    opened = await shop.open_checkout(ada)

    assert opened.status_code == 201, opened.text
    assert (await shop.pay_checkout(opened.json()["url"])).status_code == 303
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()
    assert await shop.may_read(ada)
    assert [one["id"] for one in await shop.stripe_customers()] != [customer["id"]]
    deleted = await shop.rows("SELECT object_id FROM audit_log WHERE action = 'customer.deleted'")
    assert [row["object_id"] for row in deleted] == [customer["id"]]


async def test_a_deleted_customers_open_session_is_not_offered_again(shop: Shop) -> None:
    ada = shop.person()
    first = (await shop.open_checkout(ada)).json()
    (customer,) = await shop.stripe_customers()
    await shop.stripe.delete(f"/v1/customers/{customer['id']}")
    await shop.wait_until_idle()

    again = await shop.open_checkout(ada)

    assert again.status_code == 201, again.text
    assert again.json()["id"] != first["id"]


async def test_a_declined_portal_session_works_with_the_next_click(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    path, back = "/v1/me/billing-portal-sessions", {"return_url": "http://127.0.0.1:8080/account"}
    await shop.add_fault(method="POST", path="/v1/billing_portal/sessions", when="before", **DECLINED)

    statuses = [(await shop.post(path, ada, back)).status_code for _ in range(2)]

    assert statuses == [409, 201]


async def test_a_declined_refund_can_be_requested_again(shop: Shop) -> None:
    payment = await subscribe(shop)
    await shop.add_fault(method="POST", path="/v1/refunds", when="before", **DECLINED)

    declined = await shop.request_refund(payment, key="first")
    again = await shop.request_refund(payment, key="second")

    assert (declined.status_code, declined.json()["code"], again.status_code) == (409, "refund_refused", 201)
    assert len(set(await keys(shop, "/v1/refunds"))) == 2
    assert sum(one["amount"] for one in (await shop.stripe_get("/v1/refunds"))["data"]) == 49_00


async def test_a_declined_credit_note_is_created_under_another_key(shop: Shop) -> None:
    payment = await subscribe(shop)
    await shop.add_fault(method="POST", path="/v1/credit_notes", when="before", **DECLINED)

    await shop.request_refund(payment)
    await shop.execute("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until_idle()

    assert len((await shop.stripe_get("/v1/credit_notes"))["data"]) == 1
    assert len(set(await keys(shop, "/v1/credit_notes"))) == 2
