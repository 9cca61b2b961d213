"""Subscription schedules: phases, their order with renewals, release and cancellation."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount


async def scheduled(account: SandboxAccount, **more: Any) -> tuple[Any, Any, Any]:
    """Return a clock, a subscription on it, and its schedule: a higher price from the second year on."""
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    schedule = await account.v1.subscription_schedules.create_async({"from_subscription": subscription.id})
    later = await account.price(5900)
    first = {"items": [{"price": subscription["items"].data[0].price.id, "quantity": 1}], "end_date": OPENING + YEAR}
    second = {"items": [{"price": later.id, "quantity": 1}], "proration_behavior": "none"}
    schedule = await account.v1.subscription_schedules.update_async(schedule.id, {"phases": [first, second], **more})
    return clock, subscription, schedule


async def test_a_schedule_from_a_subscription_has_its_current_period(account: SandboxAccount) -> None:
    _, subscription, schedule = await scheduled(account)
    assert (schedule.status, schedule.subscription, schedule.end_behavior) == ("active", subscription.id, "release")
    assert schedule.current_phase.to_dict() == {"start_date": OPENING, "end_date": OPENING + YEAR}
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).schedule == schedule.id


async def test_a_renewal_has_the_price_of_the_next_phase(account: SandboxAccount) -> None:
    clock, subscription, schedule = await scheduled(account)
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    renewals = (await account.v1.invoices.list_async({"subscription": subscription.id})).data
    assert [(invoice.billing_reason, invoice.total) for invoice in renewals] == [
        ("subscription_cycle", 5900),
        ("subscription_create", 4900),
    ]
    schedule = await account.v1.subscription_schedules.retrieve_async(schedule.id)
    assert schedule.current_phase.start_date == OPENING + YEAR


async def test_after_the_last_phase_the_subscription_is_released(account: SandboxAccount) -> None:
    clock, subscription, schedule = await scheduled(account)
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    await account.advance(clock, OPENING + 2 * YEAR + 2 * HOUR)
    schedule = await account.v1.subscription_schedules.retrieve_async(schedule.id)
    assert (schedule.status, schedule.released_subscription) == ("released", subscription.id)
    subscription = await account.v1.subscriptions.retrieve_async(subscription.id)
    assert (subscription.status, subscription.schedule) == ("active", None)


async def test_a_schedule_can_cancel_the_subscription_at_its_end(account: SandboxAccount) -> None:
    clock, subscription, schedule = await scheduled(account, end_behavior="cancel")
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    await account.advance(clock, OPENING + 2 * YEAR + 2 * HOUR)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).ended_at == OPENING + 2 * YEAR
    assert (await account.v1.subscription_schedules.retrieve_async(schedule.id)).status == "completed"
    assert len((await account.v1.invoices.list_async({"subscription": subscription.id})).data) == 2


async def test_cancellation_of_a_scheduled_subscription_is_refused(account: SandboxAccount) -> None:
    _, subscription, schedule = await scheduled(account)
    for params in ({"cancel_at_period_end": True}, {"cancel_at": OPENING + YEAR}):
        with pytest.raises(stripe.InvalidRequestError, match=schedule.id):
            await account.v1.subscriptions.update_async(subscription.id, params)
    await account.v1.subscription_schedules.release_async(schedule.id)
    ending = await account.v1.subscriptions.update_async(subscription.id, {"cancel_at_period_end": True})
    assert ending.cancel_at == OPENING + YEAR


async def test_canceling_a_subscription_cancels_its_schedule(account: SandboxAccount) -> None:
    _, subscription, schedule = await scheduled(account)
    await account.v1.subscriptions.cancel_async(subscription.id)
    assert (await account.v1.subscription_schedules.retrieve_async(schedule.id)).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError, match="canceled"):
        await account.v1.subscription_schedules.release_async(schedule.id)


async def test_canceling_a_schedule_cancels_its_subscription(account: SandboxAccount) -> None:
    _, subscription, schedule = await scheduled(account)
    assert (await account.v1.subscription_schedules.cancel_async(schedule.id)).status == "canceled"
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "canceled"


async def test_a_schedule_can_start_a_subscription_later(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    price = await account.price()
    schedule = await account.v1.subscription_schedules.create_async(
        {
            "customer": customer.id,
            "start_date": OPENING + DAY,
            "phases": [{"items": [{"price": price.id}], "duration": {"interval": "year", "interval_count": 2}}],
        }
    )
    assert (schedule.status, schedule.phases[0].end_date) == ("not_started", 1830384000)
    await account.advance(clock, OPENING + DAY + HOUR)
    schedule = await account.v1.subscription_schedules.retrieve_async(schedule.id)
    subscription = await account.v1.subscriptions.retrieve_async(schedule.subscription)
    assert (schedule.status, subscription.status, subscription.start_date) == ("active", "active", OPENING + DAY)


async def test_schedules_can_be_listed_by_customer(account: SandboxAccount) -> None:
    _, subscription, schedule = await scheduled(account)
    listed = await account.v1.subscription_schedules.list_async({"customer": subscription.customer})
    assert [each.id for each in listed.data] == [schedule.id]


async def test_a_subscription_has_at_most_one_schedule(account: SandboxAccount) -> None:
    _, subscription, _ = await scheduled(account)
    with pytest.raises(stripe.InvalidRequestError, match="already attached"):
        await account.v1.subscription_schedules.create_async({"from_subscription": subscription.id})
