"""What the circulation statement counts when print changes around an issue, and how copies were paid for."""

import asyncio
from datetime import UTC, datetime

from tests.support.labels import HOME, circulation, freeze
from tests.support.print_edition import change
from tests.support.shop import ADDRESS, Shop

ISSUE = 5  # of the planned ones: it closes at the end of March 8, 2026 in Chicago, and is mailed on March 17
BETWEEN, MAILED = datetime(2026, 3, 10, 18, tzinfo=UTC), datetime(2026, 3, 18, 18, tzinfo=UTC)


async def counts(shop: Shop) -> dict[str, int]:
    """Return the copies of the issue, by line."""
    answer = await shop.get(f"/v1/issues/{ISSUE}/circulation", circulation(shop))
    assert answer.status_code == 200, answer.text
    return dict(answer.json()["lines"])


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
