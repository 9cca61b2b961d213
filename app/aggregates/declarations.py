"""Recording what a reader declares to leave, with its acknowledgment, in the transaction in which it takes effect."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from babel import Locale

from app.aggregates import notifications, places
from app.db import audit, declarations, payments, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session, new_id
from app.db.subscribers import Subscriber
from app.domain.declarations import (
    Acknowledged,
    CancellationNotice,
    Channel,
    Declaration,
    DeclarationKind,
    DeclarationStatus,
    Language,
    acknowledgment,
    language_of,
)
from app.domain.money import Money
from app.domain.notifications import NotificationKind
from app.domain.places import Place
from app.domain.refunds import Refund
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription
from app.localization import Localization


async def record(
    session: Session,
    rules: Rules,
    localization: Localization,
    *,
    kind: DeclarationKind,
    channel: Channel,
    subscriber: Subscriber,
    subscription: Subscription,
    place: Place,
    by: str,
    now: datetime,
    declaration_id: str | None = None,
    law: str | None = None,
    refund: Money | None = None,
    refund_id: str | None = None,
    ends_at: datetime | None = None,
    is_queued: bool = False,
    status: DeclarationStatus = DeclarationStatus.DONE,
    due_in: timedelta | None = None,
) -> Declaration:
    """
    Store what a known reader declares, with the acknowledgment of it. The caller holds the subscriber's lock.

    :param by: the actor, as in the audit log.
    :param is_queued: whether staff have to act.
    :param status: ``received``, if the contract ends early.
    :param due_in: until a worker makes sure that Stripe doesn't renew it.
    """
    plan = rules.catalogue.plans.get(subscription.plan)
    contract = f"{plan.title if plan is not None else subscription.plan} ({subscription.id})"
    language = language_of(place)
    declaration_id = declaration_id or new_id("dcl")
    text = acknowledgment(
        Acknowledged(
            kind=kind,
            publisher=rules.catalogue.publisher,
            id=declaration_id,
            received_at=now,
            contract=contract,
            name=subscriber.name,
            email=subscriber.email,
            ends_at=ends_at,
            refund=refund,
            is_queued=is_queued,
        ),
        language,
        writing(localization, language),
    )
    declared = Declaration(
        id=declaration_id,
        kind=kind,
        channel=channel,
        received_at=now,
        subscriber_id=subscriber.id,
        subscription_id=subscription.id,
        words={name: text for name, text in (("name", subscriber.name), ("email", subscriber.email)) if text},
        place=place.code,
        law=law,
        acknowledgment=text,
        status=DeclarationStatus.QUEUED if is_queued else status,
        ends_at=ends_at,
        refund_id=refund_id,
    )
    await declarations.insert(session, declared, due_in=due_in)
    if kind == DeclarationKind.WITHDRAWAL:  # of a cancellation, the notification `canceled` tells
        await notifications.schedule(
            session,
            NotificationKind.WITHDRAWAL_RECEIVED,
            subscriber.id,
            declared.id,
            data={
                "received_at": now.isoformat(),
                "name": subscriber.name,
                "contract": contract,
                "reference": declared.id,
            },
            due_at=now,
            now=now,
            locale=language,
        )
        await audit.record(  # a cancellation is recorded as a change of the subscription
            session,
            actor=by,
            action="declaration.withdrawal",
            object_id=declared.id,
            subscriber_id=subscriber.id,
            after={"subscription": subscription.id, "channel": channel, "law": law, "status": declared.status},
        )
    return declared


async def record_notice(
    session: Session, rules: Rules, localization: Localization, notice: CancellationNotice, *, now: datetime
) -> Declaration:
    """
    Store a cancellation without a sign-in with its acknowledgment, which goes to the address that was entered.

    Whose it is remains open, and a worker finds out: so an answer doesn't tell, nor how long it took.
    """
    declaration_id = new_id("dcl")
    said = Acknowledged(
        kind=DeclarationKind.CANCELLATION,
        publisher=rules.catalogue.publisher,
        id=declaration_id,
        received_at=now,
        contract=notice.contract,
        name=notice.name,
        email=notice.email,
        words=notice.shown,
        is_queued=True,
    )
    declared = Declaration(
        id=declaration_id,
        kind=DeclarationKind.CANCELLATION,
        channel=Channel.PAGE,
        received_at=now,
        subscriber_id=None,
        subscription_id=None,
        words=notice.words,
        acknowledgment=acknowledgment(said, notice.language, writing(localization, notice.language)),
        status=DeclarationStatus.RECEIVED,
    )
    await declarations.insert(session, declared, due_in=timedelta(0))
    await notifications.schedule(
        session,
        NotificationKind.CANCELLATION_RECEIVED,
        None,
        declared.id,
        data={
            "received_at": now.isoformat(),
            "name": notice.name,
            "contract": notice.contract,
            "reference": declared.id,
            "ends_on": notice.ends_on.isoformat() if notice.ends_on is not None else None,
        },
        due_at=now,
        now=now,
        recipient=notice.email,
        locale=notice.language,
    )
    await audit.record(
        session,
        actor="anonymous",
        action="declaration.cancellation",
        object_id=declared.id,
        subscriber_id=None,
        after={"channel": declared.channel, "status": declared.status},
    )
    await leases.notify(session)
    return declared


async def record_withdrawal(
    session: Session,
    rules: Rules,
    localization: Localization,
    refunds: Sequence[Refund],
    *,
    channel: Channel,
    by: str,
    now: datetime,
    declaration_id: str | None = None,
    law: str | None = None,
) -> Declaration | None:
    """
    Store a withdrawal whose refunds were just created. The caller holds the subscriber's lock.

    :returns: None if the contract was withdrawn from before, and its refund is only repeated.
    """
    owner = await payments.owner_of(session, refunds[0].payment_id)
    subscription = await subscriptions.by_id(session, owner[1]) if owner is not None else None
    subscriber = await subscribers.by_id(session, refunds[0].subscriber_id)
    if subscription is None or subscriber is None:
        raise LookupError(refunds[0].payment_id)
    if await declarations.withdrawal_from(session, subscription.id) is not None:
        return None
    return await record(
        session,
        rules,
        localization,
        kind=DeclarationKind.WITHDRAWAL,
        channel=channel,
        subscriber=subscriber,
        subscription=subscription,
        place=await places.of_reader(session, subscriber.id, subscription),
        by=by,
        now=now,
        declaration_id=declaration_id,
        law=law,
        refund=Money(sum(one.amount for one in refunds), refunds[0].currency),
        refund_id=refunds[0].group_id,
        ends_at=now,
    )


def writing(localization: Localization, language: Language) -> Localization:
    """Return how dates and amounts are written in a language: as the publisher does, if it is the publisher's."""
    if localization.locale.language == language:
        return localization
    return replace(localization, locale=Locale.parse(language.value))
