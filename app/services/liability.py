"""The liability report: from the closed months where there are any, and otherwise from the ledger as it is known now."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from app.context import Context
from app.db import audit, issues, liability
from app.db.engine.session import Session
from app.db.liability import Closing, Moment, SubscriptionMovement
from app.domain.liability import (
    DAY,
    NOTHING,
    EarningRules,
    Movement,
    Totals,
    check_closing,
    earning_rules,
    first_of_month,
    last_of_month,
    movement,
)
from app.domain.pages import Page

HISTORY_MONTHS = 12
OPEN_MONTHS = 3  # of the history that are not closed: each of them reads all payments
History = Sequence[tuple[date, dict[str, int]]]  # days, with what was owed at their end by currency


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened in a month until a day, by currency."""

    since: date  # the first day of the month
    through: date
    closed_at: datetime | None  # when the month was closed; None: it isn't, or the report ends before its last day
    movements: dict[str, Movement]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Period:
    since: Moment
    until: Moment
    closing: Closing | None  # of the month, if the period is the whole of it
    closings: Sequence[Closing]


async def report(ctx: Context, through: date) -> Report:
    """Return the report of a month until a day. Reads all payments, unless the month and the one before are closed."""
    async with ctx.sessions.begin() as session:
        period = _period(await liability.closings(session), through)
        before, after = await _totals(session, ctx, period)
    return _report(period, before, after)


def _report(period: _Period, before: Mapping[str, Totals], after: Mapping[str, Totals]) -> Report:
    through = period.until.through
    found = {name: movement(before.get(name, NOTHING), after.get(name, NOTHING)) for name in sorted({*before, *after})}
    return Report(
        since=first_of_month(through),
        through=through,
        closed_at=period.closing.closed_at if period.closing is not None else None,
        movements={name: one for name, one in found.items() if not one.is_empty},
    )


async def overview(ctx: Context, through: date, *, today: date) -> tuple[Report, list[Closing], History]:
    """
    Return :func:`report`, :func:`closings`, and what was owed at the end of the last months and is owed today.

    The payments are read once for all of them.
    """
    async with ctx.sessions.begin() as session:
        closed = await liability.closings(session)
        period = _period(closed, through)
        open_days = _open_days(closed, today)
        moments = (period.since, period.until)
        days = sorted({*open_days, *(one.through for one in moments if one.closed_month is None)})
        rules = await _rules(session, ctx)
        computed = dict(zip(days, await liability.totals(session, rules, days) if days else (), strict=True))
    before, after = _at(period, computed)
    return _report(period, before, after), closed, _history(closed, {day: computed[day] for day in open_days})


async def subscriptions(ctx: Context, through: date, *, after: str, limit: int) -> Page[SubscriptionMovement]:
    """Return what a report consists of, by subscription. A page may be empty though others follow."""
    async with ctx.sessions.begin() as session:
        period = _period(await liability.closings(session), through)
        rules = await _rules(session, ctx)
        ids = await liability.subscriptions_after(session, after, limit=limit)
        found = await liability.of_subscriptions(session, rules, period.since, period.until, ids) if ids else []
    return Page(items=found, next=ids[-1] if len(ids) == limit else None)


async def csv(ctx: Context, through: date, *, by: str) -> AsyncIterator[bytes]:
    """Return what a report consists of, by subscription, as a file in parts. Who downloads it is recorded."""
    async with ctx.sessions.begin() as session:
        period = _period(await liability.closings(session), through)
        rules = await _rules(session, ctx)
        await audit.record(session, actor=by, action="liability.downloaded", object_id=str(through))
    return await liability.csv(ctx.exports, rules, period.since, period.until)


async def close(ctx: Context, month: date, *, by: str, now: datetime) -> Closing:
    """
    Close a month for good. The first closing also stores what was owed before that month.

    :raises MonthNotOver: the month is not over.
    :raises MonthClosed: it is closed.
    :raises MonthTooEarly: no month is closed, and it is years ago.
    :raises MonthOutOfOrder: the month before it is not closed.
    """
    async with ctx.sessions.begin() as session:
        await liability.lock_closings(session)
        closed = await liability.closings(session)
        last = closed[-1] if closed else None
        check_closing(
            month, last_closed=last.month if last is not None else None, today=now.astimezone(ctx.rules.zone).date()
        )
        rules = await _rules(session, ctx)
        if last is None:
            opening = first_of_month(month - DAY)
            last = await liability.close(session, rules, opening, before=None, by=by, now=now)
        made = await liability.close(session, rules, month, before=last, by=by, now=now)
        await audit.record(
            session,
            actor=by,
            action="liability.closed",
            object_id=f"{month:%Y-%m}",
            after={"owed": {currency: totals.owed for currency, totals in made.totals.items()}},
        )
    return made


async def closings(ctx: Context) -> list[Closing]:
    """Return the closed months, in order. The first one has what was owed when the books began."""
    async with ctx.sessions.begin() as session:
        return await liability.closings(session)


def _open_days(closed: Sequence[Closing], today: date) -> list[date]:
    """Return today and the ends of the last months, as far as they are not closed."""
    days = [today]
    for _ in range(OPEN_MONTHS):
        days.insert(0, first_of_month(days[0]) - DAY)
    return [day for day in days if not closed or day > last_of_month(closed[-1].month)]


def _history(closed: Sequence[Closing], computed: Mapping[date, Mapping[str, Totals]]) -> History:
    ends = [(last_of_month(one.month), one.totals) for one in closed] + sorted(computed.items())
    found = [(day, {name: totals.owed for name, totals in its.items()}) for day, its in ends]
    return found[-HISTORY_MONTHS:]


def _period(closings: Sequence[Closing], through: date) -> _Period:
    by_month = {one.month: one for one in closings}

    def moment(day: date) -> Moment:
        month = first_of_month(day)
        return Moment(through=day, closed_month=month if day == last_of_month(day) and month in by_month else None)

    since, until = moment(first_of_month(through) - DAY), moment(through)
    closing = by_month.get(until.closed_month) if until.closed_month is not None else None
    return _Period(since=since, until=until, closing=closing, closings=closings)


async def _totals(session: Session, ctx: Context, period: _Period) -> tuple[Mapping[str, Totals], Mapping[str, Totals]]:
    """Return the totals at the beginning and the end of a period, by currency."""
    days = [one.through for one in (period.since, period.until) if one.closed_month is None]
    computed = await liability.totals(session, await _rules(session, ctx), days) if days else ()
    return _at(period, dict(zip(days, computed, strict=True)))


def _at(
    period: _Period, computed: Mapping[date, Mapping[str, Totals]]
) -> tuple[Mapping[str, Totals], Mapping[str, Totals]]:
    """Return the totals at the beginning and the end of a period: those of closed months, and otherwise computed ones."""
    by_month = {one.month: one.totals for one in period.closings}
    before, after = (
        by_month[one.closed_month] if one.closed_month else computed[one.through]
        for one in (period.since, period.until)
    )
    return before, after


async def _rules(session: Session, ctx: Context) -> EarningRules:
    calendar = await issues.calendar(session, ctx.rules.zone)
    return earning_rules(calendar, ctx.catalogue, grace=ctx.rules.access.grace_period)
