"""What is announced about the copies of a label run: those that were mailed, and those for which there is no address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from sqlalchemy import Date, bindparam, text, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from app.db.engine import long_statements
from app.db.engine.session import Session
from app.db.label_runs import ADDRESSLESS, Selection
from app.db.models import LabelRun

_MAILED_RUN = text(
    """
    SELECT r.id, r.issue_number, r.announced, m.mailed_on FROM label_runs r JOIN issues i ON i.number = r.issue_number
    CROSS JOIN LATERAL (SELECT coalesce(i.actual_mail_date, i.planned_mail_date) AS issue_on) o
    CROSS JOIN LATERAL (
        SELECT CASE WHEN r.number > 0 THEN greatest(o.issue_on, r.mail_date) ELSE o.issue_on END AS mailed_on) m
    WHERE r.announced < r.copies AND m.mailed_on <= :today ORDER BY r.id LIMIT 1 FOR NO KEY UPDATE OF r SKIP LOCKED
    """
).bindparams(bindparam("today", type_=Date))
_UNCHECKED_RUN = text(
    "SELECT id, issue_number, addresses_through FROM label_runs WHERE NOT addresses_announced ORDER BY id LIMIT 1"
    " FOR NO KEY UPDATE SKIP LOCKED"
)
# The readers in the order of their IDs, so that two transactions never wait for each other.
_COPIES = text(
    """
    SELECT c.position, c.subscription_id, c.kind, r.id AS reader, r.sub
    FROM (SELECT position, subscription_id, kind FROM labels WHERE run_id = :run AND position > :after
          ORDER BY position LIMIT :limit) c
    JOIN subscriptions s ON s.id = c.subscription_id JOIN subscribers r ON r.id = s.subscriber_id
    ORDER BY r.id FOR NO KEY UPDATE OF r
    """
)
_READERS = text(
    """
    SELECT s.id AS subscription_id, r.id AS reader, r.sub FROM subscriptions s JOIN subscribers r ON r.id = s.subscriber_id
    WHERE s.id = ANY(:ids) ORDER BY r.id FOR NO KEY UPDATE OF r
    """
).bindparams(bindparam("ids", type_=ARRAY(TEXT)))
_IS_WANTED = text(
    "SELECT EXISTS (SELECT FROM webhook_endpoints WHERE disabled_at IS NULL"
    " AND (cardinality(types) = 0 OR :type = ANY(types)))"
)


@dataclass(frozen=True, slots=True)
class MailedRun:
    """A run whose copies were mailed, and are announced up to a position."""

    id: str
    issue_number: int
    announced: int
    mailed_on: date


@dataclass(frozen=True, slots=True)
class UncheckedRun:
    """A run for which it is announced who has no address: those up to a subscription."""

    id: str
    issue_number: int
    through: str


@dataclass(frozen=True, slots=True)
class CopyOwner:
    """A subscription with its reader, who is locked. Without a label, the position is 0."""

    subscription_id: str
    reader: str
    sub: str
    kind: str = ""
    position: int = 0


async def next_mailed(session: Session, *, today: date) -> MailedRun | None:
    """Return a run that was mailed by a day and is not announced whole, locked."""
    row = (await session.execute(_MAILED_RUN, {"today": today})).one_or_none()
    return MailedRun(*row) if row is not None else None


async def next_unchecked(session: Session) -> UncheckedRun | None:
    """Return a run for which it is not announced who has no address, locked."""
    row = (await session.execute(_UNCHECKED_RUN)).one_or_none()
    return UncheckedRun(*row) if row is not None else None


async def copies(session: Session, run: MailedRun, *, limit: int) -> list[CopyOwner]:
    """Return the next copies of a run. Their readers are locked."""
    rows = await session.execute(_COPIES, {"run": run.id, "after": run.announced, "limit": limit})
    return [CopyOwner(row.subscription_id, row.reader, row.sub, row.kind, row.position) for row in rows]


async def without_address(session: Session, selection: Selection, *, after: str, limit: int) -> list[str]:
    """Return the subscriptions after an ID that are owed a copy and have no address to use, in the order of their IDs."""
    found = await long_statements.fetch(session, ADDRESSLESS, (*selection.parameters, after, limit))
    return [row[0] for row in found]


async def owners(session: Session, subscription_ids: Sequence[str]) -> list[CopyOwner]:
    """Return the readers of subscriptions, locked."""
    rows = await session.execute(_READERS, {"ids": list(subscription_ids)})
    return [CopyOwner(row.subscription_id, row.reader, row.sub) for row in rows]


async def is_wanted(session: Session, type_: str) -> bool:
    """Return whether any endpoint asks for a type of event."""
    return bool(await session.scalar(_IS_WANTED, {"type": type_}))


async def mark_announced(session: Session, run_id: str, *, position: int | None) -> None:
    """Record up to which position the copies of a run are announced; None: all."""
    value = LabelRun.copies if position is None else position
    await session.execute(update(LabelRun).where(LabelRun.id == run_id).values(announced=value))


async def mark_checked_through(session: Session, run_id: str, subscription_id: str) -> None:
    """Record up to which subscription it is announced who has no address for the copies of a run."""
    await session.execute(update(LabelRun).where(LabelRun.id == run_id).values(addresses_through=subscription_id))


async def mark_checked(session: Session, run_ids: Sequence[str]) -> None:
    """Record that it is announced who has no address for the copies of runs."""
    await session.execute(update(LabelRun).where(LabelRun.id.in_(run_ids)).values(addresses_announced=True))
