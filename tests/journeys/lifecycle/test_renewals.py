"""
Renewals that are neither paid nor failed at once: bank debits, invoices by mail, held back, paused.

At each step the gate, the reader and staff give the same answer, and a new checkout is refused only while access lasts.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import jwt
import pytest

from app.domain.events import TYPES
from app.services.subscriptions import request_checks
from tests.journeys.cancellations.test_ends import invoices_of
from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.journeys.lifecycle.test_status_table import access_of, api_time, notice, open_invoice, replace_card
from tests.support.shop import START_TIME, VISA, Person, Shop

A_YEAR, TWO_YEARS = START_TIME.replace(year=2027), START_TIME.replace(year=2028)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ALLOWANCE_ENDS, GRACE_ENDS = A_YEAR + 3 * DAY, A_YEAR + 14 * DAY
DEBIT = "pm_usBankAccount_processing"


@pytest.fixture(autouse=True)
async def all_events(shop: Shop) -> None:
    """Subscribe the webhook endpoint to every event type that the documentation names."""
    (endpoint,) = (await shop.stripe_get("/v1/webhook_endpoints"))["data"]
    wanted = {f"enabled_events[{index}]": name for index, name in enumerate(TYPES)}
    await shop.stripe_post(f"/v1/webhook_endpoints/{endpoint['id']}", **wanted)


async def subscribe(shop: Shop, *, method: str | None = None, **changes: str) -> tuple[Person, str]:
    """Subscribe a reader, change the subscription at Stripe, and return the reader and its Stripe ID."""
    ada = shop.person()
    await shop.subscribe(ada)
    stripe_id = str((await only_subscription(shop, ada))["stripe_id"])
    if method is not None:
        await replace_card(shop, stripe_id, method)
    if changes:
        await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **changes)
    return ada, stripe_id


async def renewal_of(shop: Shop, stripe_id: str) -> dict[str, Any]:
    """Return the newest invoice of a subscription."""
    invoices: Iterable[dict[str, Any]] = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    return max(invoices, key=lambda one: int(one["created"]))


async def finish_debit(shop: Shop, stripe_id: str, result: str) -> None:
    """Simulate the outcome of the renewal's bank debit."""
    invoice = await renewal_of(shop, stripe_id)
    (payment,) = (await shop.stripe_get("/v1/invoice_payments", invoice=invoice["id"]))["data"]
    path = f"/_sandbox/payment_intents/{payment['payment']['payment_intent']}/debit"
    done = await shop.stripe.post(path, json={"result": result})
    assert done.status_code == 200, done.text
    await shop.wait_until_idle()


async def check_renewals(shop: Shop) -> None:
    """Do what a worker does twice an hour."""
    assert shop.app is not None
    ctx = shop.app.state.api.ctx
    await request_checks(ctx, now=await ctx.clock.policy())
    await shop.wait_until_idle()


async def anomalies_of(shop: Shop, reader: Person) -> dict[str, str]:
    """Return the reason of each anomaly that staff see on a reader's page."""
    return {one["code"]: one["reason"] for one in (await shop.overview(reader))["anomalies"]}


async def assert_told(shop: Shop, reader: Person, code: str, until: datetime | None, action: str | None) -> None:
    """Check the notice that the reader sees, and that the gate gives the same end of access."""
    shown = await notice(shop, reader)
    assert shown is not None
    assert (shown["code"], shown["until"], shown["action"]) == (code, api_time(until) if until else None, action)
    assert (await access_of(shop, reader))[1] == shown["until"]


async def assert_over(shop: Shop, reader: Person, since: datetime) -> None:
    """Check that the gate, the reader and staff say that access has ended, although Stripe's subscription has not."""
    assert await access_of(shop, reader) in [(reason, api_time(since)) for reason in ("ended", "payment_failed")]
    shown = (await shop.get("/v1/me/subscription", reader)).json()
    assert (shown["renews_at"], shown["ends_at"]) == (None, api_time(since))
    assert (shown["notice"]["until"], shown["notice"]["action"]) == (api_time(since), "subscribe")
    standing = (await only_subscription(shop, reader))["standing"]
    assert "this subscription is ended first" in standing


async def assert_subscribes_again(shop: Shop, reader: Person, old: str) -> None:
    """Check that a new checkout works, and that the old subscription ends and nothing of it stays payable."""
    opened = await shop.open_checkout(reader)
    assert opened.status_code == 201, opened.text
    await shop.wait_until_idle()
    assert (await shop.stripe_get(f"/v1/subscriptions/{old}"))["status"] == "canceled"
    assert set(await invoices_of(shop, old)) <= {"void", "paid"}
    paid = await shop.pay_checkout(opened.json()["url"], card=VISA)
    assert paid.status_code == 303, paid.text
    await shop.wait_until_idle()
    assert (await access_of(shop, reader))[0] == "paid_term"
    assert await notice(shop, reader) is None
    overview = await shop.overview(reader)
    assert [one["status"] for one in overview["subscriptions"]] == ["canceled", "active"]
    assert overview["subscriptions"][0]["ended_by"] == "subscribed_again"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    assert overview["anomalies"] == []


async def test_a_bank_debit_keeps_access_until_it_succeeds(shop: Shop) -> None:
    ada, stripe_id = await subscribe(shop, method=DEBIT)
    for moment in (A_YEAR + 2 * HOUR, A_YEAR + 9 * DAY, A_YEAR + 20 * DAY):
        await shop.advance_to(moment)
        await check_renewals(shop)
        await assert_told(shop, ada, "payment_processing", None, None)
        assert (await access_of(shop, ada))[0] == "renewal_pending"
        assert (await shop.open_checkout(ada)).json()["code"] == "already_subscribed"
        assert "processing" in (await only_subscription(shop, ada))["standing"]
        assert await anomalies_of(shop, ada) == {}

    await shop.advance_to(A_YEAR + 22 * DAY + 2 * HOUR)
    await check_renewals(shop)
    assert list(await anomalies_of(shop, ada)) == ["payment_processing"]
    await finish_debit(shop, stripe_id, "succeed")

    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS))
    assert await notice(shop, ada) is None
    assert await anomalies_of(shop, ada) == {}


async def test_a_bank_debit_that_fails_within_the_grace_period_leaves_the_rest_of_it(shop: Shop) -> None:
    ada, stripe_id = await subscribe(shop, method=DEBIT)
    await shop.advance_to(A_YEAR + 8 * DAY)
    await finish_debit(shop, stripe_id, "fail")

    await assert_told(shop, ada, "payment_failed", GRACE_ENDS, "update_payment_method")
    assert (await access_of(shop, ada))[0] == "grace_period"


async def test_a_bank_debit_that_fails_after_the_grace_period_ends_access(shop: Shop) -> None:
    ada, stripe_id = await subscribe(shop, method=DEBIT)
    await shop.advance_to(A_YEAR + 18 * DAY)
    assert (await access_of(shop, ada))[0] == "renewal_pending"
    await finish_debit(shop, stripe_id, "fail")

    await assert_over(shop, ada, GRACE_ENDS)
    await assert_subscribes_again(shop, ada, stripe_id)


async def test_an_invoice_by_mail_keeps_access_until_its_due_date_and_the_grace_period(shop: Shop) -> None:
    ada, stripe_id = await subscribe(shop, collection_method="send_invoice", days_until_due="30")
    await shop.advance_to(A_YEAR + 2 * HOUR)
    due_at = datetime.fromtimestamp((await renewal_of(shop, stripe_id))["due_date"], A_YEAR.tzinfo)
    ends_at = due_at + 14 * DAY

    await assert_told(shop, ada, "invoice_open", ends_at, "pay_invoice")
    assert (await access_of(shop, ada))[0] == "renewal_pending"
    await shop.advance_to(due_at + DAY)
    await assert_told(shop, ada, "payment_failed", ends_at, "pay_invoice")
    assert (await access_of(shop, ada))[0] == "grace_period"
    assert (await shop.open_checkout(ada)).json()["code"] == "already_subscribed"
    await shop.advance_to(ends_at)
    await assert_over(shop, ada, ends_at)

    await shop.stripe_post(f"/v1/invoices/{(await open_invoice(shop, stripe_id))['id']}/pay", paid_out_of_band="true")
    await shop.wait_until_idle()
    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS))
    assert await notice(shop, ada) is None


async def test_a_renewal_kept_as_a_draft_is_reported_and_access_ends_with_the_allowance(shop: Shop) -> None:
    ada, stripe_id = await subscribe(shop)
    await shop.advance_to(A_YEAR + HOUR / 2)
    await shop.stripe_post(f"/v1/invoices/{(await renewal_of(shop, stripe_id))['id']}", auto_advance="false")
    await shop.wait_until_idle()

    await assert_told(shop, ada, "renewal_held", ALLOWANCE_ENDS, None)
    assert "is kept as a draft" in (await anomalies_of(shop, ada))["renewal_held"]
    await shop.advance_to(ALLOWANCE_ENDS)
    await assert_over(shop, ada, ALLOWANCE_ENDS)
    await assert_subscribes_again(shop, ada, stripe_id)


async def test_a_renewal_that_cannot_be_finalized_is_reported_and_paid_when_it_can(shop: Shop) -> None:
    ada, stripe_id = await subscribe(shop, **{"automatic_tax[enabled]": "true"})
    (customer,) = await shop.stripe_customers()
    await shop.stripe.post(f"/_sandbox/customers/{customer['id']}/tax_location", json={"valid": False})
    await shop.advance_to(A_YEAR + 2 * HOUR)

    await assert_told(shop, ada, "renewal_held", ALLOWANCE_ENDS, None)
    assert "customer_tax_location_invalid" in (await anomalies_of(shop, ada))["renewal_held"]
    await shop.advance_to(ALLOWANCE_ENDS + HOUR)
    await assert_over(shop, ada, ALLOWANCE_ENDS)

    await shop.stripe.post(f"/_sandbox/customers/{customer['id']}/tax_location", json={"valid": True})
    invoice = await renewal_of(shop, stripe_id)
    await shop.stripe_post(f"/v1/invoices/{invoice['id']}/finalize", auto_advance="true")
    await shop.stripe_post(f"/v1/invoices/{invoice['id']}/pay")
    await shop.wait_until_idle()
    assert await access_of(shop, ada) == ("paid_term", api_time(TWO_YEARS))
    assert await anomalies_of(shop, ada) == {}


async def test_a_renewal_that_nothing_is_heard_of_is_checked_within_the_hour(shop: Shop) -> None:
    ada, stripe_id = await subscribe(shop)
    await shop.advance_to(A_YEAR - DAY)
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.advance_to(A_YEAR + HOUR / 2)
    await shop.stripe_post(f"/v1/invoices/{(await renewal_of(shop, stripe_id))['id']}", auto_advance="false")
    await shop.advance_to(ALLOWANCE_ENDS - HOUR)
    await check_renewals(shop)
    assert await anomalies_of(shop, ada) == {}, "the events may still arrive"

    await shop.advance_to(ALLOWANCE_ENDS)
    await assert_over(shop, ada, ALLOWANCE_ENDS)
    await check_renewals(shop)
    assert list(await anomalies_of(shop, ada)) == ["renewal_held"]
    await assert_over(shop, ada, ALLOWANCE_ENDS)


async def test_a_voided_renewal_proves_no_payment(shop: Shop) -> None:
    ada, stripe_id = await subscribe(shop, method="pm_card_chargeCustomerFail")
    await shop.advance_to(A_YEAR + 2 * DAY)
    await shop.stripe_post(f"/v1/invoices/{(await open_invoice(shop, stripe_id))['id']}/void")
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"metadata[touched]": "1"})
    await shop.wait_until_idle()

    await shop.advance_to(ALLOWANCE_ENDS + HOUR)
    assert await shop.may_read(ada) is ((await only_subscription(shop, ada))["status"] == "past_due")
    await shop.advance_to(GRACE_ENDS)
    assert not await shop.may_read(ada)
    shown = await notice(shop, ada)
    assert shown is not None
    assert shown["action"] == "subscribe"


async def test_a_subscription_paused_on_its_first_failed_payment_has_the_grace_period(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"after_first_failure": "pause"})
    ada, stripe_id = await subscribe(shop, method="pm_card_chargeCustomerFail")
    await shop.advance_to(A_YEAR + 2 * HOUR)

    assert (await only_subscription(shop, ada))["status"] == "paused"
    await assert_told(shop, ada, "payment_failed", GRACE_ENDS, "update_payment_method")
    invoice = await open_invoice(shop, stripe_id)
    shown = await notice(shop, ada)
    assert shown is not None
    assert shown["pay_url"] == invoice["hosted_invoice_url"]
    assert (await shop.open_checkout(ada)).json()["code"] == "already_subscribed"
    resumed = (await shop.post("/v1/me/subscription/resume", ada)).json()
    assert (resumed["code"], "when its open invoice is paid" in resumed["detail"]) == ("subscription_paused", True)
    await shop.advance_to(GRACE_ENDS)
    await assert_over(shop, ada, GRACE_ENDS)

    card = await replace_card(shop, stripe_id, "pm_card_visa")
    await shop.stripe_post(f"/v1/invoices/{invoice['id']}/pay", payment_method=card)
    await shop.wait_until_idle()
    assert (await only_subscription(shop, ada))["status"] == "active"
    assert (await access_of(shop, ada))[0] == "paid_term"
    assert await anomalies_of(shop, ada) == {}


@pytest.mark.parametrize("after_retries", ["unpaid", "pause", "past_due"])
async def test_a_reader_whose_renewal_was_never_paid_can_subscribe_again(shop: Shop, after_retries: str) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"after_retries": after_retries, "retry_days": [2]})
    ada, stripe_id = await subscribe(shop, method="pm_card_chargeCustomerFail")
    await shop.advance_to(GRACE_ENDS + DAY)

    assert (await only_subscription(shop, ada))["status"] == {"pause": "paused"}.get(after_retries, after_retries)
    await assert_over(shop, ada, A_YEAR if after_retries == "unpaid" else GRACE_ENDS)
    await assert_subscribes_again(shop, ada, stripe_id)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        pytest.param({}, "ended", id="unused time is credited"),
        pytest.param({"bill_for[unused_time_from][type]": "none"}, "paid_term", id="nothing is credited"),
    ],
)
async def test_a_pause_ends_access_if_unused_time_is_credited(
    shop: Shop, parameters: dict[str, str], reason: str
) -> None:
    ada, stripe_id = await subscribe(shop)
    paused_at = START_TIME + 100 * DAY
    await shop.advance_to(paused_at)
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}/pause", type="subscription", **parameters)
    await shop.wait_until_idle()

    found, until = await access_of(shop, ada)
    assert found == reason
    await assert_told(shop, ada, "paused", paused_at if reason == "ended" else A_YEAR, None)
    refused = (await shop.open_checkout(ada)).status_code == 409
    assert refused is (reason == "paid_term"), "a new checkout is refused only while access lasts"
    assert until is not None


async def test_a_first_bank_debit_gives_access_when_it_succeeds(shop: Shop) -> None:
    ada = shop.person()
    await shop.open_checkout(ada)
    (customer,) = await shop.stripe_customers()
    account = await shop.stripe_post(f"/v1/payment_methods/{DEBIT}/attach", customer=customer["id"])
    prices = (await shop.stripe_get("/v1/prices", active="true"))["data"]
    yearly = [one for one in prices if (one["recurring"] or {}).get("interval") == "year"]
    (price,) = [one["id"] for one in yearly if one["unit_amount"] == 49_00]
    made = await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=account["id"],
        **{"items[0][price]": price},
    )
    await shop.wait_until_idle()

    assert (await access_of(shop, ada))[0] == "payment_incomplete"
    await assert_told(shop, ada, "payment_processing", None, None)
    assert (await shop.open_checkout(ada)).json()["code"] == "already_subscribed"
    await finish_debit(shop, made["id"], "succeed")
    assert (await access_of(shop, ada))[0] == "paid_term"
    assert await notice(shop, ada) is None


async def test_a_token_is_valid_while_a_bank_debit_is_processing(shop: Shop) -> None:
    ada, _ = await subscribe(shop, method=DEBIT)
    await shop.advance_to(A_YEAR + 9 * DAY)

    minted = await shop.post("/v1/me/entitlement-tokens", ada)

    assert minted.status_code in {200, 201}, minted.text
    claims = jwt.decode(minted.json()["token"], options={"verify_signature": False})
    assert claims["features"]["archive"] == claims["exp"], "no end is known, so the feature lasts as long as the token"
