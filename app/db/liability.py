"""
The liability report: the totals of all payments, in one statement, and the closed months.

The statement computes what :func:`app.domain.liability.totals` does, for every payment at once. A test compares the two.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime

from sqlalchemy import BigInteger, cast, func, select, text

from app.db.engine import long_statements
from app.db.engine.copying import copy_csv
from app.db.engine.pool import Pool
from app.db.engine.session import Session
from app.db.models import LiabilityClosing, LiabilityEntry, Subscription
from app.domain.credits import CreditKind
from app.domain.issues import DOUBLE, ORDINARY
from app.domain.liability import DAY, FIGURES, NOTHING, EarningRules, Movement, Totals, last_of_month
from app.domain.progress import OPENING
from app.domain.refunds import CONFIRMED, RefundBasis

CLOSING_LOCK = 5_720_240_117  # one closing at a time
CREDITED = (CreditKind.OUT_OF_BAND, CreditKind.BALANCE, CreditKind.PRORATION)  # what reduces a payment's ``credited``
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


def _day(time: str) -> str:
    return f"({time} AT TIME ZONE $2)::date"


def _listed(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def _copies_before(number: str) -> str:
    """Return the SQL for how many copies the issues before a number are."""
    return (
        f"CASE WHEN coalesce(doubles, {DOUBLE}) = {ORDINARY} THEN ($5::int[])[1 + width_bucket({number} - 1, $3::int[])]"
        f" ELSE ($6::int[])[1 + width_bucket({number} - 1, $3::int[])] END"
    )


def _copies_through(day: str) -> str:
    """Return the SQL for how many copies were served until the end of a day."""
    return (
        f"CASE WHEN coalesce(doubles, {DOUBLE}) = {ORDINARY} THEN ($5::int[])[1 + width_bucket({day}, $4::date[])]"
        f" ELSE ($6::int[])[1 + width_bucket({day}, $4::date[])] END"
    )


def _progress(day: str, copies: str) -> str:
    """Return the SQL for the copies of ranges: how many are on the calendar, served, and whether more will follow."""
    first, last = _copies_before("lower(one)"), _copies_before(f"coalesce(upper(one), {2**31 - 1})")
    return f"""
        SELECT coalesce(sum({last} - {first}), 0)::int AS planned,
            coalesce(sum(greatest(0, least({last}, {_copies_through(day)}) - {first})), 0)::int AS served,
            coalesce(bool_or(upper_inf(one)), true) AS goes_on
        FROM unnest({copies}) AS one"""  # noqa: S608 - expressions


def _earned(day: str, back: str, of_print: str, limit: str) -> str:
    """Return the SQL for what is earned of a payment: see the domain's ``_earned``. Ends before ``limit`` count."""
    sold = f"(CASE WHEN paid_on <= {day} THEN net ELSE 0 END)"
    printed = f"({sold} * part / whole - ({of_print}) - (({back}) - ({of_print})) * part / whole)"
    left = f"({sold} - ({back}))"
    is_over = f"coalesce(ended_on < {limit}, false)"
    print_is_over = f"({is_over} OR coalesce(print_ends_on < {limit}, false))"
    days = (
        f"(CASE WHEN {is_over} THEN days WHEN begins_on IS NULL THEN 0"
        f" ELSE least(days, greatest(0, {day} - begins_on + 1)) END)"
    )
    print_left = f"least({left}, greatest(0, {printed}))"
    copies = (  # print that was dropped has fewer copies than were paid for
        "greatest(1, CASE WHEN goes_on OR planned = 0 OR print_ends_on IS NOT NULL THEN greatest(planned, expected)"
        " ELSE planned END)"
    )
    return (
        f"(CASE WHEN part = 0 THEN 0 WHEN {print_is_over} THEN {print_left}"
        f" WHEN planned IS NULL THEN {print_left} * {days} / days ELSE {print_left} * served / {copies} END"
        f" + ({left} - CASE WHEN part = 0 THEN 0 ELSE {print_left} END) * {days} / days)"
    )


_RETURNED = f"""
    returned AS MATERIALIZED (
        SELECT payment_id, on_day, sum(given)::bigint AS given, sum(given_print)::bigint AS given_print FROM (
            SELECT payment_id, {_day("coalesce(made_at, created_at)")} AS on_day, amount - tax AS given,
                CASE WHEN basis = '{RefundBasis.PRINT_DROPPED}' THEN amount - tax ELSE 0 END AS given_print
            FROM refunds WHERE status IN ({_listed(CONFIRMED)}) {{of_chosen}}
            UNION ALL
            SELECT payment_id, {_day("coalesce(d.closed_at, d.opened_at)")}, lost - p.tax * lost / p.amount, 0
            FROM disputes d JOIN payments p ON p.id = d.payment_id AND p.amount > 0
                CROSS JOIN LATERAL (
                    SELECT CASE WHEN d.currency = p.currency THEN least(d.amount, p.amount) ELSE p.amount END AS lost) part
            WHERE d.status = 'lost' {{of_chosen}}
            UNION ALL
            SELECT own.id, {_day("c.at")}, own.credited - own.tax * own.credited / own.amount, 0
            FROM (SELECT subscription_id, max(created_at) AS at FROM credits p
                    WHERE kind IN ({_listed(CREDITED)}) {{chosen}} GROUP BY subscription_id) c
                JOIN payments own ON own.subscription_id = c.subscription_id AND own.credited > 0 AND own.amount > 0
        ) each_return GROUP BY payment_id, on_day
    )"""  # noqa: S608 - names of statuses, kinds and bases
_LATER = f"""
    later AS MATERIALIZED (  -- what was paid within a term, such as for print: see app.domain.progress.term_of
        SELECT p.id, (SELECT t.invoice_id FROM terms t
            WHERE t.subscription_id = p.subscription_id AND t.starts_at <= p.paid_at
            ORDER BY t.starts_at DESC, t.invoice_id DESC LIMIT 1) AS term
        FROM payments p
        WHERE (p.print_from IS NOT NULL OR p.billing_reason NOT IN ({_listed(OPENING)}))
          AND NOT EXISTS (SELECT FROM terms t WHERE t.invoice_id = p.invoice_id) {{chosen}}
    )"""  # noqa: S608 - names of billing reasons
_BEGINS_AT = """CASE WHEN p.invoice_id = t.invoice_id THEN t.starts_at
    WHEN t.invoice_id IS NOT NULL THEN greatest(t.starts_at, coalesce(p.print_from, p.paid_at)) END"""
_ENDED_AT = """CASE WHEN t.invoice_id IS NULL
    THEN (SELECT coalesce(s.ended_here_at, s.ended_at) FROM subscriptions s WHERE s.id = p.subscription_id)
    ELSE coalesce(t.copies_ended_at, t.credited_at,
        CASE WHEN t.refunded_as IS NOT NULL AND t.restored_as IS NULL THEN t.refunded_at END) END"""
# Print that was dropped and added again was paid by different payments, each for its own period.
_LATER_COPIES = (
    "t.copies * int4multirange(int4range("
    f"coalesce(($3::int[])[1 + width_bucket(p.print_from, $11::timestamptz[])], {2**31 - 1}), NULL))"
)
_IS_PAID_AGAIN = "p.print_from IS NOT NULL AND p.invoice_id <> t.invoice_id AND t.earlier_print <> '{{}}'"
_COPIES = f"""CASE WHEN t.print_edition THEN CASE WHEN {_IS_PAID_AGAIN} THEN {_LATER_COPIES} ELSE t.copies END END"""
_PRINT_ENDS_AT = """CASE WHEN t.earlier_print = '{{}}' THEN t.print_until ELSE coalesce((
    SELECT t.earlier_print[n + 1] FROM generate_series(1, cardinality(t.earlier_print), 2) n
    WHERE greatest(t.starts_at, coalesce(p.print_from, t.starts_at)) >= t.earlier_print[n]
        AND greatest(t.starts_at, coalesce(p.print_from, t.starts_at)) < t.earlier_print[n + 1]), t.print_until) END"""
_PAID = f"""
    paid AS NOT MATERIALIZED (
        SELECT p.id, p.subscription_id, p.currency, p.amount - p.tax AS net, {_day("p.paid_at")} AS paid_on, t.plan,
            plans.doubles, {_COPIES} AS copies,
            CASE WHEN p.print_from IS NOT NULL THEN 1
                 WHEN t.print_edition AND coalesce(t.earlier_print[1] <= t.starts_at, t.print_from IS NULL)
                 THEN coalesce(plans.part, 0) ELSE 0 END AS part,
            CASE WHEN p.print_from IS NOT NULL THEN 1 ELSE coalesce(plans.whole, 1) END AS whole,
            {_day(_BEGINS_AT)} AS begins_on,
            greatest(1, {_day("t.ends_at")} - {_day(_BEGINS_AT)}) AS days,
            CASE WHEN p.print_from IS NULL OR p.invoice_id = t.invoice_id THEN t.issues_owed + coalesce(extended.issues, 0)
                 ELSE ceil(t.issues_owed * extract(epoch FROM t.ends_at - greatest(p.print_from, t.starts_at))
                     / nullif(extract(epoch FROM t.ends_at - t.starts_at), 0))::bigint END AS expected,
            {_day(_PRINT_ENDS_AT)} AS print_ends_on, {_day(_ENDED_AT)} AS ended_on
        FROM payments p LEFT JOIN later ON later.id = p.id
            LEFT JOIN terms t ON t.invoice_id = coalesce(later.term, p.invoice_id)
            LEFT JOIN plans ON plans.plan = t.plan
            LEFT JOIN extended ON extended.invoice_id = t.invoice_id
        WHERE p.amount > 0 {{chosen}}
    )"""  # noqa: S608 - expressions
_CUMULATIVE = f"""
    moments AS MATERIALIZED (
        SELECT day, point::int FROM unnest($1::date[]) WITH ORDINALITY AS each (day, point) WHERE day IS NOT NULL),
    plans AS MATERIALIZED (
        SELECT * FROM unnest($7::text[], $8::bigint[], $9::bigint[], $10::int[]) AS each (plan, part, whole, doubles)),
    extended AS MATERIALIZED (
        SELECT invoice_id, sum(issues)::bigint AS issues FROM issue_adjustments p WHERE true {{chosen}} GROUP BY invoice_id),
    {_RETURNED}, {_LATER}, {_PAID},
    spans AS MATERIALIZED (  -- few, because many terms owe the same copies
        SELECT p.copies, p.plan FROM terms p WHERE p.print_edition AND p.copies IS NOT NULL {{chosen}}
        UNION
        SELECT {_LATER_COPIES}, t.plan FROM terms t JOIN payments p ON p.subscription_id = t.subscription_id
        WHERE t.print_edition AND t.copies IS NOT NULL AND {_IS_PAID_AGAIN} {{chosen}}),
    progress AS MATERIALIZED (
        SELECT spans.copies, spans.plan, m.point, counted.*
        FROM spans LEFT JOIN plans USING (plan) CROSS JOIN moments m
            CROSS JOIN LATERAL ({_progress("m.day", "spans.copies")}) counted),
    sums AS (
        SELECT payment_id, on_day, given, sum(given) OVER earlier AS back, sum(given_print) OVER earlier AS print,
            sum(given) OVER earlier - given AS back_before, sum(given_print) OVER earlier - given_print AS print_before
        FROM returned WINDOW earlier AS (PARTITION BY payment_id ORDER BY on_day)),
    reversals AS MATERIALIZED (
        SELECT paid.id, sums.on_day, greatest(0,
            {_earned("sums.on_day", "was.back", "was.print", "sums.on_day")}
            - {_earned("sums.on_day", "became.back", "became.print", "sums.on_day + 1")}) AS reversed
        FROM sums JOIN paid ON paid.id = sums.payment_id
            LEFT JOIN LATERAL ({_progress("sums.on_day", "paid.copies")}) counted ON paid.copies IS NOT NULL
            CROSS JOIN LATERAL (SELECT CASE WHEN paid_on <= sums.on_day THEN net ELSE 0 END) AS sold (amount)
            CROSS JOIN LATERAL (SELECT least(sums.back_before, sold.amount)::bigint,
                least(sums.print_before, sold.amount)::bigint) AS was (back, print)
            CROSS JOIN LATERAL (SELECT least(sums.back, sold.amount)::bigint, least(sums.print, sold.amount)::bigint)
                AS became (back, print)),
    given_back AS MATERIALIZED (
        SELECT returned.payment_id, m.point, sum(given)::bigint AS given, sum(given_print)::bigint AS given_print,
            sum(reversed)::bigint AS reversed
        FROM returned JOIN reversals ON reversals.id = returned.payment_id AND reversals.on_day = returned.on_day
            JOIN moments m ON returned.on_day <= m.day
        GROUP BY 1, 2),
    cumulative AS NOT MATERIALIZED (
        SELECT subscription_id, currency, m.point, sold.amount AS sold,
            {_earned("m.day", "became.back", "became.print", "m.day + 1")} + coalesce(reversed, 0) AS earned,
            coalesce(reversed, 0) AS reversed, became.back AS refunded
        FROM paid CROSS JOIN moments m
            LEFT JOIN progress ON progress.copies = paid.copies AND progress.plan = paid.plan AND progress.point = m.point
            LEFT JOIN given_back ON given_back.payment_id = paid.id AND given_back.point = m.point
            CROSS JOIN LATERAL (SELECT CASE WHEN paid_on <= m.day THEN net ELSE 0 END) AS sold (amount)
            CROSS JOIN LATERAL (SELECT least(coalesce(given, 0), sold.amount), least(coalesce(given_print, 0), sold.amount))
                AS became (back, print))"""  # noqa: S608 - expressions
_ALL = _CUMULATIVE.format(chosen="", of_chosen="")
_CHOSEN = _CUMULATIVE.format(
    chosen="AND p.subscription_id = ANY($13::text[])",
    of_chosen="AND payment_id IN (SELECT id FROM payments WHERE subscription_id = ANY($13::text[]))",
)
_SUMS = ", ".join(f"sum({name})::bigint AS {name}" for name in FIGURES)
_TOTALS = f"WITH {_ALL} SELECT currency, point, {_SUMS} FROM cumulative GROUP BY currency, point"  # noqa: S608 - names


def _added(figure: str) -> str:
    return f"coalesce(sum({figure}) FILTER (WHERE point = 2), 0) - coalesce(sum({figure}) FILTER (WHERE point = 1), 0)"


def _by_subscription(cumulative: str, columns: str, chosen: str = "") -> str:
    """Return a statement for the figures of each subscription between two moments, which may be those of closed months."""
    return f"""
        WITH {cumulative}, found AS (
            SELECT subscription_id, currency, point, {", ".join(FIGURES)} FROM cumulative
            UNION ALL
            SELECT p.subscription_id, p.currency, closed.point, {", ".join(f"p.{name}" for name in FIGURES)}
            FROM liability_entries p JOIN unnest($12::date[]) WITH ORDINALITY AS closed (month, point)
                ON p.month <= closed.month WHERE true {chosen})
        SELECT {columns} FROM found GROUP BY subscription_id, currency"""  # noqa: S608 - expressions


_OWED = "sold - earned + reversed - refunded"
_COLUMNS = f"""
    subscription_id AS subscription, currency,
    coalesce(sum({_OWED}) FILTER (WHERE point = 1), 0)::bigint AS opening, ({_added("sold")})::bigint AS sales,
    ({_added("earned")})::bigint AS earned, ({_added("reversed")})::bigint AS earned_reversed,
    ({_added("refunded")})::bigint AS refunds,
    coalesce(sum({_OWED}) FILTER (WHERE point = 2), 0)::bigint AS closing"""
_NOT_EMPTY = f"""
    HAVING coalesce(sum({_OWED}) FILTER (WHERE point = 1), 0) <> 0
        OR {" OR ".join(f"{_added(name)} <> 0" for name in FIGURES)}"""
_SUBSCRIPTIONS = (
    _by_subscription(_CHOSEN, _COLUMNS, "AND p.subscription_id = ANY($13::text[])") + _NOT_EMPTY + " ORDER BY 1, 2"
)
_FILE = _by_subscription(_ALL, _COLUMNS) + _NOT_EMPTY + " ORDER BY 1, 2"
_ADDED = ", ".join(f"({_added(name)})::bigint" for name in FIGURES)
_CLOSE = f"""
    INSERT INTO liability_entries (subscription_id, month, currency, {", ".join(FIGURES)})
    {_by_subscription(_ALL, f"subscription_id, $13::date, currency, {_ADDED}")}
    HAVING {" OR ".join(f"{_added(name)} <> 0" for name in FIGURES)}
"""


def _parameters(rules: EarningRules, moments: Sequence[Moment]) -> tuple[object, ...]:
    """Return the parameters $1 to $11 of the statements. At closed moments, the totals are those of the closings."""
    plans = list(rules.plans.items())
    return (
        [None if moment.closed_month else moment.through for moment in moments],
        rules.zone,
        list(rules.numbers),
        list(rules.served_on),
        list(rules.copies[ORDINARY]),
        list(rules.copies[DOUBLE]),
        [code for code, _ in plans],
        [share.numerator for _, (share, _) in plans],
        [share.denominator for _, (share, _) in plans],
        [doubles for _, (_, doubles) in plans],
        list(rules.closes_at),
    )


def _closed_months(moments: Sequence[Moment]) -> list[date | None]:
    return [moment.closed_month for moment in moments]


async def totals(session: Session, rules: EarningRules, days: Sequence[date]) -> list[dict[str, Totals]]:
    """Return the totals at the end of each day by currency, as they are known now. Reads all payments."""
    found: list[dict[str, Totals]] = [{} for _ in days]
    rows = await long_statements.fetch(session, _TOTALS, _parameters(rules, [Moment(through=day) for day in days]))
    for currency, point, *figures in rows:
        found[point - 1][currency] = Totals(**dict(zip(FIGURES, figures, strict=True)))
    return found


async def of_subscriptions(
    session: Session, rules: EarningRules, since: Moment, until: Moment, subscriptions: Sequence[str]
) -> list[SubscriptionMovement]:
    """Return what happened between two moments to what is owed to subscriptions, by currency. Without those with nothing."""
    moments = (since, until)
    rows = await long_statements.fetch(
        session, _SUBSCRIPTIONS, (*_parameters(rules, moments), _closed_months(moments), list(subscriptions))
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


def csv(pool: Pool, rules: EarningRules, since: Moment, until: Moment) -> AsyncIterator[bytes]:
    """Yield a file with what :func:`of_subscriptions` returns for all of them, in parts."""
    moments = (since, until)
    return copy_csv(
        pool,
        _FILE,
        *_parameters(rules, moments),
        _closed_months(moments),
        seconds=long_statements.LONGEST.total_seconds(),
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
    await long_statements.fetch(session, _CLOSE, (*_parameters(rules, moments), _closed_months(moments), month))
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
