"""Notifications: scheduled by what happens to subscriptions, taken by workers when they are due."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import DateTime, Integer, bindparam, func, literal_column, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT, TIMESTAMP, insert

from app.db.engine import leases
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import Notification as Row
from app.db.models import NotificationOptOut, table_of
from app.domain.issue_delays import TOLD_FROM, IssueDelay
from app.domain.notifications import Channel, Notification, NotificationKind, NotificationStatus
from app.domain.owed_notifications import ComingPrice, Known, Owed

_ROWS = table_of(Row)
_TEXTS = ("ids", "kinds", "abouts", "subscribers", "subscriptions", "recipients", "locales", "templates", "channels")
# ``due_in`` is the time until ``send_at``: a due time is the database's, and policy time may follow a test clock.
_SCHEDULE = text(
    """
    INSERT INTO notifications (id, kind, about, subscriber_id, subscription_id, recipient, locale, data, event_at, send_at,
        template, status, channel, work_key, due_at)
    SELECT id, kind, about, subscriber_id, subscription_id, recipient, locale, CAST(data AS jsonb), event_at, send_at,
        template, 'scheduled', channel, 'notification:' || id, now() + due_in
    FROM unnest(:ids, :kinds, :abouts, :subscribers, :subscriptions, :recipients, :locales, :datas, :event_ats, :send_ats,
        :templates, :channels, :due_ins) AS wanted (id, kind, about, subscriber_id, subscription_id, recipient, locale, data,
        event_at, send_at, template, channel, due_in)
    ORDER BY kind, about
    ON CONFLICT (kind, about) DO UPDATE SET data = excluded.data, event_at = excluded.event_at, send_at = excluded.send_at,
        template = excluded.template, channel = excluded.channel, due_at = excluded.due_at, recipient = excluded.recipient,
        locale = excluded.locale, attempts = 0, subject = NULL, text = NULL, html = NULL, rendered_at = NULL
        WHERE notifications.status = 'scheduled'
            AND (notifications.data, notifications.event_at, notifications.send_at, notifications.template,
                 notifications.channel)
            IS DISTINCT FROM (excluded.data, excluded.event_at, excluded.send_at, excluded.template, excluded.channel)
    """
).bindparams(
    *(bindparam(name, type_=ARRAY(TEXT)) for name in (*_TEXTS, "datas")),
    bindparam("event_ats", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("send_ats", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("due_ins", type_=ARRAY(INTERVAL)),
)
_BY_ID = select(*_ROWS.c).where(_ROWS.c.id == bindparam("its_id"))
_LOCKED = _BY_ID.with_for_update()
_BY_ABOUT = select(*_ROWS.c).where(_ROWS.c.kind == bindparam("its_kind"), _ROWS.c.about == bindparam("its_about"))
_OF_READER = (
    select(*_ROWS.c)
    .where(_ROWS.c.subscriber_id == bindparam("subscriber"))
    .order_by(_ROWS.c.send_at.desc(), _ROWS.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_SCHEDULED = (
    select(*_ROWS.c)
    .where(
        _ROWS.c.status == literal_column("'scheduled'"),
        _ROWS.c.send_at < bindparam("until"),
        tuple_(_ROWS.c.send_at, _ROWS.c.id) > tuple_(bindparam("since"), bindparam("last")),
    )
    .order_by(_ROWS.c.send_at, _ROWS.c.id)
    .limit(bindparam("most", type_=Integer))
)


async def schedule(session: Session, wanted: Sequence[Notification], *, now: datetime) -> None:
    """
    Store notifications. One that is scheduled already is moved; one that was sent stays as it is.

    :param now: policy time.
    """
    if not wanted:
        return
    due_ins = [max(one.send_at - now, timedelta(0)) for one in wanted]
    await session.execute(
        _SCHEDULE,
        {
            "ids": [one.id or new_id("ntf") for one in wanted],
            "kinds": [one.kind.value for one in wanted],
            "abouts": [one.about for one in wanted],
            "subscribers": [one.subscriber_id for one in wanted],
            "subscriptions": [one.subscription_id for one in wanted],
            "recipients": [one.recipient for one in wanted],
            "locales": [one.locale for one in wanted],
            "datas": [json.dumps(one.data, sort_keys=True) for one in wanted],
            "event_ats": [one.event_at for one in wanted],
            "templates": [one.template for one in wanted],
            "send_ats": [one.send_at for one in wanted],
            "channels": [one.channel.value for one in wanted],
            "due_ins": due_ins,
        },
    )
    if not all(due_ins):
        await leases.notify(session, "notifications")


async def by_id(session: Reads, notification_id: str) -> Notification | None:
    """Return a notification."""
    return next((_notification(row) for row in await session.execute(_BY_ID, {"its_id": notification_id})), None)


async def lock(session: Session, notification_id: str) -> Notification | None:
    """Return a notification, locked."""
    row = (await session.execute(_LOCKED, {"its_id": notification_id})).one_or_none()
    return _notification(row) if row is not None else None


async def find(session: Reads, kind: NotificationKind, about: str) -> Notification | None:
    """Return the notification of a kind about something."""
    rows = await session.execute(_BY_ABOUT, {"its_kind": kind.value, "its_about": about})
    return next(map(_notification, rows), None)


async def of_reader(session: Reads, subscriber_id: str, *, limit: int) -> list[Notification]:
    """Return a reader's notifications, those that are scheduled for the latest first."""
    rows = await session.execute(_OF_READER, {"subscriber": subscriber_id, "most": limit})
    return [_notification(row) for row in rows]


async def scheduled(
    session: Reads, since: datetime, until: datetime, *, after: tuple[datetime, str] | None, limit: int
) -> list[Notification]:
    """Return the notifications that are scheduled for a time, the earliest first, without those up to a position."""
    begin, last = after if after is not None else (since, "")
    values = {"since": begin, "last": last, "until": until, "most": limit}
    return [_notification(row) for row in await session.execute(_SCHEDULED, values)]


async def opt_out(session: Session, subscriber_id: str, kind: NotificationKind) -> None:
    """Record that a reader doesn't want a kind."""
    made = insert(NotificationOptOut).values(subscriber_id=subscriber_id, kind=kind)
    await session.execute(made.on_conflict_do_nothing())


async def has_opted_out(session: Session, subscriber_id: str, kind: NotificationKind) -> bool:
    """Return whether a reader doesn't want a kind."""
    return await session.get(NotificationOptOut, (subscriber_id, kind)) is not None


async def record_bounce(session: Session, notification_id: str, said: str, *, permanent: bool, at: datetime) -> bool:
    """Record that a message came back. Return False if that is known. A permanent one needs attention."""
    values: dict[str, Any] = {"bounce": said[:1000]} | ({"bounced_at": at} if permanent else {})
    changed = update(Row).where(Row.id == notification_id, Row.bounce.is_distinct_from(said[:1000]))
    found = await session.scalar(changed.values(values).returning(Row.id))
    return found is not None


async def store_text(
    session: Session,
    notification_id: str,
    *,
    recipient: str | None,
    locale: str,
    subject: str,
    plain: str,
    html: str,
    now: datetime,
) -> None:
    """Store the text of a notification before it is handed to the mail server."""
    values = {"recipient": recipient, "locale": locale, "subject": subject, "text": plain, "html": html}
    await session.execute(
        update(Row)
        .where(Row.id == notification_id)
        .values(status=NotificationStatus.SENDING, rendered_at=func.coalesce(Row.rendered_at, now), **values)
    )


async def mark_sending(session: Session, notification_id: str) -> None:
    """Record that a notification whose text is stored is handed to the mail server again."""
    await session.execute(update(Row).where(Row.id == notification_id).values(status=NotificationStatus.SENDING))


async def settle(
    session: Session, notification_id: str, status: NotificationStatus, *, result: str | None, now: datetime
) -> None:
    """Record the final status of a notification."""
    values: Mapping[str, Any] = {
        "status": status,
        "result": result,
        "settled_at": now,
        "due_at": None,
        "last_error": None,
    }
    await session.execute(update(Row).where(Row.id == notification_id).values(**values))


async def postpone(session: Session, notification_id: str, pause: timedelta, *, error: str, was_sent: bool) -> None:
    """
    Make a notification due again after a pause.

    :param was_sent: whether the mail server may have it nevertheless.
    """
    status = NotificationStatus.SENDING if was_sent else NotificationStatus.SCHEDULED
    await session.execute(
        update(Row)
        .where(Row.id == notification_id)
        .values(status=status, due_at=func.now() + pause, last_error=error[:1000])
    )


_FACTS = text(
    """
    SELECT owned.id, address.country, address.region, coalesce(
        (SELECT jsonb_agg(jsonb_build_array(kind, about, status, event_at)
             || CASE WHEN status = 'scheduled' THEN jsonb_build_array(send_at, channel, template, data) ELSE '[]' END)
         FROM notifications WHERE notifications.subscription_id = owned.id), '[]') AS known, coalesce(
        (SELECT jsonb_agg(jsonb_build_array(issues.number, issues.title, planned_on, expected_on, known_at))
         FROM issue_delays JOIN issues ON issues.number = issue_delays.number AND issues.actual_mail_date IS NULL
         JOIN terms ON terms.subscription_id = owned.id AND terms.copies @> CAST(issues.number AS integer)
            AND terms.copies_ended_at IS NULL AND terms.starts_at < issue_delays.known_at
         WHERE expected_on - planned_on >= :told_from), '[]') AS delays,
        (SELECT min(ends_at) FROM declarations WHERE declarations.subscription_id = owned.id
            AND declarations.kind = 'cancellation' AND declarations.status IN ('received', 'scheduled')) AS notice_ends_at,
        coming.renewal_at, coming.rise
    FROM subscriptions owned
    LEFT JOIN LATERAL (
        SELECT change.renewal_at, CASE WHEN change.status = 'switched' THEN 0 ELSE (
            SELECT coalesce(sum(((item->>'to_amount')::bigint - (item->>'from_amount')::bigint)
                                * (item->>'quantity')::bigint), 0)
            FROM jsonb_array_elements(change.items) AS item) END AS rise
        FROM price_changes change
        WHERE change.subscription_id = owned.id AND change.renewal_at IS NOT NULL
            AND change.status IN ('planned', 'announced', 'switching', 'switched')
        ORDER BY change.renewal_at LIMIT 1) AS coming ON true
    LEFT JOIN postal_addresses address ON address.subscriber_id = owned.subscriber_id
        AND address.since IS NULL AND address.replaced_at IS NULL AND address.line1 IS NOT NULL
    WHERE owned.id = ANY(:ids)
    """
).bindparams(bindparam("ids", type_=ARRAY(TEXT)))
_DROP = text(
    """
    DELETE FROM notifications USING unnest(:kinds, :abouts) AS dropped (kind, about)
    WHERE notifications.kind = dropped.kind AND notifications.about = dropped.about
        AND notifications.status = 'scheduled'
    """
).bindparams(bindparam("kinds", type_=ARRAY(TEXT)), bindparam("abouts", type_=ARRAY(TEXT)))


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored that the notifications of a subscription depend on."""

    coming: ComingPrice | None
    address: tuple[str, str | None] | None  # country and state
    known: Sequence[Known]
    delays: Sequence[IssueDelay]  # of issues that it is owed in print
    notice_ends_at: datetime | None  # when it ends at a month's notice


async def facts_of(session: Session, subscription_ids: Sequence[str]) -> dict[str, Stored]:
    """Return the place of each subscription's reader by their postal address, and its notifications."""
    rows = await session.execute(_FACTS, {"ids": list(subscription_ids), "told_from": TOLD_FROM.days})
    return {
        row.id: Stored(
            coming=_coming(row),
            address=_place(row),
            known=[_known(*one) for one in row.known],
            delays=[_delay(*one) for one in row.delays],
            notice_ends_at=row.notice_ends_at,
        )
        for row in rows
    }


async def drop(session: Session, unwanted: Sequence[Known]) -> None:
    """Delete notifications that are not owed anymore, unless they are being sent."""
    if unwanted:
        kinds, abouts = [one.kind.value for one in unwanted], [one.about for one in unwanted]
        await session.execute(_DROP, {"kinds": kinds, "abouts": abouts})


async def drop_unsent(session: Session, kind: NotificationKind, abouts: Sequence[str]) -> None:
    """Delete the notifications of a kind that are about these things, unless they are being sent or were."""
    if abouts:
        await session.execute(_DROP, {"kinds": [kind.value] * len(abouts), "abouts": list(abouts)})


def _coming(row: Record) -> ComingPrice | None:
    return ComingPrice(row.renewal_at, int(row.rise)) if row.renewal_at is not None else None


def _delay(number: int, title: str, planned_on: str, expected_on: str, known_at: str) -> IssueDelay:
    return IssueDelay(
        number=number,
        title=title,
        planned_on=date.fromisoformat(planned_on),
        expected_on=date.fromisoformat(expected_on),
        known_at=datetime.fromisoformat(known_at),
    )


def _place(row: Record) -> tuple[str, str | None] | None:
    return (row.country, row.region or None) if row.country else None


def _known(kind: str, about: str, status: str, event_at: str | None, *scheduled: Any) -> Known:
    at = datetime.fromisoformat(event_at) if event_at is not None else None
    known = Known(kind=NotificationKind(kind), about=about, status=NotificationStatus(status), event_at=at)
    if at is None or not scheduled:
        return known
    send_at, channel, template, data = scheduled
    stored = Owed(
        kind=known.kind,
        about=about,
        event_at=at,
        send_at=datetime.fromisoformat(send_at),
        channel=Channel(channel),
        template=template,
        data=data,
    )
    return replace(known, scheduled=stored)


_MAKE_DUE = text(
    """
    UPDATE notifications SET due_at = now() WHERE id IN (
        SELECT id FROM notifications WHERE status = 'scheduled' AND send_at <= :now AND attempts = 0
        ORDER BY send_at, id LIMIT :limit FOR UPDATE SKIP LOCKED) AND due_at > now()
    """
).bindparams(bindparam("now", type_=DateTime(timezone=True)))


async def make_due(session: Session, *, now: datetime, limit: int) -> None:
    """Make notifications due whose time has come by a test clock, which advances faster than the database's clock."""
    await session.execute(_MAKE_DUE, {"now": now, "limit": limit})


def _notification(row: Record) -> Notification:
    return Notification(
        id=row.id,
        kind=NotificationKind(row.kind),
        about=row.about,
        subscriber_id=row.subscriber_id,
        subscription_id=row.subscription_id,
        recipient=row.recipient,
        locale=row.locale,
        data=row.data,
        event_at=row.event_at,
        send_at=row.send_at,
        template=row.template,
        status=NotificationStatus(row.status),
        channel=Channel(row.channel),
        subject=row.subject,
        text=row.text,
        html=row.html,
        rendered_at=row.rendered_at,
        settled_at=row.settled_at,
        result=row.result,
        bounced_at=row.bounced_at,
        bounce=row.bounce,
        attempts=row.attempts,
    )
