"""
The calendar of issues as circulation keeps it, and what a change of it does to readers.

A change is one short transaction. What it does to the grants of readers is work that is due: a worker finds the terms that
it touches, and each of their subscriptions is derived anew, by any number of workers at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from app.context import Context, DatabaseContext
from app.db import audit, grants, issues, subscribers, subscriptions
from app.db.engine import leases
from app.db.engine.session import Session
from app.domain.calendar_changes import affected_terms
from app.domain.calendar_files import BadCalendarFile, Line
from app.domain.errors import NotFound
from app.domain.issues import (
    Calendar,
    ExtensionTooLarge,
    Issue,
    IssueOutOfOrder,
    Ledger,
    ScheduledTerm,
    check_order,
    schedule_terms,
)
from app.domain.rules import Rules
from app.domain.subscriptions import EXTENSION, AlreadyEnded, Subscription


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of the calendar, and where it goes on."""

    issues: list[Issue]
    next: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What came of keeping issues: their numbers."""

    new: tuple[int, ...]
    changed: tuple[int, ...]
    unchanged: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """Issues that were added to the running term of a subscription, and its ledger with them."""

    id: str
    subscription: Subscription
    issues: int
    reason: str
    note: str | None
    by: str
    created_at: datetime
    ledger: Ledger


async def page(ctx: Context, *, after: int, limit: int) -> Page:
    """Return issues in the order of their numbers."""
    async with ctx.sessions.begin() as session:
        found = await issues.page(session, after=after, limit=limit + 1)
    return Page(issues=found[:limit], next=found[limit - 1].number if len(found) > limit else None)


async def find(ctx: Context, number: int) -> Issue:
    """
    Return one issue.

    :raises NotFound: there is none of that number.
    """
    async with ctx.sessions.begin() as session:
        found = await issues.by_number(session, number)
    if found is None:
        raise NotFound(f"there is no issue {number}")
    return found


async def calendar(ctx: DatabaseContext) -> Calendar:
    """Return the whole calendar."""
    async with ctx.sessions.begin() as session:
        return await issues.calendar(session, ctx.settings.zone)


async def keep(ctx: Context, issue: Issue, *, by: str) -> Issue:
    """
    Put an issue into the calendar, new or changed.

    :raises IssueDatesWrong: its dates contradict each other.
    :raises IssueOutOfOrder: it would come out before an issue of a lower number, or after one of a higher.
    """
    issue.check()
    async with ctx.sessions.begin() as session:
        await issues.lock(session)
        await _keep(session, ctx.settings.zone, [issue], by=by)
    return issue


async def load(ctx: DatabaseContext, lines: Sequence[Line], *, by: str, dry_run: bool) -> Kept:
    """
    Put the issues of a file into the calendar, all or none.

    :raises BadCalendarFile: they do not fit to each other, or to the issues that are there; the line is named.
    """
    async with ctx.sessions.begin() as session:
        await issues.lock(session)
        try:
            return await _keep(session, ctx.settings.zone, [line.issue for line in lines], by=by, dry_run=dry_run)
        except IssueOutOfOrder as wrong:
            at = {line.issue.number: line.number for line in lines}
            named = [at[number] for number in (wrong.number, wrong.before) if number in at]
            raise BadCalendarFile(f"line {named[0]}: {wrong}") from None


async def _keep(session: Session, zone: ZoneInfo, wanted: Sequence[Issue], *, by: str, dry_run: bool = False) -> Kept:
    before = await issues.calendar(session, zone)
    held = {issue.number: issue for issue in before.issues}
    changed = [issue for issue in wanted if held.get(issue.number) != issue]
    after = Calendar({**held, **{issue.number: issue for issue in changed}}.values(), zone)
    check_order(after.issues)
    kept = Kept(
        new=tuple(issue.number for issue in changed if issue.number not in held),
        changed=tuple(issue.number for issue in changed if issue.number in held),
        unchanged=tuple(issue.number for issue in wanted if held.get(issue.number) == issue),
    )
    if dry_run or not changed:
        return kept
    await issues.save(session, changed)
    for issue in changed:
        old = held.get(issue.number)
        await audit.record(
            session,
            actor=by,
            action="issue.changed" if old else "issue.added",
            object_id=issue.id,
            before=old.as_facts() if old else None,
            after=issue.as_facts(),
        )
    touched = affected_terms(before, after)
    if touched is not None:
        await issues.tell(session, touched)
        await leases.notify(session)
    return kept


async def follow(ctx: Context, work_id: str, *, now: datetime) -> None:
    """Do one piece of what a change of the calendar left to do: find whom it touches, or derive one anew."""
    async with ctx.sessions.begin() as session:
        todo = await issues.todo(session, work_id)
        if todo is None:
            return
        if todo.change is not None:
            await issues.spread(session, todo.change)
            await leases.notify(session)
        else:
            held = await subscriptions.by_id(session, work_id)
            if held is not None:
                owner = await subscribers.lock(session, held.subscriber_id)
                held = await subscriptions.by_id(session, work_id) or held
                await grants.derive(session, owner, held, ctx.rules.catalogue, ctx.rules.access, now=now)
        await issues.done(session, todo)


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
    Add issues to the newest term of a subscription, once for each ``adjustment_id``. Access follows the ledger.

    :raises NotFound: there is no such subscription.
    :raises AlreadyEnded: it was ended at once or given back: nothing is owed any more.
    :raises ExtensionTooLarge: by more issues than a term has.
    """
    async with ctx.sessions.begin() as session:
        held = await subscriptions.by_id(session, subscription_id)
        if held is None:
            raise NotFound("there is no such subscription")
        owner = await subscribers.lock(session, held.subscriber_id)
        held = await subscriptions.by_id(session, subscription_id) or held
        before = (await _newest(session, ctx.rules, held)).ledger(now)
        most = ctx.rules.catalogue.plan(held.plan).issues
        if more > most:
            raise ExtensionTooLarge(f"at most {most} issues at a time", most=most)
        made = await issues.adjust(
            session,
            adjustment_id,
            invoice_id=before.invoice_id,
            subscription_id=held.id,
            kind=EXTENSION,
            issues=more,
            reason=reason,
            note=note,
            by=by,
            now=now,
        )
        after = (await _newest(session, ctx.rules, held)).ledger(now)
        if made:
            await grants.derive(session, owner, held, ctx.rules.catalogue, ctx.rules.access, now=now)
            await audit.record(
                session,
                actor=by,
                action="subscription.extend",
                object_id=held.id,
                subscriber_id=held.subscriber_id,
                reason=reason,
                before={"term": before.invoice_id, "owed": before.owed, "last_issue": before.last_issue},
                after={"adjustment": adjustment_id, "owed": after.owed, "last_issue": after.last_issue},
            )
    return Extension(
        id=adjustment_id, subscription=held, issues=more, reason=reason, note=note, by=by, created_at=now, ledger=after
    )


async def _newest(session: Session, rules: Rules, held: Subscription) -> ScheduledTerm:
    """
    Return a subscription's newest term, laid on the calendar.

    :raises AlreadyEnded: nothing is owed of it any more, or nothing was ever paid.
    """
    calendar = await issues.calendar(session, rules.zone, held=True)
    runs = schedule_terms(held, await subscriptions.terms_of(session, held.id), calendar, rules.catalogue)
    if not runs:
        raise AlreadyEnded("no term of the subscription was paid")
    if runs[-1].ended_at is not None:
        raise AlreadyEnded("the subscription was ended at once, or given back: nothing is owed any more")
    return runs[-1]
