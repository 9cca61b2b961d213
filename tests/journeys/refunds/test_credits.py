"""Credit notes, the customer's balance and proration credits: all of it counts, and nothing is returned twice."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from tests.journeys.lifecycle.test_issues import two_years
from tests.journeys.lifecycle.test_manual_changes_at_stripe import anomalies, customer_of, only_subscription
from tests.journeys.refunds.test_several_payments import add_print
from tests.journeys.subscribing.test_duplicates import pay_in_another_tab
from tests.support.refunds import GOODWILL, GUARANTEE, UNSERVED, get_quotes, payment_ids, request_refund
from tests.support.shop import ADDRESS, START_TIME, Person, Shop

DIGITAL, WITH_PRINT = 49_00, 73_00


async def credit_note(shop: Shop, reader: Person, amount: int, **more: str) -> dict[str, Any]:
    """Make a credit note of a reader's first invoice in the Dashboard."""
    payment = (await shop.overview(reader))["payments"][0]
    note = await shop.stripe_post("/v1/credit_notes", invoice=payment["invoice"], amount=str(amount), **more)
    await shop.wait_until_idle()
    return note


async def balance(shop: Shop, reader: Person) -> int:
    """Return a reader's credit at Stripe, in cents."""
    customer = await shop.stripe_get(f"/v1/customers/{await customer_of(shop, reader)}")
    return -int(customer["balance"])


async def subscribe_with_credit(shop: Shop, reader: Person, amount: int, *, print_edition: bool = False) -> str:
    """Subscribe a reader who has credit; return the ID of their subscription at Stripe."""
    opened = (await shop.open_checkout(reader, print_edition=print_edition)).json()
    (customer,) = [one for one in await shop.stripe_customers() if one["email"] == reader.email]
    path = f"/v1/customers/{customer['id']}/balance_transactions"
    await shop.stripe_post(path, amount=str(-amount), currency="usd")
    paid = await shop.pay_checkout(opened["url"], address=ADDRESS if print_edition else None)
    assert paid.status_code == 303, paid.text
    await shop.wait_until_idle()
    return str((await only_subscription(shop, reader))["stripe_id"])


async def drop_print(shop: Shop, reader: Person, behavior: str) -> None:
    """Remove the print edition in the Dashboard."""
    held = await shop.stripe_get(f"/v1/subscriptions/{(await only_subscription(shop, reader))['stripe_id']}")
    (item,) = [one["id"] for one in held["items"]["data"] if one["price"]["product"] == "newsstand_annual_print"]
    answer = await shop.stripe.request(
        "DELETE", f"/v1/subscription_items/{item}", params={"proration_behavior": behavior}
    )
    assert answer.status_code == 200, answer.text
    await shop.wait_until_idle()


async def cancel_now(shop: Shop, reader: Person) -> None:
    assert (await shop.post("/v1/me/subscription/cancel", reader, {"when": "now"})).status_code == 200
    await shop.wait_until_idle()


async def refunded(shop: Shop, reader: Person) -> dict[str, int]:
    """Return what was refunded at Stripe, by basis."""
    found: dict[str, int] = {}
    for one in (await shop.overview(reader))["refunds"]:
        assert one["status"] == "succeeded", one
        found[one["basis"]] = found.get(one["basis"], 0) + one["amount"]["amount"]
    customer = await customer_of(shop, reader)
    charges = (await shop.stripe_get("/v1/charges", customer=customer, limit="100"))["data"]
    assert sum(found.values()) == sum(charge["amount_refunded"] for charge in charges)
    return found


async def check_notes(shop: Shop, reader: Person) -> list[Mapping[str, Any]]:
    """Check that the destinations of each credit note add up, and return the notes, earliest first."""
    customer = await customer_of(shop, reader)
    notes = (await shop.stripe_get("/v1/credit_notes", customer=customer, limit="100"))["data"]
    for note in notes:
        assert _refunded(note) + _credited(note) + (note["out_of_band_amount"] or 0) == note["post_payment_amount"]
    return list(reversed(notes))


def _refunded(note: Mapping[str, Any]) -> int:
    return sum(int(one["amount_refunded"]) for one in note["refunds"])


def _credited(note: Mapping[str, Any]) -> int:
    if note["customer_balance_transaction"] is None:
        return 0
    return int(note["post_payment_amount"]) - _refunded(note) - (note["out_of_band_amount"] or 0)


@pytest.mark.parametrize("how", ["out_of_band_amount", "credit_amount"])
async def test_the_guarantee_pays_what_a_credit_note_left(shop: Shop, how: str) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await credit_note(shop, ada, 20_00, **{how: "2000"})
    (payment,) = await payment_ids(shop, ada)

    (shown,) = (await shop.overview(ada))["payments"]
    assert shown["credited"]["amount"] == 20_00
    (dated,) = await shop.rows(
        "SELECT credited_parts, credited_at = ARRAY(SELECT created_at FROM credits) AS is_dated FROM payments"
    )
    assert (dated["credited_parts"], dated["is_dated"]) == ([20_00], True), "each part has the day of its credit"
    quotes = await get_quotes(shop, payment)
    assert (quotes[GUARANTEE]["amount"]["amount"], quotes[GOODWILL]["amount"]["amount"]) == (29_00, 29_00)
    assert await shop.may_read(ada), "a part is goodwill"
    stale = await request_refund(shop, payment, GUARANTEE, DIGITAL, key="stale")
    assert (stale.status_code, stale.json()["code"]) == (409, "quote_changed")
    assert (await request_refund(shop, payment, GUARANTEE, 29_00, key="rest")).status_code == 201
    await shop.wait_until_idle()

    assert await refunded(shop, ada) == {GUARANTEE: 29_00}
    await check_notes(shop, ada)
    assert not await shop.may_read(ada)
    in_balance = 20_00 if how == "credit_amount" else 0
    assert await balance(shop, ada) == in_balance
    found = (await anomalies(shop)).get(await customer_of(shop, ada))
    assert found == ({"unspent_credit"} if in_balance else None), "staff decide about other credit"


async def test_a_credit_note_over_all_of_a_payment_ends_the_term_like_a_refund(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)

    await credit_note(shop, ada, DIGITAL, refund_amount="900", out_of_band_amount="4000")

    assert await refunded(shop, ada) == {"dashboard": 9_00}
    assert (await shop.check(ada))["reason"] == "refunded"
    held = await only_subscription(shop, ada)
    assert (held["status"], held["ended_by"]) == ("canceled", "dashboard")
    (payment,) = await payment_ids(shop, ada)
    quotes = await get_quotes(shop, payment)
    assert (quotes[GUARANTEE]["reason"], quotes[GOODWILL]["reason"]) == ("nothing_to_refund", "nothing_to_refund")


async def test_a_credit_note_that_we_have_not_heard_of_is_not_paid_again(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await credit_note(shop, ada, 20_00, out_of_band_amount="2000")

    answer = await request_refund(shop, payment, GUARANTEE, DIGITAL, key="old")
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_refund")
    again = await request_refund(shop, payment, GUARANTEE, 29_00, key="new")
    assert again.status_code == 201, again.text
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.wait_until_idle()

    amounts = [one["amount"] for one in (await shop.stripe_get("/v1/refunds"))["data"]]
    assert amounts == [29_00]


async def test_what_the_balance_paid_goes_back_to_the_balance(shop: Shop) -> None:
    ada = shop.person()
    await subscribe_with_credit(shop, ada, 20_00)
    (payment,) = await payment_ids(shop, ada)
    assert await balance(shop, ada) == 0
    assert (await get_quotes(shop, payment))[GUARANTEE]["amount"]["amount"] == 29_00

    assert (await shop.request_refund(payment, amount=29_00)).status_code == 201
    await shop.wait_until_idle()

    assert await refunded(shop, ada) == {GUARANTEE: 29_00}
    assert await balance(shop, ada) == 20_00
    notes = await check_notes(shop, ada)
    assert sorted((_refunded(note), _credited(note)) for note in notes) == [(0, 20_00), (29_00, 0)]
    (entry,) = await shop.rows("SELECT actor FROM audit_log WHERE action = 'invoice.return_to_balance'")
    assert entry["actor"] == "policy"
    (key,) = await shop.rows("SELECT settled_at FROM intents WHERE action = 'invoice.return_to_balance'")
    assert key["settled_at"] is not None
    assert (await shop.overview(ada))["payments"][0]["credited"]["amount"] == 0, "the balance's part is not the card's"
    assert (await anomalies(shop))[await customer_of(shop, ada)] == {"unspent_credit"}


async def test_unserved_issues_return_the_same_share_to_the_balance(shop: Shop) -> None:
    ada = shop.person()
    await subscribe_with_credit(shop, ada, 20_00)
    await two_years(shop)
    (payment,) = await payment_ids(shop, ada)
    await shop.advance_to(START_TIME.replace(month=9))
    amount = (await get_quotes(shop, payment))[UNSERVED]["amount"]["amount"]
    assert 0 < amount < 29_00

    assert (await request_refund(shop, payment, UNSERVED, amount, key="unserved")).status_code == 201
    await shop.wait_until_idle()

    assert await refunded(shop, ada) == {UNSERVED: amount}
    assert await balance(shop, ada) == -(-20_00 * amount // 29_00)
    await check_notes(shop, ada)


async def test_an_unspent_proration_credit_is_refunded_with_the_guarantee(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(START_TIME + timedelta(days=30))
    await drop_print(shop, ada, "always_invoice")
    (payment,) = await payment_ids(shop, ada)
    unused = await balance(shop, ada)
    assert 20_00 < unused < 24_00
    quoted = (await get_quotes(shop, payment))[GUARANTEE]["amount"]["amount"]
    assert quoted == WITH_PRINT - unused, "the credit counts as returned"

    assert (await shop.request_refund(payment, amount=quoted)).status_code == 201
    await shop.wait_until_idle()

    assert await refunded(shop, ada) == {GUARANTEE: quoted, "unspent_credit": unused}
    assert await balance(shop, ada) == 0
    assert await anomalies(shop) == {}
    await check_notes(shop, ada)


async def test_an_unspent_proration_credit_is_refunded_when_the_subscription_ends(shop: Shop) -> None:
    ada, bea = shop.person("ada"), shop.person("bea")
    for one in (ada, bea):
        await shop.subscribe(one, print_edition=True)
    await shop.advance_to(START_TIME + timedelta(days=100))
    await drop_print(shop, ada, "always_invoice")
    await drop_print(shop, bea, "create_prorations")
    unused = await balance(shop, ada)
    assert await balance(shop, bea) == 0, "it waits for the next invoice"

    for one in (ada, bea):
        await cancel_now(shop, one)

    for one in (ada, bea):
        assert await refunded(shop, one) == {"unspent_credit": unused}
        assert await balance(shop, one) == 0
        pending = await shop.stripe_get("/v1/invoiceitems", customer=await customer_of(shop, one), pending="true")
        assert pending["data"] == []
    assert await anomalies(shop) == {}


async def test_a_credit_that_was_spent_is_returned_to_the_balance_and_refunded_once(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(START_TIME + timedelta(days=20))
    await drop_print(shop, ada, "always_invoice")
    unused = await balance(shop, ada)
    held = await only_subscription(shop, ada)
    (price,) = (await shop.stripe_get("/v1/prices", product="newsstand_annual_print"))["data"]
    await shop.stripe_post(
        "/v1/subscription_items", subscription=held["stripe_id"], price=price["id"], proration_behavior="always_invoice"
    )
    await shop.wait_until_idle()
    assert await balance(shop, ada) == 0, "print was paid from the balance again"
    (payment,) = await payment_ids(shop, ada)
    quoted = (await get_quotes(shop, payment))[GUARANTEE]["amount"]["amount"]
    assert quoted == WITH_PRINT - unused

    assert (await shop.request_refund(payment, amount=quoted)).status_code == 201
    await shop.wait_until_idle()

    assert await refunded(shop, ada) == {GUARANTEE: quoted, "unspent_credit": unused}
    assert await balance(shop, ada) == 0
    await check_notes(shop, ada)


async def test_the_credit_of_a_disputed_payment_is_shown_to_staff(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(START_TIME + timedelta(days=30))
    await drop_print(shop, ada, "always_invoice")
    unused = await balance(shop, ada)
    (payment,) = await payment_ids(shop, ada)
    charge = (await shop.stripe_get(f"/v1/payment_intents/{payment}"))["latest_charge"]
    opened = await shop.stripe.post(f"/_sandbox/charges/{charge}/dispute", json={})
    assert opened.status_code == 200, opened.text
    await shop.wait_until_idle()

    await cancel_now(shop, ada)

    assert await refunded(shop, ada) == {}
    assert await balance(shop, ada) == unused, "it is neither dropped nor given twice"
    assert "unspent_credit" in (await anomalies(shop))[await customer_of(shop, ada)]


async def test_print_paid_later_is_credited_before_the_first_payment(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.advance_to(START_TIME + timedelta(days=30))
    first, later = await add_print(shop, ada)
    await drop_print(shop, ada, "always_invoice")
    unused = await balance(shop, ada)

    parts = {part["payment"]: part["amount"]["amount"] for part in (await get_quotes(shop, first))[GUARANTEE]["parts"]}

    assert unused == 22_03
    assert parts == {first: DIGITAL}
    assert (await request_refund(shop, first, GUARANTEE, DIGITAL, key="all")).status_code == 201
    await shop.wait_until_idle()
    assert await refunded(shop, ada) == {GUARANTEE: DIGITAL, "unspent_credit": 22_03}
    (back,) = [one for one in (await shop.overview(ada))["refunds"] if one["basis"] == "unspent_credit"]
    assert back["payment"] == later


async def test_a_duplicate_that_the_balance_paid_goes_back_to_the_balance(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    first = (await only_subscription(shop, ada))["stripe_id"]
    customer = await customer_of(shop, ada)
    await shop.advance_to(START_TIME + timedelta(minutes=5))
    path = f"/v1/customers/{customer}/balance_transactions"
    await shop.stripe_post(path, amount=str(-60_00), currency="usd")

    await pay_in_another_tab(shop, customer, first)
    await shop.wait_until_idle()

    live = [one["stripe_id"] for one in (await shop.overview(ada))["subscriptions"] if one["status"] == "active"]
    assert live == [first]
    assert await refunded(shop, ada) == {}
    assert await balance(shop, ada) == 60_00
    (note,) = await check_notes(shop, ada)
    assert _credited(note) == DIGITAL
    assert await shop.may_read(ada)
    assert await anomalies(shop) == {}, "the other subscription will use the credit"
