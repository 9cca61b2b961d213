"""
The issue calendar, and adjustments of terms.

Each process caches the whole calendar until a change stores a new token. Deriving grants takes a shared lock and changing
the calendar an exclusive one, so that no grant is derived from an outdated calendar.
"""

import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from cachetools import LRUCache
from sqlalchemy import BigInteger, bindparam, delete, func, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TIMESTAMP, insert

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import CalendarEdition, CalendarWork, IssueAdjustment, table_of
from app.db.models import Issue as Row
from app.domain.calendar_changes import AffectedTerms
from app.domain.issues import Calendar, Issue

LOCK = 5_720_240_116  # of the advisory lock; any number that no other lock uses
_calendars: LRUCache[tuple[str, str], Calendar] = LRUCache(maxsize=8)  # by token and time zone
_LOCK_SHARED = select(func.pg_advisory_xact_lock_shared(LOCK))
_TOKEN, _ALL = select(table_of(CalendarEdition).c.token), select(*table_of(Row).c)


async def calendar(session: Session, zone: ZoneInfo, *, locked: bool = False) -> Calendar:
    """
    Return the current calendar, with one small query unless it changed.

    :param locked: whether to lock it until this transaction ends, because what is written depends on it.
    """
    if locked:
        await session.execute(_LOCK_SHARED, {})
    return await calendar_now(session, zone)


async def calendar_now(session: Reads, zone: ZoneInfo) -> Calendar:
    """Return the current calendar, without a lock."""
    return await calendar_as(session, zone, await _token(session))


async def _token(session: Reads) -> str | None:
    return next((str(row.token) for row in await session.execute(_TOKEN, {})), None)


async def calendar_as(session: Reads, zone: ZoneInfo, token: str | None) -> Calendar:
    """Return the calendar with a token, from the cache if possible."""
    if token is None:
        return Calendar((), zone)
    known = _calendars.get((token, zone.key))
    if known is None:
        rows = list(await session.execute(_ALL, {}))
        # A change may have been committed between the two queries: then the rows have a newer token.
        if await _token(session) != token:
            return await calendar_now(session, zone)
        known = _calendars[token, zone.key] = Calendar((_issue(row) for row in rows), zone)
    return known


async def lock(session: Session) -> None:
    """Lock the calendar until this transaction ends, against changes and against deriving grants."""
    await session.execute(select(func.pg_advisory_xact_lock(LOCK)))


async def by_number(session: Session, number: int) -> Issue | None:
    """Return the issue with a number."""
    row = await session.get(Row, number, populate_existing=True)
    return _issue(row) if row is not None else None


async def page(session: Session, *, after: int, limit: int) -> list[Issue]:
    """Return the issues after a number, in order."""
    rows = await session.scalars(select(Row).where(Row.number > after).order_by(Row.number).limit(limit))
    return [_issue(row) for row in rows]


async def save(session: Session, issues: Iterable[Issue]) -> None:
    """Insert or update issues, and store a new token. The caller has locked the calendar."""
    for issue in issues:
        values = {
            "title": issue.title,
            "cover_date": issue.cover_date,
            "planned_mail_date": issue.planned_mail_date,
            "actual_mail_date": issue.actual_mail_date,
            "label_cutoff": issue.label_cutoff,
            "counts_as": issue.counts_as,
        }
        made = insert(Row).values(number=issue.number, **values)
        await session.execute(made.on_conflict_do_update(index_elements=[Row.number], set_=values))
    edition = insert(CalendarEdition).values(id=True, token=secrets.token_hex(16))
    await session.execute(
        edition.on_conflict_do_update(index_elements=[CalendarEdition.id], set_={"token": edition.excluded.token})
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarTask:
    """Queued work: a change to apply to subscriptions, or (None) one subscription to derive again."""

    id: str
    told: int
    change: AffectedTerms | None


async def add_change(session: Session, change: AffectedTerms) -> None:
    """Queue a change of the calendar. A worker finds the affected subscriptions."""
    session.add(CalendarWork(id=new_id("cal"), told=1, change=change.dump(), work_key="calendar", due_at=func.now()))
    await session.flush()


async def find_work(session: Session, work_id: str) -> CalendarTask | None:
    """Return queued work; None if another worker has completed it."""
    row = await session.get(CalendarWork, work_id, populate_existing=True)
    if row is None:
        return None
    change = AffectedTerms.load(row.change) if row.change is not None else None
    return CalendarTask(id=row.id, told=row.told, change=change)


async def complete_work(session: Session, todo: CalendarTask) -> None:
    """Delete completed work, unless it was queued again."""
    await session.execute(delete(CalendarWork).where(CalendarWork.id == todo.id, CalendarWork.told == todo.told))


async def queue_subscriptions(session: Session, change: AffectedTerms) -> int:
    """Queue the subscriptions that a change affects, and return their number."""
    starts, ends = [period[0] for period in change.begun], [period[1] for period in change.begun]
    found = await session.execute(
        text(_QUEUE_AFFECTED).bindparams(
            bindparam("last", type_=ARRAY(BigInteger)),
            bindparam("since", type_=BigInteger),
            bindparam("starts", type_=ARRAY(TIMESTAMP(timezone=True))),
            bindparam("ends", type_=ARRAY(TIMESTAMP(timezone=True))),
        ),
        {"last": sorted(change.last), "since": change.since, "beyond": change.beyond, "starts": starts, "ends": ends},
    )
    return int(getattr(found, "rowcount", 0))


# One indexed query for each way to be affected, because OR would scan the table.
_QUEUE_AFFECTED = """
INSERT INTO calendar_work (id, work_key, due_at)
SELECT subscription_id, 'ledger:' || subscription_id, now() FROM (
    SELECT subscription_id FROM terms WHERE last_issue = ANY(:last)
    UNION SELECT subscription_id FROM terms WHERE last_issue >= :since
    UNION SELECT subscription_id FROM terms WHERE :beyond AND last_issue IS NULL
    UNION SELECT terms.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
          JOIN terms ON terms.starts_at BETWEEN begun.first AND begun.last
    UNION SELECT paid.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
          JOIN payments paid ON paid.paid_at BETWEEN begun.first AND begun.last  -- a late renewal starts with its payment
    UNION SELECT adjusted.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
          JOIN issue_adjustments adjusted ON adjusted.created_at BETWEEN begun.first AND begun.last
) AS touched
ON CONFLICT (id) DO UPDATE SET due_at = now(), told = calendar_work.told + 1, attempts = 0
"""


async def save_last_issues(session: Session, last: dict[str, int | None]) -> None:
    """Store the last issue of each term, so that a change of the calendar finds the terms that it affects."""
    await session.execute(
        text(
            """
            UPDATE terms SET last_issue = noted.number
            FROM unnest(CAST(:ids AS text[]), CAST(:numbers AS bigint[])) AS noted (id, number)
            WHERE terms.invoice_id = noted.id AND terms.last_issue IS DISTINCT FROM noted.number
            """
        ),
        {"ids": list(last), "numbers": list(last.values())},
    )


async def add_adjustment(
    session: Session,
    adjustment_id: str,
    *,
    invoice_id: str,
    subscription_id: str,
    kind: str,
    issues: int,
    reason: str,
    note: str | None,
    by: str,
    now: datetime,
) -> bool:
    """Add an adjustment to a term. Return False if it exists already."""
    made = await session.scalar(
        insert(IssueAdjustment)
        .values(
            id=adjustment_id,
            invoice_id=invoice_id,
            subscription_id=subscription_id,
            kind=kind,
            issues=issues,
            reason=reason,
            note=note,
            by=by,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[IssueAdjustment.id])
        .returning(IssueAdjustment.id)
    )
    return made is not None


async def has_adjustment(session: Session, adjustment_id: str) -> bool:
    """Return whether an adjustment exists."""
    return await session.get(IssueAdjustment, adjustment_id) is not None


def _issue(row: Row | Record) -> Issue:
    return Issue(
        number=row.number,
        title=row.title,
        cover_date=row.cover_date,
        planned_mail_date=row.planned_mail_date,
        actual_mail_date=row.actual_mail_date,
        label_cutoff=row.label_cutoff,
        counts_as=row.counts_as,
    )
