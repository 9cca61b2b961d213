"""Trials, and what comes before a renewal."""

from typing import Any

import pytest
import stripe

from tests.sandbox.shop import DAY, HOUR, OPENING, YEAR, Shop

TRIAL = 30 * DAY


async def on_trial(shop: Shop, *, method: str | None = "pm_card_visa", **more: Any) -> tuple[Any, Any]:
    """Return a clock and a subscription on it with a trial of thirty days."""
    clock = await shop.clock()
    customer = await shop.customer(method=method, test_clock=clock.id)
    return clock, await shop.subscribe(customer=customer, trial_period_days=30, **more)


async def test_a_trial_begins_with_an_invoice_of_nothing_and_is_then_charged(shop: Shop) -> None:
    clock, subscription = await on_trial(shop, expand=["latest_invoice"])
    assert (subscription.status, subscription.trial_end) == ("trialing", OPENING + TRIAL)
    assert subscription["items"].data[0].current_period_end == subscription.billing_cycle_anchor == OPENING + TRIAL
    first = subscription.latest_invoice
    assert (first.status, first.total, first.billing_reason) == ("paid", 0, "subscription_create")
    assert (await shop.v1.charges.list_async()).data == []

    await shop.wind(clock, OPENING + TRIAL - 3 * DAY - 1)
    assert "customer.subscription.trial_will_end" not in await shop.types()
    await shop.wind(clock, OPENING + TRIAL - 3 * DAY)
    assert (await shop.event("customer.subscription.trial_will_end")).created == OPENING + TRIAL - 3 * DAY

    await shop.wind(clock, OPENING + TRIAL + HOUR)
    paying = await shop.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    invoice = paying.latest_invoice
    assert (paying.status, invoice.status, invoice.total) == ("active", "paid", 4900)
    assert (invoice.billing_reason, invoice.period_start) == ("subscription_cycle", OPENING)
    assert paying["items"].data[0].current_period_end == OPENING + TRIAL + YEAR


@pytest.mark.parametrize(
    ("behavior", "status"), [("cancel", "canceled"), ("pause", "paused"), ("create_invoice", "past_due")]
)
async def test_what_a_trial_without_a_card_becomes_is_chosen(shop: Shop, behavior: str, status: str) -> None:
    end = {"trial_settings": {"end_behavior": {"missing_payment_method": behavior}}}
    clock, subscription = await on_trial(shop, method=None, **end)
    assert subscription.trial_settings.end_behavior.missing_payment_method == behavior
    await shop.wind(clock, OPENING + TRIAL + HOUR)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == status
    if behavior == "pause":
        card = await shop.v1.payment_methods.attach_async("pm_card_visa", {"customer": subscription.customer})
        await shop.v1.subscriptions.update_async(subscription.id, {"default_payment_method": card.id})
        assert (await shop.v1.subscriptions.resume_async(subscription.id)).status == "active"


async def test_a_trial_can_be_moved_and_ended_at_once(shop: Shop) -> None:
    clock, subscription = await on_trial(shop)
    moved = await shop.v1.subscriptions.update_async(subscription.id, {"trial_end": OPENING + 2 * TRIAL})
    assert (moved.status, moved["items"].data[0].current_period_end) == ("trialing", OPENING + 2 * TRIAL)
    await shop.wind(clock, OPENING + TRIAL + DAY)
    ended = await shop.v1.subscriptions.update_async(
        subscription.id, {"trial_end": "now", "expand": ["latest_invoice"]}
    )
    assert (ended.status, ended.trial_end, ended.billing_cycle_anchor) == ("active", *[OPENING + TRIAL + DAY] * 2)
    assert (ended.latest_invoice.status, ended.latest_invoice.total) == ("paid", 4900)


async def test_a_trial_that_is_cancelled_ends_unpaid(shop: Shop) -> None:
    clock, subscription = await on_trial(shop)
    await shop.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    await shop.wind(clock, OPENING + TRIAL + DAY)
    assert (await shop.v1.subscriptions.retrieve_async(subscription.id)).status == "canceled"
    assert (await shop.v1.charges.list_async()).data == []


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"trial_end": 1}, "in the future"),
        ({"trial_period_days": 0}, "1 to 730 days"),
        ({"trial_period_days": 3, "trial_end": 4_000_000_000}, "only specify one"),
    ],
)
async def test_a_trial_that_cannot_be_is_refused(shop: Shop, params: dict[str, int], told: str) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=told):
        await shop.subscribe(**params)


async def test_a_checkout_can_sell_a_trial(shop: Shop) -> None:
    session = await shop.checkout(subscription_data={"trial_period_days": 14})
    assert (session.amount_total, session.payment_status) == (0, "unpaid")
    assert "$0.00" in (await shop.browser.get(session.url)).text
    await shop.pay(session)
    done = await shop.bought(session)
    assert (done.payment_status, done.subscription.status) == ("no_payment_required", "trialing")
    assert done.subscription.trial_end - done.subscription.trial_start == 14 * DAY
    assert done.subscription.default_payment_method is not None
    with pytest.raises(stripe.InvalidRequestError, match="at least 2 days"):
        await shop.checkout(subscription_data={"trial_end": done.created + DAY})


async def test_a_week_before_a_renewal_an_invoice_without_an_id_tells_of_it(shop: Shop) -> None:
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    await shop.wind(clock, OPENING + YEAR - 7 * DAY)
    event = await shop.event("invoice.upcoming")
    upcoming = event.data.object
    assert event.created == OPENING + YEAR - 7 * DAY
    assert "id" not in upcoming
    assert (upcoming.total, upcoming.billing_reason) == (4900, "upcoming")
    assert upcoming.parent.subscription_details.subscription == subscription.id
    assert upcoming.lines.data[0].period.start == OPENING + YEAR
    assert len((await shop.v1.invoices.list_async()).data) == 1


async def test_what_ends_with_its_period_has_no_upcoming_invoice(shop: Shop) -> None:
    clock = await shop.clock()
    subscription = await shop.subscribe(customer=await shop.customer(test_clock=clock.id))
    await shop.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    await shop.wind(clock, OPENING + YEAR + DAY)
    assert "invoice.upcoming" not in await shop.types()
