"""Copies after the expire while a renewal is awaited, and earlier issues that the desk sends."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from app import main
from app.services import catalogue, sent_copies
from tests.journeys.lifecycle.test_manual_changes_at_stripe import only_subscription
from tests.journeys.lifecycle.test_status_table import open_invoice, replace_card
from tests.support.labels import circulation, freeze, labels, preview, try_to_freeze
from tests.support.shop import START_TIME, Person, Shop

# Issues come out every 15 days; issue 5 closes at the end of March 8, 2026 in Chicago, and is mailed on March 17.
ISSUE = 5
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
MAILED = datetime(2026, 3, 17, 18, tzinfo=UTC)
DAY = timedelta(days=1)
LAST = 28  # of a term that begins with issue 5
RENEWAL = START_TIME.replace(year=2027)


async def test_a_back_issue_goes_with_a_supplement_and_changes_no_ledger(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    assert (await _order(shop, ISSUE)).json()["code"] == "issue_not_mailed"
    assert (await _order(shop, 99)).status_code == 404
    await shop.advance_to(MAILED + 3 * DAY)
    before = await _ledger(shop, ada)

    first, again, more = [await _order(shop, ISSUE, key=key) for key in ("one", "one", "two")]

    assert (first.status_code, first.json()["status"], again.json()) == (201, "ordered", first.json())
    assert more.json()["id"] != first.json()["id"]
    run = await freeze(shop, ISSUE, supplement=True, key="supplement")
    assert (run["counts"]["copies"], run["counts"]["new"]) == (2, 0)
    assert [label["kind"] for label in await labels(shop, ISSUE, supplement=1)] == ["back_issue", "back_issue"]
    assert await _ledger(shop, ada) == before
    async with main.open_context(shop.settings, catalogue.load(Path(shop.settings.catalogue))) as ctx:
        sent = await sent_copies.of_subscription(ctx, first.json()["subscription"])
    own, back = ("", MAILED.date()), ("back issue", (MAILED + 3 * DAY).date())
    assert [(one.extra, one.mail_date) for one in sent] == [back, back, own], "only the own copy can be claimed"
    listed = (await shop.get("/v1/support/back-issues", shop.agent, issue=str(ISSUE))).json()["data"]
    assert {(one["status"], one["supplement"]) for one in listed} == {("sent", 1)}
    assert (await try_to_freeze(shop, ISSUE, supplement=True, key="more")).json()["code"] == "nothing_to_add"


async def test_back_issues_above_the_limit_wait_for_a_second_person(shop: Shop) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    await shop.advance_to(MAILED)
    allowed = [await _order(shop, ISSUE, key=f"order-{n}") for n in range(6)]
    assert {one.status_code for one in allowed} == {201}

    asked, refused = [await _order(shop, ISSUE, key=key) for key in ("more", "yet-more")]

    assert (asked.status_code, asked.json()["status"]) == (202, "awaiting_approval")
    waiting = (await shop.get("/v1/support/approvals", shop.supervisor)).json()["data"]
    assert {(one["kind"], one["id"]) for one in waiting} == {
        ("back_issue", one.json()["id"]) for one in (asked, refused)
    }
    own = await shop.approve(asked.json()["id"], shop.person("agent", roles=("support",)))
    assert own.status_code == 403
    approved, again = [await shop.approve(asked.json()["id"]) for _ in range(2)]
    assert (approved.status_code, approved.json()["status"], again.json()) == (201, "approved", approved.json())
    rejected = await shop.post(f"/v1/support/approvals/{refused.json()['id']}/reject", shop.supervisor, {})
    assert rejected.json()["status"] == "rejected"
    assert (await freeze(shop, ISSUE, supplement=True, key="supplement"))["counts"]["copies"] == 7
    listed = (await shop.get("/v1/support/back-issues", shop.agent, issue=str(ISSUE))).json()["data"]
    assert sorted(one["status"] for one in listed) == ["rejected", *["sent"] * 7]
    actions = await shop.rows("SELECT action FROM audit_log WHERE action LIKE 'back_issue.%' ORDER BY id")
    assert [row["action"] for row in actions][6:] == [
        "back_issue.requested",
        "back_issue.requested",
        "back_issue.approved",
        "back_issue.rejected",
    ]


async def test_renewed_late_after_two_grace_copies_and_a_gap_year(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada, ben = shop.person("ada"), shop.person("ben")
    paying = [await with_a_failing_card(shop, reader) for reader in (ada, ben)]
    await shop.stripe.put("/_sandbox/settings", json={"after_retries": "past_due", "retry_days": [1]})
    assert (await _ledger(shop, ada))["last_issue"] == LAST
    await shop.advance_to(RENEWAL + 2 * DAY)
    await shop.stripe_post(f"/v1/subscriptions/{paying[1]}", cancel_at_period_end="true")  # no renewal is awaited
    await shop.wait_until_idle()

    runs = []
    for number in range(LAST + 1, LAST + 4):  # their labels close on March 3, March 18 and April 2
        await shop.advance_to(datetime(2027, 3, 4, 6, tzinfo=UTC) + (number - LAST - 1) * 15 * DAY)
        runs.append((await freeze(shop, number))["counts"])
    assert [(run["copies"], run["grace"]) for run in runs] == [(1, 1), (1, 1), (0, 0)]
    lines = (await shop.get(f"/v1/issues/{LAST + 1}/circulation", circulation(shop))).json()["lines"]
    assert (lines["15c"], lines["15d2"]) == (0, 1), "the term before did not pay for grace copies"
    invoice = await open_invoice(shop, paying[0])
    card = await replace_card(shop, paying[0], "pm_card_visa")
    await shop.stripe_post(f"/v1/invoices/{invoice['id']}/pay", payment_method=card)
    await shop.wait_until_idle()

    subscription = (await shop.overview(ada))["subscriptions"][0]
    renewed = next(term["ledger"] for term in subscription["terms"] if term["ledger"]["adjustments"])
    assert (renewed["bought"], renewed["adjustments"], renewed["owed"]) == (24, -2, 22)
    assert renewed["last_issue"] == LAST + 3 + 22
    days = 31 + 3  # from March 1
    earned = 49_00 * days // 366 + 24_00 * 2 // 24  # in the month of the payment, and both grace copies
    assert await _owed(shop, "2027-04-03") == 73_00 - earned
    await shop.advance_to(datetime(2027, 4, 18, 6, tzinfo=UTC))
    assert (await freeze(shop, LAST + 4))["counts"]["copies"] == 1

    await shop.advance_to(datetime(2028, 3, 2, 18, tzinfo=UTC))  # a year later, the other reader comes back
    await shop.subscribe(ben, print_edition=True)
    assert (await _ledger(shop, ben))["owed"] == 24


async def _owed(shop: Shop, day: str) -> int:
    """Return what is owed in money at the end of a day."""
    clerk = shop.person("finance", roles=("finance",))
    (found,) = (await shop.get("/v1/reports/liability", clerk, at=day)).json()["currencies"]
    return int(found["closing"])


async def test_copies_stop_for_a_gap_year_and_start_again_with_the_next_issue(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    back = 54  # its labels close on March 12, 2028

    copies = [await _copies(shop, number) for number in (LAST, LAST + 1, back - 1)]
    await shop.advance_to(CUTOFF + (back - ISSUE) * 15 * DAY - 3 * DAY)
    await shop.subscribe(ada, print_edition=True)
    assert (await try_to_freeze(shop, LAST + 1, supplement=True)).json()["code"] == "nothing_to_add"
    copies.append(await _copies(shop, back))

    assert copies == [1, 0, 0, 1], "the last one, none in the gap year, and the next one"
    (label,) = await labels(shop, back)
    assert (label["new"], label["renewed"], label["kind"]) == ("1", "", "copy")
    assert (await _ledger(shop, ada)) == {"owed": 24, "served": 1, "unserved": 23, "last_issue": None}
    twice = (
        "SELECT FROM labels l JOIN subscriptions s ON s.id = l.subscription_id GROUP BY s.subscriber_id, issue_number"
    )
    assert await shop.rows(f"{twice} HAVING count(*) > 1") == []


async def _copies(shop: Shop, issue: int) -> int:
    """Freeze an issue once its labels have closed. Return how many copies there are."""
    await shop.advance_to(CUTOFF + (issue - ISSUE) * 15 * DAY + DAY)
    return int((await freeze(shop, issue))["counts"]["copies"])


async def test_an_order_of_an_erased_reader_is_canceled_and_no_copy_is_owed(shop: Shop) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, 5)
    await shop.advance_to(CUTOFF + 10 * DAY)  # it was mailed
    ordered = await _order(shop, 5)
    assert (ordered.status_code, ordered.json()["status"]) == (201, "ordered")
    assert (await preview(shop, 5, supplement=True))["counts"]["copies"] == 1
    (reader,) = await shop.rows("SELECT id FROM subscribers WHERE sub = 'ada'")

    officer = shop.person("privacy", roles=("privacy",))
    path, body = f"/v1/support/subscribers/{reader['id']}/erase", {"without_refund": True}
    erased = await shop.post(path, officer, body, **{"Idempotency-Key": "erase"})
    assert erased.status_code < 300, erased.text
    await shop.wait_until("SELECT bool_or(finished_at IS NOT NULL) FROM erasures")
    await shop.wait_until_idle()

    seen = await preview(shop, 5, supplement=True)
    assert (seen["counts"]["copies"], sum(seen["left_out"].values())) == (0, 0)
    (listed,) = (await shop.get("/v1/support/back-issues", shop.agent, issue="5")).json()["data"]
    assert listed["status"] == "canceled"


async def test_a_grace_copy_in_a_hold_is_not_sent_and_not_charged(shop: Shop) -> None:
    await shop.plan_issues(60)
    ada = shop.person("ada")
    paying = await with_a_failing_card(shop, ada)
    await shop.stripe.put("/_sandbox/settings", json={"after_retries": "past_due", "retry_days": [1]})
    await shop.advance_to(RENEWAL - 10 * DAY)
    hold = await shop.post("/v1/me/holds", ada, {"from": "2027-03-01", "until": "2027-03-10"})
    assert hold.status_code == 201, hold.text

    copies = []
    for number in range(LAST + 1, LAST + 4):  # their labels close on March 3, March 18 and April 2
        await shop.advance_to(datetime(2027, 3, 4, 6, tzinfo=UTC) + (number - LAST - 1) * 15 * DAY)
        copies.append((await freeze(shop, number))["counts"]["copies"])
    invoice = await open_invoice(shop, paying)
    card = await replace_card(shop, paying, "pm_card_visa")
    await shop.stripe_post(f"/v1/invoices/{invoice['id']}/pay", payment_method=card)
    await shop.wait_until_idle()

    assert copies == [0, 1, 0], "held, a grace copy, and beyond the issues that go out after the expire"
    terms = (await shop.overview(ada))["subscriptions"][0]["terms"]
    assert sorted(term["ledger"]["adjustments"] for term in terms) == [-1, 0]


async def with_a_failing_card(shop: Shop, reader: Person) -> str:
    await shop.subscribe(reader, print_edition=True)
    stripe_id = str((await only_subscription(shop, reader))["stripe_id"])
    await replace_card(shop, stripe_id, "pm_card_chargeCustomerFail")
    return stripe_id


async def _order(shop: Shop, issue: int, key: str = "") -> httpx2.Response:
    subscription = (await shop.rows("SELECT id FROM subscriptions"))[0]["id"]
    headers = {"Idempotency-Key": key} if key else {}
    return await shop.post(
        "/v1/support/back-issues", shop.agent, {"subscription": subscription, "issue": issue}, **headers
    )


async def _ledger(shop: Shop, by: Person) -> dict[str, int]:
    return dict((await shop.get("/v1/me/subscription", by)).json()["issues"])
