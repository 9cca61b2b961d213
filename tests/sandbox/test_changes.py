"""A subscription changes in the middle of its period: items, prorations, previews, pauses."""

from typing import Any

import pytest
import stripe

from tests.sandbox.shop import DAY, HOUR, OPENING, YEAR, Shop

HALF = OPENING + YEAR // 2


async def begun(shop: Shop, **more: Any) -> tuple[Any, Any]:
    """Return a clock and a subscription of 49 dollars a year on it."""
    clock = await shop.clock()
    return clock, await shop.subscribe(customer=await shop.customer(test_clock=clock.id), **more)


async def compute_lines(shop: Shop, invoice: str) -> list[tuple[int, bool]]:
    """Return the amounts of an invoice's lines, and whether each is a proration."""
    lines = (await shop.v1.invoices.retrieve_async(invoice)).lines.data
    details = [line.parent.subscription_item_details or line.parent.invoice_item_details for line in lines]
    return [(line.amount, each.proration) for line, each in zip(lines, details, strict=True)]


async def test_an_item_that_is_added_is_prorated_on_the_next_invoice(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    printed = await shop.price(2000)
    await shop.wind(clock, HALF)
    changed = await shop.v1.subscriptions.update_async(subscription.id, {"items": [{"price": printed.id}]})
    assert [item.price.unit_amount for item in changed["items"].data] == [4900, 2000]
    assert {item.current_period_end for item in changed["items"].data} == {OPENING + YEAR}
    waiting = (await shop.v1.invoice_items.list_async({"pending": True})).data
    assert [(item.amount, item.proration, item.period.start) for item in waiting] == [(1000, True, HALF)]
    assert changed.latest_invoice == subscription.latest_invoice

    await shop.wind(clock, OPENING + YEAR + HOUR)
    renewed = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (renewed.latest_invoice.status, renewed.latest_invoice.total) == ("paid", 7900)
    assert await compute_lines(shop, renewed.latest_invoice.id) == [(1000, True), (4900, False), (2000, False)]
    assert (await shop.v1.invoice_items.list_async({"pending": True})).data == []


async def test_always_invoice_charges_the_difference_at_once(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    dearer = await shop.price(9900)
    await shop.wind(clock, HALF)
    item = subscription["items"].data[0].id
    changed = await shop.v1.subscriptions.update_async(
        subscription.id, {"items": [{"id": item, "price": dearer.id}], "proration_behavior": "always_invoice"}
    )
    invoice = await shop.v1.invoices.retrieve_async(changed.latest_invoice)
    assert (invoice.status, invoice.billing_reason, invoice.total) == ("paid", "subscription_update", 2500)
    assert await compute_lines(shop, invoice.id) == [(-2450, True), (4950, True)]
    event = await shop.event("customer.subscription.updated")
    assert event.data.previous_attributes["items"].data[0].price.unit_amount == 4900


async def test_without_proration_only_the_next_invoice_is_another(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    item, dearer = subscription["items"].data[0].id, await shop.price(9900)
    await shop.wind(clock, HALF)
    await shop.v1.subscription_items.update_async(
        item, {"price": dearer.id, "quantity": 2, "proration_behavior": "none"}
    )
    assert (await shop.v1.invoice_items.list_async()).data == []
    await shop.wind(clock, OPENING + YEAR + HOUR)
    renewed = await shop.v1.subscriptions.retrieve_async(subscription.id)
    assert await compute_lines(shop, renewed.latest_invoice) == [(19800, False)]


async def test_an_item_that_is_removed_is_credited_and_the_credit_pays_first(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    digital, printed = await shop.price(), await shop.price(2000)
    subscription = await shop.subscribe(customer=customer, items=[{"price": digital.id}, {"price": printed.id}])
    await shop.wind(clock, HALF)
    dropped = subscription["items"].data[1].id
    gone = await shop.v1.subscription_items.delete_async(dropped, {"proration_behavior": "always_invoice"})
    assert (gone.id, gone.deleted) == (dropped, True)
    left = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert [item.price.id for item in left["items"].data] == [digital.id]
    credit = left.latest_invoice
    assert (credit.status, credit.total, credit.amount_due, credit.ending_balance) == ("paid", -1000, 0, -1000)
    assert (await shop.v1.customers.retrieve_async(customer.id)).balance == -1000

    await shop.wind(clock, OPENING + YEAR + HOUR)
    renewal = await shop.v1.invoices.retrieve_async(
        (await shop.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    )
    assert (renewal.total, renewal.starting_balance, renewal.amount_paid) == (4900, -1000, 3900)
    assert (await shop.v1.customers.retrieve_async(customer.id)).balance == 0


async def test_the_last_item_stays(shop: Shop) -> None:
    subscription = await shop.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="at least one active plan"):
        await shop.v1.subscription_items.delete_async(subscription["items"].data[0].id)


@pytest.mark.parametrize(("mode", "credit"), [("flexible", -1225), ("classic", -2450)])
async def test_flexible_credits_what_was_billed_and_classic_what_it_costs_today(
    shop: Shop, mode: str, credit: int
) -> None:
    once = await shop.v1.coupons.create_async({"percent_off": 50, "duration": "once"})
    clock, subscription = await begun(shop, discounts=[{"coupon": once.id}], billing_mode={"type": mode})
    assert subscription.billing_mode.type == mode
    cheaper = await shop.price(1000)
    await shop.wind(clock, HALF)
    item = subscription["items"].data[0].id
    await shop.v1.subscriptions.update_async(subscription.id, {"items": [{"id": item, "price": cheaper.id}]})
    amounts = {each.amount for each in (await shop.v1.invoice_items.list_async()).data}
    assert amounts == {credit, 500}


async def test_classic_becomes_flexible_and_never_classic_again(shop: Shop) -> None:
    subscription = await shop.subscribe(billing_mode={"type": "classic"})
    flexible = {"billing_mode": {"type": "flexible"}}
    assert (await shop.v1.subscriptions.migrate_async(subscription.id, flexible)).billing_mode.type == "flexible"
    with pytest.raises(stripe.InvalidRequestError, match="flexible already"):
        await shop.v1.subscriptions.migrate_async(subscription.id, flexible)


async def test_a_change_that_must_be_paid_and_is_not_changes_nothing(shop: Shop) -> None:
    _, subscription = await begun(shop)
    failing = await shop.v1.payment_methods.attach_async(
        "pm_card_chargeCustomerFail", {"customer": subscription.customer}
    )
    await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    printed = await shop.price(2000)
    wanted = {"items": [{"price": printed.id}], "proration_behavior": "always_invoice", "metadata": {"print": "yes"}}
    with pytest.raises(stripe.CardError):
        await shop.v1.subscriptions.update_async(subscription.id, {**wanted, "payment_behavior": "error_if_incomplete"})
    same = await shop.v1.subscriptions.retrieve_async(subscription.id)
    assert (len(same["items"].data), same.status, same.metadata.to_dict()) == (1, "active", {})
    owing = await shop.v1.subscriptions.update_async(subscription.id, wanted)
    assert (owing.status, len(owing["items"].data)) == ("past_due", 2)
    assert (await shop.v1.invoices.retrieve_async(owing.latest_invoice)).status == "open"


@pytest.mark.parametrize("behavior", ["create_prorations", "always_invoice"])
async def test_a_preview_costs_what_the_change_will_cost_and_makes_nothing(shop: Shop, behavior: str) -> None:
    clock, subscription = await begun(shop)
    printed = await shop.price(2000)
    await shop.wind(clock, HALF)
    change = {"items": [{"price": printed.id}], "proration_behavior": behavior, "proration_date": HALF}
    preview = await shop.v1.invoices.create_preview_async(
        {"subscription": subscription.id, "subscription_details": change}
    )
    assert preview.id.startswith("upcoming_in_")
    assert preview.total == {"create_prorations": 7900, "always_invoice": 1000}[behavior]
    assert (await shop.v1.invoice_items.list_async()).data == []
    assert len((await shop.v1.invoices.list_async()).data) == 1
    changed = await shop.v1.subscriptions.update_async(subscription.id, change)
    await shop.wind(clock, OPENING + YEAR + HOUR)
    latest = changed.latest_invoice
    if behavior == "create_prorations":
        latest = (await shop.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    assert (await shop.v1.invoices.retrieve_async(latest)).total == preview.total


async def test_the_next_renewal_and_a_first_invoice_can_be_previewed(shop: Shop) -> None:
    subscription = await shop.subscribe()
    renewal = await shop.v1.invoices.create_preview_async({"subscription": subscription.id})
    end = subscription["items"].data[0].current_period_end
    assert (renewal.total, renewal.period_end, renewal.lines.data[0].period.start) == (4900, end, end)
    await shop.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await shop.v1.invoices.create_preview_async({"subscription": subscription.id})
    assert caught.value.code == "invoice_upcoming_none"
    customer, price = await shop.customer(), await shop.price(1200)
    first = await shop.v1.invoices.create_preview_async(
        {"customer": customer.id, "subscription_details": {"items": [{"price": price.id, "quantity": 2}]}}
    )
    assert (first.total, first.customer) == (2400, customer.id)


async def test_cancelling_with_proration_leaves_a_credit_and_invoice_now_settles_it(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    await shop.wind(clock, HALF)
    await shop.v1.subscriptions.cancel_async(subscription.id, {"prorate": True, "invoice_now": True})
    assert (await shop.v1.customers.retrieve_async(subscription.customer)).balance == -2450
    assert (await shop.v1.refunds.list_async()).data == []


async def test_the_billing_cycle_can_begin_anew_now(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    await shop.wind(clock, HALF)
    moved = await shop.v1.subscriptions.update_async(subscription.id, {"billing_cycle_anchor": {"type": "now"}})
    item = moved["items"].data[0]
    assert (moved.billing_cycle_anchor, item.current_period_start) == (HALF, HALF)
    assert item.current_period_end > HALF + 364 * DAY
    assert await compute_lines(shop, moved.latest_invoice) == [(-2450, True), (4900, False)]


@pytest.mark.parametrize(
    ("behavior", "status"), [("keep_as_draft", "draft"), ("void", "void"), ("mark_uncollectible", "uncollectible")]
)
async def test_while_collection_is_paused_invoices_are_set_aside(shop: Shop, behavior: str, status: str) -> None:
    clock, subscription = await begun(shop)
    resumes = OPENING + YEAR + 30 * DAY
    paused = await shop.v1.subscriptions.update_async(
        subscription.id, {"pause_collection": {"behavior": behavior, "resumes_at": resumes}}
    )
    assert (paused.status, paused.pause_collection.behavior) == ("active", behavior)
    await shop.wind(clock, OPENING + YEAR + DAY)
    turned = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (turned.status, turned.latest_invoice.status) == ("active", status)
    await shop.wind(clock, resumes)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).pause_collection is None
    assert len((await shop.v1.charges.list_async()).data) == 1


async def test_a_paused_subscription_rests_until_it_is_resumed_and_paid(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    await shop.wind(clock, HALF)
    paused = await shop.v1.subscriptions.pause_async(subscription.id)
    assert (paused.status, paused.status_details.paused.subscription.type) == ("paused", "pause_requested")
    await shop.wind(clock, OPENING + YEAR + DAY)
    assert len((await shop.v1.invoices.list_async()).data) == 1
    resumed = await shop.v1.subscriptions.resume_async(subscription.id)
    assert (resumed.status, resumed.billing_cycle_anchor) == ("active", OPENING + YEAR + DAY)
    assert await compute_lines(shop, resumed.latest_invoice) == [(-2450, True), (4900, False)]
    assert {"customer.subscription.paused", "customer.subscription.resumed"} <= set(await shop.types())


async def test_a_resumption_that_waits_for_its_payment_gives_up_after_23_hours(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    await shop.v1.subscriptions.pause_async(subscription.id, {"bill_for": {"unused_time_from": {"type": "none"}}})
    failing = await shop.v1.payment_methods.attach_async(
        "pm_card_chargeCustomerFail", {"customer": subscription.customer}
    )
    await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    waiting = {"payment_behavior": "resume_on_payment_success"}
    still = await shop.v1.subscriptions.resume_async(subscription.id, waiting)
    assert still.status == "paused"
    await shop.wind(clock, OPENING + 23 * HOUR)
    assert (await shop.v1.invoices.retrieve_async(still.latest_invoice)).status == "void"
    await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": ""})
    assert (await shop.v1.subscriptions.resume_async(subscription.id, waiting)).status == "active"


async def test_another_interval_begins_a_new_period_at_once(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    monthly = await shop.price(500, recurring={"interval": "month"})
    await shop.wind(clock, HALF)
    item = subscription["items"].data[0].id
    moved = await shop.v1.subscriptions.update_async(subscription.id, {"items": [{"id": item, "price": monthly.id}]})
    assert (moved.billing_cycle_anchor, moved["items"].data[0].current_period_start) == (HALF, HALF)
    assert moved["items"].data[0].current_period_end < HALF + 32 * DAY
    assert await compute_lines(shop, moved.latest_invoice) == [(-2450, True), (500, False)]
    assert (await shop.v1.customers.retrieve_async(subscription.customer)).balance == -1950


async def test_a_discount_is_given_to_a_running_subscription_and_taken_back(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    coupon = await shop.v1.coupons.create_async({"percent_off": 10, "duration": "forever"})
    given = await shop.v1.subscriptions.update_async(subscription.id, {"discounts": [{"coupon": coupon.id}]})
    assert len(given.discounts) == 1
    preview = await shop.v1.invoices.create_preview_async({"subscription": subscription.id})
    assert preview.total == 4410
    assert (await shop.v1.subscriptions.delete_discount_async(subscription.id)).deleted
    await shop.wind(clock, OPENING + YEAR + HOUR)
    latest = (await shop.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    assert (await shop.v1.invoices.retrieve_async(latest)).total == 4900


async def test_a_paused_subscription_still_ends_when_it_was_to_end(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    await shop.v1.subscriptions.update_async(subscription.id, {"cancel_at": "max_period_end"})
    await shop.v1.subscriptions.pause_async(subscription.id)
    await shop.wind(clock, OPENING + YEAR)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "canceled"


async def test_the_items_of_an_unpaid_beginning_do_not_change(shop: Shop) -> None:
    subscription = await shop.subscribe(payment_behavior="default_incomplete")
    with pytest.raises(stripe.InvalidRequestError, match="incomplete"):
        await shop.v1.subscriptions.update_async(subscription.id, {"items": [{"price": (await shop.price()).id}]})


async def test_an_item_can_be_swapped_for_another(shop: Shop) -> None:
    clock, subscription = await begun(shop)
    other = await shop.price(9900)
    await shop.wind(clock, HALF)
    swap = [{"id": subscription["items"].data[0].id, "deleted": True}, {"price": other.id}]
    swapped = await shop.v1.subscriptions.update_async(
        subscription.id, {"items": swap, "proration_behavior": "always_invoice"}
    )
    assert [item.price.id for item in swapped["items"].data] == [other.id]
    assert await compute_lines(shop, swapped.latest_invoice) == [(-2450, True), (4950, True)]
    item = swapped["items"].data[0].id
    with pytest.raises(stripe.InvalidRequestError, match="once in a request"):
        await shop.v1.subscriptions.update_async(subscription.id, {"items": [{"id": item}, {"id": item}]})
