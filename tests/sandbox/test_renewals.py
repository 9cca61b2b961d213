"""The turn of a period, on a test clock: a draft for an hour, then the money, or the dunning."""

import pytest

from tests.sandbox.shop import DAY, HOUR, OPENING, YEAR, Shop


async def test_a_year_later_it_renews_a_draft_for_an_hour_then_paid(shop: Shop) -> None:
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    end = subscription["items"].data[0].current_period_end
    assert end == OPENING + YEAR
    await shop.wind(clock, end - 1)
    assert len((await shop.v1.invoices.list_async({"subscription": subscription.id})).data) == 1

    await shop.wind(clock, end)
    turned = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    draft = turned.latest_invoice
    assert (turned.status, turned["items"].data[0].current_period_start) == ("active", end)
    assert turned["items"].data[0].current_period_end == end + YEAR
    assert (draft.status, draft.billing_reason, draft.created) == ("draft", "subscription_cycle", end)
    assert (draft.automatically_finalizes_at, draft.number) == (end + HOUR, None)
    assert (draft.period_start, draft.period_end) == (OPENING, end)
    assert (draft.lines.data[0].period.start, draft.lines.data[0].period.end) == (end, end + YEAR)

    await shop.wind(clock, end + HOUR)
    paid = await shop.v1.invoices.retrieve_async(draft.id)
    assert (paid.status, paid.status_transitions.paid_at) == ("paid", end + HOUR)
    assert paid.number.endswith("-0002")
    charge = (await shop.v1.charges.list_async()).data[0]
    assert (charge.amount, charge.created) == (4900, end + HOUR)
    told = await shop.event("invoice.paid")
    assert (told.created, told.request.id) == (end + HOUR, None)


async def test_two_years_in_one_step_renew_twice_in_order(shop: Shop) -> None:
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    await shop.wind(clock, OPENING + 2 * YEAR)
    await shop.wind(clock, OPENING + 2 * YEAR + DAY)
    invoices = (await shop.v1.invoices.list_async({"subscription": subscription.id})).data
    assert [(invoice.status, invoice.created) for invoice in reversed(invoices)] == [
        ("paid", OPENING),
        ("paid", OPENING + YEAR),
        ("paid", OPENING + 2 * YEAR),
    ]


async def test_months_of_different_lengths_keep_the_day(shop: Shop) -> None:
    clock = await shop.v1.test_helpers.test_clocks.create_async({"frozen_time": OPENING + 30 * DAY})  # the 31st
    price = await shop.price(recurring={"interval": "month"})
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id), price=price)
    ends = []
    for _ in range(3):
        item = (await shop.v1.subscriptions.retrieve_async(subscription.id))["items"].data[0]
        ends.append((item.current_period_end - OPENING) // DAY)
        await shop.wind(clock, item.current_period_end + 2 * HOUR)
    assert ends == [58, 89, 119]  # 28 February, 31 March, 30 April


async def test_a_renewal_that_fails_is_overdue_and_tried_again_until_it_ends(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer)
    failing = await shop.v1.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer.id})
    await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    due = OPENING + YEAR + HOUR

    await shop.wind(clock, due)
    overdue = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    invoice = overdue.latest_invoice
    assert (overdue.status, invoice.status, invoice.attempt_count) == ("past_due", "open", 1)
    assert invoice.next_payment_attempt == due + 3 * DAY
    assert (await shop.event("invoice.payment_failed")).data.object.next_payment_attempt == due + 3 * DAY

    for attempts, at in ((2, due + 3 * DAY), (3, due + 8 * DAY)):
        await shop.wind(clock, at)
        assert (await shop.v1.invoices.retrieve_async(invoice.id)).attempt_count == attempts
    await shop.wind(clock, due + 15 * DAY)
    ended = await shop.v1.subscriptions.retrieve_async(subscription.id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    last = await shop.v1.invoices.retrieve_async(invoice.id)
    assert (last.status, last.attempt_count, last.next_payment_attempt) == ("open", 4, None)


async def test_a_renewal_that_fails_recovers_when_a_better_card_is_given(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(method="pm_card_visa", test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer)
    failing = await shop.v1.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer.id})
    await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    await shop.wind(clock, OPENING + YEAR + HOUR)
    await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": ""})
    await shop.wind(clock, OPENING + YEAR + 4 * DAY)
    recovered = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice.payments"]})
    assert (recovered.status, recovered.latest_invoice.status) == ("active", "paid")
    assert [payment.status for payment in recovered.latest_invoice.payments.data] == ["paid"]


@pytest.mark.parametrize("final", ["unpaid", "past_due"])
async def test_what_becomes_of_it_after_the_last_retry_is_a_setting(shop: Shop, final: str) -> None:
    await shop.settings(after_retries=final, retry_days=[1])
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer)
    failing = await shop.v1.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer.id})
    await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    await shop.wind(clock, OPENING + YEAR + 3 * DAY)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == final


async def test_a_renewal_that_wants_3d_secure_is_overdue_and_says_so(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer)
    wary = await shop.v1.payment_methods.attach_async("pm_card_authenticationRequired", {"customer": customer.id})
    await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": wary.id})
    await shop.wind(clock, OPENING + YEAR + HOUR)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    assert "invoice.payment_action_required" in await shop.types()


async def test_a_coupon_of_once_is_off_the_first_invoice_alone(shop: Shop) -> None:
    once = await shop.v1.coupons.create_async({"percent_off": 50, "duration": "once"})
    forever = await shop.v1.coupons.create_async({"amount_off": 500, "currency": "usd", "duration": "forever"})
    clock = await shop.clock()
    customer = await shop.customer(test_clock=clock.id)
    subscription = await shop.subscribe(customer=customer, discounts=[{"coupon": once.id}, {"coupon": forever.id}])
    await shop.wind(clock, OPENING + YEAR + HOUR)
    first, second = reversed((await shop.v1.invoices.list_async({"subscription": subscription.id})).data)
    assert (first.subtotal, first.total, second.total) == (4900, 1950, 4400)
    assert [each.amount for each in first.total_discount_amounts] == [2450, 500]
    expanded = await shop.v1.invoices.retrieve_async(second.id, {"expand": ["discounts.source.coupon"]})
    assert expanded.discounts[0].source.coupon.amount_off == 500


async def test_a_draft_can_be_paid_before_its_hour_is_over(shop: Shop) -> None:
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    await shop.wind(clock, OPENING + YEAR)
    draft = (await shop.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    assert (await shop.v1.invoices.pay_async(draft)).status == "paid"
    await shop.wind(clock, OPENING + YEAR + DAY)
    assert len((await shop.v1.charges.list_async()).data) == 2


async def test_a_subscription_that_was_cancelled_meanwhile_is_not_charged(shop: Shop) -> None:
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    await shop.wind(clock, OPENING + YEAR)
    await shop.v1.subscriptions.cancel_async(subscription.id)
    await shop.wind(clock, OPENING + YEAR + DAY)
    statuses = [invoice.status for invoice in (await shop.v1.invoices.list_async()).data]
    assert statuses == ["draft", "paid"]
