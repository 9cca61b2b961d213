"""The circulation of issues: counted from their frozen labels, and what was entered by hand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine import long_statements
from app.db.engine.copying import copy_csv, safe
from app.db.engine.pool import Pool
from app.db.engine.session import Session
from app.db.models import Issue, LabelRun
from app.db.models import IssueCirculation as Row
from app.domain.circulation import LABEL_KINDS, EnteredCounts, LabelCounts
from app.domain.label_runs import LabelKind

KIND_OF_LINE: Mapping[str, str] = {
    "15b1": "paid_outside_county",
    "15b2": "paid_in_county",
    "15b4": "paid_other_mail",
    "15d1": "free_outside_county",
    "15d2": "free_in_county",
    "15d3": "free_other_mail",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedIssue:
    """
    An issue to count.

    :param closes_at: when its labels closed. Who had print then is a print reader of the issue, and nobody else.
    :param paid_percent: the least percentage of the basic price that makes a copy paid.
    """

    number: int
    mailed_at: datetime
    closes_at: datetime
    paid_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CountingRules:
    """
    How copies are counted.

    :param prices: the plan, the currency, and the price of both editions and of digital alone, in minor units.
    """

    mailed_from: str
    county: Sequence[str]
    other_mail: Sequence[str]
    prices: Sequence[tuple[str, str, int, int]]


def _parameters(rules: CountingRules, issues: Sequence[CountedIssue]) -> tuple[object, ...]:
    return (
        [one.number for one in issues],
        [one.mailed_at for one in issues],
        [one.paid_percent for one in issues],
        rules.mailed_from,
        list(rules.county),
        list(rules.other_mail),
        [one[0] for one in rules.prices],
        [one[1] for one in rules.prices],
        [one[2] for one in rules.prices],
        [one[3] for one in rules.prices],
        [one.closes_at for one in issues],
    )


_RULES = """
    issues AS MATERIALIZED (
        SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::int[], $11::timestamptz[])
            AS each (number, mailed_at, percent, closes_at)),
    prices AS MATERIALIZED (
        SELECT * FROM unnest($7::text[], $8::text[], $9::bigint[], $10::bigint[])
            AS each (plan, currency, both_editions, digital)),
    places AS (SELECT $4::text AS mailed_from, $5::text[] AS county, $6::text[] AS other_mail)"""
_COPIES = f"""
    printed AS (
        SELECT l.*, i.number, i.percent FROM issues i JOIN label_runs r ON r.issue_number = i.number
            JOIN labels l ON l.run_id = r.id),
    bought AS MATERIALIZED (
        SELECT p.invoice_id, sum(p.amount)::bigint AS amount, min(p.paid_at) AS paid_at
        FROM payments p WHERE p.invoice_id IN (SELECT term FROM printed) GROUP BY p.invoice_id),
    copies AS (
        SELECT printed.*, t.plan, t.issues_owed, paid.amount, s.currency, coalesce(b.paid_at, t.starts_at) AS paid_at,
            CASE WHEN printed.kind = '{LabelKind.COPY}' AND paid.amount > 0
                    AND coalesce(paid.amount * 100 >= prices.both_editions * printed.percent, true)
                THEN 'paid' ELSE 'free' END AS price,
            CASE WHEN printed.band = ANY(places.other_mail) THEN 'other_mail'
                 WHEN printed.country = places.mailed_from
                     AND EXISTS (SELECT FROM unnest(places.county) one WHERE starts_with(printed.postal_code, one))
                 THEN 'in_county' ELSE 'outside_county' END AS mail
        FROM printed CROSS JOIN places LEFT JOIN terms t ON t.invoice_id = printed.term
            LEFT JOIN subscriptions s ON s.id = t.subscription_id
            LEFT JOIN bought b ON b.invoice_id = printed.term
            CROSS JOIN LATERAL (SELECT coalesce(b.amount, 0) + coalesce(t.paid_by_balance, 0) AS amount) paid
            LEFT JOIN prices ON prices.plan = t.plan AND prices.currency = s.currency)"""  # noqa: S608 - a kind
_COUNTS = f"""
    WITH {_RULES}, {_COPIES}
    SELECT number, price || '_' || mail AS kind, count(*) AS copies FROM copies GROUP BY 1, 2
"""  # noqa: S608 - no values
_ELECTRONIC = f"""
    WITH {_RULES}
    SELECT i.number, count(*) AS copies
    FROM issues i JOIN terms t ON t.starts_at <= i.mailed_at AND t.ends_at > i.mailed_at
        JOIN subscriptions s ON s.id = t.subscription_id
        JOIN LATERAL (SELECT coalesce(sum(p.amount), 0)::bigint + t.paid_by_balance AS amount
            FROM payments p WHERE p.invoice_id = t.invoice_id) b ON b.amount > 0
        LEFT JOIN prices ON prices.plan = t.plan AND prices.currency = s.currency
    WHERE coalesce(b.amount * 100 >= prices.digital * i.percent, true)
        AND NOT (t.print_edition AND (t.print_from IS NULL OR t.print_from < i.closes_at)
            AND (t.print_until IS NULL OR t.print_until >= i.closes_at))
        AND NOT EXISTS (
            SELECT FROM generate_series(1, cardinality(t.earlier_print), 2) n
            WHERE t.earlier_print[n] < i.closes_at AND t.earlier_print[n + 1] >= i.closes_at)
        AND (t.copies_ended_at IS NULL OR t.copies_ended_at > i.mailed_at)
        AND (t.refunded_at IS NULL OR t.refunded_at > i.mailed_at)
    GROUP BY i.number
"""  # noqa: S608 - no values
_SAMPLE = f"""
    WITH {_RULES}, {_COPIES}
    SELECT number AS issue, run_id AS run, position, subscription_id AS subscription, kind, price AS paid_status, mail,
        {", ".join(f"{safe(name)} AS {name}" for name in ("name", "company", "line1", "line2", "city", "region"))},
        {safe("postal_code")} AS postal_code, country, expire,
        to_char(paid_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS order_date, issues_owed AS term_issues, amount AS amount_paid,
        currency
    FROM (SELECT *, row_number() OVER (ORDER BY run_id, position) AS place FROM copies
        WHERE $12::text IS NULL OR price || '_' || mail = $12) chosen
    WHERE place % $13::int = 0 ORDER BY place
"""  # noqa: S608 - names of columns


async def label_counts(
    session: Session, rules: CountingRules, issues: Sequence[CountedIssue]
) -> dict[int, LabelCounts]:
    """Return the labels of issues by kind. Reads all labels of the issues."""
    found: dict[int, dict[str, int]] = {}
    for number, kind, copies in await long_statements.fetch(session, _COUNTS, _parameters(rules, issues)):
        found.setdefault(number, {})[kind] = copies
    return {number: LabelCounts(**{kind: its.get(kind, 0) for kind in LABEL_KINDS}) for number, its in found.items()}


async def electronic(session: Session, rules: CountingRules, issues: Sequence[CountedIssue]) -> dict[int, int]:
    """Return how many paid subscriptions without print there were when issues were mailed. Reads the terms of that time."""
    rows = await long_statements.fetch(session, _ELECTRONIC, _parameters(rules, issues))
    return {row["number"]: row["copies"] for row in rows}


async def frozen(session: Session, numbers: Sequence[int]) -> set[int]:
    """Return which of the issues have a label run."""
    rows = select(LabelRun.issue_number).where(LabelRun.issue_number.in_(numbers)).distinct()
    return set(await session.scalars(rows))


async def entered(session: Session, numbers: Sequence[int]) -> dict[int, EnteredCounts]:
    """Return what was entered for issues, by number."""
    rows = await session.scalars(select(Row).where(Row.issue_number.in_(numbers)))
    return {
        row.issue_number: EnteredCounts(
            press_run=row.press_run,
            dealer_sales=row.dealer_sales,
            single_copies_mailed=row.single_copies_mailed,
            free_outside_mail=row.free_outside_mail,
        )
        for row in rows
    }


async def lock(session: Session, number: int) -> None:
    """Lock what is entered for an issue until this transaction ends, whether anything is entered yet or not."""
    await session.execute(select(Issue.number).where(Issue.number == number).with_for_update(key_share=True))


async def enter(session: Session, number: int, counts: EnteredCounts, *, by: str, now: datetime) -> None:
    """Store what was entered for an issue, in the place of what was entered before."""
    values = {
        "press_run": counts.press_run,
        "dealer_sales": counts.dealer_sales,
        "single_copies_mailed": counts.single_copies_mailed,
        "free_outside_mail": counts.free_outside_mail,
        "entered_at": now,
        "entered_by": by,
    }
    await session.execute(
        insert(Row)
        .values(issue_number=number, **values)
        .on_conflict_do_update(index_elements=["issue_number"], set_=values)
    )


def sample(
    pool: Pool, rules: CountingRules, issue: CountedIssue, *, line: str | None, every: int
) -> AsyncIterator[bytes]:
    """
    Yield a file with the labels of an issue in parts, for an auditor.

    :param line: of the form; None: all lines.
    :param every: which of them: 1 for all, or each n-th.
    """
    return copy_csv(
        pool,
        _SAMPLE,
        *_parameters(rules, [issue]),
        KIND_OF_LINE[line] if line is not None else None,
        every,
        seconds=long_statements.LONGEST.total_seconds(),
    )
