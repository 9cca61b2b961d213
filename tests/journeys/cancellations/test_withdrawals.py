"""The right of withdrawal: everything back within 14 days, beside the guarantee, with an acknowledgment to keep."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from tests.journeys.refunds.test_credits import balance, subscribe_with_credit
from tests.support.shop import START_TIME, Person, Shop
from tests.support.trials import start_trial

BERLIN = {"name": "Ada Invented", "line1": "Lampengasse 1", "city": "Berlin", "postal_code": "10115", "country": "DE"}
# March 15 is a Sunday, so Monday, March 16 is the last day; it ends last in Chicago, where the publisher is.
LAST_DAY_ENDS = datetime(2026, 3, 17, 5, tzinfo=UTC)


async def live_in_berlin(shop: Shop, reader: Person) -> None:
    """Save a postal address in Germany."""
    saved = await shop.http.put("/v1/me/address", headers=dict(reader.headers), json=BERLIN)
    assert saved.status_code == 200, saved.text


async def subscribe_in_berlin(shop: Shop, **more: Any) -> Person:
    """Subscribe a reader who lives in Germany."""
    ada = shop.person()
    await shop.subscribe(ada, **more)
    await live_in_berlin(shop, ada)
    return ada


async def quote(shop: Shop, by: Person) -> dict[str, Any]:
    """Return what withdrawing would do."""
    answer = await shop.get("/v1/me/withdrawal-quote", by)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def withdraw(shop: Shop, by: Person, *, amount: int = 49_00, key: str = "click-1") -> httpx2.Response:
    """Withdraw from the contract."""
    body = {"expected_amount": {"amount": amount, "currency": "usd"}}
    return await shop.post("/v1/me/withdrawals", by, body, **{"Idempotency-Key": key})


async def test_withdrawal_on_the_last_day_refunds_everything_and_ends_access(shop: Shop) -> None:
    ada = await subscribe_in_berlin(shop)
    await shop.advance_to(LAST_DAY_ENDS - timedelta(minutes=1))
    offered = await quote(shop, ada)
    assert (offered["allowed"], offered["amount"]["amount"], offered["place"]) == (True, 49_00, "DE")
    assert (offered["until"], offered["law"]["code"], offered["recommended"]) == (
        "2026-03-17T05:00:00Z",
        "eea",
        "withdrawal",
    )

    done = await withdraw(shop, ada)

    assert done.status_code == 201, done.text
    (refund,) = done.json()["refunds"]
    assert (refund["basis"], refund["status"], refund["amount"]["amount"]) == ("withdrawal", "succeeded", 49_00)
    text = done.json()["acknowledgment"]
    assert "Bestätigung Ihres Widerrufs" in text
    assert "2026-03-17 04:59" in text
    assert done.json()["subscription"] in text
    assert not await shop.may_read(ada)
    await shop.wait_until_idle()
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert held["ended_by"] == "withdrawal"
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    told = await shop.rows("SELECT kind, locale FROM notifications WHERE about = $1", done.json()["id"])
    assert [tuple(row.values()) for row in told] == [("withdrawal_received", "de")]
    listed = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert [(one["id"], one["acknowledgment"]) for one in listed] == [(done.json()["id"], text)]


async def test_withdrawal_returns_what_the_balance_paid_to_the_balance(shop: Shop) -> None:
    ada = shop.person()
    await subscribe_with_credit(shop, ada, 49_00)
    await live_in_berlin(shop, ada)
    assert await balance(shop, ada) == 0
    offered = await quote(shop, ada)
    assert (offered["amount"]["amount"], offered["to_balance"]["amount"]) == (0, 49_00)
    done = await withdraw(shop, ada, amount=0)
    assert done.status_code == 201, done.text
    await shop.wait_until_idle()
    assert await balance(shop, ada) == 49_00
    assert not await shop.may_read(ada)


async def test_withdrawal_names_only_what_the_balance_has_not_got_back(shop: Shop) -> None:
    """A credit note of the Dashboard has returned a part before."""
    ada = shop.person()
    held = await subscribe_with_credit(shop, ada, 49_00)
    await live_in_berlin(shop, ada)
    invoice = (await shop.stripe_get(f"/v1/subscriptions/{held}"))["latest_invoice"]
    await shop.stripe_post("/v1/credit_notes", invoice=invoice, amount="1000", credit_amount="1000")
    await shop.wait_until_idle()
    assert await balance(shop, ada) == 10_00
    assert (await quote(shop, ada))["to_balance"]["amount"] == 39_00
    assert (await withdraw(shop, ada, amount=0)).status_code == 201
    await shop.wait_until_idle()
    assert await balance(shop, ada) == 49_00


async def test_the_day_after_withdrawal_is_refused_and_the_guarantee_is_better(shop: Shop) -> None:
    ada = await subscribe_in_berlin(shop)
    await shop.advance_to(LAST_DAY_ENDS)
    offered = await quote(shop, ada)
    assert (offered["allowed"], offered["reason"], offered["recommended"]) == (
        False,
        "withdrawal_period_over",
        "guarantee",
    )
    refused = await withdraw(shop, ada)
    assert (refused.status_code, refused.json()["code"]) == (409, "withdrawal_period_over")
    assert await shop.may_read(ada)


async def test_withdrawal_after_the_guarantee_was_used_does_not_need_it(shop: Shop) -> None:
    ada = await subscribe_in_berlin(shop)
    (first,) = (await shop.overview(ada))["payments"]
    assert (await shop.request_refund(first["id"])).status_code == 201
    await shop.wait_until_idle()
    await shop.subscribe(ada)
    assert (await shop.get("/v1/me/refund-quote", ada)).json()["reason"] == "guarantee_used"
    assert (await quote(shop, ada))["recommended"] == "withdrawal"
    done = await withdraw(shop, ada)
    assert (done.status_code, done.json()["refunds"][0]["status"]) == (201, "succeeded"), done.text


async def test_withdrawal_leaves_the_guarantee_for_the_next_subscription(shop: Shop) -> None:
    ada = await subscribe_in_berlin(shop)
    assert (await withdraw(shop, ada)).status_code == 201
    await shop.wait_until_idle()
    await shop.subscribe(ada)
    assert (await shop.get("/v1/me/refund-quote", ada)).json()["allowed"]
    again = await withdraw(shop, ada, key="click-2")
    assert again.status_code == 201, "it is another contract"


async def test_two_withdrawals_at_once_refund_once(shop: Shop) -> None:
    ada = await subscribe_in_berlin(shop)
    answers = await asyncio.gather(*(withdraw(shop, ada, key=f"click-{n}") for n in range(4)))
    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409], [one.text for one in answers]
    assert {one.json()["code"] for one in answers if one.status_code == 409} == {"already_withdrawn"}
    await shop.wait_until_idle()
    assert [one["amount"] for one in (await shop.stripe_get("/v1/refunds"))["data"]] == [49_00]
    same = [await withdraw(shop, ada, key=f"click-{n}") for n in range(4)]
    (first,) = (one for one in answers if one.status_code == 201)
    assert first.content in [one.content for one in same], "a repeated request gets the first response"


async def test_reader_outside_the_area_has_the_guarantee_only(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)  # with a card from the United States
    offered = await quote(shop, ada)
    assert (offered["allowed"], offered["reason"], offered["place"], offered["recommended"]) == (
        False,
        "no_withdrawal_right",
        "US",
        "guarantee",
    )
    assert (await withdraw(shop, ada)).json()["code"] == "no_withdrawal_right"


async def test_in_an_unknown_place_the_strictest_law_applies(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.execute("UPDATE subscriptions SET card_country = NULL, tax_country = NULL")
    offered = await quote(shop, ada)
    assert (offered["allowed"], offered["place"], offered["law"]["code"]) == (True, None, "eea")
    done = await withdraw(shop, ada)
    assert "Acknowledgment of your withdrawal" in done.json()["acknowledgment"]


async def test_withdrawal_during_a_dispute_ends_the_contract_and_waits_for_staff(shop: Shop) -> None:
    ada = await subscribe_in_berlin(shop)
    (payment,) = (await shop.overview(ada))["payments"]
    charge = (await shop.stripe_get("/v1/charges", payment_intent=payment["id"]))["data"][0]["id"]
    made = await shop.stripe.post(f"/_sandbox/charges/{charge}/dispute", json={})
    assert made.status_code < 300, made.text
    await shop.wait_until_idle()
    offered = await quote(shop, ada)
    assert (offered["allowed"], offered["manual_refund_reason"], offered["amount"]["amount"]) == (
        True,
        "payment_disputed",
        0,
    )
    done = await withdraw(shop, ada, amount=0)
    assert (done.status_code, done.json()["status"], done.json()["refunds"]) == (201, "queued", []), done.text
    assert not await shop.may_read(ada)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"expected_amount": {"amount": -1, "currency": "usd"}}, 422),
        ({"expected_amount": {"amount": 4900, "currency": "usd"}, "place": "DE"}, 422),
        ({"expected_amount": {"amount": 4800, "currency": "usd"}}, 409),
        ({"expected_amount": {"amount": 4900, "currency": "eur"}}, 422),
    ],
)
async def test_wrong_request_changes_nothing(shop: Shop, body: dict[str, Any], status: int) -> None:
    ada = await subscribe_in_berlin(shop)
    answer = await shop.post("/v1/me/withdrawals", ada, body, **{"Idempotency-Key": "click-1"})
    assert answer.status_code == status, answer.text
    assert await shop.rows("SELECT id FROM declarations") == []
    assert await shop.may_read(ada)


async def test_first_copy_starts_the_period_of_print(shop: Shop) -> None:
    await shop.plan_issues(6)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.execute("UPDATE postal_addresses SET country = 'DE'")  # as if the publisher mailed copies there
    await shop.advance_to(START_TIME + timedelta(days=45))
    offered = await quote(shop, ada)
    assert (offered["allowed"], offered["until"], offered["amount"]["amount"]) == (True, None, 73_00)
    done = await withdraw(shop, ada, amount=73_00)
    assert done.status_code == 201, done.text
    await shop.wait_until_idle()
    assert await shop.rows("SELECT 1 FROM terms WHERE refunded_as = 'withdrawal'")


async def test_withdrawal_before_anything_is_paid_ends_the_contract(shop: Shop) -> None:
    ada = shop.person()
    await start_trial(shop, ada)
    await live_in_berlin(shop, ada)
    offered = await quote(shop, ada)
    assert (offered["allowed"], offered["amount"]["amount"], offered["recommended"]) == (True, 0, "withdrawal")
    done = await withdraw(shop, ada, amount=0)
    assert (done.status_code, done.json()["status"], done.json()["refunds"]) == (201, "done", []), done.text
    assert not await shop.may_read(ada)
    await shop.wait_until_idle()
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert held["ended_by"] == "withdrawal"
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    again = await withdraw(shop, ada, amount=0, key="click-2")
    assert (again.status_code, again.json()["code"]) == (409, "already_withdrawn")


async def test_lost_answer_of_stripe_loses_no_withdrawal(shop: Shop) -> None:
    ada = await subscribe_in_berlin(shop)
    await shop.add_fault(method="POST", path="/v1/refunds", when="after", action="drop", times=1)
    done = await withdraw(shop, ada)
    assert done.status_code in {201, 202}, done.text
    assert "Bestätigung" in done.json()["acknowledgment"]
    await shop.execute("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")
    await shop.wait_until("SELECT bool_and(status = 'succeeded') FROM refunds")
    assert [one["amount"] for one in (await shop.stripe_get("/v1/refunds"))["data"]] == [49_00]
    assert not await shop.may_read(ada)


async def test_staff_enter_a_withdrawal_that_came_by_letter(shop: Shop) -> None:
    ada = await subscribe_in_berlin(shop)
    (payment,) = (await shop.overview(ada))["payments"]
    quotes = (await shop.get(f"/v1/support/payments/{payment['id']}/refund-quote", shop.agent)).json()["quotes"]
    (offered,) = (one for one in quotes if one["basis"] == "withdrawal")
    assert (offered["allowed"], offered["amount"]["amount"], offered["ends_access"]) == (True, 49_00, True)
    body = {
        "payment": payment["id"],
        "basis": "withdrawal",
        "reason": "requested_by_reader",
        "expected_amount": offered["amount"],
    }
    done = await shop.post("/v1/support/refunds", shop.agent, body, **{"Idempotency-Key": "letter-1"})
    assert (done.status_code, done.json()["status"]) == (201, "succeeded"), done.text
    (declared,) = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert (declared["kind"], declared["status"]) == ("withdrawal", "done")
