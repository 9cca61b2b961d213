"""
Label runs and their labels. A run is one statement over all terms that owe the issue.

What each term owes is stored with it (``terms.copies``). Nothing here decides who is owed a copy; see
:mod:`app.domain.copies`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import TEXT, BigInteger, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.circulation_statements import (
    AMOUNT_PAID,
    UNUSUAL,
    amount_paid,
    is_paid,
    mail_class,
    payments_of,
    rule_parameters,
    tables_of_rules,
)
from app.db.copies import COPIES
from app.db.engine import long_statements
from app.db.engine.copying import CsvExports, safe
from app.db.engine.session import Session
from app.db.models import COPIES_UNKNOWN, Label, LabelRun, Term
from app.db.models import Issue as IssueRow
from app.domain import label_runs as domain
from app.domain.circulation import CountingRules
from app.domain.label_runs import FLAGS, BandCount, Counts, Flag, LabelKind, LeftOut
from app.domain.postage import LabelColumn

SAMPLES = 20  # subscriptions that are named for each difference
FAILING = 3  # attempts to update a subscription after a change of the calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """
    Whose labels are on a run.

    :param closes: when the labels close. Copies that close before a subscription was followed were sent by somebody else.
    :param through: the last moment whose addresses and refunds count: just before the cut-off, or now.
    :param keeps_ended: whether copies that were canceled later are still sent.
    :param mail_date: the day on which the addresses must be valid.
    :param served: the served countries with their postage bands, in the order of the labels.
    :param previous: the IDs of the last issue's runs.
    :param grace: plan and last issue of the terms whose renewal is awaited that get a grace copy.
    """

    issue_number: int
    closes: datetime
    through: datetime
    keeps_ended: bool
    mail_date: date
    served: Mapping[str, str]
    previous: Sequence[str] = ()
    grace: Sequence[tuple[str, int]] = ()

    @property
    def parameters(self) -> tuple[object, ...]:
        """The parameters of the statements."""
        return (
            self.issue_number,
            self.through,
            self.through if self.keeps_ended else None,
            self.mail_date,
            list(self.served),
            list(self.served.values()),
            list(self.previous),
            self.closes,
            [plan for plan, _ in self.grace],
            [expire for _, expire in self.grace],
        )


_OWED = f"""
    {COPIES}
    away AS MATERIALIZED (
        SELECT id, subscriber_id FROM postal_addresses
        WHERE since <= $4::date AND until > $4::date AND saved_at <= $2::timestamptz
          AND (replaced_at IS NULL OR replaced_at > $2::timestamptz)
    ),
    addressed AS (
        SELECT a.* FROM postal_addresses a
        WHERE a.saved_at <= $2::timestamptz AND (a.replaced_at IS NULL OR a.replaced_at > $2::timestamptz)
          AND (a.since IS NULL AND NOT EXISTS (SELECT FROM away w WHERE w.subscriber_id = a.subscriber_id)
               OR a.id IN (SELECT id FROM away))
    ),
    served AS (
        SELECT country, band, rank::int FROM unnest($5::text[], $6::text[]) WITH ORDINALITY AS s (country, band, rank)),
    previous AS (
        SELECT subscription_id, term, address_id FROM labels WHERE run_id = ANY($7::text[]) AND kind = 'copy'
    )
"""  # noqa: S608 - names of kinds and bases
_WANTED = f"""
    SELECT o.subscription_id, o.invoice_id AS term, o.expire, o.kind, o.claim_id, a.id AS address_id, a.name, a.company,
        a.line1, a.line2, a.district, a.city, a.region, a.postal_code, a.country, a.lines, served.band, served.rank,
        mod(hashtextextended(a.id || o.subscription_id || $1::text || o.claim_id, 0) & 9223372036854775807, 1000000)::int
            AS control,
        (CASE WHEN last.subscription_id IS NULL AND o.claim_id = '' THEN {Flag.NEW:d} ELSE 0 END
         + CASE WHEN last.term <> o.invoice_id AND o.claim_id = '' THEN {Flag.RENEWED:d} ELSE 0 END
         + CASE WHEN last.address_id <> a.id THEN {Flag.CHANGED:d} ELSE 0 END
         + CASE WHEN o.expire = $1 THEN {Flag.LAST_ISSUE:d} ELSE 0 END
         + CASE WHEN o.is_grace THEN {Flag.GRACE:d} ELSE 0 END)::smallint AS flags,
        o.is_grace, o.plan, o.currency, o.paid_by_balance
    FROM owed o JOIN addressed a ON a.subscriber_id = o.subscriber_id AND a.is_usable
        JOIN served ON served.country = a.country
        LEFT JOIN previous before ON before.subscription_id = o.subscription_id
        LEFT JOIN LATERAL (  -- who was on hold, or had no address, has an older label
            SELECT before.* WHERE before.subscription_id IS NOT NULL
            UNION ALL (SELECT l.subscription_id, l.term, l.address_id FROM labels l
                WHERE before.subscription_id IS NULL AND l.subscription_id = o.subscription_id
                  AND l.kind = '{LabelKind.COPY}' ORDER BY l.issue_number DESC LIMIT 1)) last ON true
    WHERE NOT o.is_disputed AND NOT EXISTS (SELECT FROM refunding r WHERE r.invoice_id = o.invoice_id)
"""  # noqa: S608 - numbers of flags
_COLUMNS = (
    "kind, claim_id, subscription_id, term, address_id, name, company, line1, line2, district, city, region, postal_code,"
    " country, lines, band, expire, control, flags"
)
_ORDER = (
    'rank, postal_code COLLATE "C", city COLLATE "C", line1 COLLATE "C", line2 COLLATE "C", name COLLATE "C",'
    ' wanted.subscription_id COLLATE "C", claim_id COLLATE "C"'
)
_OF_TERM = f"coalesce((SELECT {AMOUNT_PAID} FROM terms t WHERE t.invoice_id = wanted.term), 0)"  # noqa: S608 - an expression
_FREEZE = f"""
    WITH {_OWED}, {tables_of_rules(13)}, {UNUSUAL}, wanted AS ({_WANTED})
    INSERT INTO labels (run_id, issue_number, {_COLUMNS}, position, mail_class, amount_paid, is_paid)
    SELECT $11::text, $1, {_COLUMNS}, position, mail_class, amount, kind = '{LabelKind.COPY}' AND NOT is_grace
            AND {is_paid("amount", "both_editions", "$12::int")}
    FROM (SELECT wanted.*, row_number() OVER (ORDER BY {_ORDER}) AS position, {mail_class("wanted")} AS mail_class,
            {amount_paid("paid_by_balance", exact=_OF_TERM)} AS amount, prices.both_editions
        FROM wanted CROSS JOIN places LEFT JOIN prices USING (plan, currency)
            {payments_of("wanted.term", "wanted.subscription_id")}
        ORDER BY {_ORDER}) labels
"""  # noqa: S608 - names of columns
_PREVIEW = f"""
    WITH {_OWED}, wanted AS MATERIALIZED (
        SELECT subscription_id, country, band, rank, control, flags FROM ({_WANTED}) labels
    ), compared AS MATERIALIZED (
        SELECT coalesce(w.subscription_id, p.subscription_id) AS id,
            CASE WHEN p.subscription_id IS NULL THEN 'joined' WHEN w.subscription_id IS NULL THEN 'left'
                 WHEN w.flags & {Flag.CHANGED:d} > 0 THEN 'moved' END AS difference
        FROM wanted w FULL JOIN previous p USING (subscription_id)
    )
    SELECT 'band' AS part, country AS name, band AS detail, count(*) AS copies, sum(control)::bigint AS control,
    min(rank) FROM wanted GROUP BY country, band UNION ALL SELECT 'flag', bit::text, '', count(*), 0, 0 FROM wanted,
    unnest(ARRAY[1, 2, 4, 8, 16]) AS bit WHERE flags & bit > 0 GROUP BY bit UNION ALL SELECT 'difference', difference, '',
    count(*), 0, 0 FROM compared WHERE difference IS NOT NULL GROUP BY 2 UNION ALL SELECT 'sample', difference, id, 1,
    0, 0 FROM (
        SELECT difference, id, row_number() OVER (PARTITION BY difference ORDER BY id) AS place FROM compared
        WHERE difference IS NOT NULL) numbered WHERE place <= {SAMPLES}
    ORDER BY 1, 6, 2, 3
"""  # noqa: S608 - numbers
_LEFT_OUT = f"""
    WITH {_OWED}
    SELECT count(*) FILTER (WHERE reason = 'refund') AS refund_in_progress,
        count(*) FILTER (WHERE reason = 'dispute') AS payment_disputed,
        count(*) FILTER (WHERE reason = 'none') AS no_address,
        count(*) FILTER (WHERE reason = 'unusable') AS unusable_address,
        (SELECT count(DISTINCT w.id) FROM calendar_work w JOIN terms t ON t.subscription_id = w.id
         WHERE t.print_edition AND (t.copies IS NULL OR t.copies @> $1::int)
           AND NOT EXISTS (SELECT FROM labels l WHERE l.subscription_id = w.id AND l.issue_number = $1)) AS not_updated
    FROM (SELECT CASE WHEN EXISTS (SELECT FROM refunding r WHERE r.invoice_id = o.invoice_id) THEN 'refund'
            WHEN o.is_disputed THEN 'dispute' WHEN a.id IS NULL THEN 'none'
            WHEN NOT a.is_usable OR served.country IS NULL THEN 'unusable' END AS reason
        FROM owed o LEFT JOIN addressed a ON a.subscriber_id = o.subscriber_id
            LEFT JOIN served ON served.country = a.country) reasons
"""  # noqa: S608 - no values
ADDRESSLESS = f"""
    WITH {_OWED}
    SELECT DISTINCT o.subscription_id COLLATE "C" FROM owed o
        LEFT JOIN addressed a ON a.subscriber_id = o.subscriber_id AND a.is_usable
        LEFT JOIN served ON served.country = a.country
    WHERE served.country IS NULL AND NOT o.is_disputed AND o.claim_id = '' AND o.subscription_id > $11::text COLLATE "C"
      AND NOT EXISTS (SELECT FROM refunding r WHERE r.invoice_id = o.invoice_id)
    ORDER BY 1 LIMIT $12::int
"""  # noqa: S608 - no values
_COUNTS = text(
    """
    SELECT country, band, flags, count(*) AS copies, sum(control)::bigint AS control, min(position) AS first
    FROM labels WHERE run_id = :run GROUP BY country, band, flags ORDER BY first
    """
)
_ARE_COPIES_KNOWN = text(
    f"""
    SELECT NOT EXISTS (SELECT FROM derivation_runs WHERE finished_at IS NULL AND due_at IS NOT NULL)
        AND (SELECT id FROM calendar_work WHERE due_at IS NOT NULL AND attempts < :failing  -- which are due first
            ORDER BY due_at LIMIT 1) IS NULL
        AND NOT EXISTS (SELECT FROM terms WHERE {COPIES_UNKNOWN.text}
            AND NOT EXISTS (SELECT FROM calendar_work w WHERE w.id = terms.subscription_id))
    """  # noqa: S608 - the condition of an index
)

_CHARGE_GRACE = text(
    f"""
    UPDATE terms SET grace_sent = grace_sent + plans.served
    FROM labels, unnest(:plans, :served) AS plans (plan, served)
    WHERE labels.run_id = :run AND labels.flags & {Flag.GRACE:d} > 0
      AND terms.invoice_id = labels.term AND terms.plan = plans.plan
    """  # noqa: S608 - a number
).bindparams(bindparam("plans", type_=ARRAY(TEXT)), bindparam("served", type_=ARRAY(BigInteger)))


async def are_copies_known(session: Session) -> bool:
    """
    Return whether the terms have the copies that follow from the calendar: no change is still being applied.

    Subscriptions whose update keeps failing are left out of runs, so nobody else waits for them.
    """
    return bool(await session.scalar(_ARE_COPIES_KNOWN, {"failing": FAILING}))


async def unknown_copies(session: Session, *, after: str = "", limit: int) -> list[str]:
    """Return subscriptions after an ID with terms whose copies are not known, because an earlier release derived them."""
    unknown = select(Term.subscription_id).where(COPIES_UNKNOWN, Term.subscription_id > after)  # the index's condition
    return list(await session.scalars(unknown.distinct().order_by(Term.subscription_id).limit(limit)))


async def freeze(session: Session, run_id: str, selection: Selection, counting: CountingRules) -> Counts:
    """
    Insert the labels of a run, sorted for the post office, and count them. The caller has locked changes.

    :param counting: decides how each copy counts in the circulation statement.
    """
    parameters = (*selection.parameters, run_id, counting.paid_percent, *rule_parameters(counting))
    await long_statements.fetch(session, _FREEZE, parameters)
    rows = (await session.execute(_COUNTS, {"run": run_id})).all()
    bands: dict[tuple[str, str], int] = {}
    for row in rows:  # in the order of the labels
        bands[row.country, row.band] = bands.get((row.country, row.band), 0) + row.copies
    return Counts(
        copies=sum(row.copies for row in rows),
        control_sum=sum(row.control for row in rows),
        bands=tuple(BandCount(country=country, band=band, copies=copies) for (country, band), copies in bands.items()),
        flags={name: sum(row.copies for row in rows if row.flags & flag) for name, flag in FLAGS.items()},
    )


async def charge_grace(session: Session, run_id: str, *, served: Mapping[str, int]) -> None:
    """
    Record with the terms of a run's grace copies how many issues they received, for the renewal to be charged.

    :param served: for each plan, how many issues of a term the copy serves.
    """
    await session.execute(_CHARGE_GRACE, {"run": run_id, "plans": list(served), "served": list(served.values())})


async def preview(session: Session, selection: Selection) -> tuple[Counts, Mapping[str, int], Mapping[str, list[str]]]:
    """Return what a run would contain, and how many subscriptions joined, left and moved, with samples."""
    bands: list[BandCount] = []
    flags, names = dict.fromkeys(FLAGS, 0), {int(flag): name for name, flag in FLAGS.items()}
    control, differences, samples = 0, dict.fromkeys(("joined", "left", "moved"), 0), dict[str, list[str]]()
    for part, name, detail, copies, its_control, _ in await long_statements.fetch(
        session, _PREVIEW, selection.parameters
    ):
        if part == "band":
            bands.append(BandCount(country=name, band=detail, copies=copies))
            control += its_control
        elif part == "flag":
            flags[names[int(name)]] = copies
        elif part == "difference":
            differences[name] = copies
        else:
            samples.setdefault(name, []).append(detail)
    counts = Counts(copies=sum(one.copies for one in bands), control_sum=control, bands=tuple(bands), flags=flags)
    return counts, differences, samples


async def left_out(session: Session, selection: Selection) -> LeftOut:
    """Return how many owed copies are not on a run, by reason."""
    (row,) = await long_statements.fetch(session, _LEFT_OUT, selection.parameters)
    return LeftOut(**dict(row))


async def add(session: Session, run: domain.LabelRun) -> None:
    """Insert a run."""
    session.add(
        LabelRun(
            id=run.id,
            issue_number=run.issue_number,
            number=run.number,
            as_of=run.as_of,
            mail_date=run.mail_date,
            frozen_at=run.frozen_at,
            frozen_by=run.frozen_by,
            copies=run.counts.copies,
            control_sum=run.counts.control_sum,
            counts={
                "bands": [[one.country, one.band, one.copies] for one in run.counts.bands],
                "flags": dict(run.counts.flags),
            },
            columns={"columns": [[one.header, one.field] for one in run.columns]},
            announced=0,
            addresses_announced=run.number > 0,  # a supplement is for those who were left out before
        )
    )
    await session.flush()


async def mark_frozen(session: Session, issue_number: int, *, as_of: datetime) -> None:
    """Record in the calendar that the labels of an issue are frozen. The caller publishes the edition."""
    await session.execute(update(IssueRow).where(IssueRow.number == issue_number).values(frozen_at=as_of))


async def of_issue(session: Session, issue_number: int) -> list[domain.LabelRun]:
    """Return the runs of an issue: the one at the cut-off, and its supplements in order."""
    erased = select(func.count()).where(Label.run_id == LabelRun.id, Label.lines.is_(None)).scalar_subquery()
    rows = await session.execute(
        select(LabelRun, erased).where(LabelRun.issue_number == issue_number).order_by(LabelRun.number)
    )
    return [_run(row, erased) for row, erased in rows]


async def by_id(session: Session, run_id: str) -> domain.LabelRun | None:
    """Return a run."""
    row = await session.get(LabelRun, run_id)
    if row is None:
        return None
    erased = await session.scalar(select(func.count()).where(Label.run_id == run_id, Label.lines.is_(None)))
    return _run(row, erased or 0)


async def runs_before(session: Session, issue_number: int) -> tuple[int | None, list[str]]:
    """Return the last issue before ``issue_number`` whose labels are frozen, and the IDs of its runs."""
    before = select(func.max(LabelRun.issue_number)).where(LabelRun.issue_number < issue_number)
    number = await session.scalar(before)
    if number is None:
        return None, []
    return number, list(await session.scalars(select(LabelRun.id).where(LabelRun.issue_number == number)))


async def csv(exports: CsvExports, run: domain.LabelRun) -> AsyncIterator[bytes]:
    """Return the file of a run in parts: with the columns of the run, in its order."""
    columns = ", ".join(f"{_FIELDS[one.field]} AS {_quoted(one.header)}" for one in run.columns)
    statement = f"SELECT {columns} FROM labels WHERE run_id = $1 ORDER BY position"  # noqa: S608 - of the two tables
    return await exports.copy(statement, run.id, longest=long_statements.LONGEST)


def _quoted(header: str) -> str:
    return '"' + header.replace('"', '""') + '"'


def _flagged(flag: Flag) -> str:
    return f"CASE WHEN flags & {flag:d} > 0 THEN '1' ELSE '' END"


_FIELDS: Mapping[str, str] = {
    "position": "position",
    "issue": "issue_number",
    "keyline": "'#' || upper(right(subscription_id, 10)) || ' '"
    " || coalesce(lpad(expire::text, greatest(4, length(expire::text)), '0'), '----')",
    **{name: safe(name) for name in ("name", "company", "line1", "line2", "district", "city", "region", "postal_code")},
    "country": "country",
    **{f"address{number}": safe(f"lines[{number}]") for number in range(1, 8)},
    "address8": safe("array_to_string(lines[8:], ', ')"),  # some countries have addresses of nine lines
    "band": "band",
    "kind": "kind",
    **{name: _flagged(flag) for name, flag in FLAGS.items()},
    "replacement": f"CASE WHEN kind = '{LabelKind.REPLACEMENT}' THEN '1' ELSE '' END",
    "expire": "expire",
    "control": "control",
}


def _run(row: LabelRun, erased: int) -> domain.LabelRun:
    return domain.LabelRun(
        id=row.id,
        issue_number=row.issue_number,
        number=row.number,
        as_of=row.as_of,
        mail_date=row.mail_date,
        frozen_at=row.frozen_at,
        frozen_by=row.frozen_by,
        counts=Counts(
            copies=row.copies,
            control_sum=row.control_sum,
            bands=tuple(BandCount(country=one[0], band=one[1], copies=one[2]) for one in row.counts["bands"]),
            flags=row.counts["flags"],
        ),
        columns=tuple(LabelColumn(header=header, field=field) for header, field in row.columns["columns"]),
        erased=erased,
        emptied_at=row.emptied_at,
    )
