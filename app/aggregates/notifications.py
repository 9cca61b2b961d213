"""
Notifications of readers, scheduled in the transaction of what they are about.

:func:`follow` derives those of a subscription from its state, whenever that changes. :func:`schedule` adds another one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from app.aggregates import places
from app.db import editions, notifications, subscriptions
from app.db.engine.session import Session
from app.domain.access_status import access_status
from app.domain.derivations import Edition
from app.domain.notification_policies import NotificationPolicy, policy_for
from app.domain.notifications import Channel, Notification, NotificationKind, NotificationStatus
from app.domain.owed_notifications import Facts, Owed, is_still_to_send, owed
from app.domain.places import reader_place
from app.domain.price_migrations import is_of_migration
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription, Term

TOLD_AT_ONCE = frozenset(
    {NotificationKind.REFUNDED, NotificationKind.PRICE_UNCHANGED}
)  # by :func:`tell`: they don't follow from the subscription's state


async def schedule(
    session: Session,
    kind: NotificationKind,
    subscriber_id: str | None,
    about: str,
    *,
    data: Mapping[str, Any],
    due_at: datetime,
    now: datetime,
    recipient: str | None = None,
    locale: str | None = None,
    channel: Channel = Channel.EMAIL,
) -> None:
    """
    Schedule a notification. There is one of each kind about the same thing: called again, it is moved until it is sent.

    :param subscriber_id: of the reader who is told. None: nobody that we know; then ``recipient`` is required.
    :param about: what it concerns: the ID of a term, an invoice, a refund, …
    :param data: the variables of the template, see :data:`app.domain.notifications.KINDS`. Names that end in ``_at`` are
        times in ISO 8601 with a zone, in ``_on`` dates, and amounts are made by :func:`app.domain.notifications.money`.
    :param due_at: policy time; ``now`` to send it at once.
    :param recipient: an email address; None: the reader's at the time of sending.
    :param locale: of the text; None: the reader's.
    """
    wanted = Notification(
        id="",
        kind=kind,
        about=about,
        subscriber_id=subscriber_id,
        recipient=recipient,
        locale=locale,
        data=data,
        send_at=due_at,
        status=NotificationStatus.SCHEDULED,
        channel=channel,
    )
    await notifications.schedule(session, [wanted], now=now)


async def policy_of_reader(
    session: Session, rules: Rules, kind: NotificationKind, subscription: Subscription, *, at: datetime
) -> NotificationPolicy | None:
    """Return the policy that applies to a subscription's reader and an event at a time; None: they are not told."""
    edition = await editions.current(session, rules.zone)
    place = await places.of_reader(session, subscription.subscriber_id, subscription)
    return policy_for(edition.notification_policies(rules), kind, place, at.astimezone(rules.zone).date())


async def tell(
    session: Session,
    rules: Rules,
    kind: NotificationKind,
    subscription: Subscription,
    about: str,
    *,
    data: Mapping[str, Any],
    now: datetime,
    event_at: datetime | None = None,
    policy_of: NotificationKind | None = None,
) -> bool:
    """
    Tell a subscription's reader something now, if the policy says so. Return whether it does.

    :param about: as for :func:`schedule`, like ``data``.
    :param event_at: when what is told happens; None: it has just happened.
    :param policy_of: the kind whose policy applies; None: its own.
    """
    at = event_at or now
    policy = await policy_of_reader(session, rules, policy_of or kind, subscription, at=at)
    if policy is None or policy.channel is Channel.OFF:
        return False
    its = Owed(
        kind=kind,
        about=about,
        event_at=at,
        send_at=now,
        channel=policy.channel,
        template=policy.template,
        data={"plan": rules.catalogue.plan(subscription.plan).title, **data},
    )
    await notifications.schedule(session, [_notification(its, subscription)], now=now)
    return True


async def follow(
    session: Session,
    rules: Rules,
    edition: Edition,
    derived: Mapping[str, tuple[Subscription, Sequence[Term]]],
    *,
    now: datetime,
) -> None:
    """
    Schedule what subscriptions owe their readers, and remove what they don't owe anymore.

    :param edition: from which they were derived; it has the policies.
    :param derived: subscriptions by ID, each with its terms.
    """
    wanted: list[Notification] = []
    unwanted = []
    for subscription_id, stored in (await notifications.facts_of(session, list(derived))).items():
        subscription, terms = derived[subscription_id]
        facts = Facts(
            subscription=subscription,
            terms=terms,
            status=access_status(subscription, terms, rules.access, now=now),
            place=reader_place(
                postal=stored.address,
                tax=subscription.tax_location,
                card_country=subscription.card.country if subscription.card is not None else None,
            ),
            has_address=stored.address is not None,
            known=stored.known,
            delays=stored.delays,
            coming=stored.coming,
            notice_ends_at=stored.notice_ends_at,
        )
        its = owed(facts, rules, edition.notification_policies(rules), now=now)
        names = {(one.kind, one.about) for one in its}
        unchanged = [one.scheduled for one in stored.known if one.scheduled is not None]
        wanted += [_notification(one, subscription) for one in its if one not in unchanged]
        unwanted += [
            one
            for one in stored.known
            if one.status is NotificationStatus.SCHEDULED
            and one.kind not in TOLD_AT_ONCE
            and not is_of_migration(one.about)
            and (one.kind, one.about) not in names
            and not is_still_to_send(one, subscription, now=now)
        ]
    await notifications.drop(session, unwanted)
    await notifications.schedule(session, wanted, now=now)


async def follow_reader(session: Session, rules: Rules, subscriber_id: str, *, now: datetime) -> None:
    """Do as :func:`follow` for all subscriptions of a reader, because their place or address has changed."""
    owned = [one for one in await subscriptions.of_subscriber(session, subscriber_id) if one.over_at is None]
    if owned:
        edition = await editions.locked(session, rules.zone)
        derived = {one.id: (one, await subscriptions.terms_of(session, one.id)) for one in owned}
        await follow(session, rules, edition, derived, now=now)


def _notification(one: Owed, subscription: Subscription) -> Notification:
    return Notification(
        id="",
        kind=one.kind,
        about=one.about,
        subscriber_id=subscription.subscriber_id,
        subscription_id=subscription.id,
        data=one.data,
        event_at=one.event_at,
        send_at=one.send_at,
        template=one.template,
        status=NotificationStatus.SCHEDULED,
        channel=one.channel,
    )
