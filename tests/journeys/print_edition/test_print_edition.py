"""A reader adds print within a term, and drops it: priced by issues, billed apart, without proration."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.labels import HOME, freeze, labels
from tests.support.print_edition import PATH, change, items, print_invoices, put, quote, use_card
from tests.support.shop import START_TIME, Shop

DIGITAL, PRINT = "newsstand_annual_digital", "newsstand_annual_print"
MONTH_FIVE, MONTH_NINE = datetime(2026, 7, 20, 18, tzinfo=UTC), datetime(2026, 11, 10, 18, tzinfo=UTC)


async def test_add_print_in_month_five_and_drop_it_in_month_nine(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.advance_to(MONTH_FIVE)
    quoted = await quote(shop, ada)

    added = await change(shop, ada, enabled=True, address=HOME)

    assert (quoted["kind"], quoted["enabled"], quoted["from_issue"]) == ("add", False, added["from_issue"])
    assert quoted["amount"]["amount"] == quoted["price"]["amount"] == quoted["issues"] * 1_00
    assert (added["status"], added["issues"]) == ("completed", quoted["issues"])
    (invoice,) = await print_invoices(shop)
    assert (invoice["status"], invoice["amount_paid"]) == ("paid", quoted["amount"]["amount"])
    assert await items(shop) == [DIGITAL, PRINT]
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert (mine["editions"], mine["price"]["amount"]) == (["digital", "print"], 73_00)
    (term,) = await shop.rows("SELECT print_edition, lower(copies) AS first FROM terms")
    assert tuple(term.values()) == (True, quoted["from_issue"])
    assert await shop.may_read(ada, "print_edition")

    issue = quoted["from_issue"]
    await shop.advance_to(await _closing(shop, issue))
    await freeze(shop, issue)
    assert [label["city"] for label in await labels(shop, issue)] == ["Springfield"]

    await shop.advance_to(MONTH_NINE)
    back = await quote(shop, ada)
    dropped = await change(shop, ada, enabled=False, key="print-2")

    assert (back["kind"], back["amount"]["amount"]) == ("drop", back["issues"] * 1_00)
    assert (dropped["status"], dropped["amount"]["amount"]) == ("completed", back["amount"]["amount"])
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == back["amount"]["amount"]
    assert refund["metadata"]["newsstand_basis"] == "print_dropped"
    assert await items(shop) == [DIGITAL]
    (term,) = await shop.rows("SELECT upper(copies) AS after, refunded_as FROM terms")
    assert tuple(term.values()) == (back["from_issue"], None)
    assert await shop.may_read(ada)
    assert (await shop.get("/v1/me/subscription", ada)).json()["price"]["amount"] == 49_00
    copies = []
    for number in (back["from_issue"] - 1, back["from_issue"]):  # the labels of the first had closed
        await shop.advance_to(await _closing(shop, number))
        copies.append((await freeze(shop, number))["counts"]["copies"])
    assert copies == [1, 0]
    assert await shop.rows("SELECT * FROM anomalies") == []
    actions = [row["action"] for row in await shop.rows("SELECT action FROM audit_log ORDER BY id")]
    assert [one for one in actions if one.startswith("print_edition")] == [
        "print_edition.add_requested",
        "print_edition.added",
        "print_edition.drop_requested",
        "print_edition.dropped",
    ]


async def test_print_added_and_dropped_before_a_cutoff_returns_everything(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await change(shop, ada, enabled=True, address=HOME)
    await change(shop, ada, enabled=False, key="print-2")

    (invoice,) = await print_invoices(shop)
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == invoice["amount_paid"] == 23_00
    (term,) = await shop.rows("SELECT copies::text FROM terms")
    assert term["copies"] == "{}"
    again = await change(shop, ada, enabled=True, key="print-3")
    assert again["amount"]["amount"] == 23_00
    assert await items(shop) == [DIGITAL, PRINT]


async def test_the_renewal_includes_print_at_its_plain_price(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await shop.advance_to(MONTH_FIVE)
    added = await change(shop, ada, enabled=True, address=HOME)

    await shop.advance_to(START_TIME.replace(year=2027) + timedelta(hours=2))

    paid = sorted(row["amount"] for row in await shop.rows("SELECT amount FROM payments"))
    assert paid == sorted([49_00, 73_00, added["amount"]["amount"]])
    assert len(await shop.rows("SELECT * FROM terms WHERE print_edition")) == 2
    assert await shop.rows("SELECT * FROM anomalies WHERE gone_at IS NULL") == []


async def test_a_failed_payment_voids_the_invoice_and_changes_nothing(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await use_card(shop, "pm_card_chargeCustomerFail")

    refused = await put(shop, ada, enabled=True, amount=23_00, address=HOME)
    await shop.wait_until_idle()

    assert (refused.status_code, refused.json()["code"]) == (409, "print_payment_failed"), refused.text
    (invoice,) = await print_invoices(shop)
    assert invoice["status"] == "void"
    assert await items(shop) == [DIGITAL]
    assert not await shop.may_read(ada, "print_edition")
    assert await shop.may_read(ada)
    assert (await quote(shop, ada))["amount"]["amount"] == 23_00
    assert await shop.rows("SELECT * FROM postal_addresses") == []
    assert await shop.rows("SELECT * FROM print_changes WHERE address IS NOT NULL") == []

    await use_card(shop, "pm_card_visa")
    again = await put(shop, ada, enabled=True, amount=23_00, address=HOME)
    assert again.status_code == 200, "the same key tries again"
    assert [row["line1"] for row in await shop.rows("SELECT line1 FROM postal_addresses")] == [HOME["line1"]]
    assert await shop.rows("SELECT * FROM print_changes WHERE address IS NOT NULL") == []
    assert await items(shop) == [DIGITAL, PRINT]


async def test_a_payment_that_the_bank_asks_about_is_confirmed_by_the_reader(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await use_card(shop, "pm_card_authenticationRequired")

    asked = await put(shop, ada, enabled=True, amount=23_00, address=HOME)
    await shop.wait_until_idle()

    assert asked.status_code == 202, asked.text
    assert asked.json()["status"] == "awaiting_payment"
    assert asked.json()["pay_url"].startswith("https://invoice.stripe.com/")
    assert await items(shop) == [DIGITAL]
    assert (await put(shop, ada, enabled=True, amount=23_00, address=HOME)).json() == asked.json()
    other = await put(shop, ada, enabled=True, amount=23_00, key="other")
    assert (other.status_code, other.json()["code"]) == (409, "print_change_in_progress")
    assert (await quote(shop, ada))["change"]["status"] == "awaiting_payment"
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert (mine["status"], mine["notice"]) == ("active", None), "nobody owes the payment"

    (invoice,) = await print_invoices(shop)
    intent = (await shop.stripe_get("/v1/invoice_payments", invoice=invoice["id"]))["data"][0]["payment"]
    await shop.stripe.post(
        f"/_sandbox/payment_intents/{intent['payment_intent']}/authenticate", json={"result": "complete"}
    )
    await shop.wait_until_idle()

    assert await items(shop) == [DIGITAL, PRINT]
    after = await quote(shop, ada)
    assert (after["enabled"], after["change"]) == (True, None)


async def test_a_payment_that_is_never_confirmed_comes_to_nothing(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await use_card(shop, "pm_card_authenticationRequired")
    await put(shop, ada, enabled=True, amount=23_00, address=HOME)

    await shop.advance_to(START_TIME + timedelta(hours=2))
    await shop.execute("UPDATE print_changes SET due_at = now()")
    await shop.wait_until_idle()

    (invoice,) = await print_invoices(shop)
    assert invoice["status"] == "void"
    (row,) = await shop.rows("SELECT status, failure_reason FROM print_changes")
    assert tuple(row.values()) == ("failed", "payment_expired")
    assert await items(shop) == [DIGITAL]


async def test_the_customers_balance_pays_a_part(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    await shop.stripe_post(
        f"/v1/customers/{customer['id']}/balance_transactions", amount="-900", currency="usd", description="Sorry"
    )

    quoted = await quote(shop, ada)
    await change(shop, ada, enabled=True, address=HOME)

    assert (quoted["total"]["amount"], quoted["from_balance"]["amount"]) == (23_00, 9_00)
    (invoice,) = await print_invoices(shop)
    assert quoted["amount"]["amount"] == invoice["amount_paid"] == 14_00

    back = await quote(shop, ada)
    await change(shop, ada, enabled=False, key="print-2")

    assert (back["amount"]["amount"], back["to_balance"]["amount"]) == (14_00, 9_00)
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 14_00
    (customer,) = await shop.stripe_customers()
    assert customer["balance"] == -9_00


async def test_pending_items_of_the_subscription_are_not_billed_with_print(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    (held,) = (await shop.stripe_get("/v1/subscriptions", customer=customer["id"]))["data"]
    await shop.stripe_post(
        "/v1/invoiceitems", customer=customer["id"], subscription=held["id"], amount="500", currency="usd"
    )

    await change(shop, ada, enabled=True, address=HOME)

    (invoice,) = await print_invoices(shop)
    assert invoice["amount_paid"] == 23_00
    (pending,) = (await shop.stripe_get("/v1/invoiceitems", customer=customer["id"], pending="true"))["data"]
    assert pending["amount"] == 5_00


async def test_the_guarantee_returns_what_was_paid_for_print_too(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    await change(shop, ada, enabled=True, address=HOME)

    offered = (await shop.get("/v1/me/refund-quote", ada)).json()
    body = {"expected_amount": {"amount": 72_00, "currency": "usd"}}
    answer = await shop.post("/v1/me/refunds", ada, body, **{"Idempotency-Key": "all"})
    await shop.wait_until_idle()

    assert offered["amount"]["amount"] == 72_00
    assert answer.status_code == 201, answer.text
    assert sorted(one["amount"] for one in (await shop.stripe_get("/v1/refunds"))["data"]) == [23_00, 49_00]
    assert not await shop.may_read(ada)


async def test_unserved_issues_after_print_was_dropped_return_nothing_of_it_again(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(MONTH_FIVE)
    dropped = await change(shop, ada, enabled=False)
    payment = (await shop.overview(ada))["payments"][0]["id"]

    answer = await shop.get(f"/v1/support/payments/{payment}/refund-quote", shop.agent)

    unserved = next(one for one in answer.json()["quotes"] if one["basis"] == "unserved_issues")
    left = unserved["issues"]["unserved"]
    assert dropped["amount"]["amount"] > 0
    assert unserved["amount"]["amount"] == 49_00 - 49_00 * (24 - left) // 24


async def test_staff_add_and_drop_print_for_a_reader(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/support/subscriptions/{held['id']}/print-edition"

    quoted = await shop.get(f"{path}/quote", shop.agent)
    added = await put(shop, shop.agent, enabled=True, amount=23_00, address=HOME, path=path)
    await shop.wait_until_idle()

    assert quoted.json()["amount"]["amount"] == 23_00
    assert added.status_code == 200, added.text
    assert await items(shop) == [DIGITAL, PRINT]
    (row,) = await shop.rows("SELECT actor FROM audit_log WHERE action = 'print_edition.added'")
    assert row["actor"] == "staff:agent"


@pytest.mark.parametrize(
    ("enabled", "amount", "address", "status", "code"),
    [
        pytest.param(True, 23_00, None, 409, "print_address_required", id="no address"),
        pytest.param(True, 22_99, HOME, 409, "quote_changed", id="another amount"),
        pytest.param(True, -1, HOME, 422, "validation_failed", id="a negative amount"),
        pytest.param(True, 23_00, {**HOME, "country": "JP"}, 409, "country_not_served", id="unserved country"),
        pytest.param(True, 23_00, {**HOME, "line1": ""}, 422, "address_incomplete", id="incomplete address"),
        pytest.param(False, 0, None, 409, "print_edition_unchanged", id="nothing to drop"),
    ],
)
async def test_a_request_that_is_refused_changes_nothing(
    shop: Shop, enabled: bool, amount: int, address: dict[str, str] | None, status: int, code: str
) -> None:
    await shop.plan_issues(50)
    ada = shop.person()
    await shop.subscribe(ada)

    refused = await put(shop, ada, enabled=enabled, amount=amount, address=address)

    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert await print_invoices(shop) == []
    assert await shop.rows("SELECT * FROM print_changes") == []
    assert await shop.rows("SELECT * FROM postal_addresses") == []


async def test_without_a_key_or_a_subscription_nothing_is_changed(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada, ben = shop.person("ada"), shop.person("ben")
    await shop.subscribe(ada)
    body = {"enabled": True, "expected_amount": {"amount": 23_00, "currency": "usd"}}

    unkeyed = await shop.http.put(PATH, headers=dict(ada.headers), json=body)
    nobody = await shop.get(f"{PATH}/quote", ben)

    assert unkeyed.json()["code"] == "idempotency_key_required"
    assert (nobody.status_code, nobody.json()["code"]) == (404, "no_subscription")


async def _closing(shop: Shop, issue: int) -> datetime:
    """Return when the labels of an issue have closed."""
    (row,) = await shop.rows("SELECT label_cutoff FROM issues WHERE number = $1", issue)
    return datetime.combine(row["label_cutoff"] + timedelta(days=1), datetime.min.time(), UTC) + timedelta(hours=6)
