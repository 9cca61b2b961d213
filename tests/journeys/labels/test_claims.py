"""Copies that did not arrive or arrived damaged: claimed, sent again or added to the term."""

import asyncio
from datetime import UTC, datetime, timedelta

import httpx2

from tests.support.labels import CABIN, NEW_HOME, circulation, freeze, labels, move, preview, try_to_freeze
from tests.support.shop import Person, Shop

# Issue 5 of the planned ones closes at the end of March 8, 2026 in Chicago, and is mailed on March 17.
ISSUE = 5
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
MAILED = datetime(2026, 3, 17, 18, tzinfo=UTC)
DAY = timedelta(days=1)


async def test_a_claimed_copy_is_sent_again_once_to_the_present_address(shop: Shop) -> None:
    ada = await _with_a_copy(shop)
    assert (await _claim(shop, ada)).json()["code"] == "copy_not_mailed"
    assert (await _claim(shop, ada, issue=99)).status_code == 404
    await shop.advance_to(MAILED + 5 * DAY)
    await move(shop, ada, NEW_HOME)
    assert (await _claim(shop, ada, address="adr_other")).json()["code"] == "copy_sent_elsewhere"
    assert (await _claim(shop, ada, issue=ISSUE - 1)).json()["code"] == "copy_not_sent"
    assert (await _claim(shop, shop.person("ben"))).json()["code"] == "copy_not_sent"

    answers = await asyncio.gather(*(_claim(shop, ada) for _ in range(3)))

    assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
    assert {answer.json().get("code") for answer in answers} == {None, "copy_already_claimed"}
    before = await _ledger(shop, ada)
    assert (await preview(shop, ISSUE, supplement=True))["counts"]["copies"] == 1
    await freeze(shop, ISSUE, supplement=True, key="supplement")
    (label,) = await labels(shop, ISSUE, supplement=1)
    assert (label["city"], label["kind"]) == ("Portland", "replacement")
    assert (label["new"], label["renewed"]) == ("", "")
    (claim,) = (await shop.get("/v1/me/claims", ada)).json()["data"]
    assert (claim["status"], claim["supplement"]) == ("sent", 1)
    assert await _ledger(shop, ada) == before
    assert (await try_to_freeze(shop, ISSUE, supplement=True, key="more")).json()["code"] == "nothing_to_add"


async def test_a_claim_resolved_by_extension_adds_one_issue_and_no_copy(shop: Shop) -> None:
    ada = await _with_a_copy(shop)
    await shop.advance_to(MAILED + DAY)
    before = await _ledger(shop, ada)
    subscription = (await shop.rows("SELECT id FROM subscriptions"))[0]["id"]
    body = {"subscription": subscription, "issue": ISSUE, "reason": "damaged", "resolution": "extend"}

    made, repeated = [
        await shop.post("/v1/support/claims", shop.agent, body, **{"Idempotency-Key": "once"}) for _ in range(2)
    ]

    assert (made.status_code, made.json()["status"]) == (201, "granted")
    assert repeated.json() == made.json()
    after = await _ledger(shop, ada)
    assert (after["owed"], after["last_issue"]) == (before["owed"] + 1, before["last_issue"] + 1)
    assert (await try_to_freeze(shop, ISSUE, supplement=True, key="more")).json()["code"] == "nothing_to_add"
    assert (await _claim(shop, ada)).json()["code"] == "copy_already_claimed"
    listed = await shop.get("/v1/support/claims", circulation(shop), issue=str(ISSUE))
    assert [one["id"] for one in listed.json()["data"]] == [made.json()["id"]]


async def test_a_copy_sent_before_a_late_move_is_not_claimed_without_an_address(shop: Shop) -> None:
    ada = await _with_a_copy(shop)
    await shop.advance_to(CUTOFF + DAY)
    moved = await move(shop, ada, NEW_HOME)
    assert moved["counts_from"]["issue"] == ISSUE + 1
    await shop.advance_to(MAILED + DAY)

    refused = await _claim(shop, ada)
    assert (refused.status_code, refused.json()["code"]) == (409, "copy_sent_elsewhere")
    (label,) = await shop.rows("SELECT subscription_id, address_id FROM labels")
    body = {"subscription": label["subscription_id"], "issue": ISSUE, "reason": "not_received", "resolution": "resend"}
    assert (await shop.post("/v1/support/claims", shop.agent, body)).json()["code"] == "copy_sent_elsewhere"
    there = {**body, "address": label["address_id"]}
    assert (await shop.post("/v1/support/claims", shop.agent, there)).status_code == 201


async def test_a_temporary_address_that_was_removed_too_late_is_a_late_move(shop: Shop) -> None:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    away = await move(shop, ada, CABIN, **{"from": "2026-03-05", "until": "2026-04-20"})
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    removed = await shop.http.delete(
        f"/v1/me/address/temporary/{away['temporary'][0]['id']}", headers=dict(ada.headers)
    )
    assert removed.status_code == 200, removed.text
    await shop.advance_to(MAILED + DAY)
    assert (await _claim(shop, ada)).json()["code"] == "copy_sent_elsewhere"


async def test_above_the_limit_a_second_person_decides(shop: Shop) -> None:
    ada = await _with_a_copy(shop)
    await shop.advance_to(MAILED + DAY)
    await shop.execute(
        "INSERT INTO claims (id, subscriber_id, subscription_id, term, issue_number, run_number, address_id, reason,"
        " resolution, claimed_by, created_at, granted_at) SELECT 'clm_' || n, s.subscriber_id, s.id, t.invoice_id, n, 0,"
        " 'adr_1', 'damaged', 'resend', 'reader:' || s.subscriber_id, TIMESTAMPTZ '2026-03-02', TIMESTAMPTZ '2026-03-02'"
        " FROM subscriptions s JOIN terms t ON t.subscription_id = s.id, generate_series(1, 3) n"
    )

    asked = await _claim(shop, ada)

    assert (asked.status_code, asked.json()["status"]) == (202, "awaiting_approval")
    assert (await try_to_freeze(shop, ISSUE, supplement=True)).json()["code"] == "nothing_to_add"
    (waiting,) = (await shop.get("/v1/support/approvals", shop.supervisor)).json()["data"]
    assert (waiting["kind"], waiting["id"]) == ("claim", asked.json()["id"])
    approved = await shop.approve(waiting["id"])
    assert (approved.status_code, approved.json()["status"]) == (201, "approved")
    assert (await shop.get(f"/v1/support/claims/{waiting['id']}", shop.agent)).json()["status"] == "granted"
    assert (await freeze(shop, ISSUE, supplement=True, key="supplement"))["counts"]["copies"] == 1


async def test_a_copy_mailed_too_long_ago_or_refunded_is_not_sent_again(shop: Shop) -> None:
    ada = await _with_a_copy(shop)
    await shop.advance_to(MAILED + DAY)
    assert (await _claim(shop, ada)).status_code == 201
    quote = (await shop.get("/v1/me/refund-quote", ada)).json()
    refund = {"expected_amount": quote["amount"]}
    assert (await shop.post("/v1/me/refunds", ada, refund, **{"Idempotency-Key": "all"})).status_code in {201, 202}
    await shop.wait_until_idle()

    assert (await try_to_freeze(shop, ISSUE, supplement=True)).json()["code"] == "nothing_to_add"
    left_out = (await preview(shop, ISSUE, supplement=True))["left_out"]
    assert set(left_out.values()) == {0}, "the refund is complete, so nothing waits for it"
    await shop.execute("DELETE FROM claims")
    await shop.advance_to(MAILED + 61 * DAY)
    assert (await _claim(shop, ada)).json()["code"] == "claim_too_late"


async def _with_a_copy(shop: Shop) -> Person:
    await shop.plan_issues(30)
    ada = shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    return ada


async def _claim(shop: Shop, by: Person, **changed: object) -> httpx2.Response:
    body = {"issue": ISSUE, "reason": "not_received", "resolution": "resend", **changed}
    return await shop.post("/v1/me/claims", by, body)


async def _ledger(shop: Shop, by: Person) -> dict[str, int]:
    return dict((await shop.get("/v1/me/subscription", by)).json()["issues"])
