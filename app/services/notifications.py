"""
Delivering notifications that are due: rendered, stored, handed to the mail server, and recorded, in this order.

A kill between handing over and recording leaves the status ``sending``. The next attempt sends the same text with the same
Message-ID again, or records that the message may have been sent, as the kind promises (:mod:`app.domain.notifications`).
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog

from app.aggregates import reader_views
from app.context import Context
from app.db import audit, notifications, outbox, subscribers
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.branding import BLACK, WHITE, contrast
from app.domain.erasures import ERASED
from app.domain.errors import NotFound
from app.domain.notifications import (
    KINDS,
    Channel,
    Notification,
    NotificationStatus,
    handed_over,
    id_of,
    message_id,
    must_give_up,
    retry_after,
)
from app.domain.outbox import OutboxReader, notice_due
from app.domain.owed_notifications import is_outdated
from app.domain.pages import Page, page_of
from app.domain.price_migrations import is_of_migration
from app.domain.reader_views import Viewer
from app.gateway.signatures import verify_standard
from app.mail.smtp import Delivery, Message, Result
from app.mail.templates import Rendered

MOST_SHOWN = 100  # notifications of a reader
EARLIEST = datetime.min.replace(tzinfo=UTC)
MAIL_OFF = "Email is off (NEWSSTAND_SMTP_URL)."
UNSUBSCRIBED = "The reader unsubscribed from messages of this kind."
NO_ADDRESS = "The reader has no email address."
NOT_KEPT = "The reader was erased, so what the mail server said is not kept."
OUTDATED = "What it announces has come. It waits for the events of the renewal, which change or remove it."
MAY_BE_LOST = "It may have been sent after the backup that was restored. It is not sent again."
PAGE = 500  # notifications
MAY_BE_SENT = "The process ended while it was sent, so it may have been sent. It is not sent again."
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A stored text, ready to be handed over."""

    notification: Notification
    message: Message
    may_be_sent: bool  # by an attempt before


async def deliver(ctx: Context, notification_id: str, *, now: datetime) -> None:
    """
    Deliver a notification that is due. Afterwards its status is final, or it is due again.

    :param now: policy time.
    """
    async with _turn(ctx, notification_id):
        async with ctx.sessions.begin() as session:
            prepared = await _prepare(ctx, session, notification_id, now=now)
        if prepared is None or ctx.mailer is None:
            return
        result = await ctx.mailer.send(prepared.message)
        async with ctx.sessions.begin() as session:
            await _record(session, prepared, result, now=now, real_now=ctx.clock.real())


@asynccontextmanager
async def _turn(ctx: Context, notification_id: str) -> AsyncIterator[None]:
    """Wait until an email may be sent, before it is recorded as being sent: a kill while it waits leaves no doubt."""
    async with ctx.sessions.begin() as session:
        waiting = await notifications.by_id(session, notification_id)
    if ctx.mailer is None or waiting is None or waiting.is_final or waiting.channel is Channel.WEBHOOK:
        yield
        return
    async with ctx.mailer.turn():
        yield


async def _prepare(ctx: Context, session: Session, notification_id: str, *, now: datetime) -> _Prepared | None:
    """Store the text of a notification, so that its evidence exists before it is sent. None: there is nothing to send."""
    waiting = await notifications.by_id(session, notification_id)
    is_erased = waiting is not None and await _is_erased(session, waiting)
    due = await notifications.lock(session, notification_id)
    if due is None or due.is_final:
        return None
    if due.status == NotificationStatus.SENDING and not KINDS[due.kind].repeats:
        await _fail(session, due, NotificationStatus.UNCERTAIN, MAY_BE_SENT, now=now)
        log.warning("notification_uncertain", notification=due.id, kind=due.kind)
        return None
    if is_erased:  # what it would say was removed
        may_be_sent = due.status is NotificationStatus.SENDING
        status = NotificationStatus.UNCERTAIN if may_be_sent else NotificationStatus.UNDELIVERED
        await notifications.settle(session, due.id, status, result=MAY_BE_SENT if may_be_sent else NO_ADDRESS, now=now)
        return None
    if (
        due.status is NotificationStatus.SCHEDULED
        and not is_of_migration(due.about)  # a price migration removes its own
        and is_outdated(due.data, now=now)
    ):
        pause = retry_after(due.attempts)
        await notifications.postpone(session, due.id, pause, error=OUTDATED, was_sent=False)
        return None
    if due.channel is Channel.WEBHOOK:
        await _hand_over(ctx, session, due, now=now)
        return None
    reader = await subscribers.by_id(session, due.subscriber_id) if due.subscriber_id is not None else None
    recipient = due.recipient or (reader.email if reader is not None else None)
    why = MAIL_OFF if ctx.mailer is None else NO_ADDRESS if recipient is None else None
    if why is not None or recipient is None:
        await notifications.settle(session, due.id, NotificationStatus.UNDELIVERED, result=why, now=now)
        return None
    if (
        KINDS[due.kind].optional
        and reader is not None
        and await notifications.has_opted_out(session, reader.id, due.kind)
    ):
        await notifications.settle(session, due.id, NotificationStatus.UNDELIVERED, result=UNSUBSCRIBED, now=now)
        return None
    if due.subject is None:
        text = _rendered(ctx, due, reader)
        await notifications.store_text(
            session,
            due.id,
            recipient=recipient,
            locale=text.locale,
            subject=text.subject,
            plain=text.text,
            html=text.html,
            now=ctx.clock.real(),
        )
    else:  # a repeated message has the same text
        await notifications.mark_sending(session, due.id)
    stored = await notifications.by_id(session, due.id)
    assert stored is not None
    return _Prepared(stored, message_of(ctx, stored), may_be_sent=due.status is NotificationStatus.SENDING)


async def _hand_over(ctx: Context, session: Session, due: Notification, *, now: datetime) -> None:
    """
    Hand a notification to the publisher's own mailer, as an event of the outbox in the same transaction: exactly once.

    Its text is stored too, because the event has it: the publisher's mailer may use it, or its own.
    """
    reader = await subscribers.by_id(session, due.subscriber_id) if due.subscriber_id is not None else None
    recipient = due.recipient or (reader.email if reader is not None else None)
    text = _rendered(ctx, due, reader)
    await notifications.store_text(
        session,
        due.id,
        recipient=recipient,
        locale=text.locale,
        subject=text.subject,
        plain=text.text,
        html=text.html,
        now=ctx.clock.real(),
    )
    its = {"locale": text.locale, "subject": text.subject, "text": text.text, "html": text.html}
    its_reader = OutboxReader.of(reader.id, reader.sub) if reader is not None else None
    event = notice_due(its_reader, handed_over(due, recipient=recipient, text=its))
    await outbox.add(session, [event])
    await notifications.settle(session, due.id, NotificationStatus.HANDED_OVER, result=None, now=now)


def _rendered(ctx: Context, due: Notification, reader: Subscriber | None) -> Rendered:
    return ctx.templates.render(
        due.kind,
        due.data,
        common_variables(ctx),
        template=due.template,
        wanted=due.locale or (reader.locale if reader is not None else None),
        publisher=ctx.localization,
    )


def message_of(ctx: Context, stored: Notification) -> Message:
    """Return the message of a notification whose text is stored."""
    sender = ctx.settings.mail_from or ""
    assert stored.recipient is not None
    assert stored.rendered_at is not None
    return Message(
        message_id=message_id(stored.id, sender),
        sender=sender,
        reply_to=ctx.settings.mail_reply_to,
        to=stored.recipient,
        subject=stored.subject or "",
        text=stored.text or "",
        html=stored.html or "",
        at=stored.rendered_at,
        unsubscribe=_unsubscribe_url(ctx, stored),
    )


def _unsubscribe_url(ctx: Context, stored: Notification) -> str | None:
    """Return where a reader unsubscribes with one click (RFC 8058); None if they may not, or our address is unknown."""
    url = ctx.settings.account_url or ctx.settings.console_url
    if not KINDS[stored.kind].optional or stored.subscriber_id is None or url is None:
        return None
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/v1/notifications/{stored.id}/unsubscribe"


def common_variables(ctx: Context) -> Mapping[str, Any]:
    """Return the variables of every template."""
    brand, settings = ctx.catalogue.brand, ctx.settings
    accent = brand.light.accent
    return {
        "publisher": ctx.catalogue.publisher,
        "contact": brand.contact,
        "site_url": settings.site_url,
        "account_url": settings.account_url if settings.account else settings.site_url,
        "brand": {
            "accent": accent,
            "on_accent": max((WHITE, BLACK), key=lambda color: contrast(color, accent)),
            "font": brand.font_family.replace('"', "'"),
        },
    }


async def _fail(session: Session, one: Notification, status: NotificationStatus, said: str, *, now: datetime) -> None:
    await notifications.settle(session, one.id, status, result=said, now=now)
    await _audit(session, one, status)


async def _audit(session: Session, one: Notification, status: str) -> None:
    """Record that a message did not arrive, so that the reader's history shows it. What the server said may name them."""
    after = {"kind": one.kind.value, "status": status}
    await audit.record(
        session,
        actor="policy",
        action="notification.not_delivered",
        object_id=one.id,
        subscriber_id=one.subscriber_id,
        after=after,
    )


async def _record(session: Session, prepared: _Prepared, result: Result, *, now: datetime, real_now: datetime) -> None:
    """Record what became of a message."""
    sent = prepared.notification
    if await _is_erased(session, sent):  # while it was being sent
        result = Result(result.delivery, NOT_KEPT)
    match result.delivery:
        case Delivery.ACCEPTED:
            await notifications.settle(session, sent.id, NotificationStatus.SENT, result=result.said, now=now)
            return
        case Delivery.REFUSED:
            await _fail(session, sent, NotificationStatus.REFUSED, result.said, now=now)
        case Delivery.UNKNOWN if not KINDS[sent.kind].repeats:
            await _fail(session, sent, NotificationStatus.UNCERTAIN, result.said, now=now)
        case _ if sent.rendered_at is not None and must_give_up(sent.rendered_at, real_now):
            await _fail(session, sent, NotificationStatus.FAILED, result.said, now=now)
        case _:
            was_sent = prepared.may_be_sent or result.delivery is Delivery.UNKNOWN
            pause = retry_after(sent.attempts)
            await notifications.postpone(session, sent.id, pause, error=result.said, was_sent=was_sent)
    # What the server said is in the row: it may name the reader.
    log.warning("notification_not_sent", notification=sent.id, kind=sent.kind, delivery=result.delivery)


async def _is_erased(session: Session, one: Notification) -> bool:
    """
    Return whether the reader of a notification was erased. Then nothing is sent to them, and what a mail server says is not
    kept: it repeats their address, and often their name.

    The reader is locked, before the notification as everybody locks them, so that an erasure comes before or after.
    """
    if one.subscriber_id is None:
        return False
    if await subscribers.by_id(session, one.subscriber_id) is None:
        return True  # nothing of them is left
    return (await subscribers.lock(session, one.subscriber_id)).sub.startswith(ERASED)


async def settle_lost(ctx: Context, *, until: datetime, now: datetime) -> int:
    """
    After a backup was restored, settle what may have been sent since, of the kinds that are not sent twice.

    :param until: in policy time: what was to be sent by then.
    :returns: how many there are. Staff find them in the work queue.
    """
    count, after = 0, None
    while True:
        async with ctx.sessions.begin() as session:
            found = await notifications.scheduled(session, EARLIEST, until, after=after, limit=PAGE)
            lost = [one for one in found if not KINDS[one.kind].repeats]
            for one in lost:
                await _fail(session, one, NotificationStatus.UNCERTAIN, MAY_BE_LOST, now=now)
        if len(found) < PAGE:
            return count + len(lost)
        count, after = count + len(lost), (found[-1].send_at, found[-1].id)


async def unsubscribe(ctx: Context, notification_id: str) -> None:
    """
    Send the reader of a notification no more of its kind. Whoever has the message may do so: its ID can't be guessed.

    :raises NotFound: there is none, or a law or a payment needs messages of its kind.
    """
    async with ctx.sessions.begin() as session:
        known = await notifications.by_id(session, notification_id)
        if known is None or known.subscriber_id is None or not KINDS[known.kind].optional:
            raise NotFound("No message that you can unsubscribe from was sent with this ID")
        await notifications.opt_out(session, known.subscriber_id, known.kind)


async def of_reader(ctx: Context, subscriber_id: str, *, viewer: Viewer) -> Sequence[Notification]:
    """
    Return a reader's newest notifications and those that are scheduled, the latest first.

    :raises NotFound: the reader does not exist.
    """
    async with ctx.sessions.begin() as session:
        if await subscribers.by_id(session, subscriber_id) is None:
            raise NotFound("No such reader")
        found = await notifications.of_reader(session, subscriber_id, limit=MOST_SHOWN)
    await reader_views.record(ctx.reads, [subscriber_id], viewer)
    return found


async def scheduled_on(ctx: Context, day: date, *, after: str | None, limit: int) -> Page[Notification]:
    """Return what is scheduled for a day in the publisher's time zone, the earliest first."""
    since = datetime.combine(day, time(), ctx.rules.zone)
    until = datetime.combine(day + timedelta(days=1), time(), ctx.rules.zone)
    async with ctx.sessions.begin() as session:
        last = await notifications.by_id(session, after) if after is not None else None
        position = (last.send_at, last.id) if last is not None else None
        found = await notifications.scheduled(session, since, until, after=position, limit=limit + 1)
    return page_of(found, limit, cursor=lambda one: one.id)


def check_signed_report(
    ctx: Context, body: bytes, *, message_id: str, timestamp: str, signatures: str, real_now: datetime
) -> None:
    """
    Check that the email provider signed a report.

    :raises InvalidSignature: it didn't.
    """
    secrets = [secret.get_secret_value() for secret in ctx.settings.bounce_secrets]
    verify_standard(
        body, message_id=message_id, timestamp=timestamp, signatures=signatures, secrets=secrets, now=real_now
    )


async def by_id(ctx: Context, notification_id: str) -> Notification:
    """
    Return a notification.

    :raises NotFound: there is none.
    """
    async with ctx.sessions.begin() as session:
        known = await notifications.by_id(session, notification_id)
    if known is None:
        raise NotFound("No such notification")
    return known


async def record_bounce(
    ctx: Context, message: str, *, permanent: bool, reason: str, real_now: datetime
) -> Notification:
    """
    Record that a message came back, as the email provider reported. A repeated report changes nothing.

    :param message: the Message-ID, or the ID of the notification.
    :raises NotFound: no message of ours has this ID.
    """
    async with ctx.sessions.begin() as session:
        known = await notifications.by_id(session, id_of(message))
        if known is None:
            raise NotFound("No notification was sent with this ID")
        if await _is_erased(session, known):
            reason = f"{'permanent' if permanent else 'temporary'}: {NOT_KEPT}"
        await notifications.lock(session, known.id)
        if await notifications.record_bounce(session, known.id, reason, permanent=permanent, at=real_now):
            log.warning("notification_bounced", notification=known.id, permanent=permanent)
            if permanent:
                await _audit(session, known, "bounced")
        changed = await notifications.by_id(session, known.id)
    return changed or known
