"""Canceling while a renewal is not paid, and subscriptions that collect later: nothing is charged afterwards."""

from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.cancellations.test_ends import check_nothing_due, invoices_of, make_past_due
from tests.journeys.lifecycle.test_manual_changes_at_stripe import create_price, only_subscription
from tests.support.shop import START_TIME, Person, Shop
from tests.support.trials import start_trial

A_YEAR = START_TIME.replace(year=2027)
PREVIEW, CANCEL = "/v1/me/subscription/cancel-preview", "/v1/me/subscription/cancel"
PERIOD_END = {"when": "period_end"}


async def preview(shop: Shop, by: Person) -> dict[str, Any]:
    """Return the preview of a cancellation."""
    seen = await shop.get(PREVIEW, by)
    assert seen.status_code == 200, seen.text
    return dict(seen.json())


async def check_ended_with_what_was_paid(shop: Shop, by: Person, stripe_id: str, *, payments: int) -> None:
    """Check that a subscription ended at Stripe, no invoice can be paid, and nothing is charged in the next year."""
    await shop.wait_until_idle()
    held = await only_subscription(shop, by)
    assert (held["status"], held["ended_by"]) == ("canceled", "not_renewed")
    assert (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["status"] == "canceled"
    assert not {"draft", "open", "uncollectible"} & set(await invoices_of(shop, stripe_id))
    await check_nothing_due(shop)
    await shop.advance_to(A_YEAR + timedelta(days=400))
    assert len((await shop.overview(by))["payments"]) == payments


async def pay_by_debit(shop: Shop, *, seconds: int = 6 * 86_400) -> tuple[Person, str]:
    """Subscribe a reader whose renewals are paid by bank debit; return them and the subscription."""
    ada = shop.person()
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    (customer,) = await shop.stripe_customers()
    await shop.stripe.put("/_sandbox/settings", json={"debit_seconds": seconds})
    bank = await shop.stripe_post("/v1/payment_methods/pm_usBankAccount_success/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", default_payment_method=bank["id"])
    return ada, held["stripe_id"]


async def test_a_past_due_subscription_ends_without_another_charge(shop: Shop) -> None:
    ada = shop.person()
    stripe_id, customer = await make_past_due(shop, ada)
    assert (await shop.check(ada))["reason"] == "grace_period"
    good = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=customer)
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", default_payment_method=good["id"])
    seen = await preview(shop, ada)

    canceled = await shop.post(CANCEL, ada, PERIOD_END)

    assert canceled.status_code == 200, canceled.text
    end = seen["period_end"]
    assert (end["ends_at"], end["access_until"], end["can_resume"]) == ("2027-03-02T18:00:00Z",) * 2 + (False,)
    assert [(one["amount"]["amount"], one["processing"]) for one in seen["open_invoices"]] == [(49_00, False)]
    assert canceled.json()["status"] == "canceled"
    assert canceled.json()["ends_at"] == end["ends_at"]
    assert (await shop.check(ada))["allowed"] is False
    await check_ended_with_what_was_paid(shop, ada, stripe_id, payments=1)
    actions = [r["action"] for r in await shop.rows("SELECT action FROM audit_log WHERE actor LIKE 'reader:rdr_%'")]
    assert actions == ["subscription.cancel_at_period_end"]


async def test_a_cancellation_in_the_draft_hour_of_a_renewal_prevents_the_charge(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = (await only_subscription(shop, ada))["stripe_id"]
    await shop.advance_to(A_YEAR + timedelta(minutes=10))
    assert await invoices_of(shop, stripe_id) == ["draft", "paid"]
    seen = await preview(shop, ada)
    assert [(one["number"], one["amount"]["amount"]) for one in seen["open_invoices"]] == [(None, 49_00)]

    canceled = await shop.post(CANCEL, ada, PERIOD_END)

    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    await shop.wait_until_idle()
    held = await only_subscription(shop, ada)
    assert (held["ended_by"], (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["status"]) == (
        "not_renewed",
        "canceled",
    )
    await shop.advance_to(A_YEAR + timedelta(days=30))
    assert len((await shop.overview(ada))["payments"]) == 1


async def test_a_payment_that_is_processing_is_named_and_refunded_when_it_arrives(shop: Shop) -> None:
    ada, stripe_id = await pay_by_debit(shop)
    await shop.advance_to(A_YEAR + timedelta(hours=2))
    assert await invoices_of(shop, stripe_id) == ["open", "paid"]
    seen = await preview(shop, ada)
    assert [(one["amount"]["amount"], one["processing"]) for one in seen["open_invoices"]] == [(49_00, True)]

    canceled = await shop.post(CANCEL, ada, PERIOD_END)

    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert not await shop.may_read(ada)
    await shop.advance_to(A_YEAR + timedelta(days=8))
    overview = await shop.overview(ada)
    assert len(overview["payments"]) == 2, "the debit could not be stopped"
    assert [(one["basis"], one["amount"]["amount"]) for one in overview["refunds"]] == [("paid_after_end", 49_00)]
    assert sum(one["amount"] for one in (await shop.stripe_get("/v1/refunds"))["data"]) == 49_00
    assert not await shop.may_read(ada), "a term that was paid after the end is never granted"
    await check_nothing_due(shop)


async def test_a_payment_after_the_end_opens_no_term_before_its_refund_is_confirmed(shop: Shop) -> None:
    ada, stripe_id = await pay_by_debit(shop)
    await shop.advance_to(A_YEAR + timedelta(hours=2))
    assert (await shop.post(CANCEL, ada, PERIOD_END)).status_code == 200
    await shop.wait_until_idle()
    fault = await shop.add_fault(method="POST", path="/v1/refunds", action="status", status=503, times=None)
    arrival = {"frozen_time": str(int((A_YEAR + timedelta(days=8)).timestamp()))}
    await shop.stripe.post(f"/v1/test_helpers/test_clocks/{shop.clock}/advance", data=arrival)
    await shop.wait_for_clock()

    await shop.wait_until("SELECT count(*) = 1 FROM refunds")

    assert not await shop.may_read(ada)
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.execute("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until_idle()
    assert not await shop.may_read(ada)
    assert (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["status"] == "canceled"


async def test_an_unpaid_addition_ends_the_subscription_and_paid_access_continues(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", default_payment_method=card["id"])
    at_once = {"proration_behavior": "always_invoice", "price": await create_price(shop, amount=12_00)}
    await shop.stripe_post("/v1/subscription_items", subscription=held["stripe_id"], **at_once)
    await shop.wait_until_idle()
    seen = await preview(shop, ada)
    assert (seen["period_end"]["access_until"], seen["period_end"]["can_resume"]) == ("2027-03-01T18:00:00Z", False)

    assert (await shop.post(CANCEL, ada, PERIOD_END)).status_code == 200

    assert (await shop.check(ada)) == {"allowed": True, "reason": "paid_term", "until": "2027-03-01T18:00:00Z"}
    await check_ended_with_what_was_paid(shop, ada, held["stripe_id"], payments=1)
    assert (await shop.check(ada))["reason"] == "ended"


@pytest.mark.parametrize("by", ["reader", "staff"])
@pytest.mark.parametrize("status", ["paused", "unpaid"])
async def test_a_paused_or_unpaid_subscription_can_be_canceled(shop: Shop, status: str, by: str) -> None:
    ada = shop.person()
    if status == "paused":
        await shop.subscribe(ada)
        held = await only_subscription(shop, ada)
        not_credited = {"bill_for[unused_time_from][type]": "none"}
        await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}/pause", **not_credited)
    else:
        await shop.stripe.put("/_sandbox/settings", json={"after_retries": "unpaid", "retry_days": [2]})
        await make_past_due(shop, ada)
        await shop.advance_to(A_YEAR + timedelta(days=9))
        held = await only_subscription(shop, ada)
    await shop.wait_until_idle()
    assert (await only_subscription(shop, ada))["status"] == status
    readable = await shop.may_read(ada)
    assert (await preview(shop, ada))["period_end"]["can_resume"] is False

    if by == "reader":
        canceled = await shop.post(CANCEL, ada, PERIOD_END)
    else:
        path = f"/v1/support/subscriptions/{held['id']}/cancel"
        canceled = await shop.post(path, shop.agent, {**PERIOD_END, "reason": "requested_by_reader"})

    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled"), canceled.text
    assert await shop.may_read(ada) is readable is (status == "paused"), "paid access continues"
    notice = (await shop.get("/v1/me/subscription", ada)).json()["notice"]
    assert ("You keep access until" in notice["text"]) is readable
    await check_ended_with_what_was_paid(shop, ada, held["stripe_id"], payments=1)


async def test_a_subscription_paused_after_its_trial_can_be_canceled_now(shop: Shop) -> None:
    ada = shop.person()
    stripe_id = await start_trial(shop, ada)
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}/pause")
    await shop.wait_until_idle()

    canceled = await shop.post(CANCEL, ada, {"when": "now"})

    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled"), canceled.text
    await shop.wait_until_idle()
    assert (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["status"] == "canceled"


async def attach_schedule(shop: Shop, held: dict[str, Any], *, end_behavior: str = "release") -> str:
    """Schedule a higher price for the second year, as staff would in the Dashboard. Return the schedule."""
    schedule = await shop.stripe_post("/v1/subscription_schedules", from_subscription=held["stripe_id"])
    (phase,) = schedule["phases"]
    changes = {
        "end_behavior": end_behavior,
        "phases[0][items][0][price]": phase["items"][0]["price"],
        "phases[0][start_date]": str(phase["start_date"]),
        "phases[0][end_date]": str(phase["end_date"]),
        "phases[1][items][0][price]": await create_price(shop, amount=59_00),
        "phases[1][proration_behavior]": "none",
    }
    await shop.stripe_post(f"/v1/subscription_schedules/{schedule['id']}", **changes)
    await shop.wait_until_idle()
    return str(schedule["id"])


@pytest.mark.parametrize("by", ["reader", "staff"])
async def test_a_subscription_with_a_schedule_can_be_canceled_and_resumed(shop: Shop, by: str) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    schedule = await attach_schedule(shop, held)
    path, who = (
        ("/v1/me/subscription", ada) if by == "reader" else (f"/v1/support/subscriptions/{held['id']}", shop.agent)
    )
    reason = {"reason": "requested_by_reader"}

    canceled = await shop.post(f"{path}/cancel", who, {**PERIOD_END, **reason})

    assert canceled.status_code == 200, canceled.text
    assert (await shop.stripe_get(f"/v1/subscription_schedules/{schedule}"))["status"] == "released"
    seen = await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}")
    assert (seen["cancel_at_period_end"], seen["schedule"]) == (True, None)
    resumed = await shop.post(f"{path}/resume", who, reason if by == "staff" else None)
    assert resumed.status_code == 200, resumed.text
    assert (await shop.post(f"{path}/cancel", who, {**PERIOD_END, **reason})).status_code == 200
    await shop.advance_to(A_YEAR + timedelta(days=30))
    assert len((await shop.overview(ada))["payments"]) == 1


async def test_a_subscription_with_a_schedule_can_be_canceled_now(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    held = await only_subscription(shop, ada)
    schedule = await attach_schedule(shop, held)

    assert (await shop.post(CANCEL, ada, {"when": "now"})).status_code == 200

    await shop.wait_until_idle()
    assert (await shop.stripe_get(f"/v1/subscription_schedules/{schedule}"))["status"] == "canceled"
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"


async def test_a_reader_who_cancels_twice_gets_no_conflict(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)

    answers = [await shop.post(CANCEL, ada, {"when": when}) for when in ("period_end", "now", "now", "period_end")]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[1].json() | {"notice": None} == answers[3].json() | {"notice": None}
    actions = [row["action"] for row in await shop.rows("SELECT action FROM audit_log ORDER BY id")]
    assert actions[:2] == ["subscription.cancel_at_period_end", "subscription.cancel_now"]
    assert len(actions) == 2


async def test_a_reader_can_cancel_a_subscription_whose_first_payment_is_pending(shop: Shop) -> None:
    ada = shop.person()
    await shop.open_checkout(ada)
    (customer,) = await shop.stripe_customers()
    prices = (await shop.stripe_get("/v1/prices", active="true"))["data"]
    (price,) = [one["id"] for one in prices if one["unit_amount"] == 49_00]
    item = {"items[0][price]": price, "payment_behavior": "default_incomplete"}
    made = await shop.stripe_post("/v1/subscriptions", customer=customer["id"], **item)
    await shop.wait_until_idle()
    assert (await shop.get("/v1/me/subscription", ada)).json()["status"] == "incomplete"

    canceled = await shop.post(CANCEL, ada, PERIOD_END)

    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled"), canceled.text
    await shop.wait_until_idle()
    assert await invoices_of(shop, made["id"]) == ["void"]
    assert (await shop.stripe_get(f"/v1/subscriptions/{made['id']}"))["status"] == "incomplete_expired"


async def test_the_preview_works_while_stripe_is_down(shop: Shop) -> None:
    ada = shop.person()
    await make_past_due(shop, ada)
    await shop.add_fault(action="outage")

    seen = await preview(shop, ada)

    assert (seen["period_end"]["can_resume"], seen["open_invoices"]) == (False, [])
    refused = await shop.post(CANCEL, ada, PERIOD_END)
    assert (refused.status_code, refused.json()["code"]) == (503, "stripe_unavailable")
