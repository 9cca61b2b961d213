"""Trials and upcoming invoices."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount

TRIAL = 30 * DAY


async def trial_on_clock(
    account: SandboxAccount, *, method: str | None = "pm_card_visa", **more: Any
) -> tuple[Any, Any]:
    """Return a clock and a subscription on it with a 30-day trial."""
    clock = await account.clock()
    customer = await account.customer(method=method, test_clock=clock.id)
    return clock, await account.subscribe(customer=customer, trial_period_days=30, **more)


async def test_a_trial_starts_with_a_zero_invoice_and_is_charged_at_its_end(account: SandboxAccount) -> None:
    clock, subscription = await trial_on_clock(account, expand=["latest_invoice"])
    assert (subscription.status, subscription.trial_end) == ("trialing", OPENING + TRIAL)
    assert subscription["items"].data[0].current_period_end == subscription.billing_cycle_anchor == OPENING + TRIAL
    first = subscription.latest_invoice
    assert (first.status, first.total, first.billing_reason) == ("paid", 0, "subscription_create")
    assert (await account.v1.charges.list_async()).data == []

    await account.advance(clock, OPENING + TRIAL - 3 * DAY - 1)
    assert "customer.subscription.trial_will_end" not in await account.types()
    await account.advance(clock, OPENING + TRIAL - 3 * DAY)
    assert (await account.event("customer.subscription.trial_will_end")).created == OPENING + TRIAL - 3 * DAY

    await account.advance(clock, OPENING + TRIAL + HOUR)
    paying = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    invoice = paying.latest_invoice
    assert (paying.status, invoice.status, invoice.total) == ("active", "paid", 4900)
    assert (invoice.billing_reason, invoice.period_start) == ("subscription_cycle", OPENING)
    assert paying["items"].data[0].current_period_end == OPENING + TRIAL + YEAR


@pytest.mark.parametrize(
    ("behavior", "status"), [("cancel", "canceled"), ("pause", "paused"), ("create_invoice", "past_due")]
)
async def test_the_end_of_a_trial_without_a_card_is_configurable(
    account: SandboxAccount, behavior: str, status: str
) -> None:
    end = {"trial_settings": {"end_behavior": {"missing_payment_method": behavior}}}
    clock, subscription = await trial_on_clock(account, method=None, **end)
    assert subscription.trial_settings.end_behavior.missing_payment_method == behavior
    await account.advance(clock, OPENING + TRIAL + HOUR)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == status
    if behavior == "pause":
        card = await account.v1.payment_methods.attach_async("pm_card_visa", {"customer": subscription.customer})
        await account.v1.subscriptions.update_async(subscription.id, {"default_payment_method": card.id})
        assert (await account.v1.subscriptions.resume_async(subscription.id)).status == "active"


async def test_the_end_of_a_trial_can_be_changed(account: SandboxAccount) -> None:
    clock, subscription = await trial_on_clock(account)
    moved = await account.v1.subscriptions.update_async(subscription.id, {"trial_end": OPENING + 2 * TRIAL})
    assert (moved.status, moved["items"].data[0].current_period_end) == ("trialing", OPENING + 2 * TRIAL)
    await account.advance(clock, OPENING + TRIAL + DAY)
    ended = await account.v1.subscriptions.update_async(
        subscription.id, {"trial_end": "now", "expand": ["latest_invoice"]}
    )
    assert (ended.status, ended.trial_end, ended.billing_cycle_anchor) == ("active", *[OPENING + TRIAL + DAY] * 2)
    assert (ended.latest_invoice.status, ended.latest_invoice.total) == ("paid", 4900)


@pytest.mark.parametrize(("behavior", "total"), [("none", 0), ("create_prorations", -24_50)])
async def test_a_trial_moves_the_billing_date_of_a_paid_subscription(
    account: SandboxAccount, behavior: str, total: int
) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    half = (subscription["items"].data[0].current_period_end - OPENING) // 2
    await account.advance(clock, OPENING + half)
    end = OPENING + 3 * half
    moved = await account.v1.subscriptions.update_async(
        subscription.id, {"trial_end": end, "proration_behavior": behavior, "expand": ["latest_invoice"]}
    )

    assert (moved.status, moved.trial_start, moved.trial_end) == ("trialing", OPENING + half, end)
    assert (moved.billing_cycle_anchor, moved["items"].data[0].current_period_end) == (end, end)
    invoice = moved.latest_invoice
    assert (invoice.status, invoice.billing_reason, invoice.total) == ("paid", "subscription_update", total)
    assert invoice.lines.data[-1].amount == 0
    await account.advance(clock, end + 2 * 3600)
    renewed = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    assert (renewed.status, renewed.latest_invoice.total) == ("active", 49_00)


async def test_a_canceled_trial_ends_without_a_charge(account: SandboxAccount) -> None:
    clock, subscription = await trial_on_clock(account)
    await account.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    await account.advance(clock, OPENING + TRIAL + DAY)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "canceled"
    assert (await account.v1.charges.list_async()).data == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"trial_end": 1}, "in the future"),
        ({"trial_period_days": 0}, "1 to 730 days"),
        ({"trial_period_days": 3, "trial_end": 4_000_000_000}, "only specify one"),
    ],
)
async def test_invalid_trials_are_rejected(account: SandboxAccount, params: dict[str, int], expected: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=expected):
        await account.subscribe(**params)


async def test_checkout_can_start_a_trial(account: SandboxAccount) -> None:
    session = await account.checkout(subscription_data={"trial_period_days": 14})
    assert (session.amount_total, session.payment_status) == (0, "unpaid")
    assert "$0.00" in (await account.browser.get(session.url)).text
    await account.pay(session)
    done = await account.completed_session(session)
    assert (done.payment_status, done.subscription.status) == ("no_payment_required", "trialing")
    assert done.subscription.trial_end - done.subscription.trial_start == 14 * DAY
    assert done.subscription.default_payment_method is not None
    with pytest.raises(stripe.InvalidRequestError, match="at least 2 days"):
        await account.checkout(subscription_data={"trial_end": done.created + DAY})


async def test_invoice_upcoming_is_sent_a_week_before_a_renewal_without_an_id(account: SandboxAccount) -> None:
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    await account.advance(clock, OPENING + YEAR - 7 * DAY)
    event = await account.event("invoice.upcoming")
    upcoming = event.data.object
    assert event.created == OPENING + YEAR - 7 * DAY
    assert "id" not in upcoming
    assert (upcoming.total, upcoming.billing_reason) == (4900, "upcoming")
    assert upcoming.parent.subscription_details.subscription == subscription.id
    assert upcoming.lines.data[0].period.start == OPENING + YEAR
    assert len((await account.v1.invoices.list_async()).data) == 1


async def test_a_subscription_that_ends_with_its_period_has_no_upcoming_invoice(account: SandboxAccount) -> None:
    clock = await account.clock()
    subscription = await account.subscribe(customer=await account.customer(test_clock=clock.id))
    await account.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    await account.advance(clock, OPENING + YEAR + DAY)
    assert "invoice.upcoming" not in await account.types()
