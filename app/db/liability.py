"""
The liability report: the totals of all payments, in one statement, and the closed months.

The statements are in :mod:`app.db.liability_statements`. They compute what :func:`app.domain.liability.totals` does, for
many payments at once. Tests compare the two.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime

from sqlalchemy import BigInteger, cast, func, select, text

from app.db.engine import long_statements
from app.db.engine.copying import CsvExports
from app.db.engine.session import Session
from app.db.liability_statements import CLOSE, FILE, SUBSCRIPTIONS, TOTALS
from app.db.models import LiabilityClosing, LiabilityEntry, Subscription
from app.domain.issues import DOUBLE, ORDINARY
from app.domain.liability import DAY, FIGURES, NOTHING, EarningRules, Movement, Totals, last_of_month

MEGABYTE = 2**20
CLOSING_LOCK = 5_720_240_117  # one closing at a time
# What was returned, extended and sent in grace is looked up in memory, 64 bytes each: if it didn't fit there, PostgreSQL
# would search all of it again for each payment. The default is 2.
_MAKE_ROOM = text(
    "SELECT set_config('hash_mem_multiplier', least(1000, 2 + ceil(sum(greatest(reltuples, 0)) * 128 / :bytes))::text, true)"
    " FROM pg_class WHERE oid IN ('refunds'::regclass, 'disputes'::regclass, 'issue_adjustments'::regclass,"
    " 'terms_grace_sent_idx'::regclass)"
)
MOVEMENT_FIGURES = tuple(one.name for one in fields(Movement))


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """A closed month, with the totals at its end, by currency."""

    month: date
    totals: Mapping[str, Totals]
    closed_at: datetime
    closed_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """
    The end of a day at which totals are taken.

    :param closed_month: the month that ends on it, if it is closed: then they are those of the closing.
    """

    through: date
    closed_month: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionMovement:
    """What happened in a period to what is owed to a subscription, in one currency."""

    subscription: str
    currency: str
    movement: Movement


def _parameters(rules: EarningRules, moments: Sequence[Moment]) -> tuple[object, ...]:
    """Return the parameters $1 to $11 of the statements. At closed moments, the totals are those of the closings."""
    plans = list(rules.plans.items())
    return (
        [None if moment.closed_month else moment.through for moment in moments],
        list(rules.numbers),
        list(rules.served_on),
        list(rules.copies[ORDINARY]),
        list(rules.copies[DOUBLE]),
        [code for code, _ in plans],
        [share.numerator for _, (share, _) in plans],
        [share.denominator for _, (share, _) in plans],
        [doubles for _, (_, doubles) in plans],
        list(rules.closes_at),
        rules.grace.total_seconds(),
    )


def _closed_months(moments: Sequence[Moment]) -> list[date | None]:
    return [moment.closed_month for moment in moments]


async def totals(session: Session, rules: EarningRules, days: Sequence[date]) -> list[dict[str, Totals]]:
    """Return the totals at the end of each day by currency, as they are known now. Reads all payments."""
    found: list[dict[str, Totals]] = [{} for _ in days]
    await session.execute(_MAKE_ROOM, {"bytes": long_statements.MEMORY * MEGABYTE})
    rows = await long_statements.fetch(
        session, TOTALS, _parameters(rules, [Moment(through=day) for day in days]), zone=rules.zone
    )
    for currency, point, *figures in rows:
        found[point - 1][currency] = Totals(**dict(zip(FIGURES, figures, strict=True)))
    return found


async def of_subscriptions(
    session: Session, rules: EarningRules, since: Moment, until: Moment, subscriptions: Sequence[str]
) -> list[SubscriptionMovement]:
    """Return what happened between two moments to what is owed to subscriptions, by currency. Without those with nothing."""
    moments = (since, until)
    rows = await long_statements.fetch(
        session,
        SUBSCRIPTIONS,
        (*_parameters(rules, moments), _closed_months(moments), list(subscriptions)),
        zone=rules.zone,
    )
    return [
        SubscriptionMovement(
            subscription=row["subscription"],
            currency=row["currency"],
            movement=Movement(**{name: row[name] for name in MOVEMENT_FIGURES}),
        )
        for row in rows
    ]


async def subscriptions_after(session: Session, after: str, *, limit: int) -> list[str]:
    """Return the IDs of the next subscriptions."""
    rows = select(Subscription.id).where(Subscription.id > after).order_by(Subscription.id).limit(limit)
    return list(await session.scalars(rows))


async def csv(exports: CsvExports, rules: EarningRules, since: Moment, until: Moment) -> AsyncIterator[bytes]:
    """Return a file with what :func:`of_subscriptions` returns for all of them, in parts."""
    moments = (since, until)
    return await exports.copy(
        FILE,
        *_parameters(rules, moments),
        _closed_months(moments),
        longest=long_statements.LONGEST,
        zone=rules.zone,
    )


async def closings(session: Session) -> list[Closing]:
    """Return the closed months, in order."""
    rows = await session.scalars(select(LiabilityClosing).order_by(LiabilityClosing.month))
    return [
        Closing(
            month=row.month,
            totals={currency: Totals(**figures) for currency, figures in row.totals.items()},
            closed_at=row.closed_at,
            closed_by=row.closed_by,
        )
        for row in rows
    ]


async def lock_closings(session: Session) -> None:
    """Let one transaction at a time close months."""
    await session.execute(text(f"SELECT pg_advisory_xact_lock({CLOSING_LOCK})"))


async def close(
    session: Session, rules: EarningRules, month: date, *, before: Closing | None, by: str, now: datetime
) -> Closing:
    """
    Close a month: store what each subscription added to the totals, and the totals. The caller has locked closings.

    :param before: the last closed month; None: there is none, so everything since the beginning is added.
    """
    since = Moment(through=month - DAY, closed_month=before.month if before is not None else date.min)
    moments = (since, Moment(through=last_of_month(month)))
    await long_statements.fetch(
        session, CLOSE, (*_parameters(rules, moments), _closed_months(moments), month), zone=rules.zone
    )
    rows = await session.execute(
        select(
            LiabilityEntry.currency, *(cast(func.sum(getattr(LiabilityEntry, name)), BigInteger) for name in FIGURES)
        )
        .where(LiabilityEntry.month == month)
        .group_by(LiabilityEntry.currency)
    )
    totals = dict(before.totals) if before is not None else {}
    for currency, *figures in rows:
        totals[currency] = totals.get(currency, NOTHING) + Totals(**dict(zip(FIGURES, figures, strict=True)))
    session.add(
        LiabilityClosing(
            month=month,
            totals={currency: asdict(figures) for currency, figures in totals.items()},
            closed_at=now,
            closed_by=by,
        )
    )
    await session.flush()
    return Closing(month=month, totals=totals, closed_at=now, closed_by=by)
