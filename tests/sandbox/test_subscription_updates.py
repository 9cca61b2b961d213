"""Subscription updates: items, prorations, previews and pauses."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount

HALF = OPENING + YEAR // 2


async def subscription_on_clock(account: SandboxAccount, **more: Any) -> tuple[Any, Any]:
    """Return a clock and a $49 yearly subscription on it."""
    clock = await account.clock()
    return clock, await account.subscribe(customer=await account.customer(test_clock=clock.id), **more)


async def compute_lines(account: SandboxAccount, invoice: str) -> list[tuple[int, bool]]:
    """Return the amount of each line of an invoice, and whether it is a proration."""
    lines = (await account.v1.invoices.retrieve_async(invoice)).lines.data
    details = [line.parent.subscription_item_details or line.parent.invoice_item_details for line in lines]
    return [(line.amount, each.proration) for line, each in zip(lines, details, strict=True)]


async def test_an_added_item_is_prorated_on_the_next_invoice(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    printed = await account.price(2000)
    await account.advance(clock, HALF)
    changed = await account.v1.subscriptions.update_async(subscription.id, {"items": [{"price": printed.id}]})
    assert [item.price.unit_amount for item in changed["items"].data] == [4900, 2000]
    assert {item.current_period_end for item in changed["items"].data} == {OPENING + YEAR}
    waiting = (await account.v1.invoice_items.list_async({"pending": True})).data
    assert [(item.amount, item.proration, item.period.start) for item in waiting] == [(1000, True, HALF)]
    assert changed.latest_invoice == subscription.latest_invoice

    await account.advance(clock, OPENING + YEAR + HOUR)
    renewed = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (renewed.latest_invoice.status, renewed.latest_invoice.total) == ("paid", 7900)
    assert await compute_lines(account, renewed.latest_invoice.id) == [(1000, True), (4900, False), (2000, False)]
    assert (await account.v1.invoice_items.list_async({"pending": True})).data == []


async def test_always_invoice_charges_the_difference_immediately(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    dearer = await account.price(9900)
    await account.advance(clock, HALF)
    item = subscription["items"].data[0].id
    changed = await account.v1.subscriptions.update_async(
        subscription.id, {"items": [{"id": item, "price": dearer.id}], "proration_behavior": "always_invoice"}
    )
    invoice = await account.v1.invoices.retrieve_async(changed.latest_invoice)
    assert (invoice.status, invoice.billing_reason, invoice.total) == ("paid", "subscription_update", 2500)
    assert await compute_lines(account, invoice.id) == [(-2450, True), (4950, True)]
    event = await account.event("customer.subscription.updated")
    assert event.data.previous_attributes["items"].data[0].price.unit_amount == 4900


async def test_without_proration_only_the_next_invoice_changes(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    item, dearer = subscription["items"].data[0].id, await account.price(9900)
    await account.advance(clock, HALF)
    await account.v1.subscription_items.update_async(
        item, {"price": dearer.id, "quantity": 2, "proration_behavior": "none"}
    )
    assert (await account.v1.invoice_items.list_async()).data == []
    await account.advance(clock, OPENING + YEAR + HOUR)
    renewed = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert await compute_lines(account, renewed.latest_invoice) == [(19800, False)]


async def test_a_removed_item_is_credited_and_the_credit_is_applied_first(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    digital, printed = await account.price(), await account.price(2000)
    subscription = await account.subscribe(customer=customer, items=[{"price": digital.id}, {"price": printed.id}])
    await account.advance(clock, HALF)
    dropped = subscription["items"].data[1].id
    gone = await account.v1.subscription_items.delete_async(dropped, {"proration_behavior": "always_invoice"})
    assert (gone.id, gone.deleted) == (dropped, True)
    left = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert [item.price.id for item in left["items"].data] == [digital.id]
    credit = left.latest_invoice
    assert (credit.status, credit.total, credit.amount_due, credit.ending_balance) == ("paid", -1000, 0, -1000)
    assert (await account.v1.customers.retrieve_async(customer.id)).balance == -1000

    await account.advance(clock, OPENING + YEAR + HOUR)
    renewal = await account.v1.invoices.retrieve_async(
        (await account.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    )
    assert (renewal.total, renewal.starting_balance, renewal.amount_paid) == (4900, -1000, 3900)
    assert (await account.v1.customers.retrieve_async(customer.id)).balance == 0


async def test_the_last_item_cannot_be_removed(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="at least one active plan"):
        await account.v1.subscription_items.delete_async(subscription["items"].data[0].id)


@pytest.mark.parametrize(("mode", "credit"), [("flexible", -1225), ("classic", -2450)])
async def test_flexible_billing_credits_the_billed_amount_and_classic_the_current_price(
    account: SandboxAccount, mode: str, credit: int
) -> None:
    once = await account.v1.coupons.create_async({"percent_off": 50, "duration": "once"})
    clock, subscription = await subscription_on_clock(
        account, discounts=[{"coupon": once.id}], billing_mode={"type": mode}
    )
    assert subscription.billing_mode.type == mode
    cheaper = await account.price(1000)
    await account.advance(clock, HALF)
    item = subscription["items"].data[0].id
    await account.v1.subscriptions.update_async(subscription.id, {"items": [{"id": item, "price": cheaper.id}]})
    amounts = {each.amount for each in (await account.v1.invoice_items.list_async()).data}
    assert amounts == {credit, 500}


async def test_a_subscription_can_migrate_from_classic_to_flexible_only(account: SandboxAccount) -> None:
    subscription = await account.subscribe(billing_mode={"type": "classic"})
    flexible = {"billing_mode": {"type": "flexible"}}
    assert (await account.v1.subscriptions.migrate_async(subscription.id, flexible)).billing_mode.type == "flexible"
    with pytest.raises(stripe.InvalidRequestError, match="already flexible"):
        await account.v1.subscriptions.migrate_async(subscription.id, flexible)


async def test_a_change_whose_immediate_payment_fails_changes_nothing(account: SandboxAccount) -> None:
    _, subscription = await subscription_on_clock(account)
    failing = await account.v1.payment_methods.attach_async(
        "pm_card_chargeCustomerFail", {"customer": subscription.customer}
    )
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    printed = await account.price(2000)
    wanted = {"items": [{"price": printed.id}], "proration_behavior": "always_invoice", "metadata": {"print": "yes"}}
    with pytest.raises(stripe.CardError):
        await account.v1.subscriptions.update_async(
            subscription.id, {**wanted, "payment_behavior": "error_if_incomplete"}
        )
    same = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert (len(same["items"].data), same.status, same.metadata.to_dict()) == (1, "active", {})
    owing = await account.v1.subscriptions.update_async(subscription.id, wanted)
    assert (owing.status, len(owing["items"].data)) == ("past_due", 2)
    assert (await account.v1.invoices.retrieve_async(owing.latest_invoice)).status == "open"


@pytest.mark.parametrize("behavior", ["create_prorations", "always_invoice"])
async def test_a_preview_has_the_amounts_of_the_change_and_stores_nothing(
    account: SandboxAccount, behavior: str
) -> None:
    clock, subscription = await subscription_on_clock(account)
    printed = await account.price(2000)
    await account.advance(clock, HALF)
    change = {"items": [{"price": printed.id}], "proration_behavior": behavior, "proration_date": HALF}
    preview = await account.v1.invoices.create_preview_async(
        {"subscription": subscription.id, "subscription_details": change}
    )
    assert preview.id.startswith("upcoming_in_")
    assert preview.total == {"create_prorations": 7900, "always_invoice": 1000}[behavior]
    assert (await account.v1.invoice_items.list_async()).data == []
    assert len((await account.v1.invoices.list_async()).data) == 1
    changed = await account.v1.subscriptions.update_async(subscription.id, change)
    await account.advance(clock, OPENING + YEAR + HOUR)
    latest = changed.latest_invoice
    if behavior == "create_prorations":
        latest = (await account.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    assert (await account.v1.invoices.retrieve_async(latest)).total == preview.total


async def test_renewals_and_first_invoices_can_be_previewed(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    renewal = await account.v1.invoices.create_preview_async({"subscription": subscription.id})
    end = subscription["items"].data[0].current_period_end
    assert (renewal.total, renewal.period_end, renewal.lines.data[0].period.start) == (4900, end, end)
    await account.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await account.v1.invoices.create_preview_async({"subscription": subscription.id})
    assert caught.value.code == "invoice_upcoming_none"
    customer, price = await account.customer(), await account.price(1200)
    first = await account.v1.invoices.create_preview_async(
        {"customer": customer.id, "subscription_details": {"items": [{"price": price.id, "quantity": 2}]}}
    )
    assert (first.total, first.customer) == (2400, customer.id)


async def test_canceling_with_prorate_creates_a_credit_that_invoice_now_invoices(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    await account.advance(clock, HALF)
    await account.v1.subscriptions.cancel_async(subscription.id, {"prorate": True, "invoice_now": True})
    assert (await account.v1.customers.retrieve_async(subscription.customer)).balance == -2450
    assert (await account.v1.refunds.list_async()).data == []


async def test_the_billing_cycle_can_be_reset_to_now(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    await account.advance(clock, HALF)
    moved = await account.v1.subscriptions.update_async(subscription.id, {"billing_cycle_anchor": {"type": "now"}})
    item = moved["items"].data[0]
    assert (moved.billing_cycle_anchor, item.current_period_start) == (HALF, HALF)
    assert item.current_period_end > HALF + 364 * DAY
    assert await compute_lines(account, moved.latest_invoice) == [(-2450, True), (4900, False)]


@pytest.mark.parametrize(
    ("behavior", "status"), [("keep_as_draft", "draft"), ("void", "void"), ("mark_uncollectible", "uncollectible")]
)
async def test_paused_collection_handles_new_invoices_as_configured(
    account: SandboxAccount, behavior: str, status: str
) -> None:
    clock, subscription = await subscription_on_clock(account)
    resumes = OPENING + YEAR + 30 * DAY
    paused = await account.v1.subscriptions.update_async(
        subscription.id, {"pause_collection": {"behavior": behavior, "resumes_at": resumes}}
    )
    assert (paused.status, paused.pause_collection.behavior) == ("active", behavior)
    await account.advance(clock, OPENING + YEAR + DAY)
    turned = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (turned.status, turned.latest_invoice.status) == ("active", status)
    await account.advance(clock, resumes)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).pause_collection is None
    assert len((await account.v1.charges.list_async()).data) == 1


async def test_a_paused_subscription_renews_only_after_it_is_resumed_and_paid(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    await account.advance(clock, HALF)
    paused = await account.v1.subscriptions.pause_async(subscription.id)
    assert (paused.status, paused.status_details.paused.subscription.type) == ("paused", "pause_requested")
    await account.advance(clock, OPENING + YEAR + DAY)
    assert len((await account.v1.invoices.list_async()).data) == 1
    resumed = await account.v1.subscriptions.resume_async(subscription.id)
    assert (resumed.status, resumed.billing_cycle_anchor) == ("active", OPENING + YEAR + DAY)
    assert await compute_lines(account, resumed.latest_invoice) == [(-2450, True), (4900, False)]
    assert {"customer.subscription.paused", "customer.subscription.resumed"} <= set(await account.types())


async def test_an_unpaid_resumption_is_voided_after_23_hours(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    await account.v1.subscriptions.pause_async(subscription.id, {"bill_for": {"unused_time_from": {"type": "none"}}})
    failing = await account.v1.payment_methods.attach_async(
        "pm_card_chargeCustomerFail", {"customer": subscription.customer}
    )
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    waiting = {"payment_behavior": "resume_on_payment_success"}
    still = await account.v1.subscriptions.resume_async(subscription.id, waiting)
    assert still.status == "paused"
    await account.advance(clock, OPENING + 23 * HOUR)
    assert (await account.v1.invoices.retrieve_async(still.latest_invoice)).status == "void"
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": ""})
    assert (await account.v1.subscriptions.resume_async(subscription.id, waiting)).status == "active"


async def test_a_new_billing_interval_starts_a_new_period_immediately(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    monthly = await account.price(500, recurring={"interval": "month"})
    await account.advance(clock, HALF)
    item = subscription["items"].data[0].id
    moved = await account.v1.subscriptions.update_async(subscription.id, {"items": [{"id": item, "price": monthly.id}]})
    assert (moved.billing_cycle_anchor, moved["items"].data[0].current_period_start) == (HALF, HALF)
    assert moved["items"].data[0].current_period_end < HALF + 32 * DAY
    assert await compute_lines(account, moved.latest_invoice) == [(-2450, True), (500, False)]
    assert (await account.v1.customers.retrieve_async(subscription.customer)).balance == -1950


async def test_a_discount_can_be_added_to_a_subscription_and_removed(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    coupon = await account.v1.coupons.create_async({"percent_off": 10, "duration": "forever"})
    updated = await account.v1.subscriptions.update_async(subscription.id, {"discounts": [{"coupon": coupon.id}]})
    assert len(updated.discounts) == 1
    preview = await account.v1.invoices.create_preview_async({"subscription": subscription.id})
    assert preview.total == 4410
    assert (await account.v1.subscriptions.delete_discount_async(subscription.id)).deleted
    await account.advance(clock, OPENING + YEAR + HOUR)
    latest = (await account.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    assert (await account.v1.invoices.retrieve_async(latest)).total == 4900


async def test_a_paused_subscription_ends_at_its_scheduled_time(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    await account.v1.subscriptions.update_async(subscription.id, {"cancel_at": "max_period_end"})
    await account.v1.subscriptions.pause_async(subscription.id)
    await account.advance(clock, OPENING + YEAR)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "canceled"


async def test_items_of_an_incomplete_subscription_cannot_change(account: SandboxAccount) -> None:
    subscription = await account.subscribe(payment_behavior="default_incomplete")
    with pytest.raises(stripe.InvalidRequestError, match="incomplete"):
        await account.v1.subscriptions.update_async(subscription.id, {"items": [{"price": (await account.price()).id}]})


async def test_an_item_can_be_replaced_by_another(account: SandboxAccount) -> None:
    clock, subscription = await subscription_on_clock(account)
    other = await account.price(9900)
    await account.advance(clock, HALF)
    swap = [{"id": subscription["items"].data[0].id, "deleted": True}, {"price": other.id}]
    swapped = await account.v1.subscriptions.update_async(
        subscription.id, {"items": swap, "proration_behavior": "always_invoice"}
    )
    assert [item.price.id for item in swapped["items"].data] == [other.id]
    assert await compute_lines(account, swapped.latest_invoice) == [(-2450, True), (4950, True)]
    item = swapped["items"].data[0].id
    with pytest.raises(stripe.InvalidRequestError, match="once in a request"):
        await account.v1.subscriptions.update_async(subscription.id, {"items": [{"id": item}, {"id": item}]})


@pytest.mark.parametrize(
    ("behavior", "at_once", "at_renewal"),
    [
        pytest.param("create_prorations", [], [-4900, 9900, 9900], id="create_prorations"),
        pytest.param("always_invoice", [-4900, 9900], [9900], id="always_invoice"),
        pytest.param("none", [], [9900], id="none"),
    ],
)
async def test_each_proration_behavior_has_its_invoice_lines(
    account: SandboxAccount, behavior: str, at_once: list[int], at_renewal: list[int]
) -> None:
    clock, subscription = await subscription_on_clock(account)
    first = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    item = subscription["items"].data[0].id
    price = await account.price(9900)
    await account.v1.subscriptions.update_async(
        subscription.id, {"items": [{"id": item, "price": price.id}], "proration_behavior": behavior}
    )
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    renewal, *others = (await account.v1.invoices.list_async({"subscription": subscription.id})).data
    assert [line.amount for line in renewal.lines.data] == at_renewal
    assert [line.amount for invoice in others[:-1] for line in invoice.lines.data] == at_once
    lines = [line for invoice in (renewal, *others) for line in invoice.lines.data if line.amount < 0]
    for line in lines:
        details = line.parent.subscription_item_details
        assert line.description == "Unused time on Magazine after 01 Jan 2026"
        assert (details.proration, details.proration_details.credited_items.invoice) == (True, first.id)
