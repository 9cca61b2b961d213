"""Mail that came back is reported by the provider, and shown to staff."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from app.domain.callers import ApiScope
from tests.journeys.notifications.test_delivery import DATA, NEW, add, wait_for_status
from tests.support.authentication import create_api_key
from tests.support.contexts import database_context
from tests.support.mailbox import Mailbox
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

REPORT = {"message_id": "<ntf_1@example.com>", "kind": "permanent", "reason": "550 5.1.1 no such user"}


async def key_with(shop: Shop, sessions: Any, *scopes: ApiScope) -> str:
    return await create_api_key(database_context(sessions), *scopes)


async def report(shop: Shop, key: str, body: Mapping[str, object]) -> Any:
    return await shop.http.post("/v1/email-bounces", headers={"Authorization": f"Bearer {key}"}, json=body)


async def test_a_bounce_is_shown_in_the_queue_until_it_is_dismissed(
    mailing_shop: Shop, mail: Mailbox, sessions: Any
) -> None:
    shop = mailing_shop
    ada = shop.person()
    await shop.subscribe(ada)
    reader = (await shop.overview(ada))["id"]
    await add(shop, "ntf_1")
    await shop.rows("UPDATE notifications SET subscriber_id = $1 WHERE id = 'ntf_1'", reader)
    await wait_for_status(shop, "ntf_1", "sent")
    key = await key_with(shop, sessions, ApiScope.WRITE_BOUNCES)

    told = [await report(shop, key, REPORT) for _ in range(2)]

    assert [answer.status_code for answer in told] == [200, 200], told[0].text
    (item,) = (await shop.get("/v1/support/queue", shop.agent, kind="notification")).json()["data"]
    assert (item["id"], item["why"]) == ("ntf_1", "permanent: 550 5.1.1 no such user")
    listed = (await shop.get(f"/v1/support/subscribers/{reader}/notifications", shop.agent)).json()["data"]
    assert [one["bounce"] for one in listed if one["id"] == "ntf_1"] == [item["why"]]
    dismissed = await shop.post("/v1/support/attention/ntf_1/dismiss", shop.agent, {"reason": "called her"})
    assert dismissed.status_code < 300, dismissed.text
    assert (await shop.get("/v1/support/queue", shop.agent, kind="notification")).json()["data"] == []


async def test_wrong_reports_change_nothing(mailing_shop: Shop, mail: Mailbox, sessions: Any) -> None:
    shop = mailing_shop
    await add(shop, "ntf_1")
    await wait_for_status(shop, "ntf_1", "sent")
    key = await key_with(shop, sessions, ApiScope.WRITE_BOUNCES)
    other = await key_with(shop, sessions, ApiScope.READ_ISSUES)

    assert (await report(shop, "wrong", REPORT)).status_code == 401
    assert (await report(shop, other, REPORT)).status_code == 403
    assert (await report(shop, key, REPORT | {"kind": "odd"})).status_code == 422
    unknown = await report(shop, key, REPORT | {"message_id": "<somebody@else>"})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_found")
    temporary = await report(shop, key, REPORT | {"kind": "temporary"})
    assert temporary.json()["bounce"].startswith("temporary")
    assert (await shop.rows("SELECT bounced_at FROM notifications"))[0]["bounced_at"] is None


async def subscriber(shop: Shop) -> str:
    ada = shop.person()
    await shop.subscribe(ada)
    return str((await shop.overview(ada))["id"])


async def erase(shop: Shop, reader: str) -> None:
    officer = shop.person("officer", roles=("privacy",))
    ordered = await shop.post(f"/v1/support/subscribers/{reader}/erase", officer, {"without_refund": True})
    assert ordered.status_code < 300, ordered.text
    await shop.wait_until("SELECT count(*) = 1 FROM erasures WHERE finished_at IS NOT NULL")


async def test_a_bounce_after_an_erasure_names_nobody(mailing_shop: Shop, mail: Mailbox, sessions: Any) -> None:
    shop = mailing_shop
    reader = await subscriber(shop)
    await shop.rows(NEW.replace("NULL", f"'{reader}'"), "ntf_1", "canceled", DATA["canceled"])
    await wait_for_status(shop, "ntf_1", "sent")
    await erase(shop, reader)
    key = await key_with(shop, sessions, ApiScope.WRITE_BOUNCES)

    for _ in range(2):
        told = await report(shop, key, REPORT | {"reason": "550 5.1.1 <ada@example.com> Ada Lovelace unknown"})

    assert told.json()["bounce"] == "permanent: The reader was erased, so what the mail server said is not kept."
    (stored,) = await shop.rows("SELECT bounced_at, bounce FROM notifications WHERE id = 'ntf_1'")
    assert stored["bounced_at"] is not None
    assert "ada" not in stored["bounce"].lower()


@pytest.mark.parametrize("said", ["250 kept for Ada Lovelace", "550 Ada Lovelace unknown", "451 Ada Lovelace is away"])
async def test_a_mail_in_flight_during_an_erasure_names_nobody(mailing_shop: Shop, mail: Mailbox, said: str) -> None:
    shop, arrived, go_on = mailing_shop, asyncio.Event(), asyncio.Event()

    async def answer() -> str:
        arrived.set()
        await go_on.wait()
        return said

    reader = await subscriber(shop)
    mail.to_message.append(answer)
    await shop.rows(NEW.replace("NULL", f"'{reader}'"), "ntf_1", "canceled", DATA["canceled"])
    async with asyncio.timeout(TIMEOUT):
        await arrived.wait()
    await erase(shop, reader)
    go_on.set()
    recorded = "SELECT coalesce(result, last_error) IS NOT NULL FROM notifications WHERE id = 'ntf_1'"
    await shop.wait_until(recorded)

    (stored,) = await shop.rows("SELECT result, last_error FROM notifications WHERE id = 'ntf_1'")
    assert "Ada" not in f"{stored['result']} {stored['last_error']}"


@pytest.mark.parametrize("channel", ["email", "webhook"])
async def test_a_notification_that_is_due_after_an_erasure_is_not_sent(mailing_shop: Shop, channel: str) -> None:
    """The erasure has removed what it would say."""
    shop = mailing_shop
    reader = await subscriber(shop)
    await erase(shop, reader)
    await shop.rows(NEW.replace("NULL", f"'{reader}'").replace("email'", f"{channel}'"), "ntf_1", "canceled", "{}")

    await wait_for_status(shop, "ntf_1", "undelivered")
