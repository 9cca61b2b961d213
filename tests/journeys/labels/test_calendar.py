"""Issues that slip, count twice or can't be printed for a reader, from the calendar to the labels."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from tests.support.labels import HOME, circulation, freeze, labels, move
from tests.support.print_edition import PATH
from tests.support.shop import CATALOGUE, START_TIME, Person, Shop, open_shop

ISSUE, LAST = 5, 28  # of the planned ones: the first and the last of a term that begins on March 1, 2026
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
DAY = timedelta(days=1)


async def test_an_issue_that_slips_after_a_cancellation_is_still_sent(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})).status_code == 200

    moved = await _put(shop, LAST, date(2027, 3, 11))  # the period ends on March 1

    assert moved.status_code == 200, moved.text
    await shop.wait_until_idle()
    await shop.advance_to(datetime(2027, 3, 3, 18, tzinfo=UTC))
    assert not await shop.may_read(ada)
    assert await shop.may_read(ada, "print_edition")
    await freeze(shop, LAST)
    assert len(await labels(shop, LAST)) == 1
    await shop.advance_to(datetime(2027, 3, 5, 18, tzinfo=UTC))
    assert (await freeze(shop, LAST + 1))["counts"]["copies"] == 0


async def test_a_double_issue_is_one_copy_and_serves_two_issues(shop: Shop) -> None:
    await shop.plan_issues(50)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    assert (await _put(shop, ISSUE, date(2026, 3, 17), counts_as=2)).status_code == 200
    await shop.wait_until_idle()
    await shop.advance_to(CUTOFF)

    run = await freeze(shop, ISSUE)

    assert run["counts"]["copies"] == len(await labels(shop, ISSUE)) == 1
    issues = (await shop.get("/v1/me/subscription", ada)).json()["issues"]
    assert (issues["owed"], issues["served"], issues["last_issue"]) == (24, 2, LAST - 1)


async def test_names_and_streets_in_any_script_are_on_the_label_as_they_were_entered(shop: Shop) -> None:
    await shop.plan_issues(30)
    written = {
        "ada": ("مها المنصوري", "شارع الفانوس ١"),
        "ben": ("山田花子", "ランタン通り1番"),
        "cleo": ("x" * 200, "1 Lane"),
    }
    for name in written:
        await shop.subscribe(shop.person(name), print_edition=True)
    for name, (person, street) in list(written.items())[:2]:
        await move(shop, shop.person(name), {**HOME, "name": person, "line1": street})
    long = await shop.http.put(
        "/v1/me/address", headers=dict(shop.person("cleo").headers), json={**HOME, "name": "x" * 300}
    )
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)

    assert (long.status_code, long.json()["code"]) == (422, "validation_failed")
    printed = {(label["name"], label["line1"]) for label in await labels(shop, ISSUE)}
    assert printed == {*list(written.values())[:2], ("Ada Invented", "1 Lantern Street")}


async def test_a_plan_without_print_sells_none(database: str, sandbox: Any, issuer: Any, tmp_path: Path) -> None:
    catalogue = tmp_path / "catalogue.toml"
    catalogue.write_text(_without_print(CATALOGUE.read_text()))
    async with open_shop(database, sandbox, issuer, catalogue=catalogue) as shop:
        await shop.plan_issues(30)
        ada = shop.person("ada")

        refused = await shop.open_checkout(ada, print_edition=True)
        await shop.subscribe(ada)
        quote = (await shop.get(f"{PATH}/quote", ada)).json()
        body = {"enabled": True, "expected_amount": {"amount": 24_00, "currency": "usd"}, "address": HOME}
        headers = {**ada.headers, "Idempotency-Key": "print"}
        added = await shop.http.put(PATH, headers=headers, json=body)

        assert (refused.status_code, refused.json()["code"]) == (409, "price_unavailable"), refused.text
        assert (quote["allowed"], added.status_code, added.json()["code"]) == (False, 409, "no_print_edition")
        assert await shop.rows("SELECT FROM print_changes") == []


def _without_print(catalogue: str) -> str:
    """Return a catalogue whose plan has no print edition."""
    before, _, after = catalogue.partition("[plans.annual.prices.print]")
    _, rest, policies = after.partition("[[policies.disputes]]")
    kept = before.replace('features = ["print_edition", ', "features = [").replace(
        '[features.print_edition]\ntitle = "Optional Print Edition"\n', ""
    )
    return kept + rest + policies


async def _put(shop: Shop, number: int, mail_date: date, **changed: object) -> httpx2.Response:
    """Move an issue, with its label cut-off nine days before."""
    body = {
        "title": f"Issue {number}",
        "cover_date": str(mail_date),
        "planned_mail_date": str(mail_date),
        "label_cutoff": str(mail_date - 9 * DAY),
        **changed,
    }
    by: Person = circulation(shop)
    return await shop.http.put(f"/v1/issues/{number}", headers=dict(by.headers), json=body)


def test_the_term_begins_before_the_cutoff() -> None:
    assert START_TIME < CUTOFF
