"""Claims and extensions after the last issue owed, while a renewal is awaited and grace copies go out."""

from datetime import UTC, datetime, timedelta

import httpx2

from tests.journeys.labels.test_grace_and_back_issues import LAST, with_a_failing_card
from tests.journeys.lifecycle.test_status_table import open_invoice, replace_card
from tests.support.labels import freeze, labels, try_to_freeze
from tests.support.shop import Person, Shop

FROZEN = datetime(2027, 3, 4, 6, tzinfo=UTC)  # the labels of the first issue after the last one owed close on March 3
PERIOD = timedelta(days=15)  # from issue to issue
MAILED = timedelta(days=10)  # after the labels have closed


async def test_grace_copies_are_not_claimed_by_extension_and_do_not_start_again(shop: Shop) -> None:
    people = await _with_failed_renewals(shop, "ada", "ben", "cleo")
    copies, claims = dict.fromkeys(people, 0), []
    for number in range(LAST + 1, LAST + 6):
        await shop.advance_to(FROZEN + (number - LAST - 1) * PERIOD)
        await freeze(shop, number)
        for row in await shop.rows(
            "SELECT s.sub FROM labels l JOIN subscriptions o ON o.id = l.subscription_id"
            " JOIN subscribers s ON s.id = o.subscriber_id WHERE l.issue_number = $1",
            number,
        ):
            copies[row["sub"]] += 1
        await shop.advance_to(FROZEN + (number - LAST - 1) * PERIOD + MAILED)
        claims.append((await _claim(shop, people["ada"], number, "extend")).json()["code"])
        if number == LAST + 2:
            assert (await _extend(shop, "cleo")).status_code == 201

    assert claims == ["nothing_to_extend"] * 2 + ["copy_not_sent"] * 3
    assert copies == {"ada": 2, "ben": 2, "cleo": 3}, "the desk gave one issue, and it brings no more grace copies"
    assert not await shop.may_read(people["ada"], "digital_edition")


async def test_an_issue_given_while_a_renewal_is_awaited_is_worth_an_issue(shop: Shop) -> None:
    people = await _with_failed_renewals(shop, "ada", "ben")
    await shop.advance_to(FROZEN)
    await freeze(shop, LAST + 1)
    await shop.advance_to(FROZEN + MAILED)
    assert (await _extend(shop, "ada")).status_code == 201
    assert (await _claim(shop, people["ben"], LAST + 1, "resend")).status_code == 201

    await shop.advance_to(FROZEN + MAILED + timedelta(days=3))  # after the grace period
    for reader in people.values():
        (paying,) = (await shop.overview(reader))["subscriptions"]
        invoice = await open_invoice(shop, paying["stripe_id"])
        card = await replace_card(shop, paying["stripe_id"], "pm_card_visa")
        await shop.stripe_post(f"/v1/invoices/{invoice['id']}/pay", payment_method=card)
    await shop.wait_until_idle()

    owed = {name: (await shop.get("/v1/me/subscription", one)).json()["issues"] for name, one in people.items()}
    assert {name: issues["last_issue"] for name, issues in owed.items()} == {
        "ada": LAST + 1 + 1 + 23,
        "ben": LAST + 1 + 23,
    }
    assert (await freeze(shop, LAST + 1, supplement=True, key="again"))["counts"]["copies"] == 1
    assert [one["kind"] for one in await labels(shop, LAST + 1, supplement=1)] == ["replacement"]
    assert (await try_to_freeze(shop, LAST + 1, supplement=True, key="more")).json()["code"] == "nothing_to_add"


async def _with_failed_renewals(shop: Shop, *names: str) -> dict[str, Person]:
    await shop.plan_issues(90)
    people = {name: shop.person(name) for name in names}
    for reader in people.values():
        await with_a_failing_card(shop, reader)
    await shop.stripe.put("/_sandbox/settings", json={"after_retries": "past_due", "retry_days": [1]})
    return people


async def _claim(shop: Shop, by: Person, issue: int, resolution: str) -> httpx2.Response:
    return await shop.post("/v1/me/claims", by, {"issue": issue, "reason": "not_received", "resolution": resolution})


async def _extend(shop: Shop, sub: str) -> httpx2.Response:
    """Give a reader one issue, by the desk."""
    (found,) = await shop.rows(
        "SELECT o.id FROM subscriptions o JOIN subscribers s ON s.id = o.subscriber_id WHERE s.sub = $1", sub
    )
    body = {"issues": 1, "reason": "goodwill"}
    return await shop.post(
        f"/v1/support/subscriptions/{found['id']}/extend", shop.agent, body, **{"Idempotency-Key": sub}
    )
