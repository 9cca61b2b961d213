"""Plan changes, print changed by hand, and moved billing dates at Stripe: which terms follow, and what they owe."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.journeys.lifecycle.test_issues import two_years
from tests.journeys.lifecycle.test_manual_changes_at_stripe import (
    anomalies,
    create_customer,
    only_subscription,
    our_item,
    subscribe,
)
from tests.support.refunds import GOODWILL, GUARANTEE, UNSERVED, get_quotes, payment_ids, request_refund
from tests.support.shop import START_TIME, Person, Shop

RENEWED = START_TIME.replace(year=2027) + timedelta(hours=2)
AUTUMN = datetime(2026, 9, 1, 18, tzinfo=UTC)


async def print_item(shop: Shop, stripe_id: str) -> str:
    """Return the ID of a subscription's print item."""
    items = (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["items"]["data"]
    return str(next(item["id"] for item in items if item["price"]["product"] == "newsstand_annual_print"))


async def add_print(shop: Shop, stripe_id: str, behavior: str) -> None:
    """Add print as staff do in the Dashboard."""
    (price,) = (await shop.stripe_get("/v1/prices", product="newsstand_annual_print"))["data"]
    await shop.stripe_post(
        "/v1/subscription_items", subscription=stripe_id, price=price["id"], proration_behavior=behavior
    )
    await shop.wait_until_idle()


async def terms(shop: Shop, reader: Person) -> list[dict[str, Any]]:
    """Return the terms of a reader's only subscription."""
    return list((await only_subscription(shop, reader))["terms"])


def printed(term: dict[str, Any]) -> tuple[bool, str | None, str | None]:
    """Return whether a term includes print, and from when and until when if not from start to end."""
    return term["print_edition"], term["print_from"], term["print_until"]


async def test_print_dropped_by_hand_is_not_granted_for_the_next_year(shop: Shop) -> None:
    ada, bob = shop.person("ada"), shop.person("bob")
    for reader, behavior in ((ada, "create_prorations"), (bob, "none")):
        await shop.subscribe(reader, print_edition=True)
        stripe_id = str((await only_subscription(shop, reader))["stripe_id"])
        await shop.advance_to(AUTUMN)
        item = await print_item(shop, stripe_id)
        deleted = await shop.stripe.request(
            "DELETE", f"/v1/subscription_items/{item}", params={"proration_behavior": behavior}
        )
        assert deleted.status_code == 200, deleted.text
    await shop.wait_until_idle()
    assert await shop.may_read(bob, "print_edition"), "the rest of the term is paid and not credited"

    await shop.advance_to(RENEWED + timedelta(days=190))

    for reader in (ada, bob):
        first, second = await terms(shop, reader)
        assert printed(first)[0]
        assert printed(second) == (False, None, None)
        assert second["issues_owed"] == 24
        assert not await shop.may_read(reader, "print_edition")
        assert await shop.may_read(reader)
    assert printed((await terms(shop, ada))[0]) == (True, None, "2026-09-01T18:00:00Z"), "credited from then on"


async def test_print_added_and_invoiced_at_once_is_granted_for_the_rest_of_the_term(shop: Shop) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    await two_years(shop)
    await shop.advance_to(AUTUMN)
    assert not await shop.may_read(ada, "print_edition")

    await add_print(shop, stripe_id, "always_invoice")

    (term,) = await terms(shop, ada)
    assert printed(term) == (True, "2026-09-01T18:00:00Z", None)
    assert await shop.may_read(ada, "print_edition")
    first, later = await payment_ids(shop, ada)
    served = term["ledger"]["served"]
    quote = (await get_quotes(shop, later))[UNSERVED]
    bought = quote["issues"]["owed"]
    assert (served, bought, quote["issues"]["served"]) == (13, 11, 0)
    whole = (await get_quotes(shop, first))[UNSERVED]
    assert whole["issues"] == {"owed": 24, "served": 13, "unserved": 11}
    (paid_for_print,) = [
        one["amount"]["amount"] for one in (await shop.overview(ada))["payments"] if one["id"] == later
    ]
    assert quote["parts"][0]["amount"]["amount"] == paid_for_print, "no copy that it paid for was sent yet"

    await shop.advance_to(AUTUMN + timedelta(days=60))
    quote = (await get_quotes(shop, later))[UNSERVED]
    assert (quote["issues"]["owed"], quote["issues"]["served"]) == (bought, 5), "with the one whose labels have closed"
    await shop.advance_to(RENEWED)
    assert [printed(one)[0] for one in await terms(shop, ada)] == [True, True]


@pytest.mark.parametrize("behavior", ["create_prorations", "none"])
async def test_print_added_for_later_starts_with_the_renewal(shop: Shop, behavior: str) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    await shop.advance_to(AUTUMN)
    await add_print(shop, stripe_id, behavior)
    assert not await shop.may_read(ada, "print_edition"), "nothing was paid for it"

    await shop.advance_to(RENEWED)

    assert [printed(one) for one in await terms(shop, ada)] == [(False, None, None), (True, None, None)]
    assert await shop.may_read(ada, "print_edition")


async def test_staff_see_print_that_was_charged_too_late_until_it_is_refunded(shop: Shop) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    await shop.advance_to(AUTUMN)
    await add_print(shop, stripe_id, "create_prorations")

    await shop.advance_to(RENEWED)

    (found,) = (await shop.overview(ada))["anomalies"]
    assert (found["object"], found["code"]) == (stripe_id, "print_charged_late")
    assert "11.90 USD" in found["reason"]
    assert (await shop.overview(ada))["subscriptions"][0]["status"] == "active"
    _, renewal = await payment_ids(shop, ada)
    assert (await request_refund(shop, renewal, GOODWILL, 11_90, key="late")).status_code in {201, 202}
    await shop.wait_until_idle()
    assert (await shop.overview(ada))["anomalies"] == []


async def test_a_renewal_after_a_price_change_opens_its_term(shop: Shop) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    item = await our_item(shop, stripe_id)
    dearer = await shop.stripe_post(
        "/v1/prices",
        unit_amount="5900",
        currency="usd",
        product=item["price"]["product"],
        **{"recurring[interval]": "year"},
    )
    await shop.advance_to(AUTUMN)
    await shop.stripe_post(
        f"/v1/subscriptions/{stripe_id}", **{"items[0][id]": item["id"], "items[0][price]": dearer["id"]}
    )

    await shop.advance_to(RENEWED)

    invoice = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"][0]
    assert len(invoice["lines"]["data"]) == 3, "unused time, remaining time and the new period"
    assert [(one["starts_at"][:10], one["issues_owed"]) for one in await terms(shop, ada)] == [
        ("2026-03-01", 24),
        ("2027-03-01", 24),
    ]
    assert await shop.may_read(ada)


async def test_a_change_to_another_interval_ends_the_credited_term(shop: Shop) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    item = await our_item(shop, stripe_id)
    monthly = await monthly_price(shop)
    await shop.advance_to(AUTUMN)
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"items[0][id]": item["id"], "items[0][price]": monthly})
    await shop.wait_until_idle()

    first, second = await terms(shop, ada)
    assert (first["ends_at"], first["ledger"]["bought"]) == ("2026-09-01T18:00:00Z", 24)
    assert (second["starts_at"], second["ends_at"][:10], second["issues_owed"]) == (
        "2026-09-01T18:00:00Z",
        "2026-10-01",
        2,
    )
    await two_years(shop)
    payment = (await payment_ids(shop, ada))[0]
    assert (await get_quotes(shop, payment))[UNSERVED]["reason"] == "nothing_unserved", "the rest was credited"
    assert await shop.may_read(ada)


async def monthly_price(shop: Shop, *, interval: str = "month", amount: int = 4_90) -> str:
    """Create a price of our digital product with another interval."""
    made = await shop.stripe_post(
        "/v1/prices",
        unit_amount=str(amount),
        currency="usd",
        product="newsstand_annual_digital",
        **{"recurring[interval]": interval},
    )
    return str(made["id"])


async def subscribe_manually(shop: Shop, name: str, price: str, **more: str) -> tuple[Person, str]:
    """Create a subscription at Stripe for a reader without one; return both."""
    reader = shop.person(name)
    await shop.execute(f"INSERT INTO subscribers (id, sub, email) VALUES ('rdr_{name}', '{name}', '{reader.email}')")
    customer, card = await create_customer(shop, reader.email)
    made = await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer,
        default_payment_method=card,
        **{"items[0][price]": price, "metadata[newsstand_subscriber]": f"rdr_{name}", **more},
    )
    await shop.wait_until_idle()
    return reader, str(made["id"])


async def test_our_product_by_the_month_owes_its_share_of_issues(shop: Shop) -> None:
    await two_years(shop)
    ada, _ = await subscribe_manually(shop, "ada", await monthly_price(shop))

    for days in (35, 70):  # a test clock advances by at most two periods
        await shop.advance_to(START_TIME + timedelta(days=days))

    assert [(one["ledger"]["owed"], one["ledger"]["served"]) for one in await terms(shop, ada)][:2] == [(2, 2), (2, 2)]
    past, *_ = await payment_ids(shop, ada)
    quote = (await get_quotes(shop, past))[UNSERVED]
    assert (quote["amount"]["amount"], quote["reason"]) == (0, "nothing_unserved")
    assert await shop.may_read(ada)
    assert await anomalies(shop) == {}


async def test_a_price_that_splits_issues_is_reported_and_grants_access(shop: Shop) -> None:
    ada, stripe_id = await subscribe_manually(shop, "ada", await monthly_price(shop, interval="week", amount=1_20))

    assert await anomalies(shop) == {stripe_id: {"uneven_interval"}}
    assert await shop.may_read(ada)
    assert [one["issues_owed"] for one in await terms(shop, ada)] == [0]


@pytest.mark.parametrize("behavior", ["none", "create_prorations"])
async def test_a_moved_billing_date_leaves_the_paid_term_even_at_first_sight(shop: Shop, behavior: str) -> None:
    (price,) = (await shop.stripe_get("/v1/prices", product="newsstand_annual_digital"))["data"]
    (printed_price,) = (await shop.stripe_get("/v1/prices", product="newsstand_annual_print"))["data"]
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    ada, stripe_id = await subscribe_manually(shop, "ada", price["id"], **{"items[1][price]": printed_price["id"]})
    moved_to = START_TIME.replace(year=2027, month=6)
    await shop.stripe_post(
        f"/v1/subscriptions/{stripe_id}", trial_end=str(int(moved_to.timestamp())), proration_behavior=behavior
    )
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    moved = await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"metadata[seen]": "first"})
    await shop.wait_until_idle()

    assert moved["status"] == "trialing"
    (term,) = await terms(shop, ada)
    assert (term["starts_at"], term["ends_at"][:10], term["issues_owed"]) == ("2026-03-01T18:00:00Z", "2027-03-01", 24)
    assert printed(term) == (True, None, None)
    assert await shop.may_read(ada, "print_edition")
    await shop.advance_to(moved_to - timedelta(days=1))
    assert await shop.may_read(ada), "the trial bridges the time to the new billing date"
    await shop.advance_to(moved_to + timedelta(hours=2))
    assert [one["starts_at"][:10] for one in await terms(shop, ada)] == ["2026-03-01", "2027-06-01"]


async def invoiced(shop: Shop, name: str) -> tuple[Person, str]:
    """Subscribe a reader who pays by invoice, with 8 % tax; return them with the open invoice."""
    (price,) = (await shop.stripe_get("/v1/prices", product="newsstand_annual_digital"))["data"]
    reader, stripe_id = await subscribe_manually(
        shop,
        name,
        price["id"],
        collection_method="send_invoice",
        days_until_due="30",
        **{"automatic_tax[enabled]": "true"},
    )
    (invoice,) = (await shop.stripe_get("/v1/invoices", subscription=stripe_id))["data"]
    if invoice["status"] == "draft":
        await shop.stripe_post(f"/v1/invoices/{invoice['id']}/finalize")
    await shop.wait_until_idle()
    return reader, str(invoice["id"])


async def pay(shop: Shop, invoice: str, kind: str, amount: int) -> None:
    """Pay a part of an invoice with a bank transfer or outside Stripe."""
    paid = await shop.stripe.post(f"/_sandbox/invoices/{invoice}/payments", json={"type": kind, "amount": amount})
    assert paid.status_code == 200, paid.text
    await shop.wait_until_idle()


async def paid(shop: Shop, reader: Person) -> list[tuple[str, int, int]]:
    """Return the kind, amount and tax of a reader's payments."""
    found = (await shop.overview(reader))["payments"]
    return sorted((one["kind"], one["amount"]["amount"], one["tax"]["amount"]) for one in found)


async def test_parts_that_arrive_one_after_another_have_their_share_of_the_tax(shop: Shop) -> None:
    await shop.stripe.put("/_sandbox/settings", json={"tax_rate": 8})
    ada, invoice = await invoiced(shop, "ada")
    total = (await shop.stripe_get(f"/v1/invoices/{invoice}"))["total"]
    tax = total - 49_00
    assert tax > 0

    await pay(shop, invoice, "charge", 20_00)
    assert await paid(shop, ada) == [("charge", 20_00, tax * 20_00 // total)]
    assert await terms(shop, ada) == [], "the invoice is still open"
    await shop.advance_to(START_TIME + timedelta(days=10))
    await pay(shop, invoice, "charge", total - 20_00)

    found = await paid(shop, ada)
    assert [one[:2] for one in found] == [("charge", 20_00), ("charge", total - 20_00)]
    assert sum(one[2] for one in found) == tax
    assert [one["issues_owed"] for one in await terms(shop, ada)] == [24]
    first, second = await payment_ids(shop, ada)
    quote = (await get_quotes(shop, first))[GUARANTEE]
    assert (quote["allowed"], quote["amount"]["amount"], quote["tax"]["amount"]) == (True, total, tax)
    assert quote["until"] == "2026-05-01T05:00:00Z", "60 days from the first part, in Chicago"

    answer = await request_refund(shop, second, GUARANTEE, total, key="all")
    assert answer.status_code == 201, answer.text
    await shop.wait_until_idle()
    given = (await shop.stripe_get("/v1/refunds"))["data"]
    assert sorted(one["amount"] for one in given) == sorted([20_00, total - 20_00])
    assert {one["charge"] for one in given} == {first, second}
    assert (await shop.check(ada))["reason"] == "refunded"


async def test_a_dashboard_refund_of_one_part_ends_nothing_until_every_part_is_refunded(shop: Shop) -> None:
    ada, invoice = await invoiced(shop, "ada")
    await pay(shop, invoice, "charge", 20_00)
    await pay(shop, invoice, "charge", 29_00)
    first, second = await payment_ids(shop, ada)

    await shop.stripe_post("/v1/refunds", charge=first)
    await shop.wait_until_idle()

    assert (await shop.check(ada))["reason"] == "paid_term", "the rest of the term is still paid"
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert held["status"] == "active"

    await shop.stripe_post("/v1/refunds", charge=second)
    await shop.wait_until_idle()

    assert (await shop.check(ada))["reason"] == "refunded"
    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (held["status"], held["ended_by"]) == ("canceled", "dashboard")


async def test_payments_outside_stripe_are_recorded_and_refunded_by_hand(shop: Shop) -> None:
    ada, by_record = await invoiced(shop, "ada")
    bob, by_hand = await invoiced(shop, "bob")
    await pay(shop, by_record, "payment_record", 10_00)
    await pay(shop, by_record, "payment_record", 39_00)
    await shop.advance_to(START_TIME + timedelta(days=5))
    await shop.stripe_post(f"/v1/invoices/{by_hand}/pay", paid_out_of_band="true")
    await shop.wait_until_idle()

    assert await paid(shop, ada) == [("payment_record", 10_00, 0), ("payment_record", 39_00, 0)]
    assert await paid(shop, bob) == [("out_of_band", 49_00, 0)]
    for reader, until in ((ada, "2026-05-01T05:00:00Z"), (bob, "2026-05-06T05:00:00Z")):
        assert await shop.may_read(reader)
        payment, *_ = await payment_ids(shop, reader)
        for basis, quote in (await get_quotes(shop, payment)).items():
            reason = "no_withdrawal_right" if basis == "withdrawal" else "paid_outside_stripe"
            assert (quote["allowed"], quote["reason"]) == (False, reason)
        assert (await get_quotes(shop, payment))[GUARANTEE]["until"] == until
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []


async def test_a_refund_of_a_charge_made_in_the_dashboard_is_found(shop: Shop) -> None:
    ada, invoice = await invoiced(shop, "ada")
    await pay(shop, invoice, "charge", 49_00)
    (payment,) = await payment_ids(shop, ada)

    await shop.stripe_post("/v1/refunds", charge=payment)
    await shop.wait_until_idle()

    assert (await shop.overview(ada))["payments"][0]["refunded"]["amount"] == 49_00
    assert (await shop.check(ada))["reason"] == "refunded"


async def test_a_dispute_of_a_bank_transfer_concerns_its_term(shop: Shop) -> None:
    ada, invoice = await invoiced(shop, "ada")
    await pay(shop, invoice, "charge", 49_00)
    (payment,) = await payment_ids(shop, ada)

    opened = await shop.stripe.post(f"/_sandbox/charges/{payment}/dispute", json={"reason": "fraudulent"})
    assert opened.status_code == 200, opened.text
    await shop.wait_until_idle()

    assert (await shop.check(ada))["reason"] == "dispute_open"
    assert [one["payment"] for one in (await shop.overview(ada))["disputes"]] == [payment]
