"""The circulation of issues: counted from their frozen labels, and what was entered by hand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from app.db.circulation_statements import (
    AMOUNT_PAID,
    UNUSUAL,
    amount_paid,
    had_print,
    is_paid,
    is_valid,
    mail_class,
    payments_of,
    rule_parameters,
    tables_of_rules,
)
from app.db.engine import long_statements
from app.db.engine.copying import CsvExports, safe
from app.db.engine.session import Session
from app.db.models import Issue, LabelRun
from app.db.models import IssueCirculation as Row
from app.domain.circulation import ELECTRONIC, LABEL_KINDS, CountingRules, EnteredCounts, LabelCounts
from app.domain.label_runs import MAIN, Flag, LabelKind

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
    :param paid_percent: for labels that an earlier release froze, the least percentage of the basic price of a paid copy.
    """

    number: int
    closes_at: datetime
    paid_percent: int


def _parameters(rules: CountingRules, issues: Sequence[CountedIssue]) -> tuple[object, ...]:
    return (
        [one.number for one in issues],
        [one.closes_at for one in issues],
        [one.paid_percent for one in issues],
        *rule_parameters(rules),
    )


# What a plan cost when a term was bought is known of most terms: its price may have risen since.
_BOTH, _DIGITAL = (
    f"CASE WHEN prices.{price} IS NOT NULL THEN least(prices.{price}, t.price) END"
    for price in ("both_editions", "digital")
)
_RULES = f"""
    issues AS MATERIALIZED (
        SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::int[]) AS each (number, closes_at, percent)),
    {tables_of_rules(4)}"""  # noqa: S608 - no values
_COPIES = f"""
    copies AS (
        SELECT l.*, i.number, t.plan, t.issues_owed, s.currency,
            coalesce((SELECT min(paid_at) FROM payments WHERE invoice_id = l.term), t.starts_at) AS paid_at,
            coalesce(l.amount_paid, found.amount) AS amount,
            CASE WHEN coalesce(l.is_paid, l.kind = '{LabelKind.COPY}' AND l.flags & {Flag.GRACE:d} = 0
                AND {is_paid("found.amount", _BOTH, "i.percent")}) THEN 'paid' ELSE 'free' END AS price,
            coalesce(l.mail_class, {mail_class("l")}) AS mail
        FROM issues i JOIN label_runs r ON r.issue_number = i.number JOIN labels l ON l.run_id = r.id
            CROSS JOIN places LEFT JOIN terms t ON t.invoice_id = l.term
            LEFT JOIN subscriptions s ON s.id = t.subscription_id
            LEFT JOIN prices ON prices.plan = t.plan AND prices.currency = s.currency
            LEFT JOIN LATERAL (SELECT {AMOUNT_PAID} AS amount WHERE l.amount_paid IS NULL) found ON true)"""  # noqa: S608 - a kind
_COUNTS = f"""
    WITH {_RULES}, {_COPIES}
    SELECT number, price || '_' || mail AS kind, count(*) AS copies FROM copies GROUP BY 1, 2
"""  # noqa: S608 - no values


def _paid_digital(price: str, *, issues: str = "issues i") -> str:
    """Return the SQL for the paid terms without print at the label cut-offs of issues: the newest of each subscription."""
    return f"""
    SELECT DISTINCT ON (number, subscription_id COLLATE "C") number, subscription_id, term, amount
    FROM (SELECT i.number, i.percent, t.subscription_id, t.invoice_id AS term, t.starts_at, {price} AS price,
            {amount_paid("t.paid_by_balance", exact=AMOUNT_PAID)} AS amount
        FROM {issues} JOIN terms t ON {is_valid("i.closes_at")} JOIN subscriptions s ON s.id = t.subscription_id
            LEFT JOIN prices ON prices.plan = t.plan AND prices.currency = s.currency
            {payments_of("t.invoice_id", "t.subscription_id")}
        WHERE NOT {had_print("i.closes_at")} OFFSET 0) valid
    WHERE {is_paid("amount", "price", "percent")}
    ORDER BY number, subscription_id COLLATE "C", starts_at DESC, term DESC"""  # noqa: S608 - no values


# The issue is a constant, so that the planner knows how many terms are valid.
_ONE_ISSUE = "(SELECT $1::bigint AS number, $2::timestamptz AS closes_at, $3::int AS percent) i"
_FREEZE_ELECTRONIC = f"""
    WITH {tables_of_rules(4)}, {UNUSUAL}, made AS (
        INSERT INTO electronic_copies (issue_number, subscription_id, term, amount_paid)
        {_paid_digital("prices.digital", issues=_ONE_ISSUE)} RETURNING 1)
    SELECT count(*) FROM made
"""  # noqa: S608 - no values
_ELECTRONIC_COPIES = f"""
    frozen AS MATERIALIZED (
        SELECT i.number, EXISTS (SELECT FROM label_runs r
            WHERE r.issue_number = i.number AND r.number = {MAIN} AND r.electronic IS NOT NULL) AS is_frozen
        FROM issues i),
    not_frozen AS (SELECT issues.* FROM issues JOIN frozen USING (number) WHERE NOT is_frozen),
    electronic AS (
        SELECT e.issue_number AS number, e.subscription_id, e.term, e.amount_paid AS amount
        FROM frozen JOIN electronic_copies e ON e.issue_number = frozen.number WHERE is_frozen
        UNION ALL
        SELECT found.* FROM ({_paid_digital(_DIGITAL, issues="not_frozen i")}) found)"""  # noqa: S608 - no values
_ELECTRONIC = f"""
    WITH {_RULES}, {UNUSUAL}, {_ELECTRONIC_COPIES} SELECT number, count(*) AS copies FROM electronic GROUP BY number
"""  # noqa: S608 - no values
_TERM_COLUMNS = """
        to_char(paid_at, 'YYYY-MM-DD') AS order_date, issues_owed AS term_issues, amount AS amount_paid,
        currency"""
_SAMPLE = f"""
    WITH {_RULES}, {_COPIES}
    SELECT number AS issue, run_id AS run, position, subscription_id AS subscription, kind, price AS paid_status, mail,
        {", ".join(f"{safe(name)} AS {name}" for name in ("name", "company", "line1", "line2", "city", "region"))},
        {safe("postal_code")} AS postal_code, country, expire, {_TERM_COLUMNS}
    FROM (SELECT *, row_number() OVER (ORDER BY run_id, position) AS place FROM copies
        WHERE $12::text IS NULL OR price || '_' || mail = $12) chosen
    WHERE place % $13::int = 0 ORDER BY place
"""  # noqa: S608 - names of columns
# A digital copy has no label, so these columns are empty.
_NO_LABEL = ", ".join(
    f"NULL AS {name}"
    for name in ("name", "company", "line1", "line2", "city", "region", "postal_code", "country", "expire")
)
_ELECTRONIC_SAMPLE = f"""
    WITH {_RULES}, {UNUSUAL}, {_ELECTRONIC_COPIES}
    SELECT number AS issue, NULL AS run, place AS position, subscription_id AS subscription, 'electronic' AS kind,
        'paid' AS paid_status, 'electronic' AS mail, {_NO_LABEL}, {_TERM_COLUMNS}
    FROM (SELECT e.*, t.issues_owed, s.currency, row_number() OVER (ORDER BY e.subscription_id) AS place,
            coalesce((SELECT min(paid_at) FROM payments WHERE invoice_id = e.term), t.starts_at) AS paid_at
        FROM electronic e LEFT JOIN terms t ON t.invoice_id = e.term
            LEFT JOIN subscriptions s ON s.id = e.subscription_id) numbered
    WHERE place % $12::int = 0 ORDER BY place
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
    """Return how many paid electronic copies issues have. Of issues without frozen ones, reads the terms of that time."""
    rows = await long_statements.fetch(session, _ELECTRONIC, _parameters(rules, issues))
    return {row["number"]: row["copies"] for row in rows}


async def freeze_electronic(session: Session, rules: CountingRules, issue: CountedIssue, *, run_id: str) -> None:
    """Freeze the paid electronic copies of an issue with its run, which the caller has inserted. Reads the valid terms."""
    parameters = (issue.number, issue.closes_at, issue.paid_percent, *rule_parameters(rules))
    ((copies,),) = await long_statements.fetch(session, _FREEZE_ELECTRONIC, parameters)
    await session.execute(update(LabelRun).where(LabelRun.id == run_id).values(electronic=copies))


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


async def sample(
    exports: CsvExports,
    rules: CountingRules,
    issue: CountedIssue,
    *,
    line: str | None,
    every: int,
    zone: ZoneInfo,
) -> AsyncIterator[bytes]:
    """
    Return a file with the labels of an issue in parts, for an auditor; or with its electronic copies.

    :param line: of the form, 16a for electronic copies; None: all lines with labels.
    :param every: which of them: 1 for all, or each n-th.
    :param zone: the publisher's time zone, whose dates the orders have.
    """
    return await exports.copy(
        _ELECTRONIC_SAMPLE if line == ELECTRONIC else _SAMPLE,
        *_parameters(rules, [issue]),
        *(() if line == ELECTRONIC else (KIND_OF_LINE[line] if line is not None else None,)),
        every,
        longest=long_statements.LONGEST,
        zone=zone.key,
    )
