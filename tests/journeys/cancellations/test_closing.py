"""The order of the steps that complete an end at Stripe, and invoices that the customer's balance covers."""

import asyncio
from datetime import timedelta

import pytest

from tests.journeys.cancellations.test_ends import A_YEAR, check_nothing_due, invoices_of, make_past_due
from tests.journeys.failures.test_declined_by_stripe import DECLINED
from tests.journeys.lifecycle.test_manual_changes_at_stripe import anomalies, customer_of, only_subscription
from tests.journeys.refunds.test_credits import balance, cancel_now, check_notes, refunded
from tests.support.crashes import wait_until_hit
from tests.support.shop import Shop


async def add_credit(shop: Shop, customer: str, amount: int) -> None:
    """Add credit to a customer's balance in the Dashboard."""
    path = f"/v1/customers/{customer}/balance_transactions"
    await shop.stripe_post(path, amount=str(-amount), currency="usd")


async def renewal_draft(shop: Shop) -> tuple[str, str]:
    """Subscribe a reader whose renewal is a draft; return the IDs of the subscription and the customer at Stripe."""
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = str((await only_subscription(shop, ada))["stripe_id"])
    await shop.advance_to(A_YEAR + timedelta(minutes=10))
    assert await invoices_of(shop, stripe_id) == ["draft", "paid"]
    return stripe_id, await customer_of(shop, ada)


async def test_collection_stops_before_the_cancellation_and_invoices_are_voided_after_it(shop: Shop) -> None:
    ada = shop.person()
    stripe_id, _ = await make_past_due(shop, ada)
    (owed, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    await shop.stripe.delete("/_sandbox/requests")

    await cancel_now(shop, ada)

    steps = [
        ("POST", f"/v1/invoices/{owed['id']}"),
        ("DELETE", f"/v1/subscriptions/{stripe_id}"),
        ("POST", f"/v1/invoices/{owed['id']}/void"),
    ]
    sent = [(one["method"], one["path"]) for one in (await shop.stripe.get("/_sandbox/requests")).json()["data"]]
    # A worker may complete the cancellation at the same time as the request.
    assert list(dict.fromkeys(one for one in sent if one in steps)) == steps
    events = (await shop.stripe_get("/v1/events", type="customer.subscription.updated", limit="100"))["data"]
    since = [one["data"]["object"]["status"] for one in events if one["created"] >= A_YEAR.timestamp()]
    assert since[0] == "past_due", "it was never active again"


async def test_the_audit_log_says_that_stripe_declined_to_void_an_invoice(shop: Shop) -> None:
    ada = shop.person()
    stripe_id, _ = await make_past_due(shop, ada)
    (owed, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    await shop.add_fault(method="POST", path=f"/v1/invoices/{owed['id']}/void", when="before", **DECLINED)

    await cancel_now(shop, ada)

    entries = await shop.rows(
        "SELECT action, actor, reason FROM audit_log WHERE object_id = $1 ORDER BY id", owed["id"]
    )
    assert [tuple(one.values()) for one in entries if one["action"].startswith("invoice.void")] == [
        ("invoice.void", "policy", "ended:cancel_now"),
        ("invoice.void.refused", "stripe", "testmode_charges_only"),
    ]


@pytest.mark.parametrize("credit", [pytest.param(49_00, id="covered"), pytest.param(48_70, id="below the minimum")])
async def test_a_draft_that_the_balance_covers_stays_a_draft_and_the_balance_is_kept(shop: Shop, credit: int) -> None:
    stripe_id, customer = await renewal_draft(shop)
    ada = shop.person()
    await add_credit(shop, customer, credit)

    await cancel_now(shop, ada)

    assert await invoices_of(shop, stripe_id) == ["draft", "paid"]
    (draft, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    assert draft["auto_advance"] is False
    await check_nothing_due(shop)
    await shop.advance_to(A_YEAR + timedelta(days=2))
    assert await invoices_of(shop, stripe_id) == ["draft", "paid"]
    assert await balance(shop, ada) == credit
    assert await anomalies(shop) == {customer: {"unspent_credit"}}
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"metadata[looked]": "again"})
    await shop.wait_until_idle()
    await check_nothing_due(shop)


async def test_a_draft_that_the_balance_covers_in_part_is_voided_and_the_balance_is_kept(shop: Shop) -> None:
    stripe_id, customer = await renewal_draft(shop)
    ada = shop.person()
    await add_credit(shop, customer, 20_00)

    await cancel_now(shop, ada)

    assert await invoices_of(shop, stripe_id) == ["void", "paid"]
    assert await balance(shop, ada) == 20_00


async def test_a_draft_that_is_paid_by_credit_of_the_last_moment_gives_it_back(shop: Shop) -> None:
    stripe_id, customer = await renewal_draft(shop)
    ada = shop.person()
    (draft, _) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    fault = await shop.add_fault(
        method="POST", path=f"/v1/invoices/{draft['id']}/finalize", when="before", action="hold", times=1
    )
    leaves = asyncio.create_task(cancel_now(shop, ada))
    await wait_until_hit(shop, fault)
    await add_credit(shop, customer, 60_00)
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await leaves

    assert await invoices_of(shop, stripe_id) == ["paid", "paid"]
    assert await balance(shop, ada) == 60_00
    (note,) = await check_notes(shop, ada)
    assert (note["invoice"], note["post_payment_amount"]) == (draft["id"], 49_00)
    assert await refunded(shop, ada) == {}
    assert not await shop.may_read(ada)
    await check_nothing_due(shop)


async def test_a_draft_at_the_end_of_a_subscription_at_stripe_is_held(shop: Shop) -> None:
    stripe_id, customer = await renewal_draft(shop)
    await add_credit(shop, customer, 49_00)

    await shop.stripe.delete(f"/v1/subscriptions/{stripe_id}")
    await shop.wait_until_idle()
    await shop.advance_to(A_YEAR + timedelta(days=2))

    assert await invoices_of(shop, stripe_id) == ["draft", "paid"]
    assert await balance(shop, shop.person()) == 49_00
