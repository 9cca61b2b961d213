"""Renewals on a test clock."""

import pytest

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount


async def test_a_renewal_is_a_draft_for_an_hour_and_then_paid(account: SandboxAccount) -> None:
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    end = subscription["items"].data[0].current_period_end
    assert end == OPENING + YEAR
    await account.advance(clock, end - 1)
    assert len((await account.v1.invoices.list_async({"subscription": subscription.id})).data) == 1

    await account.advance(clock, end)
    turned = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    draft = turned.latest_invoice
    assert (turned.status, turned["items"].data[0].current_period_start) == ("active", end)
    assert turned["items"].data[0].current_period_end == end + YEAR
    assert (draft.status, draft.billing_reason, draft.created) == ("draft", "subscription_cycle", end)
    assert (draft.automatically_finalizes_at, draft.number) == (end + HOUR, None)
    assert (draft.period_start, draft.period_end) == (OPENING, end)
    assert (draft.lines.data[0].period.start, draft.lines.data[0].period.end) == (end, end + YEAR)

    await account.advance(clock, end + HOUR)
    paid = await account.v1.invoices.retrieve_async(draft.id)
    assert (paid.status, paid.status_transitions.paid_at) == ("paid", end + HOUR)
    assert paid.number.endswith("-0002")
    charge = (await account.v1.charges.list_async()).data[0]
    assert (charge.amount, charge.created) == (4900, end + HOUR)
    expected = await account.event("invoice.paid")
    assert (expected.created, expected.request.id) == (end + HOUR, None)


async def test_advancing_two_years_renews_twice_in_order(account: SandboxAccount) -> None:
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    await account.advance(clock, OPENING + 2 * YEAR)
    await account.advance(clock, OPENING + 2 * YEAR + DAY)
    invoices = (await account.v1.invoices.list_async({"subscription": subscription.id})).data
    assert [(invoice.status, invoice.created) for invoice in reversed(invoices)] == [
        ("paid", OPENING),
        ("paid", OPENING + YEAR),
        ("paid", OPENING + 2 * YEAR),
    ]


async def test_monthly_renewals_keep_the_day_of_the_month(account: SandboxAccount) -> None:
    clock = await account.v1.test_helpers.test_clocks.create_async({"frozen_time": OPENING + 30 * DAY})  # the 31st
    price = await account.price(recurring={"interval": "month"})
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id), price=price)
    ends = []
    for _ in range(3):
        item = (await account.v1.subscriptions.retrieve_async(subscription.id))["items"].data[0]
        ends.append((item.current_period_end - OPENING) // DAY)
        await account.advance(clock, item.current_period_end + 2 * HOUR)
    assert ends == [58, 89, 119]  # 28 February, 31 March, 30 April


async def test_a_failed_renewal_is_retried_until_the_subscription_ends(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    failing = await account.v1.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer.id})
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    due = OPENING + YEAR + HOUR

    await account.advance(clock, due)
    overdue = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    invoice = overdue.latest_invoice
    assert (overdue.status, invoice.status, invoice.attempt_count) == ("past_due", "open", 1)
    assert invoice.next_payment_attempt == due + 3 * DAY
    assert (await account.event("invoice.payment_failed")).data.object.next_payment_attempt == due + 3 * DAY

    for attempts, at in ((2, due + 3 * DAY), (3, due + 8 * DAY)):
        await account.advance(clock, at)
        assert (await account.v1.invoices.retrieve_async(invoice.id)).attempt_count == attempts
    await account.advance(clock, due + 15 * DAY)
    ended = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert (ended.status, ended.cancellation_details.reason) == ("canceled", "payment_failed")
    last = await account.v1.invoices.retrieve_async(invoice.id)
    assert (last.status, last.attempt_count, last.next_payment_attempt) == ("open", 4, None)


async def test_a_failed_renewal_recovers_with_a_new_card(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(method="pm_card_visa", test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    failing = await account.v1.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer.id})
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    await account.advance(clock, OPENING + YEAR + HOUR)
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": ""})
    await account.advance(clock, OPENING + YEAR + 4 * DAY)
    recovered = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice.payments"]})
    assert (recovered.status, recovered.latest_invoice.status) == ("active", "paid")
    assert [payment.status for payment in recovered.latest_invoice.payments.data] == ["paid"]


@pytest.mark.parametrize("final", ["unpaid", "past_due"])
async def test_the_status_after_the_last_retry_is_configurable(account: SandboxAccount, final: str) -> None:
    await account.settings(after_retries=final, retry_days=[1])
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    failing = await account.v1.payment_methods.attach_async("pm_card_chargeCustomerFail", {"customer": customer.id})
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": failing.id})
    await account.advance(clock, OPENING + YEAR + 3 * DAY)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == final


async def test_a_renewal_that_requires_3d_secure_is_past_due(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    wary = await account.v1.payment_methods.attach_async("pm_card_authenticationRequired", {"customer": customer.id})
    await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": wary.id})
    await account.advance(clock, OPENING + YEAR + HOUR)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "past_due"
    assert "invoice.payment_action_required" in await account.types()


async def test_a_coupon_with_duration_once_discounts_only_the_first_invoice(account: SandboxAccount) -> None:
    once = await account.v1.coupons.create_async({"percent_off": 50, "duration": "once"})
    forever = await account.v1.coupons.create_async({"amount_off": 500, "currency": "usd", "duration": "forever"})
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer, discounts=[{"coupon": once.id}, {"coupon": forever.id}])
    await account.advance(clock, OPENING + YEAR + HOUR)
    first, second = reversed((await account.v1.invoices.list_async({"subscription": subscription.id})).data)
    assert (first.subtotal, first.total, second.total) == (4900, 1950, 4400)
    assert [each.amount for each in first.total_discount_amounts] == [2450, 500]
    expanded = await account.v1.invoices.retrieve_async(second.id, {"expand": ["discounts.source.coupon"]})
    assert expanded.discounts[0].source.coupon.amount_off == 500


async def test_a_renewal_draft_can_be_paid_before_its_hour_ends(account: SandboxAccount) -> None:
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    await account.advance(clock, OPENING + YEAR)
    draft = (await account.v1.subscriptions.retrieve_async(subscription.id)).latest_invoice
    assert (await account.v1.invoices.pay_async(draft)).status == "paid"
    await account.advance(clock, OPENING + YEAR + DAY)
    assert len((await account.v1.charges.list_async()).data) == 2


async def test_a_canceled_subscription_is_not_charged(account: SandboxAccount) -> None:
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    await account.advance(clock, OPENING + YEAR)
    await account.v1.subscriptions.cancel_async(subscription.id)
    await account.advance(clock, OPENING + YEAR + DAY)
    statuses = [invoice.status for invoice in (await account.v1.invoices.list_async()).data]
    assert statuses == ["draft", "paid"]
