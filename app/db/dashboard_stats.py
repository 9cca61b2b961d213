"""
The dashboard's figures, stored in one row.

Counting scans whole tables, so a worker does it when a page shows figures that are old
(:data:`app.domain.dashboard_stats.MIN_CACHE_AGE`), and the page shows the last figures with their age.
"""

from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Date, Integer, bindparam, case, cast, func, or_, select, text, update
from sqlalchemy.dialects.postgresql import INTERVAL

from app.db.engine import leases
from app.db.engine.session import Session
from app.db.models import Figures as Row
from app.db.models import Payment, Refund, Subscription
from app.domain.dashboard_stats import (
    MAX_LOAD_DIVISOR,
    MIN_CACHE_AGE,
    MONEY_DAYS,
    REFUND_DAYS,
    DashboardStats,
    MoneyTotal,
    OverdueTotal,
    RefundTotal,
    SubscriptionCount,
    Week,
    band_of,
    weeks_of,
)
from app.domain.refunds import COUNTED

FRONT = "front"  # the ID of the only row


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFigures:
    """The last figures and their age; None before the first count."""

    figures: DashboardStats | None
    age: timedelta | None
    being_counted: bool


async def read(session: Session) -> SavedFigures:
    """Return the last figures."""
    found = (
        await session.execute(
            select(Row.content, (func.clock_timestamp() - Row.taken_at).label("age"), Row.due_at).where(Row.id == FRONT)
        )
    ).one_or_none()
    if found is None:
        return SavedFigures(figures=None, age=None, being_counted=False)
    content = _load(found.content) if found.content is not None else None
    return SavedFigures(figures=content, age=found.age, being_counted=found.due_at is not None)


async def request_refresh(session: Session) -> bool:
    """Request new figures if the last ones are old. Return whether a worker will count them."""
    old_from = func.greatest(
        bindparam("least", MIN_CACHE_AGE, type_=INTERVAL), Row.took * MAX_LOAD_DIVISOR * text("interval '1 second'")
    )
    asked = await session.scalar(
        update(Row)
        .where(Row.id == FRONT, Row.due_at.is_(None), or_(Row.taken_at.is_(None), Row.taken_at < func.now() - old_from))
        .values(due_at=func.now())
        .returning(Row.id)
    )
    if asked is not None:
        await leases.notify(session)
    return asked is not None


async def count(session: Session, *, first: date, zone: ZoneInfo, now: datetime) -> DashboardStats:
    """Count the figures. Scans the tables of subscriptions and refunds."""
    return DashboardStats(
        subscriptions=await _subscriptions(session),
        weeks=weeks_of(
            first,
            await _by_week(session, Subscription.created_at, first, zone),
            await _by_week(session, func.coalesce(Subscription.ended_here_at, Subscription.ended_at), first, zone),
        ),
        refunds=await _refunds(session, since=now - timedelta(days=REFUND_DAYS)),
        unpaid=await _unpaid(session, now),
        money=await _money(session, now),
    )


async def save(session: Session, figures: DashboardStats) -> None:
    """Store figures, and how long this transaction took to count them."""
    seconds = func.extract("epoch", func.clock_timestamp() - func.now())
    content = asdict(figures)
    content["held"], content["given"] = content.pop("subscriptions"), content.pop("refunds")  # stored names stay
    content["weeks"] = [{**week, "monday": week["monday"].isoformat()} for week in content["weeks"]]
    await session.execute(
        update(Row)
        .where(Row.id == FRONT)
        .values(content=content, taken_at=func.now(), took=seconds, due_at=None, attempts=0, last_error=None)
    )


async def _subscriptions(session: Session) -> list[SubscriptionCount]:
    status = case((Subscription.ended_here_at.is_not(None), "canceled"), else_=Subscription.status).label("as_shown")
    rows = await session.execute(
        select(status, Subscription.print_edition, func.count()).group_by(status, Subscription.print_edition)
    )
    return sorted(
        (SubscriptionCount(*row) for row in rows), key=lambda one: (-one.count, one.status, one.print_edition)
    )


async def _by_week(session: Session, at: Any, first: date, zone: ZoneInfo) -> dict[date, int]:
    week = cast(func.date_trunc("week", func.timezone(zone.key, at)), Date).label("monday")
    begins = datetime(first.year, first.month, first.day, tzinfo=zone)
    rows = await session.execute(
        select(week, func.count())
        .where(at >= begins, Subscription.status.not_in(("incomplete", "incomplete_expired")))
        .group_by(text("monday"))
    )
    return {row[0]: row[1] for row in rows}


async def _refunds(session: Session, *, since: datetime) -> list[RefundTotal]:
    rows = await session.execute(
        select(Refund.basis, Refund.reason, func.count(), cast(func.sum(Refund.amount), Integer), Refund.currency)
        .where(Refund.created_at >= since, Refund.status.in_(COUNTED))
        .group_by(Refund.basis, Refund.reason, Refund.currency)
    )
    return sorted((RefundTotal(*row) for row in rows), key=lambda one: (-one.amount, one.basis, one.reason))


async def _unpaid(session: Session, now: datetime) -> list[OverdueTotal]:
    days = cast(func.floor(func.extract("epoch", now - Subscription.current_period_start) / 86400), Integer)
    rows = await session.execute(
        select(days.label("days"), Subscription.currency, func.count(), func.sum(Subscription.price_amount))
        .where(Subscription.status == "past_due", Subscription.ended_here_at.is_(None))
        .group_by(text("days"), Subscription.currency)
    )
    bands: dict[tuple[str, str], tuple[int, int]] = {}
    for since, currency, number, amount in rows:
        key = band_of(since or 0), currency
        before = bands.get(key, (0, 0))
        bands[key] = before[0] + number, before[1] + int(amount)
    return [OverdueTotal(band, number, amount, currency) for (band, currency), (number, amount) in bands.items()]


async def _money(session: Session, now: datetime) -> list[MoneyTotal]:
    paid = await _two_periods(session, Payment.currency, Payment.amount, Payment.paid_at, now)
    returned = await _two_periods(
        session, Refund.currency, Refund.amount, Refund.created_at, now, Refund.status.in_(COUNTED)
    )
    totals = [
        MoneyTotal(currency=currency, paid=late, paid_before=early, refunded=refunded, refunded_before=refunded_before)
        for currency in paid.keys() | returned.keys()
        for late, early in [paid.get(currency, (0, 0))]
        for refunded, refunded_before in [returned.get(currency, (0, 0))]
    ]
    return sorted(totals, key=lambda one: (-one.paid, one.currency))


async def _two_periods(
    session: Session, currency: Any, amount: Any, at: Any, now: datetime, *conditions: Any
) -> dict[str, tuple[int, int]]:
    """Return the sums of the last period and of the one before, by currency."""
    middle, first = now - timedelta(days=MONEY_DAYS), now - timedelta(days=2 * MONEY_DAYS)
    late, early = (func.coalesce(func.sum(amount).filter(when), 0) for when in (at >= middle, at < middle))
    rows = await session.execute(
        select(currency, late, early).where(at >= first, at <= now, *conditions).group_by(currency)
    )
    return {row[0]: (int(row[1]), int(row[2])) for row in rows}


def _load(content: dict[str, Any]) -> DashboardStats:
    return DashboardStats(
        subscriptions=[SubscriptionCount(**one) for one in content["held"]],
        weeks=[Week(**{**one, "monday": date.fromisoformat(one["monday"])}) for one in content["weeks"]],
        refunds=[RefundTotal(**one) for one in content["given"]],
        unpaid=[OverdueTotal(**one) for one in content["unpaid"]],
        money=[MoneyTotal(**one) for one in content.get("money", ())],  # an earlier release stored none
    )
