"""
Changes that derive grants again, and the queue of the subscriptions that they affect.

A change first queues the affected subscriptions, in slices. Workers then take slices of the queue. Both are safe to
interrupt: a slice is one transaction, and what was queued twice is derived twice, with the same result.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, TextClause, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT, TIMESTAMP

from app.db.copies import closes_on
from app.db.engine.session import Session, new_id
from app.db.models import CalendarWork, Comp, DerivationRun, Subscription
from app.domain.calendar_changes import AffectedTerms
from app.domain.subscriptions import OVER

CALENDAR, CATALOGUE, NOTICES, DELAY = "calendar", "catalogue", "notices", "delay"
COMP_PREFIX = "cmp_"
ONCE_AND_LATER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A change, and how far it is."""

    id: str
    kind: str
    change: Mapping[str, Any]
    editions: Sequence[str]
    found: int
    visited: int
    changed: int
    is_queued: bool  # all affected subscriptions
    created_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, slots=True)
class Queued:
    """A subscription or comp in the queue."""

    id: str
    run_id: str | None
    attempts: int


@dataclass(frozen=True, slots=True)
class Ordered:
    """A derivation that a migration has ordered."""

    id: str
    change: Mapping[str, Any]
    repeated: int
    is_later: bool  # whether it was first repeated a day ago, so that no worker of the release before runs anymore

    @property
    def is_done(self) -> bool:
        """Whether it was repeated after the last worker of the release before had stopped."""
        return self.repeated >= ONCE_AND_LATER

    @property
    def is_due(self) -> bool:
        """Whether it must be repeated now."""
        return not self.repeated or (self.is_later and not self.is_done)


async def add_run(session: Session, kind: str, change: Mapping[str, object], *, replaced: str) -> str:
    """
    Add a change, for workers to follow.

    :param replaced: the edition that it replaces. Editions that unfinished changes still wait for are waited for as well.
    """
    waiting = await session.scalars(
        select(func.unnest(DerivationRun.editions)).where(DerivationRun.due_at.is_not(None)).distinct()
    )
    run_id = new_id("run")
    editions = sorted({replaced, *waiting})
    session.add(
        DerivationRun(id=run_id, kind=kind, change=dict(change), editions=editions, work_key=run_id, due_at=func.now())
    )
    await session.flush()
    return run_id


async def run(session: Session, run_id: str) -> Run | None:
    """Return a change; None if it doesn't exist."""
    row = await session.get(DerivationRun, run_id, populate_existing=True)
    return _run(row) if row is not None else None


async def runs(session: Session, *, limit: int) -> list[Run]:
    """Return the last changes, the newest first."""
    rows = await session.scalars(select(DerivationRun).order_by(DerivationRun.created_at.desc()).limit(limit))
    return [_run(row) for row in rows]


async def unfinished(session: Session) -> list[Run]:
    """Return the changes that workers follow at the moment, the oldest first."""
    rows = await session.scalars(
        select(DerivationRun).where(DerivationRun.finished_at.is_(None)).order_by(DerivationRun.created_at)
    )
    return [_run(row) for row in rows]


async def must_repeat_notices(session: Session) -> bool:
    """Return whether the notices were followed, and not yet again with ``{"again": true}``."""
    return bool(await session.scalar(_MUST_REPEAT))


async def special_issues(session: Session) -> Ordered | None:
    """Return the derivation around special issues that a migration has ordered; None if it has not."""
    row = (await session.execute(_SPECIAL_ISSUES)).one_or_none()
    return Ordered(row.id, row.change, row.repeated, row.is_later) if row is not None else None


async def postpone_run(session: Session, run_id: str, pause: timedelta) -> None:
    """Make a change due again after a pause, without counting an attempt."""
    await session.execute(
        update(DerivationRun).where(DerivationRun.id == run_id).values(due_at=func.now() + pause, attempts=0)
    )


async def complete_queue(session: Session, run_id: str) -> None:
    """Record that all affected subscriptions are queued."""
    await session.execute(
        update(DerivationRun).where(DerivationRun.id == run_id).values(due_at=None, attempts=0, last_error=None)
    )


async def affected(session: Session, found: Run, *, size: int) -> AsyncIterator[Sequence[str]]:
    """Yield the IDs of the subscriptions and comps that a change affects, in slices. Some may come twice."""
    statement, values = _affected(found)
    stream = await session.stream(statement, values)
    async for rows in stream.partitions(size):
        yield [row[0] for row in rows]


async def count_affected(session: Session, change: AffectedTerms) -> int:
    """Return how many subscriptions a change of the calendar would affect."""
    return await session.scalar(_COUNT_OF_TERMS, _values(change)) or 0


def _affected(found: Run) -> tuple[TextClause, dict[str, object]]:
    if found.kind == CATALOGUE:
        return _OF_PLANS, {"plans": list(found.change["plans"]), "over": sorted(OVER)}
    if found.kind == NOTICES:
        return _RUNNING, {"over": sorted(OVER)}
    if found.kind == DELAY:
        return _OWED_COPY, {"issue": found.change["issue"]}
    return _OF_TERMS, _values(AffectedTerms.load(dict(found.change)))


def _values(change: AffectedTerms) -> dict[str, object]:
    return {
        "last": [number for number, _ in change.ends],
        "until": [until for _, until in change.ends],
        "since": change.since,
        "beyond": change.beyond,
        "starts": [period[0] for period in change.begun],
        "ends": [period[1] for period in change.begun],
    }


# One indexed query for each way to be affected, because OR would scan the table. A term with 0 owes nothing anymore.
_TERMS = f"""
    SELECT subscription_id FROM unnest(:last, :until) AS ended (number, until)
        JOIN terms ON terms.last_issue = ended.number AND terms.ends_at < ended.until
    UNION ALL SELECT subscription_id FROM terms WHERE last_issue >= :since
    UNION ALL SELECT subscription_id FROM terms WHERE :beyond AND last_issue IS NULL
    UNION ALL SELECT terms.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
        JOIN terms ON terms.starts_at BETWEEN begun.first AND begun.last AND terms.last_issue IS DISTINCT FROM 0
    UNION ALL SELECT paid.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
        JOIN payments paid ON paid.paid_at BETWEEN begun.first AND begun.last  -- a late renewal starts with its payment
        JOIN terms ON terms.invoice_id = paid.invoice_id AND terms.starts_at < paid.paid_at
            AND terms.last_issue IS DISTINCT FROM 0
    UNION ALL SELECT adjusted.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
        JOIN issue_adjustments adjusted ON adjusted.created_at BETWEEN begun.first AND begun.last
    UNION ALL SELECT terms.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
        JOIN terms ON terms.print_from BETWEEN begun.first AND begun.last
    UNION ALL SELECT terms.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
        JOIN terms ON terms.print_until BETWEEN begun.first AND begun.last
    UNION ALL SELECT terms.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
        JOIN terms ON terms.earlier_print <> '{{}}'
            AND EXISTS (SELECT FROM unnest(terms.earlier_print) at WHERE at BETWEEN begun.first AND begun.last)
    UNION ALL SELECT terms.subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
        JOIN terms ON terms.copies_ended_at BETWEEN begun.first AND begun.last
    UNION ALL SELECT owned.id AS subscription_id FROM unnest(:starts, :ends) AS begun (first, last)
        JOIN holds ON holds.over_by >= begun.first::date - 1 AND holds.starts_on <= begun.last::date + 1
            AND (holds.ended_on IS NULL OR holds.ended_on >= begun.first::date - 1)
            AND (holds.issues IS NULL OR holds.ended_on IS NOT NULL OR holds.issues > (
                SELECT count(*) FROM issues  -- once it has held as many issues as it should, it is over
                WHERE counts_as > 0 AND label_cutoff < begun.first::date - 1
                    AND {closes_on("issues")} >= holds.starts_on))
        JOIN subscriptions owned ON owned.subscriber_id = holds.subscriber_id
"""  # noqa: S608 - no values
_PARAMETERS = (
    bindparam("last", type_=ARRAY(BigInteger)),
    bindparam("until", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("since", type_=BigInteger),
    bindparam("starts", type_=ARRAY(TIMESTAMP(timezone=True))),
    bindparam("ends", type_=ARRAY(TIMESTAMP(timezone=True))),
)
_OF_TERMS = text(_TERMS).bindparams(*_PARAMETERS)
_COUNT_OF_TERMS = text(f"SELECT count(DISTINCT subscription_id) FROM ({_TERMS}) AS affected").bindparams(  # noqa: S608
    *_PARAMETERS
)
# A subscription that is over is left out once nothing of it runs or is owed.
_OF_PLANS = text(
    """
    SELECT owned.id FROM subscriptions owned
    WHERE (owned.plan = ANY(:plans)
           OR EXISTS (SELECT FROM terms WHERE terms.subscription_id = owned.id AND terms.plan = ANY(:plans)))
      AND (owned.status <> ALL(:over)
           OR EXISTS (SELECT FROM terms WHERE terms.subscription_id = owned.id
                      AND (terms.ends_at > now() OR terms.last_issue IS DISTINCT FROM 0)))
    UNION ALL SELECT id FROM comps WHERE plan = ANY(:plans) AND removed_at IS NULL
    """
).bindparams(bindparam("plans", type_=ARRAY(TEXT)), bindparam("over", type_=ARRAY(TEXT)))
_OWED_COPY = text(
    "SELECT DISTINCT subscription_id FROM terms"
    " WHERE print_edition AND copies @> CAST(:issue AS integer) AND copies_ended_at IS NULL"
)
_RUNNING = text("SELECT id FROM subscriptions WHERE status <> ALL(:over)").bindparams(
    bindparam("over", type_=ARRAY(TEXT))
)
_MUST_REPEAT = text(
    "SELECT count(*) > 0 AND bool_and(change->>'again' IS NULL) FROM derivation_runs WHERE kind = 'notices'"
)
_SPECIAL_ISSUES = text(
    """
    SELECT ordered.id, ordered.change, count(repeat.id) AS repeated,
        coalesce(min(repeat.created_at) <= now() - interval '1 day', false) AS is_later
    FROM derivation_runs ordered LEFT JOIN derivation_runs repeat ON repeat.change->>'repeats' = ordered.id
    WHERE ordered.id = 'run_special_issues' GROUP BY ordered.id
    """
)
_QUEUE = text(
    """
    INSERT INTO calendar_work (id, work_key, due_at, run_id)
    SELECT DISTINCT id, 'ledger:' || id, now(), :run FROM unnest(:ids) AS affected (id) ORDER BY id
    ON CONFLICT (id) DO UPDATE
        SET due_at = now(), told = calendar_work.told + 1, attempts = 0, run_id = excluded.run_id
    """
).bindparams(bindparam("ids", type_=ARRAY(TEXT)))


async def queue(session: Session, run_id: str, ids: Sequence[str]) -> None:
    """Queue subscriptions and comps. The rows are locked in the order of their IDs."""
    await session.execute(_QUEUE, {"run": run_id, "ids": list(ids)})
    await session.execute(
        update(DerivationRun).where(DerivationRun.id == run_id).values(found=DerivationRun.found + len(set(ids)))
    )


async def has_subscribers(session: Session) -> bool:
    """Return whether anything can be affected."""
    for column in (Subscription.id, Comp.id):
        if await session.scalar(select(column).order_by(column).limit(1)) is not None:
            return True
    return False


async def fail(session: Session, row: Queued, error: str, pause: timedelta) -> None:
    """Record a failed attempt, and make the row due again after a pause."""
    values = {"due_at": func.now() + pause, "attempts": CalendarWork.attempts + 1, "last_error": error[:1000]}
    await session.execute(update(CalendarWork).where(CalendarWork.id == row.id).values(values))


async def take_old_changes(session: Session) -> list[Mapping[str, Any]]:
    """Return and delete the changes that the release before has queued."""
    taken = delete(CalendarWork).where(CalendarWork.work_key == "calendar", CalendarWork.due_at <= func.now())
    return list(await session.scalars(taken.returning(CalendarWork.change)))


async def is_due(session: Session) -> bool:
    """Return whether the queue has due rows."""
    oldest = select(CalendarWork.id).where(CalendarWork.due_at <= func.now()).order_by(CalendarWork.due_at).limit(1)
    return await session.scalar(oldest) is not None


_TAKE = text(
    """
    SELECT id, run_id, attempts FROM calendar_work WHERE due_at <= now() AND change IS NULL
    ORDER BY due_at LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)
_TAKE_ONE = text(
    """
    SELECT id, run_id, attempts FROM calendar_work WHERE id = :id AND due_at <= now() AND change IS NULL
    FOR UPDATE SKIP LOCKED
    """
)
_POSTPONE = text("UPDATE calendar_work SET due_at = now() + :pause WHERE id = ANY(:ids)").bindparams(
    bindparam("pause", type_=INTERVAL), bindparam("ids", type_=ARRAY(TEXT))
)
_FINISH = text(
    """
    UPDATE derivation_runs SET finished_at = now()
    WHERE finished_at IS NULL AND due_at IS NULL
      AND NOT EXISTS (SELECT FROM calendar_work WHERE calendar_work.run_id = derivation_runs.id)
    RETURNING id
    """
)


async def take(session: Session, *, limit: int) -> list[Queued]:
    """Take due rows, and lock them until this transaction ends. Rows that another worker has taken are skipped."""
    return [Queued(row.id, row.run_id, row.attempts) for row in await session.execute(_TAKE, {"limit": limit})]


async def take_one(session: Session, row_id: str) -> Queued | None:
    """Take one row as :func:`take` does; None if it is not due anymore, or another worker has taken it."""
    row = (await session.execute(_TAKE_ONE, {"id": row_id})).one_or_none()
    return Queued(row.id, row.run_id, row.attempts) if row is not None else None


async def complete(session: Session, rows: Sequence[Queued], changed: frozenset[str]) -> None:
    """Remove rows from the queue, and count them and those with changed access."""
    await session.execute(delete(CalendarWork).where(CalendarWork.id.in_([row.id for row in rows])))
    for run_id in sorted({row.run_id for row in rows if row.run_id is not None}):
        ids = [row.id for row in rows if row.run_id == run_id]
        counts = {
            "visited": DerivationRun.visited + len(ids),
            "changed": DerivationRun.changed + len(changed.intersection(ids)),
        }
        # Last and in order, because the slices of other workers wait for these rows.
        await session.execute(update(DerivationRun).where(DerivationRun.id == run_id).values(counts))


async def postpone(session: Session, ids: Sequence[str], pause: timedelta) -> None:
    """Make rows due again after a pause."""
    if ids:
        await session.execute(_POSTPONE, {"ids": list(ids), "pause": pause})


async def finish(session: Session) -> list[str]:
    """Mark the changes that are followed completely as finished, and return them."""
    return list(await session.scalars(_FINISH))


def _run(row: DerivationRun) -> Run:
    return Run(
        id=row.id,
        kind=row.kind,
        change=row.change,
        editions=row.editions,
        found=row.found,
        visited=row.visited,
        changed=row.changed,
        is_queued=row.due_at is None,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
