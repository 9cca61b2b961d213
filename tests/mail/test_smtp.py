"""The connection to a mail server: what it says decides what became of a message."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.mail.smtp import Delivery, Mailer, Message, Result, server_of
from tests.support.certificates import certificate
from tests.support.mailbox import Mailbox, mailbox
from tests.support.timeouts import TIMEOUT

MESSAGE = Message(
    message_id="<ntf_1@example.com>",
    sender="Slow Ferry <subscriptions@example.com>",
    reply_to="help@example.com",
    to="ada@example.com",
    subject="Größe und “Kürze”",
    text="Guten Tag\n.\nEnde\n",
    html="<p>Guten Tag</p>",
    at=datetime(2026, 3, 1, 18, tzinfo=UTC),
)


def mailer(box: Mailbox, **more: object) -> Mailer:
    options: dict[str, object] = {"connections": 2, "timeout": timedelta(seconds=30)} | more
    return Mailer(box.url, **options)  # type: ignore[arg-type]


async def send_in_turn(sending: Mailer) -> Result:
    async with sending.turn():
        return await sending.send(MESSAGE)


@pytest.fixture
async def box() -> AsyncIterator[Mailbox]:
    async with mailbox() as opened:
        yield opened


async def test_a_message_arrives_whole_with_its_headers(box: Mailbox) -> None:
    sending = mailer(box)

    result = await sending.send(MESSAGE)
    await sending.close()

    (mail,) = box.received
    assert (result.delivery, result.said) == (Delivery.ACCEPTED, "250 OK, kept")
    assert (mail.subject, mail.text, mail.html) == (MESSAGE.subject, "Guten Tag\n.\nEnde\n", "<p>Guten Tag</p>\n")
    assert mail.message["Message-ID"] == "<ntf_1@example.com>"
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message["Reply-To"] == "help@example.com"
    assert "List-Unsubscribe" not in mail.message


def test_a_repeated_message_has_the_same_bytes() -> None:
    assert MESSAGE.as_bytes() == MESSAGE.as_bytes()


@pytest.mark.parametrize(
    ("to_recipient", "to_message", "delivery"),
    [
        pytest.param("550 no such user", None, Delivery.REFUSED, id="recipient refused"),
        pytest.param("451 greylisted", None, Delivery.POSTPONED, id="recipient postponed"),
        pytest.param(None, "554 looks like spam", Delivery.REFUSED, id="message refused"),
        pytest.param(None, "452 mailbox is full", Delivery.POSTPONED, id="message postponed"),
    ],
)
async def test_a_refusal_is_for_good_or_for_a_while(
    box: Mailbox, to_recipient: str | None, to_message: str | None, delivery: Delivery
) -> None:
    sending = mailer(box)
    box.to_recipient += [to_recipient] if to_recipient else []
    box.to_message += [to_message] if to_message else []

    refused, accepted = await sending.send(MESSAGE), await sending.send(MESSAGE)
    await sending.close()

    assert refused.delivery is delivery
    assert refused.said in {to_recipient, to_message}
    assert accepted.delivery is Delivery.ACCEPTED
    assert box.connections == 1, "the connection is kept after a refusal"


async def test_a_refusal_that_is_not_utf_8_can_be_stored() -> None:
    """Many servers repeat the recipient or a name in Latin-1; PostgreSQL refuses such bytes, and NUL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        while line := await reader.readline():
            writer.write(b"550 M\xfcller\0 unknown\r\n" if line.startswith(b"RCPT") else b"250 OK\r\n")
        writer.close()
        hung_up.set()

    hung_up = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sending = Mailer(f"smtp://127.0.0.1:{port}", connections=1, timeout=timedelta(seconds=30))
        result = await sending.send(MESSAGE)
        await sending.close()
        async with asyncio.timeout(TIMEOUT):
            await hung_up.wait()

    assert (result.delivery, result.said) == (Delivery.REFUSED, "550 M?ller unknown")


@pytest.mark.parametrize("refused", ["connection", "EHLO", "MAIL"])
async def test_a_refusal_of_the_publisher_refuses_no_message_for_good(refused: str) -> None:
    """A relay that is down for maintenance, or whose account is suspended, says 5xx to every message."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        refusals = {"EHLO", "HELO"} if refused == "EHLO" else {refused}
        writer.write(b"554 not now\r\n" if refused == "connection" else b"220 ready\r\n")
        while line := await reader.readline():
            writer.write(b"554 not now\r\n" if line[:4].decode() in refusals else b"250 OK\r\n")
        writer.close()
        hung_up.set()

    hung_up = asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        sending = Mailer(f"smtp://127.0.0.1:{port}", connections=1, timeout=timedelta(seconds=30))
        result = await sending.send(MESSAGE)
        await sending.close()
        async with asyncio.timeout(TIMEOUT):
            await hung_up.wait()

    assert (result.delivery, result.said) == (Delivery.POSTPONED, "554 not now")


async def test_nobody_knows_about_a_message_whose_answer_never_came(box: Mailbox) -> None:
    async def never() -> str:
        await asyncio.Event().wait()
        return "250 OK"

    box.to_message.append(never)

    result = await mailer(box, timeout=timedelta(seconds=10)).send(MESSAGE)  # for each step, also those before

    assert result.delivery is Delivery.UNKNOWN


async def test_a_server_that_is_gone_can_have_no_message() -> None:
    result = await Mailer("smtp://127.0.0.1:9", connections=1, timeout=timedelta(seconds=5)).send(MESSAGE)

    assert result.delivery is Delivery.POSTPONED


async def test_starttls_and_sign_in_are_used(tmp_path: Path) -> None:
    server, client = certificate(tmp_path)
    async with mailbox(tls=server, logins={"ferry": "p@ss"}) as box:
        box.url = box.url.replace("127.0.0.1", "ferry:p%40ss@localhost")
        sending = mailer(box, tls=client)
        result = await sending.send(MESSAGE)
        await sending.close()

    assert result.delivery is Delivery.ACCEPTED
    assert box.received[0].encrypted
    assert box.received[0].user == "ferry"


async def test_a_wrong_password_refuses_no_message_for_good(tmp_path: Path) -> None:
    server, client = certificate(tmp_path)
    async with mailbox(tls=server, logins={"ferry": "secret"}) as box:
        box.url = box.url.replace("127.0.0.1", "ferry:wrong@localhost")
        result = await mailer(box, tls=client).send(MESSAGE)

    assert result.delivery is Delivery.POSTPONED
    assert result.said.startswith("sign-in refused: 535")
    assert "secret" not in result.said
    assert "wrong" not in result.said


async def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    server, _ = certificate(tmp_path)
    async with mailbox(tls=server) as box:
        box.url = box.url.replace("127.0.0.1", "localhost")
        result = await mailer(box, tls=ssl.create_default_context()).send(MESSAGE)

    assert result.delivery is Delivery.POSTPONED
    assert box.received == []


async def test_a_process_opens_no_more_connections_than_allowed(box: Mailbox) -> None:
    sending = mailer(box, connections=2)

    results = await asyncio.gather(*(send_in_turn(sending) for _ in range(10)))
    await sending.close()

    assert {result.delivery for result in results} == {Delivery.ACCEPTED}
    assert box.connections <= 2
    assert len(box.received) == 10


async def test_each_message_waits_for_its_turn(box: Mailbox) -> None:
    turns = []

    async def turn() -> None:
        turns.append(len(box.received))

    sending = mailer(box, wait_for_turn=turn)
    for _ in range(3):
        await send_in_turn(sending)
    await sending.close()

    assert turns == [0, 1, 2]


@pytest.mark.parametrize("to", ["", "no address", "ada@exämple.com\nBcc: eve@example.com", "@"])
async def test_an_address_that_is_none_is_refused(box: Mailbox, to: str) -> None:
    sending = mailer(box)
    result = await sending.send(replace(MESSAGE, to=to))
    await sending.close()

    assert result.delivery is Delivery.REFUSED
    assert box.received == []


def test_starttls_is_required_except_on_this_machine() -> None:
    assert server_of("smtp://smtp.example.com").start_tls is True
    assert server_of("smtp://127.0.0.1:2525").start_tls is None
    assert server_of("smtps://smtp.example.com").use_tls
    assert (server_of("smtp://smtp.example.com").port, server_of("smtps://smtp.example.com").port) == (587, 465)


async def test_a_subject_with_a_line_break_adds_no_recipient(box: Mailbox) -> None:
    sending = mailer(box)
    result = await sending.send(replace(MESSAGE, subject="Hello\r\nBcc: eve@example.com"))
    await sending.close()

    assert result.delivery is Delivery.REFUSED
    assert box.received == []
