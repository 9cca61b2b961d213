"""What happens between handing a message over and recording it, and what a mail server refuses."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from tests.support.crashes import held_recording
from tests.support.mailbox import Mailbox
from tests.support.notices import SENDER
from tests.support.shop import START_TIME, Shop, open_shop
from tests.support.timeouts import TIMEOUT

NEW = """
INSERT INTO notifications (id, kind, about, subscriber_id, recipient, data, send_at, status, channel, work_key, due_at)
VALUES ($1, $2, $1, NULL, 'ada@example.com', $3::text::jsonb, now(), 'scheduled', 'email', $1, now())
"""
DATA = {
    "canceled": '{"plan": "24 Issues", "canceled_at": "2026-03-01T18:00:00+00:00"}',
    "renewal_ahead": '{"plan": "24 Issues", "renews_at": "2026-03-01T18:00:00+00:00", "interval": "year",'
    ' "price": {"amount": 4900, "currency": "usd"}, "discounted": false}',
    "card_expiring": '{"plan": "24 Issues", "card": "Visa", "expires_on": "2026-04-30"}',
}


async def add(shop: Shop, notification_id: str, kind: str = "canceled") -> None:
    await shop.rows(NEW, notification_id, kind, DATA[kind])


async def status_of(shop: Shop, notification_id: str) -> dict[str, Any]:
    (row,) = await shop.rows(
        "SELECT status, result, attempts, due_at FROM notifications WHERE id = $1", notification_id
    )
    return row


async def wait_for_status(shop: Shop, notification_id: str, *statuses: str) -> dict[str, Any]:
    async with asyncio.timeout(TIMEOUT):
        while (found := await status_of(shop, notification_id))["status"] not in statuses:
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
async def killable(database: str, sandbox: Any, issuer: Any, mail: Mailbox) -> AsyncIterator[Shop]:
    """Provide a shop with a mail server, whose service runs in its own process."""
    options: dict[str, Any] = {"smtp_url": SecretStr(mail.url), "mail_from": SENDER, "separate_process": True}
    async with open_shop(database, sandbox, issuer, **options) as opened:
        yield opened


@pytest.mark.parametrize("answered", [False, True], ids=["before the answer", "before it is recorded"])
@pytest.mark.parametrize(
    ("kind", "status", "copies"),
    [
        pytest.param("canceled", "sent", 2, id="at least once: the same message again"),
        pytest.param("card_expiring", "uncertain", 1, id="at most once: staff see that it may be missing"),
    ],
)
async def test_a_kill_between_sending_and_recording(
    killable: Shop, mail: Mailbox, kind: str, status: str, copies: int, *, answered: bool
) -> None:
    assert killable.process is not None
    arrived = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        held = []

        async def accept() -> str:
            if answered:  # the process reads the answer, and can't record it
                held.append(await stack.enter_async_context(held_recording(killable, "notifications")))
            else:  # the server has the message, and the answer never arrives
                killable.process.kill()  # type: ignore[union-attr]
            arrived.set()
            return "250 OK, kept"

        mail.to_message.append(accept)
        await add(killable, "ntf_1", kind)
        await asyncio.wait_for(arrived.wait(), TIMEOUT)
        for recording in held:
            await recording.wait_until_tried(killable)
        killable.process.kill()
    await killable.process.start()

    found = await wait_for_status(killable, "ntf_1", "sent", "uncertain")
    messages = [bytes(one.message) for one in mail.received]
    assert (found["status"], len(messages)) == (status, copies)
    assert {one.message["Message-ID"] for one in mail.received} == {"<ntf_1@example.com>"}
    assert len({one.text + one.subject for one in mail.received}) == 1, "the same text each time"


@pytest.mark.parametrize("kind", ["canceled", "card_expiring"], ids=["at least once", "at most once"])
async def test_a_kill_while_a_message_waits_for_its_turn_loses_nothing(
    killable: Shop, mail: Mailbox, kind: str
) -> None:
    assert killable.process is not None
    await killable.execute("INSERT INTO buckets (name, tokens, at) VALUES ('mail', 5, now() + interval '1 hour')")
    await add(killable, "ntf_1", kind)
    await killable.wait_until("SELECT tokens = 0 FROM buckets WHERE name = 'mail'")  # it was asked for a turn
    killable.process.kill()
    assert (await status_of(killable, "ntf_1"))["status"] == "scheduled"
    await killable.execute("DELETE FROM buckets")
    await killable.process.start()

    found = await wait_for_status(killable, "ntf_1", "sent", "uncertain")

    assert (found["status"], len(mail.received)) == ("sent", 1)


async def test_a_refusal_for_a_while_is_tried_again(mailing_shop: Shop, mail: Mailbox) -> None:
    mail.to_recipient.append("451 greylisted")
    await add(mailing_shop, "ntf_1")
    await mailing_shop.wait_until("SELECT last_error LIKE '451%' FROM notifications")

    await mailing_shop.execute("UPDATE notifications SET due_at = now() WHERE due_at < now() + interval '5 minutes'")

    assert (await wait_for_status(mailing_shop, "ntf_1", "sent"))["attempts"] == 2
    assert len(mail.received) == 1


@pytest.mark.parametrize("channel", ["email", "webhook"])
async def test_a_notice_of_a_renewal_that_has_come_waits_for_its_events(
    mailing_shop: Shop, mail: Mailbox, channel: str
) -> None:
    await mailing_shop.advance_to(START_TIME + timedelta(days=1))
    await mailing_shop.rows(NEW.replace("'email'", f"'{channel}'"), "ntf_1", "renewal_ahead", DATA["renewal_ahead"])
    await mailing_shop.wait_until("SELECT last_error LIKE '%events of the renewal%' FROM notifications")
    assert ((await status_of(mailing_shop, "ntf_1"))["status"], mail.received) == ("scheduled", [])

    later = "jsonb_set(data, '{renews_at}', '\"2027-03-01T18:00:00+00:00\"')"  # as the renewal's events change it
    await mailing_shop.execute(f"UPDATE notifications SET data = {later}, due_at = now()")

    await wait_for_status(mailing_shop, "ntf_1", "sent", "handed_over")


async def test_what_may_have_been_sent_counts_as_such_until_it_is_accepted(mailing_shop: Shop, mail: Mailbox) -> None:
    mail.to_recipient += ["451 later", "451 later still"]
    await add(mailing_shop, "ntf_1")
    await mailing_shop.wait_until("SELECT last_error = '451 later' FROM notifications")

    await mailing_shop.execute("UPDATE notifications SET status = 'sending', due_at = now()")  # as after a kill
    await mailing_shop.wait_until("SELECT last_error = '451 later still' FROM notifications")

    assert (await status_of(mailing_shop, "ntf_1"))["status"] == "sending"


async def test_a_refusal_for_good_is_shown_to_staff(mailing_shop: Shop, mail: Mailbox) -> None:
    mail.to_recipient.append("550 no such user")
    await add(mailing_shop, "ntf_1")

    found = await wait_for_status(mailing_shop, "ntf_1", "refused")

    assert (found["result"], found["due_at"]) == ("550 no such user", None)


async def test_without_a_mail_server_nothing_is_sent_later(shop: Shop) -> None:
    await add(shop, "ntf_1")

    found = await wait_for_status(shop, "ntf_1", "undelivered")

    assert found["result"] == "Email is off (NEWSSTAND_SMTP_URL)."
