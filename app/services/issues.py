"""
The issue calendar, and the issues that subscriptions owe.

A change of the calendar is one short transaction. Workers then apply it to the affected subscriptions: see
:mod:`app.services.derivations`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from app.aggregates import approvals, extensions
from app.context import Context, DatabaseContext
from app.db import approvals as approvals_db
from app.db import audit, derivations, editions, issue_delays, issues, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.db.subscribers import Subscriber
from app.domain.adjustments import AdjustmentKind, ExtensionTooLarge
from app.domain.approvals import ApprovalKind, ApprovalRequest, ApprovalStatus, check_beneficiary
from app.domain.calendar_changes import (
    IssueChanged,
    IssueOutOfOrder,
    MovedClosing,
    affected_terms,
    check_order,
    moved_closings,
    version_of,
)
from app.domain.calendar_files import BadCalendarFile, Line
from app.domain.errors import NotFound
from app.domain.issue_delays import IssueDelay, delay_of
from app.domain.issues import Calendar, Issue
from app.domain.label_runs import CutoffPassed, IssueFrozen, check_changes
from app.domain.ledgers import Ledger
from app.domain.pages import Page, page_of
from app.domain.rules import Rules
from app.domain.subscriptions import Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedIssues:
    """The numbers of the issues that were saved."""

    new: tuple[int, ...]
    changed: tuple[int, ...]
    unchanged: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarEffects:
    """What it would do to add or change an issue."""

    before: Issue | None  # None: it is new
    after: Issue
    copies: int  # of the issue that print subscriptions are owed now
    updated: int  # subscriptions whose first or last issue may change, and with it the end of access
    closings: Sequence[MovedClosing]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """Issues added to the newest term of a subscription, or requested for it, and the term's ledger."""

    id: str
    subscription: Subscription
    issues: int
    reason: str
    note: str | None
    by: str
    created_at: datetime
    ledger: Ledger  # includes the issues once they are added
    awaits_approval: bool = False


async def page(ctx: Context, *, after: int, limit: int) -> Page[Issue]:
    """Return issues, the lowest number first."""
    async with ctx.sessions.begin() as session:
        found = await issues.page(session, after=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda issue: str(issue.number))


async def get(ctx: Context, number: int) -> Issue:
    """
    Return one issue.

    :raises NotFound: there is no issue with that number.
    """
    async with ctx.sessions.begin() as session:
        found = await issues.by_number(session, number)
    if found is None:
        raise NotFound(f"There is no issue {number}")
    return found


async def calendar(ctx: DatabaseContext) -> Calendar:
    """Return the whole calendar."""
    async with ctx.sessions.begin() as session:
        return await issues.calendar(session, ctx.settings.zone)


async def effects(ctx: Context, issue: Issue, *, now: datetime) -> CalendarEffects:
    """
    Return what it would do to readers and label cut-offs to add or change an issue; see :func:`save` for what is refused.

    Nothing is changed.
    """
    issue.check()
    async with ctx.sessions.begin() as session:
        before = await issues.calendar(session, ctx.settings.zone)
        (wanted,), after = _planned(before, [issue], now=now)
        change = affected_terms(before, after)
        return CalendarEffects(
            before=next((one for one in before.issues if one.number == issue.number), None),
            after=wanted,
            copies=await issues.count_copies(session, issue.number),
            updated=await derivations.count_affected(session, change) if change is not None else 0,
            closings=moved_closings(before, after),
        )


async def save(ctx: Context, issue: Issue, *, by: str, now: datetime, seen: str | None = None) -> Issue:
    """
    Add an issue to the calendar, or change it.

    :param seen: the version that the person has seen; None: it doesn't matter.
    :raises InconsistentIssueDates: its dates contradict each other.
    :raises IssueOutOfOrder: its dates are out of order with those of other numbers.
    :raises IssueFrozen: its labels are frozen, and its cut-off or what it counts as would change.
    :raises CutoffPassed: its labels have closed, and its cut-off or what it counts as would change.
    :raises IssueChanged: it is not as the person has seen it anymore.
    """
    issue.check()
    async with ctx.sessions.begin() as session:
        await editions.lock_changes(session)
        found = await issues.by_number(session, issue.number)
        is_saved = found is not None and found == replace(issue, frozen_at=found.frozen_at)  # by the same form
        if seen is not None and version_of(found) != seen and not is_saved:
            raise IssueChanged
        await _save(session, ctx.settings.zone, [issue], by=by, now=now)
        saved = await issues.by_number(session, issue.number)
    return saved or issue


async def load(ctx: DatabaseContext, lines: Sequence[Line], *, by: str, now: datetime, dry_run: bool) -> SavedIssues:
    """
    Save the issues of a file, all or none.

    :raises BadCalendarFile: they are out of order with each other or with existing issues, or the labels of one have
        closed; the message names the line.
    """
    async with ctx.sessions.begin() as session:
        await editions.lock_changes(session)
        try:
            return await _save(
                session, ctx.settings.zone, [line.issue for line in lines], by=by, now=now, dry_run=dry_run
            )
        except IssueOutOfOrder as error:
            line_numbers = {line.issue.number: line.number for line in lines}
            wrong = [line_numbers[number] for number in (error.number, error.before) if number in line_numbers]
            raise BadCalendarFile(f"line {wrong[0]}: {error}") from None
        except (CutoffPassed, IssueFrozen) as error:
            line_number = next(line.number for line in lines if line.issue.number == error.facts["number"])
            raise BadCalendarFile(f"line {line_number}: {error}") from None


async def _save(
    session: Session, zone: ZoneInfo, wanted: Sequence[Issue], *, by: str, now: datetime, dry_run: bool = False
) -> SavedIssues:
    before = await issues.calendar(session, zone)
    existing = {issue.number: issue for issue in before.issues}
    wanted, after = _planned(before, wanted, now=now)
    changed = [issue for issue in wanted if existing.get(issue.number) != issue]
    saved = SavedIssues(
        new=tuple(issue.number for issue in changed if issue.number not in existing),
        changed=tuple(issue.number for issue in changed if issue.number in existing),
        unchanged=tuple(issue.number for issue in wanted if existing.get(issue.number) == issue),
    )
    if dry_run or not changed:
        return saved
    await issues.save(session, changed)
    delays = await _save_delays(session, existing, changed, now=now)
    for issue in changed:
        old = existing.get(issue.number)
        await audit.record(
            session,
            actor=by,
            action="issue.changed" if old else "issue.added",
            object_id=issue.id,
            before=old.as_facts() if old else None,
            after=issue.as_facts(),
        )
    replaced, change = await editions.publish(session), affected_terms(before, after)
    if change is not None:
        await derivations.add_run(session, derivations.CALENDAR, change.dump(), replaced=replaced)
    for delay in delays:
        await derivations.add_run(session, derivations.DELAY, {"issue": delay.number}, replaced=replaced)
    if change is not None or delays:
        await leases.notify(session, "derivation_runs")
    return saved


async def _save_delays(
    session: Session, existing: Mapping[int, Issue], changed: Sequence[Issue], *, now: datetime
) -> list[IssueDelay]:
    """Store the mail dates that moved, and return the delays of which readers are told."""
    known = await issue_delays.of_issues(session, [issue.number for issue in changed])
    found = [delay_of(existing.get(one.number), one, known.get(one.number), now=now) for one in changed]
    moved = [one for one in found if one is not None]
    for one in moved:
        await issue_delays.save(session, one)
    return [one for one in moved if one.is_told]


def _planned(before: Calendar, wanted: Sequence[Issue], *, now: datetime) -> tuple[list[Issue], Calendar]:
    """
    Return the issues and the calendar as they would be saved.

    :raises IssueOutOfOrder: their dates are out of order.
    :raises IssueFrozen: the labels of one are frozen, and its cut-off or what it counts as would change.
    :raises CutoffPassed: the labels of one have closed, and its cut-off or what it counts as would change.
    """
    existing = {issue.number: issue for issue in before.issues}
    for issue in wanted:
        check_changes(before, existing.get(issue.number), issue, now)
    kept = [
        replace(issue, frozen_at=existing[issue.number].frozen_at) if issue.number in existing else issue
        for issue in wanted
    ]
    after = Calendar({**existing, **{issue.number: issue for issue in kept}}.values(), before.zone)
    check_order(after.issues)
    return kept, after


async def _lock(session: Session, subscription_id: str) -> tuple[Subscriber, Subscription] | None:
    """Return a subscriber and their subscription, under the subscriber's lock."""
    subscription = await subscriptions.by_id(session, subscription_id)
    if subscription is None:
        return None
    subscriber = await subscribers.lock(session, subscription.subscriber_id)
    return subscriber, await subscriptions.by_id(session, subscription_id) or subscription


async def extend(
    ctx: Context,
    subscription_id: str,
    *,
    adjustment_id: str,
    more: int,
    reason: str,
    note: str | None,
    by: str,
    now: datetime,
) -> Extension:
    """
    Add issues to the newest term of a subscription, once for each ``adjustment_id``. Access is extended accordingly.

    :returns: the extension; above the limit it waits for a second person.
    :raises NotFound: the subscription does not exist.
    :raises AlreadyEnded: it was canceled immediately or refunded, so no issues are owed.
    :raises ExtensionTooLarge: it is more than a term has.
    :raises OwnAccount: the subscriber is the member of staff.
    """
    async with ctx.sessions.begin() as session:
        await approvals_db.lock_person(session, by)
        locked = await _lock(session, subscription_id)
        if locked is None:
            raise NotFound("No such subscription")
        subscriber, subscription = locked
        check_beneficiary(subscriber.sub, by=by)
        wanted = Extension(
            id=adjustment_id,
            subscription=subscription,
            issues=more,
            reason=reason,
            note=note,
            by=by,
            created_at=now,
            ledger=(await extensions.newest_term(session, ctx.rules, subscription)).ledger(now),
        )
        most = ctx.rules.catalogue.plan(subscription.plan).issues
        if more > most:
            raise ExtensionTooLarge(f"At most {most} issues can be added at a time", most=most)
        if not await issues.has_adjustment(session, adjustment_id):
            is_requested = await approvals_db.by_id(session, adjustment_id) is not None
            left = await approvals.issues_left(session, ctx.rules, subscriber.id, by=by, now=now)
            if more > left and not is_requested:
                await approvals.request(session, _request_of(wanted))
            if more > left or is_requested:
                return replace(wanted, awaits_approval=True)
        return await _add(session, ctx.rules, subscriber, wanted, approved_by=None, now=now)


async def approve_extension(ctx: Context, request_id: str, *, by: str, now: datetime) -> Extension:
    """
    Add the requested issues to the newest term. A repeated approval has no further effect.

    :raises NotFound: the request does not exist.
    :raises OwnRequest: the approver has requested it.
    :raises OwnAccount: the approver would get it.
    :raises NotAwaitingApproval: it was already decided.
    :raises AlreadyEnded: the subscription has ended meanwhile.
    """
    async with ctx.sessions.begin() as session:
        await approvals.approve(session, request_id, ApprovalKind.EXTENSION, by=by, now=now)
        request = await approvals_db.by_id(session, request_id)
        assert request is not None
        locked = await _lock(session, request.subscription_id or "")
        if locked is None:
            raise NotFound("No such subscription")
        wanted = Extension(
            id=request.id,
            subscription=locked[1],
            issues=request.amount,
            reason=request.reason,
            note=request.note,
            by=request.requested_by,
            created_at=now,
            ledger=(await extensions.newest_term(session, ctx.rules, locked[1])).ledger(now),
        )
        return await _add(session, ctx.rules, locked[0], wanted, approved_by=by, now=now)


def _request_of(wanted: Extension) -> ApprovalRequest:
    return ApprovalRequest(
        id=wanted.id,
        kind=ApprovalKind.EXTENSION,
        subscriber_id=wanted.subscription.subscriber_id,
        subscription_id=wanted.subscription.id,
        amount=wanted.issues,
        issues=wanted.issues,
        reason=wanted.reason,
        note=wanted.note,
        requested_by=wanted.by,
        status=ApprovalStatus.AWAITING_APPROVAL,
        created_at=wanted.created_at,
    )


async def _add(
    session: Session, rules: Rules, subscriber: Subscriber, wanted: Extension, *, approved_by: str | None, now: datetime
) -> Extension:
    """Add the issues, unless that was done before, and return the extension with the ledger that includes them."""
    before, subscription = wanted.ledger, wanted.subscription
    is_new, after = await extensions.add(
        session,
        rules,
        subscriber,
        subscription,
        adjustment_id=wanted.id,
        kind=AdjustmentKind.EXTENSION,
        term=before.invoice_id,
        more=wanted.issues,
        reason=wanted.reason,
        note=wanted.note,
        by=wanted.by,
        now=now,
    )
    if is_new:
        approval = {"requested_by": wanted.by} if approved_by is not None else {}
        await audit.record(
            session,
            actor=approved_by or wanted.by,
            action="subscription.extend",
            object_id=subscription.id,
            subscriber_id=subscription.subscriber_id,
            reason=wanted.reason,
            before={"term": before.invoice_id, "owed": before.owed, "last_issue": before.last_issue},
            after={"adjustment": wanted.id, "owed": after.owed, "last_issue": after.last_issue, **approval},
        )
    return replace(wanted, ledger=after)
