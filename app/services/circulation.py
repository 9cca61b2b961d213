"""The circulation statement, what is entered for it by hand, and samples for an auditor."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime

from app.context import Context
from app.db import audit, circulation, issues
from app.db.circulation import CountedIssue
from app.db.engine.session import Session
from app.domain.circulation import (
    EnteredCounts,
    IssueCirculation,
    LabelCounts,
    Statement,
    check_period,
    counting_rules,
    statement,
)
from app.domain.errors import NotFound
from app.domain.issues import Calendar, Issue


async def report(ctx: Context, since: date, until: date, *, now: datetime) -> Statement:
    """
    Return the statement of the issues that were mailed in a period, until today. Reads their labels.

    :raises InvalidCirculationPeriod: the period is not valid.
    """
    check_period(since, until)
    async with ctx.sessions.begin() as session:
        calendar = await issues.calendar(session, ctx.rules.zone)
        last = min(until, now.astimezone(ctx.rules.zone).date())
        mailed = [issue for issue in calendar.issues if since <= issue.mail_date <= last]
        frozen = await circulation.frozen(session, [issue.number for issue in mailed])
        found = await _counted(session, ctx, calendar, [issue for issue in mailed if issue.number in frozen])
    return statement(since, until, found, not_frozen=[one.number for one in mailed if one.number not in frozen])


async def of_issue(ctx: Context, number: int) -> IssueCirculation:
    """
    Return the circulation of an issue, from its labels so far.

    :raises NotFound: there is no such issue.
    """
    async with ctx.sessions.begin() as session:
        calendar = await issues.calendar(session, ctx.rules.zone)
        (found,) = await _counted(session, ctx, calendar, [_issue(calendar, number)])
    return found


async def enter(ctx: Context, number: int, counts: EnteredCounts, *, by: str, now: datetime) -> IssueCirculation:
    """
    Store what is entered by hand for an issue, and return its circulation.

    :raises NotFound: there is no such issue.
    """
    async with ctx.sessions.begin() as session:
        calendar = await issues.calendar(session, ctx.rules.zone)
        issue = _issue(calendar, number)
        await circulation.lock(session, number)
        before = (await circulation.entered(session, [number])).get(number)
        if before != counts:
            await circulation.enter(session, number, counts, by=by, now=now)
            await audit.record(
                session,
                actor=by,
                action="circulation.entered",
                object_id=issue.id,
                before=_facts(before) if before is not None else None,
                after=_facts(counts),
            )
        (found,) = await _counted(session, ctx, calendar, [issue])
    return found


async def sample(ctx: Context, number: int, *, line: str | None, every: int, by: str) -> AsyncIterator[bytes]:
    """
    Return the labels of an issue for an auditor, as a file in parts. Who downloads it is recorded.

    :raises NotFound: there is no such issue.
    """
    async with ctx.sessions.begin() as session:
        calendar = await issues.calendar(session, ctx.rules.zone)
        issue = _issue(calendar, number)
        await audit.record(
            session,
            actor=by,
            action="circulation.sampled",
            object_id=issue.id,
            after={"line": line, "every": every},
        )
    rules = counting_rules(ctx.catalogue, issue.mail_date)
    return await circulation.sample(
        ctx.exports, rules, _to_count(ctx, calendar, issue), line=line, every=every, zone=ctx.rules.zone
    )


async def _counted(
    session: Session, ctx: Context, calendar: Calendar, wanted: Sequence[Issue]
) -> list[IssueCirculation]:
    if not wanted:
        return []
    rules = counting_rules(ctx.catalogue, wanted[-1].mail_date)
    to_count = [_to_count(ctx, calendar, issue) for issue in wanted]
    labels = await circulation.label_counts(session, rules, to_count)
    electronic = await circulation.electronic(session, rules, to_count)
    entered = await circulation.entered(session, [issue.number for issue in wanted])
    return [
        IssueCirculation(
            number=issue.number,
            mail_date=issue.mail_date,
            labels=labels.get(issue.number, LabelCounts()),
            electronic=electronic.get(issue.number, 0),
            entered=entered.get(issue.number),
        )
        for issue in wanted
    ]


def _to_count(ctx: Context, calendar: Calendar, issue: Issue) -> CountedIssue:
    return CountedIssue(
        number=issue.number,
        closes_at=calendar.ends(issue.closes_on),
        paid_percent=ctx.catalogue.policies.paid_percent(issue.mail_date),
    )


def _issue(calendar: Calendar, number: int) -> Issue:
    issue = next((one for one in calendar.issues if one.number == number), None)
    if issue is None:
        raise NotFound(f"There is no issue {number}")
    return issue


def _facts(counts: EnteredCounts) -> dict[str, int]:
    return {
        "press_run": counts.press_run,
        "dealer_sales": counts.dealer_sales,
        "single_copies_mailed": counts.single_copies_mailed,
        "free_outside_mail": counts.free_outside_mail,
    }
