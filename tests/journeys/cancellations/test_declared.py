"""Cancellations without a sign-in, their acknowledgment, and leaving a renewed term at a month's notice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from app.setting_types import Rate
from bench import query_recorder
from tests.account.conftest import SETTINGS as ACCOUNT
from tests.journeys.lifecycle.test_manual_changes_at_stripe import customer_of
from tests.support.crashes import kill_and_restart, wait_until_blocked
from tests.support.shop import START_TIME, Shop, open_shop

RENEWED = START_TIME.replace(year=2027, day=2)
NOTICE = {
    "name": "Ada",
    "email": "ada@example.com",
    "contract": "24 Issues Per Year",
    "type": "ordinary",
    "language": "de",
}


async def declare(shop: Shop, **changed: Any) -> httpx2.Response:
    """Cancel without a sign-in."""
    return await shop.http.post("/v1/cancellations", json={**NOTICE, **changed})


async def status_of(shop: Shop, declaration_id: str) -> str:
    """Wait until a worker has looked at a declaration, and return what became of it."""
    await shop.wait_until(f"SELECT status <> 'received' FROM declarations WHERE id = '{declaration_id}'")
    (row,) = await shop.rows("SELECT status FROM declarations WHERE id = $1", declaration_id)
    return str(row["status"])


async def test_matched_cancellation_ends_the_contract_with_its_period(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    done = await declare(shop)
    assert done.status_code == 202, done.text
    text = done.json()["acknowledgment"]
    assert "Bestätigung Ihrer Kündigung" in text
    assert "2026-03-01 18:00" in text
    assert await status_of(shop, done.json()["id"]) == "done"
    await shop.wait_until_idle()
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert mine["ends_at"] is not None
    assert await shop.may_read(ada)
    told = await shop.rows(
        "SELECT recipient, locale, subscriber_id FROM notifications WHERE kind = 'cancellation_received'"
    )
    assert [tuple(row.values()) for row in told] == [("ada@example.com", "de", None)]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"email": "nobody@example.com"}, id="unknown address"),
        pytest.param({"name": "Bob"}, id="another name"),
        pytest.param({"ends_on": "2029-12-31"}, id="a date after the next renewal"),
        pytest.param({"type": "extraordinary", "reason": "No issue ever came"}, id="for cause"),
    ],
)
async def test_what_is_not_certain_waits_for_staff_and_the_answer_is_the_same(
    shop: Shop, changed: dict[str, str]
) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    known, other = await declare(shop, name="Nobody"), await declare(shop, **changed)
    assert (known.status_code, other.status_code) == (202, 202)
    assert set(known.json()) == set(other.json())
    assert await status_of(shop, other.json()["id"]) == "queued"
    listed = (await shop.get("/v1/support/attention", shop.agent)).json()["data"]
    assert other.json()["id"] in {one["id"] for one in listed if one["kind"] == "declaration"}
    ends = (await shop.get("/v1/me/subscription", ada)).json()["ends_at"]
    assert (ends is not None) == ("type" in changed), "only the one for cause stops the renewal meanwhile"


async def test_a_known_and_an_unknown_reader_cost_the_same_statements(shop: Shop) -> None:
    await shop.subscribe(shop.person())
    await declare(shop)  # the first time, connections are opened
    assert shop.app is not None
    asked = []
    for number, email in enumerate(("ada@example.com", "nobody@example.com")):
        pool, request = shop.app.state.api.ctx.pool, f"declared-{number}"
        async with query_recorder.record_statements(pool, request_id=request) as sent:
            done = await shop.http.post(
                "/v1/cancellations", json={**NOTICE, "email": email}, headers={"X-Request-Id": request}
            )
        assert done.status_code == 202, done.text
        asked.append([statement for statement, _ in sent])
    assert asked[0]
    assert asked[0] == asked[1], "who is known is found out later, by a worker"


@pytest.mark.parametrize("by_form", [False, True], ids=["by API", "by the form"])
async def test_cancellations_are_limited_per_address_and_per_email_address(
    database: str, sandbox: Any, issuer: Any, by_form: bool
) -> None:
    few = Rate(2, timedelta(hours=1))
    async with open_shop(database, sandbox, issuer, limit_cancellation=few, **ACCOUNT) as shop:

        async def cancel() -> httpx2.Response:
            if by_form:
                return await shop.http.post("/account/cancel-contract", data=NOTICE, headers={"Origin": shop.url})
            return await declare(shop)

        answers = [await cancel() for _ in range(3)]
        stored = await shop.rows("SELECT id FROM declarations")
    assert [one.status_code for one in answers] == [202, 202, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert len(stored) == 2, "the one that was refused is not stored"


async def test_staff_settle_what_was_queued(shop: Shop) -> None:
    queued = (await declare(shop)).json()["id"]
    assert await status_of(shop, queued) == "queued"
    done = await shop.post(f"/v1/support/attention/{queued}/dismiss", shop.agent, {"reason": "Wrote to the reader"})
    assert done.status_code in {200, 204}, done.text
    assert await status_of(shop, queued) == "settled"


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"name": "x" * 300}, "validation_failed"),
        ({"name": ""}, "validation_failed"),
        ({"email": "not an address"}, "cancellation_invalid"),
        ({"email": "ada@exa mple.com"}, "cancellation_invalid"),
        ({"type": "extraordinary"}, "cancellation_invalid"),
        ({"ends_on": "2020-01-01"}, "cancellation_invalid"),
        ({"ends_on": "tomorrow"}, "validation_failed"),
        ({"language": "tlh"}, "validation_failed"),
        ({"subscription": "scr_1"}, "validation_failed"),
    ],
)
async def test_wrong_notice_changes_nothing(shop: Shop, changed: dict[str, str], code: str) -> None:
    refused = await declare(shop, **changed)
    assert (refused.status_code, refused.json()["code"]) == (422, code), refused.text
    assert await shop.rows("SELECT id FROM declarations") == []
    assert await shop.rows("SELECT id FROM notifications") == []


async def test_signed_in_cancellation_has_an_acknowledgment(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    for _ in range(2):
        assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})).status_code == 200
    (declared,) = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert (declared["kind"], declared["status"]) == ("cancellation", "done")
    assert "Ends on: March 1, 2027" in declared["acknowledgment"]


async def renewed_in_berlin(shop: Shop, *, balance: int = 0) -> Any:
    """Subscribe a reader in Germany, and renew the subscription, out of the customer's balance if there is one."""
    ada = shop.person()
    await shop.plan_issues(60)
    await shop.subscribe(ada)
    address = {"name": "Ada", "line1": "Lampengasse 1", "city": "Berlin", "postal_code": "10115", "country": "DE"}
    assert (await shop.http.put("/v1/me/address", headers=dict(ada.headers), json=address)).status_code == 200
    if balance:
        path = f"/v1/customers/{await customer_of(shop, ada)}/balance_transactions"
        await shop.stripe_post(path, amount=str(-balance), currency="usd")
    await shop.advance_to(RENEWED)
    return ada


async def test_renewed_term_ends_at_a_months_notice_with_its_unserved_issues_refunded(shop: Shop) -> None:
    ada = await renewed_in_berlin(shop)
    offered = (await shop.get("/v1/me/subscription/cancel-preview", ada)).json()
    assert offered["by_notice"]["ends_at"] == "2027-04-03T05:00:00Z"
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})).status_code == 200
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})).status_code == 200
    (declared,) = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert (declared["status"], declared["ends_at"]) == ("scheduled", "2027-04-03T05:00:00Z")
    assert "3. April 2027" in declared["acknowledgment"]
    (told,) = await shop.rows("SELECT data ->> 'notice_ends_at' AS ends_at FROM notifications WHERE kind = 'canceled'")
    assert told["ends_at"] == "2027-04-03T05:00:00+00:00"
    await shop.advance_to(datetime(2027, 4, 3, 4, tzinfo=UTC))
    await shop.execute("UPDATE declarations SET due_at = now()")
    await shop.wait_until("SELECT due_at > now() FROM declarations")
    assert await shop.may_read(ada), "until the last moment"

    await shop.advance_to(datetime(2027, 4, 3, 5, tzinfo=UTC))
    await shop.execute("UPDATE declarations SET due_at = now()")
    await shop.wait_until("SELECT status = 'done' FROM declarations")

    await shop.wait_until_idle()
    assert not await shop.may_read(ada)
    (refund,) = (await shop.overview(ada))["refunds"]
    (served,) = await shop.rows(
        "SELECT count(*)::int AS n FROM issues WHERE planned_mail_date BETWEEN '2027-03-01' AND '2027-04-02'"
    )
    assert (refund["basis"], refund["status"]) == ("unserved_issues", "succeeded")
    assert refund["amount"]["amount"] == 49_00 - 49_00 * served["n"] // 24


async def test_notice_without_a_sign_in_tells_when_the_renewed_term_ends(shop: Shop) -> None:
    ada = await renewed_in_berlin(shop)
    assert await status_of(shop, (await declare(shop)).json()["id"]) == "scheduled"
    await shop.wait_until_idle()
    (told,) = await shop.rows("SELECT data ->> 'notice_ends_at' AS ends_at FROM notifications WHERE kind = 'canceled'")
    assert told["ends_at"] == "2027-04-03T05:00:00+00:00"
    assert (await shop.get("/v1/me/subscription", ada)).json()["ends_at"] is not None


async def test_staff_return_the_share_of_a_renewal_that_the_balance_paid(shop: Shop) -> None:
    ada = await renewed_in_berlin(shop, balance=49_00)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})).status_code == 200
    await shop.advance_to(datetime(2027, 4, 3, 5, tzinfo=UTC))
    await shop.execute("UPDATE declarations SET due_at = now()")
    await shop.wait_until("SELECT status NOT IN ('received', 'scheduled') FROM declarations")
    (declared,) = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert declared["status"] == "queued"
    assert not await shop.may_read(ada)


async def test_reader_who_resumes_keeps_the_renewed_term(shop: Shop) -> None:
    ada = await renewed_in_berlin(shop)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})).status_code == 200
    assert (await shop.post("/v1/me/subscription/resume", ada)).status_code == 200
    (declared,) = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert declared["status"] == "revoked"
    await shop.advance_to(RENEWED + timedelta(days=40))
    assert await shop.may_read(ada)


async def test_reader_who_resumes_while_paused_takes_their_notice_back(shop: Shop) -> None:
    ada = await renewed_in_berlin(shop)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})).status_code == 200
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/subscriptions/{held['stripe_id']}"
    await shop.stripe_post(path, cancel_at_period_end="false")
    await shop.stripe_post(f"{path}/pause", type="subscription", **{"bill_for[unused_time_from][type]": "none"})
    await shop.wait_until_idle()
    (declared,) = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert declared["status"] == "scheduled", "Stripe doesn't know of it"

    assert (await shop.post("/v1/me/subscription/resume", ada)).status_code == 200

    (declared,) = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert declared["status"] == "revoked"
    again = await shop.post("/v1/me/subscription/resume", ada)
    assert again.json()["code"] == "subscription_paused", "there is nothing left to undo"


async def test_notice_survives_a_kill_before_stripe_heard_of_it(killable_shop: Shop) -> None:
    shop = killable_shop
    ada = await renewed_in_berlin(shop)
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/subscriptions/{held['stripe_id']}"
    fault = await shop.add_fault(method="GET", path=path, when="before", action="hold", times=1)
    click = asyncio.create_task(shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"}))
    await kill_and_restart(shop, fault, click=click)
    await shop.execute("UPDATE declarations SET due_at = now()")
    await shop.wait_until("SELECT status = 'scheduled' AND due_at > now() FROM declarations")
    assert (await shop.stripe_get(path))["cancel_at_period_end"]
    (declared,) = (await shop.get("/v1/me/declarations", ada)).json()["data"]
    assert declared["ends_at"] == "2027-04-03T05:00:00Z"


async def test_reader_who_resumes_while_the_notice_ends_keeps_the_term(shop: Shop) -> None:
    ada = await renewed_in_berlin(shop)
    assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})).status_code == 200
    await shop.advance_to(datetime(2027, 4, 3, 5, tzinfo=UTC))
    async with shop.pool.acquire() as blocker, blocker.transaction():
        await blocker.execute("SELECT id FROM subscribers FOR UPDATE")
        await shop.execute("UPDATE declarations SET due_at = now()")
        await wait_until_blocked(shop, blocker.get_server_pid())
        await blocker.execute("UPDATE declarations SET status = 'revoked', due_at = NULL")
    await shop.wait_until_idle()
    (row,) = await shop.rows("SELECT status, due_at FROM declarations")
    assert tuple(row.values()) == ("revoked", None)
    assert await shop.may_read(ada)


async def test_first_term_has_no_early_exit(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    assert (await shop.get("/v1/me/subscription/cancel-preview", ada)).json()["by_notice"] is None
    refused = await shop.post("/v1/me/subscription/cancel", ada, {"when": "notice"})
    assert (refused.status_code, refused.json()["code"]) == (409, "no_early_exit")
