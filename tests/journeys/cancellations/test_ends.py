"""After a subscription ends, no invoice stays payable, and later payments are refunded."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from tests.journeys.disputes.test_disputes import bank_action, open_dispute
from tests.journeys.lifecycle.test_manual_changes_at_stripe import create_price, only_subscription
from tests.support.shop import START_TIME, Person, Shop
from tests.support.trials import start_trial

A_YEAR = START_TIME.replace(year=2027)
Ends = Callable[[Shop, Person, str], Awaitable[None]]


async def invoices_of(shop: Shop, stripe_id: str) -> list[str]:
    """Return the statuses of a subscription's invoices at Stripe, newest first."""
    return [one["status"] for one in (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]]


async def make_past_due(shop: Shop, ada: Person) -> tuple[str, str]:
    """Make a reader whose renewal failed and who has a pending invoice item; return the IDs of both."""
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", default_payment_method=card["id"])
    await shop.advance_to(A_YEAR + timedelta(days=1))
    assert await invoices_of(shop, held["stripe_id"]) == ["open", "paid"]
    await shop.stripe_post(
        "/v1/invoiceitems",
        customer=customer["id"],
        subscription=held["stripe_id"],
        amount="2400",
        currency="usd",
        description="Print Edition",
    )
    await shop.stripe_post(
        "/v1/invoiceitems", customer=customer["id"], amount="900", currency="usd", description="A mug"
    )
    return held["stripe_id"], customer["id"]


async def cancel_as_reader(shop: Shop, ada: Person, stripe_id: str) -> None:
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})).status_code == 200


async def cancel_as_agent(shop: Shop, ada: Person, stripe_id: str) -> None:
    path = f"/v1/support/subscriptions/{(await only_subscription(shop, ada))['id']}/cancel"
    assert (await shop.post(path, shop.agent, {"when": "now", "reason": "bereavement"})).status_code == 200


async def cancel_in_dashboard(shop: Shop, ada: Person, stripe_id: str) -> None:
    await shop.stripe.delete(f"/v1/subscriptions/{stripe_id}")


async def refund_in_dashboard(shop: Shop, ada: Person, stripe_id: str) -> None:
    await shop.stripe_post("/v1/refunds", payment_intent=(await shop.overview(ada))["payments"][0]["id"])


async def lose_dispute(shop: Shop, ada: Person, stripe_id: str) -> None:
    dispute = await open_dispute(shop, (await shop.overview(ada))["payments"][0]["id"])
    await bank_action(shop, f"disputes/{dispute}", status="lost")


async def check_nothing_due(shop: Shop) -> None:
    """Check that no work is left for the only subscription."""
    (row,) = await shop.rows("SELECT closed_at IS NOT NULL AS closed, due_at FROM subscriptions")
    assert tuple(row.values()) == (True, None)


async def pending_items(shop: Shop, customer: str) -> list[str]:
    """Return the pending invoice items of a customer."""
    waiting = (await shop.stripe_get("/v1/invoiceitems", customer=customer, pending="true"))["data"]
    return [str(item["description"]) for item in waiting]


@pytest.mark.parametrize(
    "ends", [cancel_as_reader, cancel_as_agent, cancel_in_dashboard, refund_in_dashboard, lose_dispute]
)
async def test_no_invoice_stays_payable_after_any_kind_of_end(shop: Shop, ends: Ends) -> None:
    ada = shop.person()
    stripe_id, customer = await make_past_due(shop, ada)

    await ends(shop, ada, stripe_id)
    await shop.wait_until_idle()

    assert (await only_subscription(shop, ada))["status"] == "canceled"
    assert await invoices_of(shop, stripe_id) == ["void", "paid"]
    assert await pending_items(shop, customer) == ["A mug"], "items outside the subscription are kept"
    done = await shop.rows(
        "SELECT action, actor FROM audit_log WHERE action LIKE '%.void' OR action LIKE '%.delete' ORDER BY 1"
    )
    assert [tuple(row.values()) for row in done] == [("invoice.void", "policy"), ("pending_item.delete", "policy")]
    await check_nothing_due(shop)


async def test_no_invoice_stays_payable_after_a_guarantee_refund(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", default_payment_method=card["id"])
    at_once = {"proration_behavior": "always_invoice", "price": await create_price(shop, amount=12_00)}
    await shop.stripe_post("/v1/subscription_items", subscription=held["stripe_id"], **at_once)
    later = {"customer": customer["id"], "subscription": held["stripe_id"], "description": "Print Edition"}
    await shop.stripe_post("/v1/invoiceitems", amount="2400", currency="usd", **later)
    await shop.wait_until_idle()
    assert await invoices_of(shop, held["stripe_id"]) == ["open", "paid"]

    refund = await shop.request_refund((await shop.overview(ada))["payments"][0]["id"])
    await shop.wait_until_idle()

    assert refund.status_code == 201, refund.text
    assert await invoices_of(shop, held["stripe_id"]) == ["void", "paid"]
    assert await pending_items(shop, customer["id"]) == []
    await check_nothing_due(shop)


async def test_an_ended_trial_leaves_no_pending_invoice_items(shop: Shop) -> None:
    ada = shop.person()
    trial = await start_trial(shop, ada)
    (customer,) = await shop.stripe_customers()
    later = {"customer": customer["id"], "subscription": trial, "description": "Print Edition"}
    await shop.stripe_post("/v1/invoiceitems", amount="2400", currency="usd", **later)

    await cancel_as_reader(shop, ada, trial)
    await shop.wait_until_idle()

    assert await pending_items(shop, customer["id"]) == []
    await check_nothing_due(shop)
    await shop.advance_to(START_TIME + timedelta(days=32))
    assert (await shop.overview(ada))["payments"] == []


@pytest.mark.parametrize("ends", [cancel_as_reader, cancel_as_agent])
async def test_a_payment_made_before_the_end_reaches_stripe_is_refunded_once(shop: Shop, ends: Ends) -> None:
    ada = shop.person()
    stripe_id, customer = await make_past_due(shop, ada)
    (owed, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    good = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer)
    path = f"/v1/subscriptions/{stripe_id}"
    fault = await shop.add_fault(method="DELETE", path=path, action="status", status=500, times=None)

    await ends(shop, ada, stripe_id)
    assert not await shop.may_read(ada)
    an_hour_on = {"frozen_time": str(int((A_YEAR + timedelta(days=1, hours=1)).timestamp()))}
    await shop.stripe.post(f"/v1/test_helpers/test_clocks/{shop.clock}/advance", data=an_hour_on)
    await shop.wait_for_clock()
    await shop.stripe_post(f"/v1/invoices/{owed['id']}/pay", payment_method=good["id"])
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE subscriptions SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until_idle()

    assert [r["amount"] for r in (await shop.stripe_get("/v1/refunds"))["data"]] == [49_00]
    (ours,) = (await shop.overview(ada))["refunds"]
    assert (ours["basis"], ours["status"]) == ("paid_after_end", "succeeded")
    assert not await shop.may_read(ada)
    await check_nothing_due(shop)


async def test_the_draft_invoice_of_a_renewal_is_voided(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    await shop.advance_to(A_YEAR + timedelta(minutes=10))
    assert await invoices_of(shop, held["stripe_id"]) == ["draft", "paid"]

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.wait_until_idle()

    assert await invoices_of(shop, held["stripe_id"]) == ["void", "paid"]
    await shop.advance_to(A_YEAR + timedelta(days=2))
    assert len((await shop.overview(ada))["payments"]) == 1


async def test_a_payment_made_after_the_end_is_refunded_once(shop: Shop) -> None:
    ada = shop.person()
    stripe_id, customer = await make_past_due(shop, ada)
    (owed, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe.delete(f"/v1/subscriptions/{stripe_id}")
    await shop.advance_to(A_YEAR + timedelta(days=2))
    good = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer)

    await shop.stripe_post(f"/v1/invoices/{owed['id']}/pay", payment_method=good["id"])
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"metadata[looked]": "again"})
    await shop.wait_until_idle()

    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 49_00
    (ours,) = (await shop.overview(ada))["refunds"]
    assert (ours["basis"], ours["status"]) == ("paid_after_end", "succeeded")
    assert (await shop.check(ada))["allowed"] is False
    asked = await shop.rows("SELECT actor, reason FROM audit_log WHERE action = 'refund.requested'")
    assert [tuple(row.values()) for row in asked] == [("policy", "ended:cancellation_requested")]


async def test_a_renewal_charged_before_a_refund_is_known_is_refunded(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    payment = (await shop.overview(ada))["payments"][0]["id"]
    await shop.advance_to(A_YEAR - timedelta(days=1))
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe_post("/v1/refunds", payment_intent=payment)
    await shop.advance_to(A_YEAR + timedelta(days=1))

    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()

    seen = {(r["basis"], r["status"], r["amount"]["amount"]) for r in (await shop.overview(ada))["refunds"]}
    assert seen == {("dashboard", "succeeded", 49_00), ("paid_after_end", "succeeded", 49_00)}
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert not await shop.may_read(ada)
