"""
What a subscriber's subscriptions and complimentary access grant, and the entitlement that unites it all.

The caller holds the subscriber's lock, so the entitlement always reflects every grant.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from app.aggregates import notifications
from app.db import comps, editions, grants, outbox, revocations, subscriptions, terms
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain import derivations
from app.domain.derivations import Derived
from app.domain.entitlements import (
    NO_ENTITLEMENTS,
    AccessReason,
    EntitlementSet,
    Grant,
    combine_grants,
    is_reduced,
    without_past,
)
from app.domain.grants import denial_reason_of
from app.domain.outbox import NewOutboxEvent, OutboxReader, entitlements_changed
from app.domain.rules import Rules
from app.domain.signing_keys import LONGEST_LIFE
from app.domain.subscriptions import Subscription, Term

_EARLIEST, _LATEST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


async def derive(
    session: Session,
    rules: Rules,
    subscriber: Subscriber,
    subscription: Subscription,
    *,
    now: datetime | None = None,
    all_subscriptions: Sequence[Subscription] | None = None,
    announced: Sequence[NewOutboxEvent] = (),
) -> list[Term]:
    """
    Derive a subscription's grants from its terms and the calendar, and rebuild the entitlement.

    :param now: policy time, see :func:`rebuild`.
    :param all_subscriptions: the subscriber's, if the caller has just read them.
    :param announced: what else the outbox records, before the change of the entitlement.
    :returns: the subscription's terms, the earliest first.
    """
    known = await subscriptions.terms_of(session, subscription.id)
    edition = await editions.locked(session, rules.zone)
    derived = derivations.derive(subscription, known, edition, rules)
    all_grants = await grants.replace(session, subscriber.id, subscription.id, derived.grants)
    await save_terms(session, known, derived)
    if all_subscriptions is None:
        all_subscriptions = await subscriptions.of_subscriber(session, subscriber.id)
    lapses = await _lapses(session, subscriber.id, all_subscriptions, {subscription.id: derived.terms})
    await _save(session, subscriber, all_grants, lapses, now=now, announced=announced)
    if now is not None:
        await notifications.follow(session, rules, edition, {subscription.id: (subscription, derived.terms)}, now=now)
    return derived.terms


async def save_terms(session: Session, known: Sequence[Term], derived: Derived) -> None:
    """Store what was derived about terms, with their new offers."""
    promised = {term.offer for term in derived.terms if term.offer is not None} - {term.offer for term in known}
    await editions.save_offers(session, sorted(promised, key=lambda offer: offer.id))
    await terms.save_derived(session, [derived])


async def rebuild(
    session: Session, subscriber: Subscriber, *, now: datetime | None = None, is_claim: bool = False
) -> None:
    """
    Rebuild a subscriber's entitlement from all grants.

    If it changes, its version increases, the change is recorded in the outbox, and every process that has cached it is
    notified at commit. If access is reduced, a revocation is published too.

    :param now: policy time. With it, no revocation is published for access that only ends after every token issued by now
        has expired.
    :param is_claim: the reader was not known until now, so all that they have is announced.
    """
    all_grants = await grants.of_subscriber(session, subscriber.id)
    all_subscriptions = await subscriptions.of_subscriber(session, subscriber.id)
    lapses = await _lapses(session, subscriber.id, all_subscriptions, {})
    await _save(session, subscriber, all_grants, lapses, now=now, is_claim=is_claim)


async def _save(
    session: Session,
    subscriber: Subscriber,
    all_grants: Sequence[Grant],
    lapses: Sequence[str],
    *,
    now: datetime | None,
    is_claim: bool = False,
    announced: Sequence[NewOutboxEvent] = (),
) -> None:
    access = combine_grants(all_grants, lapses)
    if now is not None:  # every check reads the row, and it would grow with every term
        access = without_past(access, now=now)
    change = await grants.save_entitlement(session, subscriber, access)
    before = change.before if change is not None else None
    if before is not None and must_revoke(before.access, access, now=now):
        await revocations.add(session, subscriber.sub, before.version + 1)
    events = list(announced)
    if change is not None or is_claim:
        reader = OutboxReader.of(subscriber.id, subscriber.sub)
        known = before.access if before is not None and not is_claim else NO_ENTITLEMENTS
        events += entitlements_changed(reader, known, access, now=now)
    await outbox.add(session, events)


def must_revoke(before: EntitlementSet, after: EntitlementSet, *, now: datetime | None) -> bool:
    """Return whether tokens and answers from before a change are no longer valid; ``now`` as for :func:`rebuild`."""
    since, until = (now, now + LONGEST_LIFE) if now is not None else (_EARLIEST, _LATEST)
    return is_reduced(before, after, since=since, until=until)


async def _lapses(
    session: Session,
    subscriber_id: str,
    all_subscriptions: Sequence[Subscription],
    known_terms: Mapping[str, Sequence[Term]],
) -> list[str]:
    """Return the reason that each subscription gives when it grants nothing."""
    if not all_subscriptions and await comps.of_subscriber(session, subscriber_id):
        return [AccessReason.ENDED]  # they had complimentary access
    return [
        denial_reason_of(
            one, known_terms[one.id] if one.id in known_terms else await subscriptions.terms_of(session, one.id)
        )
        for one in all_subscriptions
    ]
