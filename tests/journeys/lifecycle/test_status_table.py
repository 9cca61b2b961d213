"""Courses of a subscription: what the reader is shown, may read, and what staff see at each step."""

from datetime import datetime, timedelta
from typing import Any

from tests.journeys.cancellations.test_ends import invoices_of
from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.support.shop import START_TIME, Person, Shop
from tests.support.trials import start_trial

A_YEAR = START_TIME.replace(year=2027)
TWO_YEARS = START_TIME.replace(year=2028)
GRACE_ENDS = A_YEAR + timedelta(days=14)


def api_time(at: datetime) -> str:
    """Format a time as the API does."""
    return at.isoformat().replace("+00:00", "Z")


async def access_of(shop: Shop, reader: Person) -> tuple[str, str | None]:
    """Return the reason and the end of a reader's access to the archive, as shown to the reader."""
    shown = (await shop.get("/v1/me/entitlements", reader)).json()
    granted = shown["features"].get("archive")
    answer = granted or shown["refused"]["archive"]
    assert (granted is not None) is await shop.may_read(reader), "the check with an API key agrees"
    return answer["reason"], answer["until"]


async def notice(shop: Shop, reader: Person) -> dict[str, Any] | None:
    """Return the notice about a reader's subscription."""
    shown = (await shop.get("/v1/me/subscription", reader)).json()["notice"]
    return dict(shown) if shown else None


async def replace_card(shop: Shop, stripe_id: str, method: str) -> str:
    """Replace the card of a subscription; return the ID of the card."""
    held = await shop.stripe_get(f"/v1/subscriptions/{stripe_id}")
    card = await shop.stripe_post(f"/v1/payment_methods/{method}/attach", customer=held["customer"])
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", default_payment_method=card["id"])
    return str(card["id"])


async def subscribe_and_replace_card(shop: Shop, reader: Person, method: str) -> str:
    """Subscribe a reader and replace their card; return the Stripe ID of the subscription."""
    await shop.subscribe(reader)
    stripe_id = str((await only_subscription(shop, reader))["stripe_id"])
    await replace_card(shop, stripe_id, method)
    return stripe_id


async def open_invoice(shop: Shop, stripe_id: str) -> dict[str, Any]:
    """Return the open invoice of a subscription."""
    (invoice,) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id, status="open"))["data"]
    return dict(invoice)


async def test_a_renewal_is_paid_with_a_new_card_on_day_9(shop: Shop) -> None:
    ada = shop.person()
    stripe_id = await subscribe_and_replace_card(shop, ada, "pm_card_chargeCustomerFail")
    await shop.advance_to(A_YEAR + timedelta(hours=2))

    assert await access_of(shop, ada) == ("grace_period", api_time(GRACE_ENDS))
    invoice = await open_invoice(shop, stripe_id)
    shown = await notice(shop, ada)
    assert shown is not None
    assert (shown["code"], shown["until"], shown["action"], shown["pay_url"]) == (
        "payment_failed",
        api_time(GRACE_ENDS),
        "update_payment_method",
        invoice["hosted_invoice_url"],
    )
    held = await only_subscription(shop, ada)
    assert held["status"] == "past_due"
    assert held["standing"].startswith("The renewal payment failed. Stripe retries it")

    await shop.advance_to(A_YEAR + timedelta(days=9))
    assert await access_of(shop, ada) == ("grace_period", api_time(GRACE_ENDS)), "no gap in access during retries"
    card = await replace_card(shop, stripe_id, "pm_card_visa")
    await shop.stripe_post(f"/v1/invoices/{invoice['id']}/pay", payment_method=card)
    await shop.wait_until_idle()

    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS)), "the refund is for the full year"
    assert await notice(shop, ada) is None
    overview = await shop.overview(ada)
    assert [one["status"] for one in overview["subscriptions"]] == ["active"]
    assert [t["starts_at"] for t in overview["subscriptions"][0]["terms"]] == [api_time(START_TIME), api_time(A_YEAR)]
    assert [p["amount"]["amount"] for p in overview["payments"]] == [49_00, 49_00]
    await shop.advance_to(GRACE_ENDS + timedelta(days=1))
    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS))


async def test_access_ends_with_the_grace_period_if_the_renewal_is_never_paid(shop: Shop) -> None:
    ada = shop.person()
    stripe_id = await subscribe_and_replace_card(shop, ada, "pm_card_chargeCustomerFail")
    await shop.stripe.put(
        "/_sandbox/settings", json={"retry_days": [3, 5, 7, 7]}
    )  # Stripe retries for longer than the grace period

    await shop.advance_to(GRACE_ENDS - timedelta(minutes=1))
    assert await access_of(shop, ada) == ("grace_period", api_time(GRACE_ENDS))
    await shop.advance_to(GRACE_ENDS)
    assert await access_of(shop, ada) == ("payment_failed", api_time(GRACE_ENDS)), (
        "access ends on time, even though Stripe still retries"
    )
    assert await invoices_of(shop, stripe_id) == ["open", "paid"]

    await shop.advance_to(A_YEAR + timedelta(days=23))

    assert (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["cancellation_details"][
        "reason"
    ] == "payment_failed"
    assert await invoices_of(shop, stripe_id) == ["void", "paid"]
    assert (await access_of(shop, ada))[0] == "payment_failed"
    shown = await notice(shop, ada)
    assert shown is not None
    assert (shown["code"], shown["action"], shown["pay_url"]) == ("ended", None, None), "no invoice stays payable"
    overview = await shop.overview(ada)
    (held,) = overview["subscriptions"]
    assert (held["status"], held["ended_by"]) == ("canceled", None)
    assert len(overview["payments"]) == 1
    assert any("renewal not paid" in one["words"] for one in overview["timeline"])
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []


async def test_access_ends_when_stripe_gives_up_during_the_grace_period(shop: Shop) -> None:
    ada = shop.person()
    stripe_id = await subscribe_and_replace_card(shop, ada, "pm_card_chargeCustomerFail")
    await shop.stripe.put("/_sandbox/settings", json={"retry_days": [2]})

    await shop.advance_to(A_YEAR + timedelta(days=3))

    assert (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["status"] == "canceled"
    assert (await access_of(shop, ada))[0] == "payment_failed", "the subscription has ended"
    assert await invoices_of(shop, stripe_id) == ["void", "paid"]


async def test_a_renewal_that_requires_3d_secure_asks_the_reader_to_confirm(shop: Shop) -> None:
    ada = shop.person()
    stripe_id = await subscribe_and_replace_card(shop, ada, "pm_card_authenticationRequired")
    await shop.advance_to(A_YEAR + timedelta(hours=2))

    invoice = await open_invoice(shop, stripe_id)
    shown = await notice(shop, ada)
    assert shown is not None
    assert (shown["code"], shown["until"]) == ("payment_failed", api_time(GRACE_ENDS))
    assert shown["pay_url"] == invoice["hosted_invoice_url"], "the page to confirm the payment"
    assert await access_of(shop, ada) == ("grace_period", api_time(GRACE_ENDS))
    assert (await only_subscription(shop, ada))["status"] == "past_due"

    (payment,) = (await shop.stripe_get("/v1/invoice_payments", invoice=invoice["id"]))["data"]
    intent = payment["payment"]["payment_intent"]
    assert (await shop.stripe_get(f"/v1/payment_intents/{intent}"))["status"] == "requires_action"
    done = await shop.stripe.post(f"/_sandbox/payment_intents/{intent}/authenticate", json={"result": "complete"})
    assert done.status_code == 200, done.text
    await shop.wait_until_idle()

    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS))
    assert await notice(shop, ada) is None
    assert (await only_subscription(shop, ada))["status"] == "active"
    assert [p["amount"]["amount"] for p in (await shop.overview(ada))["payments"]] == [49_00, 49_00]


async def test_a_pause_within_a_term_changes_no_access(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = (await only_subscription(shop, ada))["stripe_id"]
    await shop.advance_to(START_TIME + timedelta(days=100))
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"pause_collection[behavior]": "void"})
    await shop.wait_until_idle()

    assert await access_of(shop, ada) == ("paid_term", api_time(A_YEAR)), "the paid term stays accessible"
    shown = await notice(shop, ada)
    assert shown is not None
    assert (shown["code"], shown["until"]) == ("collection_paused", api_time(A_YEAR))
    assert (await only_subscription(shop, ada))["standing"].startswith("Payment collection is paused")

    await shop.advance_to(START_TIME + timedelta(days=190))
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", pause_collection="")
    await shop.wait_until_idle()
    assert await notice(shop, ada) is None
    await shop.advance_to(A_YEAR + timedelta(hours=2))
    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS))


async def test_a_pause_beyond_the_renewal_ends_access_with_the_paid_term(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = (await only_subscription(shop, ada))["stripe_id"]
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"pause_collection[behavior]": "void"})
    await shop.advance_to(A_YEAR + timedelta(minutes=1))

    assert await access_of(shop, ada) == ("ended", api_time(A_YEAR)), "no renewal allowance: no payment is expected"
    assert await invoices_of(shop, stripe_id) == ["void", "paid"]
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", pause_collection="")
    # A new billing period begins now, as with "resume" in the Dashboard.
    await shop.stripe_post(
        f"/v1/subscriptions/{stripe_id}", **{"billing_cycle_anchor[type]": "now"}, proration_behavior="none"
    )
    await shop.wait_until_idle()

    reason, until = await access_of(shop, ada)
    assert reason == "paid_term"
    assert until is not None
    assert until >= api_time(TWO_YEARS)
    assert len((await shop.overview(ada))["payments"]) == 2


async def test_a_paused_subscription_is_billed_again_when_resumed(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = (await only_subscription(shop, ada))["stripe_id"]
    await shop.advance_to(START_TIME + timedelta(days=100))
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}/pause", type="subscription")
    await shop.wait_until_idle()

    assert (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["status"] == "paused"
    paused_at = START_TIME + timedelta(days=100)
    assert await access_of(shop, ada) == ("ended", api_time(paused_at)), "the unused time was credited"
    shown = await notice(shop, ada)
    assert shown is not None
    assert (shown["code"], shown["until"], shown["action"]) == ("paused", api_time(paused_at), None)
    refused = await shop.post("/v1/me/subscription/resume", ada)
    assert (refused.status_code, refused.json()["code"]) == (409, "subscription_paused"), "it would change nothing"
    assert "Only the publisher can resume it" in refused.json()["detail"]
    await shop.advance_to(A_YEAR + timedelta(days=1))

    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}/resume", **{"billing_cycle_anchor[type]": "now"})
    await shop.wait_until_idle()

    assert (await access_of(shop, ada))[0] == "paid_term"
    assert await notice(shop, ada) is None


async def test_a_subscription_canceled_in_the_portal_renews_after_a_resume_here(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = (await only_subscription(shop, ada))["stripe_id"]
    ends = int(A_YEAR.timestamp())
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", cancel_at=str(ends), proration_behavior="none")
    await shop.wait_until_idle()
    shown = await notice(shop, ada)
    assert shown is not None
    assert (shown["code"], shown["until"], shown["action"]) == ("ends", api_time(A_YEAR), "resume")
    assert (await only_subscription(shop, ada))["standing"].startswith("Scheduled to end")

    assert (await shop.post("/v1/me/subscription/resume", ada)).status_code == 200

    assert await notice(shop, ada) is None
    await shop.advance_to(A_YEAR + timedelta(hours=2))
    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS))


async def test_a_trial_grants_access_until_its_end_and_is_then_billed(shop: Shop) -> None:
    ada = shop.person()
    await start_trial(shop, ada)
    trial_ends = START_TIME + timedelta(days=30)

    assert (await access_of(shop, ada))[0] == "trial"
    shown = await notice(shop, ada)
    assert shown is not None
    assert (shown["code"], shown["until"]) == ("trial", api_time(trial_ends))
    held = await only_subscription(shop, ada)
    assert (held["status"], held["terms"]) == ("trialing", []), "a trial includes no issues"
    assert (await shop.check(ada, "print_edition"))["allowed"] is False

    await shop.advance_to(trial_ends + timedelta(minutes=30))
    assert await access_of(shop, ada) == ("renewal_pending", api_time(trial_ends + timedelta(days=3)))
    await shop.advance_to(trial_ends + timedelta(hours=2))
    assert await access_of(shop, ada) == ("paid_term", api_time(trial_ends.replace(year=2027)))
    assert await notice(shop, ada) is None


async def test_access_continues_if_the_events_of_a_renewal_are_two_days_late(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.advance_to(A_YEAR - timedelta(days=1))
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})

    for late in (timedelta(minutes=30), timedelta(hours=2), timedelta(days=2)):
        await shop.advance_to(A_YEAR + late)
        assert await access_of(shop, ada) == ("renewal_pending", api_time(A_YEAR + timedelta(days=3)))
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()

    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS))
