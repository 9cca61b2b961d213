"""
Holds of readers: made by themselves or for them, and lifted.

A hold is one transaction: with it, what the reader's terms owe and their access are derived again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from app.aggregates import cutoffs, grants, reader_views
from app.context import Context
from app.db import audit, holds, issues, subscribers, subscriptions
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.errors import NotFound
from app.domain.holds import (
    Hold,
    HoldStatus,
    NoCopiesToHold,
    SavedHold,
    check_hold,
    held_by,
    last_day_of,
    lifted,
    status_of,
)
from app.domain.issues import Calendar, schedule_terms
from app.domain.reader_views import Viewer
from app.domain.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownHold:
    """A hold, the numbers of the issues that it skips, and its last day if the calendar reaches that far."""

    saved: SavedHold
    status: HoldStatus
    held: tuple[int, ...]
    last_day: date | None


async def of_reader(ctx: Context, sub: str, *, now: datetime) -> Sequence[ShownHold]:
    """Return a reader's holds, the latest first. One who isn't known has none."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        return await _shown(session, ctx.rules, subscriber.id, now=now) if subscriber is not None else ()


async def of_subscriber(ctx: Context, subscriber_id: str, *, viewer: Viewer, now: datetime) -> Sequence[ShownHold]:
    """
    Return a subscriber's holds, the latest first. That somebody saw them is recorded.

    :raises NotFound: there is no such subscriber.
    """
    async with ctx.sessions.begin() as session:
        if await subscribers.by_id(session, subscriber_id) is None:
            raise NotFound("No such subscriber")
        found = await _shown(session, ctx.rules, subscriber_id, now=now)
    await reader_views.record(ctx.reads, [subscriber_id], viewer)
    return found


async def add_own(ctx: Context, sub: str, wanted: Hold, *, hold_id: str, now: datetime) -> ShownHold:
    """
    Put a reader's copies on hold; otherwise as :func:`add`.

    :raises NoCopiesToHold: they get no printed copies.
    """
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_sub(session, sub)
        if found is None:
            raise NoCopiesToHold
        subscriber = await subscribers.lock(session, found.id)
        by = f"reader:{subscriber.id}"
        return await _add(session, ctx.rules, subscriber, wanted, hold_id=hold_id, by=by, now=now)


async def add(ctx: Context, subscriber_id: str, wanted: Hold, *, hold_id: str, by: str, now: datetime) -> ShownHold:
    """
    Put a subscriber's copies on hold, once for each ``hold_id``. Whether digital access continues is a policy.

    :raises NotFound: there is no such subscriber.
    :raises NoCopiesToHold: they get no printed copies.
    :raises HoldDatesWrong: it starts in the past, ends before it starts, or has both or no end.
    :raises HoldTooLong: it is longer than the policy allows, alone or with the other holds; the calendar is too short for
        it; or it starts too far ahead.
    :raises HoldOverlaps: another hold is at that time.
    :raises TooManyHolds: the reader has as many as one can have.
    """
    async with ctx.sessions.begin() as session:
        if await subscribers.by_id(session, subscriber_id) is None:
            raise NotFound("No such subscriber")
        subscriber = await subscribers.lock(session, subscriber_id)
        return await _add(session, ctx.rules, subscriber, wanted, hold_id=hold_id, by=by, now=now)


async def lift_own(ctx: Context, sub: str, hold_id: str, *, now: datetime) -> ShownHold:
    """Lift one of a reader's holds; otherwise as :func:`lift`."""
    async with ctx.sessions.begin() as session:
        found = await subscribers.by_sub(session, sub)
        if found is None:
            raise NotFound("No such hold")
        subscriber = await subscribers.lock(session, found.id)
        return await _lift(session, ctx.rules, subscriber, hold_id, by=f"reader:{subscriber.id}", now=now)


async def lift(ctx: Context, subscriber_id: str, hold_id: str, *, by: str, now: datetime) -> ShownHold:
    """
    Lift a subscriber's hold. Issues whose label cut-off has passed stay held; the others are sent.

    :raises NotFound: there is no such subscriber, or they have no such hold.
    :raises HoldIsOver: nothing of it is left.
    """
    async with ctx.sessions.begin() as session:
        if await subscribers.by_id(session, subscriber_id) is None:
            raise NotFound("No such subscriber")
        subscriber = await subscribers.lock(session, subscriber_id)
        return await _lift(session, ctx.rules, subscriber, hold_id, by=by, now=now)


async def _add(
    session: Session, rules: Rules, subscriber: Subscriber, wanted: Hold, *, hold_id: str, by: str, now: datetime
) -> ShownHold:
    now = await cutoffs.settle(session, rules.zone, now=now)
    known = await holds.of_subscriber(session, subscriber.id)
    calendar, today = await issues.calendar(session, rules.zone), now.astimezone(rules.zone).date()
    for one in known:
        if one.id == hold_id:  # the request before was answered by nobody
            return _show(one, calendar, today)
    policy = rules.catalogue.policies.hold_policy(today)
    hold = Hold(
        starts_on=wanted.starts_on,
        until=wanted.until,
        issues=wanted.issues,
        keeps_digital=policy.keeps_digital,
    )
    if not await _gets_copies(session, rules, subscriber.id, calendar, now=now):
        raise NoCopiesToHold
    check_hold(hold, [one.hold for one in known], calendar.issues, policy, today=today)
    saved = SavedHold(id=hold_id, subscriber_id=subscriber.id, hold=hold, created_by=by)
    over_by = hold.until or hold.starts_on + timedelta(days=2 * policy.days)
    await holds.add(session, saved, over_by=over_by, now=now)
    await _derive(session, rules, subscriber, now=now)
    shown = _show(saved, calendar, today)
    await audit.record(
        session,
        actor=by,
        action="hold.added",
        object_id=hold_id,
        subscriber_id=subscriber.id,
        after={
            "from": str(hold.starts_on),
            "until": str(hold.until) if hold.until is not None else None,
            "issues": hold.issues,
            "held": list(shown.held),
        },
    )
    return shown


async def _lift(
    session: Session, rules: Rules, subscriber: Subscriber, hold_id: str, *, by: str, now: datetime
) -> ShownHold:
    found = next((one for one in await holds.of_subscriber(session, subscriber.id) if one.id == hold_id), None)
    if found is None:
        raise NotFound("No such hold")
    now = await cutoffs.settle(session, rules.zone, now=now)
    calendar, today = await issues.calendar(session, rules.zone), now.astimezone(rules.zone).date()
    before = _show(found, calendar, today)
    hold = lifted(found.hold, calendar.issues, today=today)
    assert hold.ended_on is not None
    await holds.lift(session, hold_id, ended_on=hold.ended_on)
    await _derive(session, rules, subscriber, now=now)
    saved = SavedHold(id=hold_id, subscriber_id=subscriber.id, hold=hold, created_by=found.created_by)
    after = _show(saved, calendar, today)
    await audit.record(
        session,
        actor=by,
        action="hold.lifted",
        object_id=hold_id,
        subscriber_id=subscriber.id,
        before={"held": list(before.held)},
        after={"held": list(after.held)},
    )
    return after


async def _gets_copies(
    session: Session, rules: Rules, subscriber_id: str, calendar: Calendar, *, now: datetime
) -> bool:
    """Return whether a reader gets printed copies: of a subscription that renews, or of a term that owes some."""
    owned = await subscriptions.of_subscriber(session, subscriber_id)
    if any(one.print_edition and one.can_be_canceled for one in owned):
        return True
    for one in owned:
        known = await subscriptions.terms_of(session, one.id)
        runs = schedule_terms(one, known, calendar, rules.catalogue, grace=rules.access.grace_period)
        for run in runs:
            is_printed = run.term.print_edition and run.term.print_until is None
            if is_printed and run.ended_at is None and run.ledger(now).unserved:
                return True
    return False


async def _derive(session: Session, rules: Rules, subscriber: Subscriber, *, now: datetime) -> None:
    for subscription in await subscriptions.of_subscriber(session, subscriber.id):
        await grants.derive(session, rules, subscriber, subscription, now=now)


async def _shown(session: Session, rules: Rules, subscriber_id: str, *, now: datetime) -> Sequence[ShownHold]:
    calendar, today = await issues.calendar(session, rules.zone), now.astimezone(rules.zone).date()
    return [_show(one, calendar, today) for one in await holds.of_subscriber(session, subscriber_id)]


def _show(saved: SavedHold, calendar: Calendar, today: date) -> ShownHold:
    return ShownHold(
        saved=saved,
        status=status_of(saved.hold, calendar.issues, today=today),
        held=tuple(calendar.issues[index].number for index in held_by(saved.hold, calendar.issues)),
        last_day=last_day_of(saved.hold, calendar.issues),
    )
