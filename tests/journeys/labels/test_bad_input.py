"""Issues without labels and addresses that can't be printed: refused or listed, with nothing half done."""

import asyncio
from datetime import UTC, datetime

import pytest

from tests.support.labels import HOME, circulation, freeze, labels, move, preview, try_to_freeze
from tests.support.shop import ADDRESS, Shop

# Issue 5 of the planned ones closes at the end of March 8, 2026 in Chicago.
ISSUE, FUTURE, UNPLANNED = 5, 20, 99
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        pytest.param({"shipping_line1": "x" * 300}, ("line1", "too_long"), id="300 characters"),
        pytest.param({"shipping_name": "x" * 300}, ("name", "too_long"), id="a name of 300 characters"),
    ],
)
async def test_an_address_of_the_checkout_that_cannot_be_printed_is_listed(
    shop: Shop, changed: dict[str, str], problem: tuple[str, str]
) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    opened = (await shop.open_checkout(ada, print_edition=True)).json()
    paid = await shop.pay_checkout(opened["url"], address={**ADDRESS, **changed})
    assert paid.status_code == 303, paid.text
    await shop.wait_until_idle()

    (listed,) = (await shop.get("/v1/print/unusable-addresses", circulation(shop))).json()["data"]
    assert [(one["field"], one["code"]) for one in listed["problems"]] == [problem]
    await shop.advance_to(CUTOFF)
    assert (await preview(shop, ISSUE))["left_out"]["unusable_address"] == 1
    assert (await freeze(shop, ISSUE))["counts"]["copies"] == 0
    await move(shop, ada, HOME)
    assert (await freeze(shop, ISSUE, supplement=True))["counts"]["copies"] == 1
    assert (await shop.get("/v1/print/unusable-addresses", circulation(shop))).json()["data"] == []


async def test_a_doubtful_postal_code_of_the_checkout_is_printed_with_a_warning(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    opened = (await shop.open_checkout(ada, print_edition=True)).json()
    await shop.pay_checkout(opened["url"], address={**ADDRESS, "shipping_postal_code": "=cmd()"})
    await shop.wait_until_idle()
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)

    (problem,) = (await shop.get("/v1/me/address", ada)).json()["address"]["warnings"]
    assert (problem["field"], problem["code"]) == ("postal_code", "invalid")
    (label,) = await labels(shop, ISSUE)
    assert label["postal_code"] == "'=cmd()"


async def test_an_issue_without_labels_is_named_and_nothing_is_kept(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    (held,) = (await shop.overview(ada))["subscriptions"]

    async def claim(issue: int) -> tuple[int, str]:
        body = {"issue": issue, "reason": "not_received", "resolution": "resend"}
        answer = await shop.post("/v1/me/claims", ada, body)
        return answer.status_code, answer.json()["code"]

    async def order(issue: int) -> tuple[int, str]:
        body = {"subscription": held["id"], "issue": issue}
        answer = await shop.post("/v1/support/back-issues", shop.agent, body, **{"Idempotency-Key": f"order-{issue}"})
        return answer.status_code, answer.json()["code"]

    async def run(issue: int, *, supplement: bool = False) -> tuple[int, str]:
        answer = await try_to_freeze(shop, issue, supplement=supplement)
        return answer.status_code, answer.json()["code"]

    async def file(issue: int) -> tuple[int, str]:
        answer = await shop.get(f"/v1/issues/{issue}/label-run.csv", circulation(shop))
        return answer.status_code, answer.json()["code"]

    missing = (404, "not_found")
    assert [await run(FUTURE), await run(UNPLANNED)] == [(409, "cutoff_not_reached"), missing]
    assert [await run(number, supplement=True) for number in (ISSUE, FUTURE, UNPLANNED)] == [
        (409, "label_run_not_frozen"),
        (409, "label_run_not_frozen"),
        missing,
    ]
    assert [await file(number) for number in (ISSUE, FUTURE, UNPLANNED)] == [missing] * 3
    assert [await claim(number) for number in (ISSUE, FUTURE, UNPLANNED)] == [(409, "copy_not_sent")] * 2 + [missing]
    assert [await order(number) for number in (FUTURE, UNPLANNED)] == [(409, "issue_not_mailed"), missing]
    for table in ("label_runs", "labels", "claims", "back_issues"):
        assert await shop.rows(f"SELECT FROM {table}") == []


async def test_an_issue_that_is_put_twice_is_one_and_a_second_one_on_its_day_is_refused(shop: Shop) -> None:
    await shop.plan_issues(6)
    before = (await shop.get(f"/v1/issues/{ISSUE}", circulation(shop))).json()
    body = {name: before[name] for name in ("title", "cover_date", "planned_mail_date", "label_cutoff", "counts_as")}

    async def put(number: int, **changed: object) -> tuple[int, object]:
        by = dict(circulation(shop).headers)
        answer = await shop.http.put(f"/v1/issues/{number}", headers=by, json={**body, **changed})
        return answer.status_code, answer.json().get("code")

    assert await put(ISSUE) == (200, None)
    assert await put(ISSUE, label_cutoff="2026-03-18") == (422, "issue_dates_wrong")
    assert await put(7) == (409, "issue_out_of_order")
    assert [row["number"] for row in await shop.rows("SELECT number FROM issues ORDER BY number")] == [*range(1, 7)]
    assert (await shop.get(f"/v1/issues/{ISSUE}", circulation(shop))).json() == before


async def test_two_supplements_at_once_make_one(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    await shop.execute("UPDATE postal_addresses SET is_usable = false, problems = '{postal_code:required}'")
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    await move(shop, ada, {**HOME, "line2": "Apt 2"})

    answers = await asyncio.gather(
        *(try_to_freeze(shop, ISSUE, supplement=True, key=f"supplement-{one}") for one in range(4))
    )

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "nothing_to_add"}
    assert [label["line2"] for label in await labels(shop, ISSUE, supplement=1)] == ["Apt 2"]
    assert len(await shop.rows("SELECT FROM labels")) == 1
