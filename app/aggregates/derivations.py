"""
Derive the grants of many subscriptions again, in one transaction.

It does the same as :func:`app.aggregates.grants.derive` for each of them, with one statement for all instead of a dozen for
each. It waits for nobody: subscribers that another transaction has locked are left out.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from app.aggregates import notifications
from app.aggregates.grants import must_revoke
from app.db import comps, editions, grants, outbox, revocations, subscribers, subscriptions, terms
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain import derivations
from app.domain.comps import Comp, grant_of
from app.domain.derivations import Derived, Edition
from app.domain.entitlements import (
    NO_ENTITLEMENTS,
    AccessReason,
    EntitlementSet,
    Grant,
    combine_grants,
    without_past,
)
from app.domain.grants import denial_reason_of
from app.domain.outbox import NewOutboxEvent, OutboxReader, entitlements_changed
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription, Term

YIELD_EVERY = 10  # subscriptions, so that other tasks of the process go on


@dataclass(slots=True)
class Results:
    """What became of each ID."""

    done: set[str] = field(default_factory=set)  # those that don't exist, too
    changed: set[str] = field(default_factory=set)  # of the done ones: their reader's access changed
    locked: set[str] = field(default_factory=set)  # by another transaction: try again
    failed: dict[str, Exception] = field(default_factory=dict)  # nothing was written for their reader


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is known about the locked subscribers."""

    subscriptions: Mapping[str, Sequence[Subscription]]  # by subscriber, like the comps
    comps: Mapping[str, Sequence[Comp]]
    terms: Mapping[str, Sequence[Term]]  # by subscription
    grants: Mapping[str, Mapping[str, grants.StoredGrant]]  # by subscriber and ID
    edition: Edition


@dataclass(slots=True)
class _Change:
    """What is written for all subscribers together."""

    derived: list[Derived] = field(default_factory=list)
    known_terms: list[Term] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)  # IDs of grants
    added: list[grants.StoredGrant] = field(default_factory=list)
    access: dict[str, EntitlementSet] = field(default_factory=dict)  # by subscriber
    followed: dict[str, tuple[Subscription, Sequence[Term]]] = field(default_factory=dict)  # by its ID


async def derive_many(session: Session, rules: Rules, ids: Collection[str], *, now: datetime) -> Results:
    """
    Derive the grants of subscriptions and comps, and rebuild the entitlements of their readers.

    :param ids: of subscriptions, or of comps.
    :param now: policy time.
    """
    results = Results()
    owners = {**await subscriptions.owners(session, ids), **await comps.owners(session, ids)}
    results.done.update(set(ids) - owners.keys())
    locked = await subscribers.lock_available(session, sorted(set(owners.values())))
    results.locked.update(one for one in ids if one in owners and owners[one] not in locked)
    wanted: dict[str, list[str]] = {}
    for one in ids:
        if owners.get(one) in locked:
            wanted.setdefault(owners[one], []).append(one)
    if not wanted:
        return results
    facts = await _load(session, rules, list(wanted))
    change, changed_grants = _Change(), set()
    for number, (subscriber_id, its_ids) in enumerate(wanted.items()):
        if number % YIELD_EVERY == 0:
            await asyncio.sleep(0)
        try:
            has_changed = _derive(change, facts, rules, subscriber_id, its_ids)
        except Exception as failure:  # a bug or a missing plan must not hold up the others
            results.failed.update(dict.fromkeys(its_ids, failure))
            continue
        results.done.update(its_ids)
        if has_changed:
            changed_grants.update(its_ids)
    changed = await _save(session, change, locked, now=now)
    await notifications.follow(session, rules, facts.edition, change.followed, now=now)
    results.changed = {one for one in changed_grants if owners[one] in changed}
    return results


async def _load(session: Session, rules: Rules, subscriber_ids: Sequence[str]) -> _Facts:
    owned = await subscriptions.of_subscribers(session, subscriber_ids)
    return _Facts(
        subscriptions=owned,
        comps=await comps.of_subscribers(session, subscriber_ids),
        terms=await terms.of_subscriptions(session, [one.id for its in owned.values() for one in its]),
        grants=await grants.stored_of(session, subscriber_ids),
        edition=await editions.locked(session, rules.zone),
    )


def _derive(change: _Change, facts: _Facts, rules: Rules, subscriber_id: str, ids: Sequence[str]) -> bool:
    """Add what one reader's subscriptions and comps change. Return whether any grant does."""
    owned, given = facts.subscriptions.get(subscriber_id, ()), facts.comps.get(subscriber_id, ())
    stored = facts.grants.get(subscriber_id, {})
    terms_of = {one.id: list(facts.terms.get(one.id, ())) for one in owned}
    derived = {
        one.id: derivations.derive(one, terms_of[one.id], facts.edition, rules) for one in owned if one.id in ids
    }
    after = {key: one for key, one in stored.items() if one.subscription_id not in derived}
    for subscription_id, its in derived.items():
        for grant in its.grants:
            after[grant.id] = grants.StoredGrant.of(grant, subscriber_id, subscription_id)
    for comp in given:
        before = stored.get(f"grt_{comp.id}")
        if comp.id in ids and before is not None:
            after[before.id] = grants.StoredGrant.of(_extended(comp, before, facts.edition, rules), subscriber_id, None)
    for subscription_id, its in derived.items():
        change.derived.append(its)
        change.followed[subscription_id] = (next(one for one in owned if one.id == subscription_id), its.terms)
        change.known_terms += terms_of[subscription_id]
    replaced = [key for key, one in stored.items() if after.get(key) != one]
    added = [one for key, one in after.items() if stored.get(key) != one]
    if not (replaced or added):
        return False  # so the entitlement stays as well
    change.replaced += replaced
    change.added += added
    lapses = [denial_reason_of(one, derived[one.id].terms if one.id in derived else terms_of[one.id]) for one in owned]
    if not owned and given:
        lapses = [AccessReason.ENDED]  # they had complimentary access
    change.access[subscriber_id] = combine_grants([one.grant for one in after.values()], lapses)
    return True


def _extended(comp: Comp, before: grants.StoredGrant, edition: Edition, rules: Rules) -> Grant:
    """Return the grant of a comp with the features that its plan has now. Those that it had stay."""
    offer = edition.offers.kept(comp.plan, paid_at=comp.starts_at, ends_at=comp.until)
    grant = grant_of(comp, rules.catalogue) if offer is None else grant_of(comp, rules.catalogue, offer)
    return replace(grant, features={**before.grant.features, **grant.features})


async def _save(
    session: Session, change: _Change, locked: Mapping[str, Subscriber], *, now: datetime
) -> frozenset[str]:
    """Write everything, and return the subscribers whose access changed."""
    await grants.replace_many(session, change.replaced, change.added)
    promised = {term.offer for one in change.derived for term in one.terms if term.offer is not None}
    promised -= {term.offer for term in change.known_terms}
    await editions.save_offers(session, list(promised))
    await terms.save_derived(session, change.derived)
    accesses = {locked[key].sub: (locked[key], without_past(access, now=now)) for key, access in change.access.items()}
    replaced = await grants.save_entitlements(session, list(accesses.values()))
    announced: list[NewOutboxEvent] = []
    for sub, stored in sorted(replaced.items()):
        subscriber, access = accesses[sub]
        if stored is not None and must_revoke(stored.access, access, now=now):
            await revocations.add(session, sub, stored.version + 1)
        reader, before = OutboxReader.of(subscriber.id, sub), stored.access if stored is not None else NO_ENTITLEMENTS
        announced += entitlements_changed(reader, before, access, now=now)
    await outbox.add(session, announced)
    return frozenset(accesses[sub][0].id for sub in replaced)
