"""
Grants, and the entitlement row that is rebuilt from all of them.

Whoever changes a grant holds the subscriber's row lock, so the entitlement row always tells of all grants at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace as replace_of
from datetime import UTC, datetime

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from app.db import comps, issues, revocations, subscriptions
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Entitlement, table_of
from app.db.models import Grant as Row
from app.db.subscribers import Subscriber
from app.domain.dunning import AccessPolicy
from app.domain.entitlements import (
    ENDED,
    EntitlementSet,
    Grant,
    combine_grants,
    dump,
    dump_features,
    is_reduced,
    load,
    load_features,
)
from app.domain.grants import denial_reason_of, grants_of
from app.domain.issues import schedule_terms
from app.domain.plans import Catalogue
from app.domain.signing_keys import LONGEST_LIFE
from app.domain.subscriptions import Subscription, Term

# Built once, and Core's: they run for each event.
_GRANTS, _ENTITLEMENTS = table_of(Row), table_of(Entitlement)
_OF_SUBSCRIBER = select(*_GRANTS.c).where(_GRANTS.c.subscriber_id == bindparam("subscriber")).order_by(_GRANTS.c.id)
_ENTITLEMENT_OF = select(_ENTITLEMENTS.c.access, _ENTITLEMENTS.c.version).where(
    _ENTITLEMENTS.c.sub == bindparam("its_sub")
)
_ADD, _ADD_ENTITLEMENT = insert(_GRANTS), insert(_ENTITLEMENTS)
_SAVE_ENTITLEMENT = update(_ENTITLEMENTS).where(_ENTITLEMENTS.c.sub == bindparam("its_sub"))
_TAKE_BACK = delete(_GRANTS).where(_GRANTS.c.subscription_id == bindparam("its_subscription"))
_EVER, _NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


async def derive(
    session: Session,
    subscriber: Subscriber,
    subscription: Subscription,
    catalogue: Catalogue,
    policy: AccessPolicy,
    *,
    now: datetime | None = None,
    theirs: Sequence[Subscription] | None = None,
) -> list[Term]:
    """
    Replace what a subscription grants by what follows from its terms now. The subscriber's row is locked.

    :param theirs: all of the subscriber's subscriptions, if the caller has just read them.
    :returns: its terms, the earliest first.
    """
    terms = await subscriptions.terms_of(session, subscription.id)
    calendar = await issues.calendar(session, policy.zone, held=True)
    runs = schedule_terms(subscription, terms, calendar, catalogue)
    until = {run.term.invoice_id: run.editions_until() for run in runs}
    granted = grants_of(
        subscription,
        terms,
        catalogue,
        policy,
        editions_until={invoice_id: at for invoice_id, at in until.items() if at is not None},
    )
    held = (await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber.id})).all()
    await _write(session, subscriber.id, subscription.id, granted, held)
    await issues.note_last(session, {run.term.invoice_id: run.noted() for run in runs})
    others = [_grant(row) for row in held if row.subscription_id != subscription.id]
    if theirs is None:
        theirs = await subscriptions.of_subscriber(session, subscriber.id)
    lapses = await _lapses(session, subscriber.id, theirs, {subscription.id: terms})
    await _keep(session, subscriber, combine_grants([*others, *map(_as_stored, granted)], lapses), now=now)
    return terms


async def replace(session: Session, subscriber_id: str, subscription_id: str, grants: Sequence[Grant]) -> None:
    """Make ``grants`` all that the subscription grants. Nothing is written when they are that already."""
    held = (await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})).all()
    await _write(session, subscriber_id, subscription_id, grants, held)


async def _write(
    session: Session, subscriber_id: str, subscription_id: str, grants: Sequence[Grant], held: Sequence[Record]
) -> None:
    made = {g.id: {"id": g.id, "source": g.source, "features": dump_features(g.features)} for g in grants}
    before = {
        row.id: {"id": row.id, "source": row.source, "features": row.features}
        for row in held
        if row.subscription_id == subscription_id
    }
    if before == made:
        return
    if before:
        await session.execute(_TAKE_BACK, {"its_subscription": subscription_id})
    if made:
        whose = {"subscriber_id": subscriber_id, "subscription_id": subscription_id}
        await session.execute(_ADD, [{**one, **whose} for one in made.values()])


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Grant]:
    """Return all that a reader was granted and that was not taken back."""
    return [_grant(row) for row in await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})]


async def rebuild(session: Session, subscriber: Subscriber, *, now: datetime | None = None) -> None:
    """
    Write the entitlement row anew, from all grants, if it says something else than before; then its version rises.

    Every process that remembers it is told at commit, by the table's trigger. When less is given than before, those who
    follow the feed of revocations are told too.

    :param now: policy time. Access that is lost only beyond the life of any token taken now is no revocation.
    """
    held = (await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber.id})).all()
    theirs = await subscriptions.of_subscriber(session, subscriber.id)
    lapses = await _lapses(session, subscriber.id, theirs, {})
    await _keep(session, subscriber, combine_grants(map(_grant, held), lapses), now=now)


async def _keep(session: Session, subscriber: Subscriber, access: EntitlementSet, *, now: datetime | None) -> None:
    held = (await session.execute(_ENTITLEMENT_OF, {"its_sub": subscriber.sub})).one_or_none()
    if held is None:
        new = {"sub": subscriber.sub, "subscriber_id": subscriber.id, "version": 1, "access": dump(access)}
        await session.execute(_ADD_ENTITLEMENT, new)
        return
    if held.access == dump(access):
        return
    version = held.version + 1
    await session.execute(_SAVE_ENTITLEMENT, {"its_sub": subscriber.sub, "access": dump(access), "version": version})
    soon = (now, now + LONGEST_LIFE) if now is not None else (_EVER, _NEVER)
    if is_reduced(load(held.access), access, since=soon[0], until=soon[1]):
        await revocations.add(session, subscriber.sub, version)


async def _lapses(
    session: Session, subscriber_id: str, theirs: Sequence[Subscription], known: Mapping[str, Sequence[Term]]
) -> list[str]:
    """Return why each subscription grants nothing, for when it does not; the terms of some may be known."""
    if not theirs and await comps.of_subscriber(session, subscriber_id):
        return [ENDED]  # what somebody gave them
    return [
        denial_reason_of(one, known[one.id] if one.id in known else await subscriptions.terms_of(session, one.id))
        for one in theirs
    ]


def _grant(row: Record) -> Grant:
    return Grant(id=row.id, source=row.source, features=load_features(row.features))


def _as_stored(grant: Grant) -> Grant:
    """Return a grant as it will be read: in whole seconds."""
    features = {
        name: tuple(
            replace_of(
                spell, starts_at=spell.starts_at.replace(microsecond=0), until=spell.until.replace(microsecond=0)
            )
            for spell in spells
        )
        for name, spells in grant.features.items()
    }
    return replace_of(grant, features=features)
