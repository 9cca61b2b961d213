"""What the circulation statement counts when print changes around an issue, and how copies were paid for."""

import asyncio
import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app import main
from app.domain.circulation import lines_of, parts_of
from app.domain.money import Money
from app.services import catalogue
from app.services import circulation as statements
from tests.support.labels import HOME, NEW_HOME, circulation, freeze, move
from tests.support.print_edition import change
from tests.support.refunds import payment_ids
from tests.support.shop import ADDRESS, Shop

ISSUE = 5  # of the planned ones: it closes at the end of March 8, 2026 in Chicago, and is mailed on March 17
BETWEEN, MAILED = datetime(2026, 3, 10, 18, tzinfo=UTC), datetime(2026, 3, 18, 18, tzinfo=UTC)


async def counts(shop: Shop) -> dict[str, int]:
    """Return the copies of the issue, by line."""
    answer = await shop.get(f"/v1/issues/{ISSUE}/circulation", circulation(shop))
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["lines"])


async def sample(shop: Shop, **query: str) -> list[dict[str, str]]:
    """Return the rows of an auditor's sample."""
    answer = await shop.get(f"/v1/issues/{ISSUE}/circulation.csv", circulation(shop), **query)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text)))


def only(lines: Mapping[str, int], *names: str) -> dict[str, int]:
    """Return the lines of labels and electronic copies that are not zero, without sums."""
    return {name: lines[name] for name in names or ("15b1", "15b2", "15d1", "15d2", "16a") if lines[name]}


async def test_print_that_changes_between_cutoff_and_mail_date_counts_each_reader_once(shop: Shop) -> None:
    await shop.plan_issues(50)
    drops, adds = shop.person("ada"), shop.person("ben")
    await shop.subscribe(drops, print_edition=True)
    await shop.subscribe(adds)
    await shop.advance_to(BETWEEN)
    await freeze(shop, ISSUE)
    await change(shop, drops, enabled=False)
    await change(shop, adds, enabled=True, address=HOME)
    await shop.advance_to(MAILED)

    found = await counts(shop)

    assert (found["15b2"], found["16a"]) == (1, 1), "the copy that was sent, and the reader whose print begins later"
    await shop.execute("UPDATE payments SET paid_at = '2026-01-01 01:00:00+00'")
    dates = {row["order_date"] for line in ("15b2", "16a") for row in await sample(shop, line=line)}
    assert dates == {"2025-12-31"}, "the publisher's day, in Chicago"


async def test_figures_that_two_people_enter_at_once_follow_each_other_in_the_audit_log(shop: Shop) -> None:
    await shop.plan_issues(10)
    by = dict(circulation(shop).headers)

    answers = await asyncio.gather(
        *(
            shop.http.put(f"/v1/issues/{ISSUE}/circulation", headers=by, json={"press_run": run})
            for run in (100, 200, 300, 400)
        )
    )

    assert {answer.status_code for answer in answers} == {200}
    rows = await shop.rows("SELECT before, after FROM audit_log WHERE action = 'circulation.entered' ORDER BY id")
    assert len(rows) == 4
    assert [row["before"] for row in rows[1:]] == [row["after"] for row in rows[:-1]]


async def test_a_term_that_the_customers_balance_paid_is_paid(shop: Shop) -> None:
    await shop.plan_issues(50)
    for name, print_edition in (("ada", True), ("ben", False)):
        customer = await shop.stripe_post(
            "/v1/customers", email=f"{name}@example.com", name="Ada Invented", test_clock=shop.clock
        )
        await shop.stripe_post(
            f"/v1/customers/{customer['id']}/balance_transactions", amount="-9900", currency="usd", description="Sorry"
        )
        await shop.rows(
            "INSERT INTO subscribers (id, sub, stripe_customer_id) VALUES ($1, $2, $3)",
            f"rdr_{name}",
            name,
            customer["id"],
        )
        opened = (await shop.open_checkout(shop.person(name), print_edition=print_edition)).json()
        paid = await shop.pay_checkout(
            opened["url"], address=ADDRESS if print_edition else None, email=f"{name}@example.com"
        )
        assert paid.status_code == 303, paid.text
    await shop.wait_until_idle()
    assert await shop.rows("SELECT FROM payments WHERE amount > 0") == []
    await shop.advance_to(BETWEEN)
    await freeze(shop, ISSUE)
    await shop.advance_to(MAILED)

    found = await counts(shop)

    assert (found["15b2"], found["15d2"], found["16a"]) == (1, 0, 1)


async def test_print_that_was_added_and_paid_makes_the_copies_of_a_free_term_paid(shop: Shop) -> None:
    await shop.plan_issues(50)
    coupon = await shop.stripe_post("/v1/coupons", percent_off="100", duration="once")
    await shop.stripe_post(
        "/v1/promotion_codes", **{"promotion[type]": "coupon", "promotion[coupon]": coupon["id"], "code": "FREE"}
    )
    ada, ben = shop.person("ada"), shop.person("ben")
    await shop.subscribe(ada, promotion_code="FREE")
    await shop.subscribe(ben, print_edition=True, promotion_code="FREE")
    await change(shop, ada, enabled=True, address=HOME)
    await shop.advance_to(BETWEEN)
    await freeze(shop, ISSUE)

    assert only(await counts(shop)) == {"15b2": 1, "15d2": 1}
    (paid,) = await sample(shop, line="15b2")
    (amount,) = await shop.rows("SELECT amount FROM payments WHERE print_from IS NOT NULL")
    assert (paid["paid_status"], paid["amount_paid"]) == ("paid", str(amount["amount"]))


async def test_a_copy_counts_as_it_did_when_it_was_frozen(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada, ben, cleo, dan = (shop.person(name) for name in ("ada", "ben", "cleo", "dan"))
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    for reader in (cleo, dan):
        await shop.subscribe(reader)
    await move(shop, ben, NEW_HOME)
    await shop.advance_to(BETWEEN)
    await freeze(shop, ISSUE)
    frozen = {"15b1": 1, "15b2": 1, "16a": 2}
    assert only(await counts(shop)) == frozen
    rows = [await sample(shop), await sample(shop, line="16a")]
    assert [row["amount_paid"] for row in rows[1]] == ["4900", "4900"]
    owned = await shop.rows("SELECT id FROM subscriptions WHERE NOT print_edition")
    assert {row["subscription"] for row in rows[1]} == {one["id"] for one in owned}

    for reader in (ben, cleo):
        (payment,) = await payment_ids(shop, reader)
        amount = 73_00 if reader == ben else 49_00
        assert (await shop.request_refund(payment, amount=amount, key=payment)).status_code < 300
    await shop.wait_until_idle()
    await shop.execute(  # as an erasure does, and the end of the time for which addresses are kept
        "UPDATE labels SET name = NULL, company = NULL, line1 = NULL, line2 = NULL, district = NULL, city = NULL,"
        " region = NULL, postal_code = NULL, lines = NULL"
    )

    assert only(await counts(shop)) == frozen
    assert await sample(shop, line="16a") == rows[1]
    (label,) = await sample(shop, line="15b2")
    assert (label["name"], label["amount_paid"]) == ("", "7300")
    dear = catalogue.load(Path(shop.settings.catalogue))
    prices = {name: replace(one, price=Money(100_000, "usd")) for name, one in dear.plans["annual"].prices.items()}
    risen = replace(dear, plans={"annual": replace(dear.plans["annual"], prices=prices)})
    async with main.open_context(shop.settings, risen) as ctx:
        assert only(lines_of(parts_of(await statements.of_issue(ctx, ISSUE)))) == frozen


async def test_what_was_refunded_before_the_freeze_was_not_paid(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada, ben, cleo = (shop.person(name) for name in ("ada", "ben", "cleo"))
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    await shop.subscribe(cleo)
    await shop.advance_to(BETWEEN)
    for reader, amount in ((ada, 73_00), (cleo, 49_00)):
        (payment,) = await payment_ids(shop, reader)
        assert (await shop.request_refund(payment, amount=amount, key=payment)).status_code < 300
    await shop.wait_until_idle()
    await freeze(shop, ISSUE)

    assert only(await counts(shop)) == {"15b2": 1, "15d2": 1}
    (free,) = await sample(shop, line="15d2")
    assert (free["paid_status"], free["amount_paid"]) == ("free", "0")
    assert await sample(shop, line="16a") == []


async def test_tax_is_not_a_part_of_what_was_paid_for_a_copy(shop: Shop) -> None:
    await shop.plan_issues(50)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.subscribe(shop.person("ben"), print_edition=True)
    await shop.advance_to(BETWEEN)
    await shop.execute("UPDATE payments SET amount = 2290, tax = 100")  # 30 percent of $73.00 are $21.90
    await shop.execute("UPDATE payments SET tax = 101 WHERE id = (SELECT min(id) FROM payments)")
    await freeze(shop, ISSUE)

    assert only(await counts(shop)) == {"15b2": 1, "15d2": 1}
    assert sorted(row["amount_paid"] for row in await sample(shop)) == ["2189", "2190"]


async def test_a_term_that_was_restored_after_a_failed_refund_has_an_electronic_copy(shop: Shop) -> None:
    await shop.plan_issues(50)
    await shop.subscribe(shop.person("ada"))
    await shop.advance_to(BETWEEN)
    await shop.execute("UPDATE terms SET refunded_as = 'guarantee', refunded_at = starts_at")
    assert only(await counts(shop)) == {}
    await shop.execute("UPDATE terms SET restored_as = 'refund_failed'")
    assert only(await counts(shop)) == {"16a": 1}
    await freeze(shop, ISSUE)
    await shop.execute("DELETE FROM payments")

    assert only(await counts(shop)) == {"16a": 1}


async def test_a_run_that_an_earlier_release_froze_is_counted_with_what_is_known(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada, ben = shop.person("ada"), shop.person("ben")
    await shop.subscribe(ada, print_edition=True)
    await shop.subscribe(ben)
    await shop.advance_to(BETWEEN)
    await freeze(shop, ISSUE)
    before = [await counts(shop), await sample(shop), await sample(shop, line="16a")]
    await shop.execute("UPDATE labels SET mail_class = NULL, is_paid = NULL, amount_paid = NULL")
    await shop.execute("UPDATE label_runs SET electronic = NULL")
    await shop.execute("DELETE FROM electronic_copies")

    assert [await counts(shop), await sample(shop), await sample(shop, line="16a")] == before
    assert only(await counts(shop)) == {"15b2": 1, "16a": 1}
