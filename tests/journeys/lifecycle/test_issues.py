"""Issues: the calendar, the issues a reader is owed, and the access that follows."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from app.context import DatabaseContext
from app.domain.calendar_files import plan_year, read, write
from app.services import issues
from tests.support.shop import START_TIME, Person, Shop

PLAN = {
    "title": "Lanterns of the lower river",
    "cover_date": "2026-03-15",
    "planned_mail_date": "2026-03-10",
    "label_cutoff": "2026-03-01",
    "counts_as": 1,
}


def circulation(shop: Shop) -> Person:
    return shop.person("calla", roles=("circulation",))


async def put(shop: Shop, number: int, **more: object) -> Any:
    body = {**PLAN, **more}
    return await shop.http.put(f"/v1/issues/{number}", headers=dict(circulation(shop).headers), json=body)


async def two_years(shop: Shop) -> None:
    """Import the calendar of 2026 and 2027."""
    from app.db.engine.session import make_engine, make_sessions

    planned = plan_year(2026, first_number=1) + plan_year(2027, first_number=25)
    engine = make_engine(shop.dsn, pool_size=1)
    ctx = DatabaseContext(settings=shop.settings, sessions=make_sessions(engine))
    lines = read(write(planned).encode())
    kept = await issues.load(ctx, lines, by="operator", now=START_TIME, dry_run=False)
    await engine.dispose()
    assert len(kept.new) == 48


async def ledger(shop: Shop, reader: Person) -> dict[str, Any]:
    return dict((await shop.get("/v1/me/subscription", reader)).json()["issues"])


async def test_a_delayed_issue_extends_the_access_of_a_canceled_subscription(shop: Shop) -> None:
    ada = shop.person("ada")
    await shop.subscribe(ada)
    assert await ledger(shop, ada) == {"owed": 24, "served": None, "unserved": None, "last_issue": None}

    await two_years(shop)
    await shop.wait_until_idle()
    # The term begins with issue 5, the first after March 1, 2026, and ends with issue 28 on February 23, 2027.
    assert await ledger(shop, ada) == {"owed": 24, "served": 0, "unserved": 24, "last_issue": 28}

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    await shop.advance_to(datetime(2027, 2, 10, 18, tzinfo=UTC))
    assert await ledger(shop, ada) == {"owed": 24, "served": 23, "unserved": 1, "last_issue": 28}
    assert (await shop.check(ada, "digital_edition"))["until"].startswith("2027-03-01")

    closed = (await shop.get("/v1/issues/28", circulation(shop))).json()["label_cutoff"]  # it has passed, and stays
    moved = [
        await put(shop, number, planned_mail_date=day, cover_date=day, label_cutoff=cutoff)
        for number, day, cutoff in ((29, "2027-03-23", "2027-02-14"), (28, "2027-03-09", closed))
    ]
    assert [answer.status_code for answer in moved] == [200, 200], moved[0].text
    await shop.wait_until_idle()

    assert (await shop.check(ada, "digital_edition"))["until"].startswith(
        "2027-03-23"
    )  # until the next issue is mailed
    assert (await shop.check(ada, "archive"))["until"].startswith("2027-03-01")
    await shop.advance_to(datetime(2027, 3, 8, 18, tzinfo=UTC))
    assert not await shop.may_read(ada, "archive")
    assert await shop.check(ada, "digital_edition") == {
        "allowed": True,
        "reason": "issues_owed",
        "until": "2027-03-23T05:00:00Z",
    }
    assert (await ledger(shop, ada))["unserved"] == 1
    await shop.advance_to(datetime(2027, 3, 23, 18, tzinfo=UTC))
    assert (await ledger(shop, ada))["unserved"] == 0
    assert not await shop.may_read(ada, "digital_edition")


async def test_issues_added_by_support_extend_access_once(shop: Shop) -> None:
    ada = shop.person("ada")
    await shop.subscribe(ada)
    await two_years(shop)
    await shop.wait_until_idle()
    seen = await shop.overview(ada)
    held = seen["subscriptions"][0]["id"]
    path = f"/v1/support/subscriptions/{held}/extend"
    words = "Ada Invented of Lantern Street says two copies were wet"
    body = {"issues": 2, "reason": words, "note": "soaked"}

    clicks = await asyncio.gather(*(shop.post(path, shop.agent, body, **{"Idempotency-Key": "k"}) for _ in range(5)))
    again = await shop.post(path, shop.agent, body, **{"Idempotency-Key": "k"})

    assert {answer.status_code for answer in clicks} <= {201, 409}
    assert again.status_code == 201
    made = again.json()
    assert (made["issues"], made["by"], made["note"]) == (2, "staff:agent", "soaked")
    expected = {"bought": 24, "adjustments": 2, "owed": 26, "served": 0, "unserved": 26, "cancelled": 0}
    assert made["ledger"] == {**expected, "last_issue": 30}
    (term,) = (await shop.overview(ada))["subscriptions"][0]["terms"]
    assert term["ledger"] == made["ledger"]
    assert await ledger(shop, ada) == {"owed": 26, "served": 0, "unserved": 26, "last_issue": 30}
    assert (await shop.check(ada, "digital_edition"))["until"] > "2027-03-23"
    await shop.execute("SELECT 1")
    audit = await shop.rows(
        "SELECT actor, object_id, reason, after FROM audit_log WHERE action = 'subscription.extend'"
    )
    assert [(row["actor"], row["object_id"]) for row in audit] == [("staff:agent", held)]

    for wrong, status in (
        ({"issues": 0}, 422),
        ({"issues": -1}, 422),
        ({"issues": 25}, 422),
        ({"issues": 10**12}, 422),
    ):
        refused = await shop.post(path, shop.agent, {**body, **wrong})
        assert refused.status_code == status, refused.text
    assert (await shop.post(path, shop.agent, {"issues": 1})).status_code == 422
    assert (await shop.post(path, ada, body)).status_code == 403
    assert (await shop.post("/v1/support/subscriptions/scr_none/extend", shop.agent, body)).status_code == 404
    assert (await ledger(shop, ada))["owed"] == 26

    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.wait_until_idle()
    refused = await shop.post(path, shop.agent, body)
    assert (refused.status_code, refused.json()["code"]) == (409, "already_ended")
    (term,) = (await shop.overview(ada))["subscriptions"][0]["terms"]
    assert (term["ledger"]["unserved"], term["ledger"]["cancelled"]) == (0, 26)
    assert not await shop.may_read(ada, "digital_edition")


async def test_circulation_staff_can_edit_the_calendar(shop: Shop) -> None:
    kept = await put(shop, 7)
    assert (kept.status_code, kept.json()["id"], kept.json()["actual_mail_date"]) == (200, "iss_7", None)
    assert (await put(shop, 7)).status_code == 200  # an unchanged calendar has no effect
    assert (await put(shop, 8, planned_mail_date="2026-03-24")).status_code == 200

    refusals = {
        "issue_dates_wrong": await put(shop, 9, label_cutoff="2026-03-11"),
        "issue_out_of_order": await put(shop, 9, planned_mail_date="2026-03-23"),
        "not_found": await shop.get("/v1/issues/99", circulation(shop)),
        "not_allowed": await shop.get("/v1/issues/7", shop.agent),
        "not_authenticated": await shop.http.get("/v1/issues/7"),
    }
    assert {code: answer.json()["code"] for code, answer in refusals.items()} == {code: code for code in refusals}
    for wrong in (
        {"counts_as": 3},
        {"counts_as": False},
        {"planned_mail_date": "2026-02-30"},
        {"title": ""},
        {"title": "a\x00b"},
        {"more": 1},
    ):
        assert (await put(shop, 9, **wrong)).status_code == 422, wrong
    for number in (0, -1, 10**20):
        assert (await put(shop, number)).status_code == 422

    page = (await shop.get("/v1/issues", circulation(shop), limit="1")).json()
    assert ([issue["number"] for issue in page["data"]], page["next"]) == ([7], "7")
    page = (await shop.get("/v1/issues", circulation(shop), after="7")).json()
    assert ([issue["number"] for issue in page["data"]], page["next"]) == ([8], None)
    audit = await shop.rows("SELECT actor, action, object_id FROM audit_log ORDER BY id")
    assert [tuple(row.values()) for row in audit] == [
        ("staff:calla", "issue.added", "iss_7"),
        ("staff:calla", "issue.added", "iss_8"),
    ]


@pytest.mark.parametrize("numbers", [range(1, 3)])
async def test_concurrent_changes_keep_the_calendar_in_order(shop: Shop, numbers: range) -> None:
    for number in numbers:
        await put(shop, number, planned_mail_date=f"2026-03-{10 * number}")

    answers = await asyncio.gather(
        put(shop, 1, planned_mail_date="2026-03-18"), put(shop, 2, planned_mail_date="2026-03-15")
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409]
