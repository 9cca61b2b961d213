"""Changes of the calendar and the catalogue, and the queue of the subscriptions that they affect."""

from dataclasses import replace
from datetime import timedelta

from app.db import comps, derivations, editions, grants, subscribers, subscriptions, terms
from app.db.derivations import CALENDAR, CATALOGUE, Queued
from app.domain.calendar_changes import AffectedTerms
from app.domain.copies import OwedCopies
from app.domain.derivations import Derived
from app.domain.entitlements import EntitlementSet
from app.domain.notification_policies import DEFAULT_POLICIES, RecordedPolicies
from app.domain.offers import Offer, OfferVersion
from bench.scale.subject import NOW, ZONE, Subject, query

SLICE = 200
MOST_OF_A_SLICE = SLICE * 50  # rows: those of 200 readers
OFFER = Offer(
    plan="annual",
    features=("archive",),
    double_issues=2,
    grace_period=timedelta(days=14),
    renewal_allowance=timedelta(days=3),
)
MOVED = AffectedTerms(ends=((50, NOW),), begun=((NOW, NOW + timedelta(hours=1)),))


async def _run(s: Subject, kind: str, change: dict[str, object]) -> derivations.Run:
    run_id = await derivations.add_run(s.session, kind, change, replaced="")
    run = await derivations.run(s.session, run_id)
    assert run is not None
    return run


async def _affected(s: Subject, kind: str, change: dict[str, object]) -> None:
    async for _ in derivations.affected(s.session, await _run(s, kind, change), size=5_000):
        pass


async def _queue(s: Subject) -> None:
    run = await _run(s, CALENDAR, MOVED.dump())
    await derivations.queue(s.session, run.id, s.ids("scr"))


async def _save_terms(s: Subject) -> None:
    (known,) = (await terms.of_subscriptions(s.session, [s.subscription])).values()
    copies = {term.invoice_id: OwedCopies(ranges=((1, 25),), expire=24) for term in known}
    derived = Derived(terms=known, grants=[], last_issues={term.invoice_id: 7 for term in known}, copies=copies)
    await terms.save_derived(s.session, [derived])


async def _save_entitlements(s: Subject) -> None:
    locked = await subscribers.lock_available(s.session, s.ids("rdr"))
    await grants.save_entitlements(s.session, [(one, EntitlementSet(otherwise="refunded")) for one in locked.values()])


async def _replace_grants(s: Subject) -> None:
    stored = await grants.stored_of(s.session, s.ids("rdr", SLICE))
    all_grants = [one for its in stored.values() for one in its.values()]
    added = [replace(one, source="comp") for one in all_grants]
    await grants.replace_many(s.session, [one.id for one in all_grants], added)


async def _fail(s: Subject) -> None:
    await derivations.fail(s.session, Queued(s.subscription, None, 1), "x", timedelta(seconds=1))


DERIVATIONS = (
    query("derivations.add_run", lambda s: _run(s, CALENDAR, MOVED.dump())),
    query("derivations.run", lambda s: derivations.run(s.session, "run_x")),
    query("derivations.runs", lambda s: derivations.runs(s.session, limit=20)),
    query("derivations.unfinished", lambda s: derivations.unfinished(s.session)),
    query("derivations.has_subscribers", lambda s: derivations.has_subscribers(s.session)),
    query("derivations.special_issues", lambda s: derivations.special_issues(s.session)),
    query("derivations.must_repeat_notices", lambda s: derivations.must_repeat_notices(s.session)),
    query("derivations.postpone_run", lambda s: derivations.postpone_run(s.session, "run_x", timedelta(seconds=1))),
    query("derivations.complete_queue", lambda s: derivations.complete_queue(s.session, "run_x")),
    query(
        "derivations.affected",
        lambda s: _affected(s, CALENDAR, MOVED.dump()),
        reads_all="finds every subscription that a change of the calendar affects",
    ),
    query(
        "derivations.count_affected",
        lambda s: derivations.count_affected(s.session, MOVED),
        reads_all="counts every subscription that a change of the calendar affects",
    ),
    query(
        "derivations.affected",
        lambda s: _affected(s, CATALOGUE, {"plans": ["annual"]}),
        "a plan",
        reads_all="finds every subscription of a plan",
    ),
    query("derivations.queue", _queue),
    query("derivations.take_old_changes", lambda s: derivations.take_old_changes(s.session)),
    query("derivations.is_due", lambda s: derivations.is_due(s.session)),
    query("derivations.take", lambda s: derivations.take(s.session, limit=SLICE)),
    query("derivations.take_one", lambda s: derivations.take_one(s.session, "scr_x")),
    query(
        "derivations.complete",
        lambda s: derivations.complete(s.session, [Queued(one, "run_x", 0) for one in s.ids("scr")], frozenset()),
    ),
    query("derivations.postpone", lambda s: derivations.postpone(s.session, s.ids("scr"), timedelta(seconds=1))),
    query("derivations.fail", _fail),
    query("derivations.finish", lambda s: derivations.finish(s.session)),
    query("editions.current", lambda s: editions.current(s.session, ZONE)),
    query("editions.locked", lambda s: editions.locked(s.session, ZONE)),
    query("editions.are_unused", lambda s: editions.are_unused(s.session, ["x"])),
    query("editions.lock_changes", lambda s: editions.lock_changes(s.session)),
    query("editions.lock_cutoffs", lambda s: editions.lock_cutoffs(s.session)),
    query("editions.share_cutoffs", lambda s: editions.share_cutoffs(s.session)),
    query("editions.publish", lambda s: editions.publish(s.session)),
    query("editions.add_offers", lambda s: editions.add_offers(s.session, [OfferVersion(OFFER, NOW)])),
    query("editions.add_policies", lambda s: editions.add_policies(s.session, RecordedPolicies(DEFAULT_POLICIES, NOW))),
    query("editions.save_offers", lambda s: editions.save_offers(s.session, [OFFER])),
    query("terms.of_subscriptions", lambda s: terms.of_subscriptions(s.session, s.ids("scr", SLICE))),
    query("terms.save_derived", _save_terms),
    query("subscribers.lock_available", lambda s: subscribers.lock_available(s.session, s.ids("rdr", SLICE))),
    query("subscriptions.owners", lambda s: subscriptions.owners(s.session, s.ids("scr", SLICE))),
    query("subscriptions.of_subscribers", lambda s: subscriptions.of_subscribers(s.session, s.ids("rdr", SLICE))),
    query("comps.owners", lambda s: comps.owners(s.session, s.ids("cmp", SLICE))),
    query("comps.of_subscribers", lambda s: comps.of_subscribers(s.session, s.ids("rdr", SLICE))),
    query("grants.stored_of", lambda s: grants.stored_of(s.session, s.ids("rdr", SLICE)), max_rows=MOST_OF_A_SLICE),
    query("grants.replace_many", _replace_grants, max_rows=MOST_OF_A_SLICE),
    query("grants.save_entitlements", _save_entitlements),
)
