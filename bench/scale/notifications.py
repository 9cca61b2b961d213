"""Notifications."""

from datetime import timedelta

from app.db import issue_delays, notifications
from app.domain.issue_delays import IssueDelay
from app.domain.notifications import Notification, NotificationKind, NotificationStatus
from app.domain.owed_notifications import Known
from bench.scale.subject import NOW, Subject, query


def _new(s: Subject) -> Notification:
    return Notification(
        id="",
        kind=NotificationKind.RENEWAL_AHEAD,
        about="in_new",
        subscriber_id=s.reader,
        subscription_id=s.subscription,
        send_at=s.now,
        status=NotificationStatus.SCHEDULED,
    )


def _stale() -> Known:
    return Known(
        kind=NotificationKind.RENEWAL_AHEAD, about="in_old", status=NotificationStatus.SCHEDULED, event_at=None
    )


async def _store_text(s: Subject) -> None:
    await notifications.store_text(
        s.session,
        s.id("ntf"),
        recipient="ada@example.com",
        locale="en_US",
        subject="A subject",
        plain="A text",
        html="<p>A text</p>",
        now=s.now,
    )


async def _settle(s: Subject) -> None:
    await notifications.settle(s.session, s.id("ntf"), NotificationStatus.SENT, result="250 OK", now=s.now)


async def _postpone(s: Subject) -> None:
    await notifications.postpone(s.session, s.id("ntf"), timedelta(minutes=1), error="451", was_sent=False)


async def _scheduled(s: Subject) -> None:
    tomorrow = s.now + timedelta(days=1)
    await notifications.scheduled(s.session, s.now, tomorrow, after=None, limit=51)
    await notifications.scheduled(s.session, s.now, tomorrow, after=(s.now + timedelta(hours=1), s.id("ntf")), limit=51)


async def _bounce(s: Subject) -> None:
    await notifications.record_bounce(s.session, s.id("ntf"), "permanent: 550", permanent=True, at=s.now)


KIND = NotificationKind.ISSUE_DELAYED
DELAY = IssueDelay(
    number=12, title="Issue 12", planned_on=NOW.date(), expected_on=NOW.date() + timedelta(days=9), known_at=NOW
)
NOTIFICATIONS = (
    query("issue_delays.of_issues", lambda s: issue_delays.of_issues(s.session, [12])),
    query("issue_delays.save", lambda s: issue_delays.save(s.session, DELAY)),
    query("notifications.schedule", lambda s: notifications.schedule(s.session, [_new(s)], now=s.now)),
    query("notifications.by_id", lambda s: notifications.by_id(s.session, s.id("ntf"))),
    query("notifications.lock", lambda s: notifications.lock(s.session, s.id("ntf"))),
    query("notifications.find", lambda s: notifications.find(s.session, NotificationKind.CANCELED, s.id("in"))),
    query("notifications.facts_of", lambda s: notifications.facts_of(s.session, [s.subscription])),
    query("notifications.drop", lambda s: notifications.drop(s.session, [_stale()])),
    query("notifications.drop_unsent", lambda s: notifications.drop_unsent(s.session, KIND, [s.id("ntf")])),
    query("notifications.store_text", _store_text),
    query("notifications.mark_sending", lambda s: notifications.mark_sending(s.session, s.id("ntf"))),
    query("notifications.settle", _settle),
    query("notifications.postpone", _postpone),
    query("notifications.of_reader", lambda s: notifications.of_reader(s.session, s.reader, limit=100)),
    query("notifications.scheduled", _scheduled),
    query("notifications.opt_out", lambda s: notifications.opt_out(s.session, s.reader, KIND)),
    query("notifications.has_opted_out", lambda s: notifications.has_opted_out(s.session, s.reader, KIND)),
    query("notifications.record_bounce", _bounce),
    query("notifications.make_due", lambda s: notifications.make_due(s.session, now=s.now, limit=10)),
)
