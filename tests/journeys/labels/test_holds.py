"""No copies for a while: the issues held are skipped, owed, and sent later."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2

from tests.support.labels import circulation, freeze, labels, preview
from tests.support.shop import Person, Shop

# Issue 5 of the planned ones closes at the end of March 8, 2026 in Chicago, and is mailed on March 17; others every 15 days.
ISSUE = 5
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
MAILED = datetime(2026, 3, 17, 18, tzinfo=UTC)
DAY = timedelta(days=1)


async def test_on_vacation_for_two_issues_and_a_claim_on_a_held_issue(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada, ben = shop.person("ada"), shop.person("ben")
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    before = await _ledger(shop, ada)
    assert (await preview(shop, ISSUE))["counts"]["copies"] == 2

    made = await _hold(shop, ada, {"from": "2026-03-02", "issues": 2})
    assert (made.status_code, made.json()["held"], made.json()["last_day"]) == (201, [5, 6], "2026-03-23")
    again = await _hold(shop, ada, {"from": "2026-03-10", "until": "2026-03-12"})
    assert again.json()["code"] == "hold_overlaps"
    ten_years = await _hold(shop, ben, {"from": "2026-03-02", "until": "2036-03-02"})
    assert ten_years.json()["code"] == "hold_too_long"
    assert (await _hold(shop, shop.person("guest"), {"from": "2026-03-02", "issues": 1})).status_code == 409

    held = await _ledger(shop, ada)
    assert (held["owed"], held["last_issue"]) == (before["owed"], before["last_issue"] + 2)
    assert (await shop.check(ada, "digital_edition"))["allowed"]
    copies = []
    for number in (ISSUE, ISSUE + 1, ISSUE + 2):
        await shop.advance_to(CUTOFF + (number - ISSUE) * 15 * DAY)
        copies.append((await freeze(shop, number))["counts"]["copies"])
    assert copies == [1, 1, 2]
    assert (await _ledger(shop, ada))["served"] == (await _ledger(shop, ben))["served"] - 2
    claim = {"issue": ISSUE, "reason": "not_received", "resolution": "resend"}
    assert (await shop.post("/v1/me/claims", ada, claim)).json()["code"] == "copy_not_sent"
    lifted = await shop.http.delete(f"/v1/me/holds/{made.json()['id']}", headers=dict(ada.headers))
    assert lifted.json()["code"] == "hold_is_over"


async def test_a_hold_is_lifted_until_the_cutoff_and_follows_the_calendar(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    reader = (await shop.rows("SELECT id FROM subscribers WHERE sub = 'ada'"))[0]["id"]
    path = f"/v1/support/subscribers/{reader}/holds"
    made = await shop.post(path, circulation(shop), {"from": "2026-03-02", "until": "2026-03-20"})
    assert made.json()["held"] == [5]
    moved = {
        "title": "Issue 6",
        "cover_date": "2026-04-01",
        "planned_mail_date": "2026-04-01",
        "label_cutoff": "2026-03-19",
    }
    answer = await shop.http.put("/v1/issues/6", headers=dict(circulation(shop).headers), json=moved)
    assert answer.status_code == 200, answer.text
    await shop.wait_until_idle()
    (shown,) = (await shop.get(path, shop.agent)).json()["data"]
    assert shown["held"] == [5, 6]
    assert (await _ledger(shop, ada))["last_issue"] == 30

    await shop.advance_to(CUTOFF + DAY)
    assert (await freeze(shop, 5))["counts"]["copies"] == 0
    lifted = await shop.http.delete(f"{path}/{made.json()['id']}", headers=dict(shop.agent.headers))

    assert (lifted.json()["held"], lifted.json()["status"]) == ([5], "over")
    await shop.advance_to(datetime(2026, 3, 20, 6, tzinfo=UTC))
    await freeze(shop, 6)
    assert len(await labels(shop, 6)) == 1
    assert (await _ledger(shop, ada))["last_issue"] == 29


async def test_a_freeze_updates_only_readers_whose_hold_is_not_over(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada, ben, cleo = [shop.person(name) for name in ("ada", "ben", "cleo")]
    for reader, issues in ((ada, 1), (ben, 2), (cleo, 4)):
        await shop.subscribe(reader, print_edition=True)
        assert (await _hold(shop, reader, {"from": "2026-03-02", "issues": issues})).status_code == 201
    (hold,) = (await shop.get("/v1/me/holds", cleo)).json()["data"]

    copies = []
    for number in (ISSUE, ISSUE + 1, ISSUE + 2):
        await shop.advance_to(CUTOFF + (number - ISSUE) * 15 * DAY)
        copies.append((await freeze(shop, number))["counts"]["copies"])
        if number == ISSUE:
            await shop.http.delete(f"/v1/me/holds/{hold['id']}", headers=dict(cleo.headers))
            await shop.wait_until_idle()

    runs = await shop.rows("SELECT found FROM derivation_runs WHERE kind = 'calendar' ORDER BY created_at")
    assert ([row["found"] for row in runs], copies) == ([3, 1, 0], [0, 2, 3])


async def test_a_hold_of_one_issue_is_of_the_next_when_a_cutoff_moves_before_it(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    made = await _hold(shop, ada, {"from": "2026-03-20", "issues": 1})

    earlier = {
        "title": "Issue 6",
        "cover_date": "2026-04-01",
        "planned_mail_date": "2026-04-01",
        "label_cutoff": "2026-03-19",
    }
    answer = await shop.http.put("/v1/issues/6", headers=dict(circulation(shop).headers), json=earlier)
    assert answer.status_code == 200, answer.text
    await shop.wait_until_idle()

    (shown,) = (await shop.get("/v1/me/holds", ada)).json()["data"]
    assert (made.json()["held"], shown["held"]) == ([6], [7])
    copies = []
    for number in (5, 6, 7, 8):
        await shop.advance_to(CUTOFF + (number - ISSUE) * 15 * DAY)
        copies.append((await freeze(shop, number))["counts"]["copies"])
    assert copies == [1, 1, 0, 1]


async def _hold(shop: Shop, by: Person, body: dict[str, Any]) -> httpx2.Response:
    return await shop.post("/v1/me/holds", by, body)


async def _ledger(shop: Shop, by: Person) -> dict[str, int]:
    return dict((await shop.get("/v1/me/subscription", by)).json()["issues"])
