"""A subscription is over, whoever ended it: nothing stays payable, and what is paid all the same goes back."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.shop import OPENING, Person, Shop

A_YEAR = OPENING.replace(year=2027)


async def held_of(shop: Shop, reader: Person) -> dict[str, Any]:
    """Return a reader's only subscription, as support sees it."""
    (held,) = (await shop.overview(reader))["subscriptions"]
    return dict(held)


async def invoices_of(shop: Shop, stripe_id: str) -> list[str]:
    """Return how the invoices of a subscription stand at Stripe, the newest first."""
    return [one["status"] for one in (await shop.at_stripe("/v1/invoices", subscription=stripe_id))["data"]]


async def owes_and_has_more_pending(shop: Shop, ada: Person) -> tuple[str, str]:
    """Have a reader whose renewal failed, with an item that waits for the next invoice; return the ids of both."""
    await shop.subscribes(ada)
    held = await held_of(shop, ada)
    (customer,) = await shop.customers()
    card = await shop.makes("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer["id"])
    await shop.makes(f"/v1/subscriptions/{held['stripe_id']}", default_payment_method=card["id"])
    await shop.wind_to(A_YEAR + timedelta(days=1))
    assert await invoices_of(shop, held["stripe_id"]) == ["open", "paid"]
    await shop.makes(
        "/v1/invoiceitems",
        customer=customer["id"],
        subscription=held["stripe_id"],
        amount="2400",
        currency="usd",
        description="Print Edition",
    )
    await shop.makes("/v1/invoiceitems", customer=customer["id"], amount="900", currency="usd", description="A mug")
    return held["stripe_id"], customer["id"]


@pytest.mark.parametrize("ended_by", ["the reader", "Stripe's Dashboard"])
async def test_nothing_stays_payable_whoever_ends_it(shop: Shop, ended_by: str) -> None:
    ada = shop.person()
    stripe_id, customer = await owes_and_has_more_pending(shop, ada)

    if ended_by == "the reader":
        await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    else:
        await shop.stripe.delete(f"/v1/subscriptions/{stripe_id}")
    await shop.settles()

    assert await invoices_of(shop, stripe_id) == ["void", "paid"]
    waiting = (await shop.at_stripe("/v1/invoiceitems", customer=customer, pending="true"))["data"]
    assert [item["description"] for item in waiting] == ["A mug"], "what was sold beside the subscription is left alone"
    done = await shop.rows(
        "SELECT action, actor FROM audit_log WHERE action LIKE '%.void' OR action LIKE '%.delete' ORDER BY 1"
    )
    assert [tuple(row.values()) for row in done] == [("invoice.void", "policy"), ("pending_item.delete", "policy")]
    (row,) = await shop.rows("SELECT closed_at IS NOT NULL AS closed, due_at FROM subscriptions")
    assert tuple(row.values()) == (True, None)


async def test_the_draft_of_a_renewal_is_voided_too(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribes(ada)
    held = await held_of(shop, ada)
    await shop.wind_to(A_YEAR + timedelta(minutes=10))
    assert await invoices_of(shop, held["stripe_id"]) == ["draft", "paid"]

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.settles()

    assert await invoices_of(shop, held["stripe_id"]) == ["void", "paid"]
    await shop.wind_to(A_YEAR + timedelta(days=2))
    assert len((await shop.overview(ada))["payments"]) == 1


async def test_paid_after_the_end_it_goes_back_once(shop: Shop) -> None:
    ada = shop.person()
    stripe_id, customer = await owes_and_has_more_pending(shop, ada)
    (owed, _) = (await shop.at_stripe("/v1/invoices", subscription=stripe_id))["data"]
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe.delete(f"/v1/subscriptions/{stripe_id}")
    await shop.wind_to(A_YEAR + timedelta(days=2))
    good = await shop.makes("/v1/payment_methods/pm_card_visa/attach", customer=customer)

    await shop.makes(f"/v1/invoices/{owed['id']}/pay", payment_method=good["id"])
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.settles()
    await shop.makes(f"/v1/subscriptions/{stripe_id}", **{"metadata[looked]": "again"})
    await shop.settles()

    (given,) = (await shop.at_stripe("/v1/refunds"))["data"]
    assert given["amount"] == 49_00
    (ours,) = (await shop.overview(ada))["refunds"]
    assert (ours["basis"], ours["status"]) == ("paid_after_end", "succeeded")
    assert (await shop.check(ada))["allowed"] is False
    asked = await shop.rows("SELECT actor, reason FROM audit_log WHERE action = 'refund.requested'")
    assert [tuple(row.values()) for row in asked] == [("policy", "ended:cancellation_requested")]


async def test_a_renewal_between_a_refund_and_our_hearing_of_it_goes_back(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribes(ada)
    held = await held_of(shop, ada)
    payment = (await shop.overview(ada))["payments"][0]["id"]
    await shop.wind_to(A_YEAR - timedelta(days=1))
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.makes("/v1/refunds", payment_intent=payment)
    await shop.wind_to(A_YEAR + timedelta(days=1))

    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.settles()

    seen = {(r["basis"], r["status"], r["amount"]["amount"]) for r in (await shop.overview(ada))["refunds"]}
    assert seen == {("dashboard", "succeeded", 49_00), ("paid_after_end", "succeeded", 49_00)}
    assert (await shop.at_stripe(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    assert not await shop.may_read(ada)
