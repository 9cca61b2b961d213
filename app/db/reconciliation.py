"""
Sweeps: comparisons of our data with Stripe's lists. Each is a row with its progress and its differences.

A page's differences, the refetches that repair them and the new position are saved in one transaction, and only if nobody
else advanced the sweep. So a sweep can be interrupted anywhere, and two workers never repeat a page.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import and_, bindparam, delete, distinct, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import INTERVAL, insert

from app.db import inbox
from app.db.engine.arrays import among
from app.db.engine.session import Session, new_id
from app.db.inbox_writer import NO_KEY
from app.db.models import Difference as DifferenceRow
from app.db.models import Event, Payment, Refund, Subscriber, Subscription
from app.db.models import Sweep as Row
from app.domain.errors import ConcurrentUpdate
from app.domain.events import EventState, RefetchRequest
from app.domain.reconciliation import PHASES, Difference, SweepKind, SweepPhase

WORK_KEY = "reconcile"
SCHEDULE = "schedule"  # ``by`` of scheduled sweeps
_FOR_REVIEW = and_(DifferenceRow.key.is_(None), DifferenceRow.code.is_(None))  # no refetch resolves them
_UNUSUAL = func.count(distinct(tuple_(DifferenceRow.object_id, DifferenceRow.code))).filter(
    DifferenceRow.code.is_not(None)
)
A_MOMENT = timedelta(minutes=1)  # in which workers apply an event, unless something is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A sweep and its progress. Times are the database's, except ``since``, which is policy time."""

    id: str
    kind: str
    by: str
    dry_run: bool
    since: datetime | None
    phase: str
    cursor: Mapping[str, Any]
    counts: Mapping[str, int]
    created_at: datetime
    finished_at: datetime | None

    @property
    def scheduled(self) -> bool:
        """Whether it was started by the schedule."""
        return self.by == SCHEDULE


async def start(session: Session, *, kind: str, by: str, dry_run: bool, since: datetime | None) -> Sweep:
    """Insert a sweep that the caller runs."""
    return await _insert(session, kind=kind, by=by, dry_run=dry_run, since=since, due_in=None)


async def schedule(session: Session, *, due_in: timedelta) -> None:
    """Schedule a sweep unless one is scheduled."""
    await _insert(session, kind=SweepKind.RECONCILE, by=SCHEDULE, dry_run=False, since=None, due_in=due_in)


async def unschedule(session: Session) -> None:
    """Cancel the scheduled sweep, unless it has started."""
    await session.execute(
        update(Row)
        .where(
            Row.by == SCHEDULE, Row.finished_at.is_(None), Row.cursor == {}, Row.phase == PHASES[SweepKind.RECONCILE][0]
        )
        .values(due_at=None, finished_at=func.now(), phase=SweepPhase.DONE)
    )


async def clear_due(session: Session, sweep_id: str) -> None:
    """Clear the due time of a finished sweep, which a worker that was overtaken may have set again."""
    await session.execute(update(Row).where(Row.id == sweep_id, Row.finished_at.is_not(None)).values(due_at=None))


async def _insert(
    session: Session, *, kind: str, by: str, dry_run: bool, since: datetime | None, due_in: timedelta | None
) -> Sweep:
    due = func.now() + bindparam(None, due_in, type_=INTERVAL) if due_in is not None else None
    made = (
        insert(Row)
        .values(
            id=new_id("swp"),
            kind=kind,
            by=by,
            dry_run=dry_run,
            since=since,
            phase=PHASES[kind][0],
            cursor={},
            counts={},
            work_key=WORK_KEY,
            due_at=due,
        )
        .on_conflict_do_nothing()
        .returning(Row)
    )
    row = await session.scalar(made)
    if row is None:  # a sweep is scheduled already
        row = await session.scalar(select(Row).where(Row.by == by, Row.finished_at.is_(None)))
    assert row is not None
    return _sweep(row)


async def by_id(session: Session, sweep_id: str) -> Sweep | None:
    """Return a sweep with its current state."""
    row = await session.get(Row, sweep_id, populate_existing=True)
    return _sweep(row) if row is not None else None


async def unfinished(session: Session, *, kind: str, dry_run: bool, since: datetime | None) -> Sweep | None:
    """Return the newest unfinished sweep of this kind that was not scheduled, from the last week."""
    row = await session.scalar(
        select(Row)
        .where(
            Row.kind == kind,
            Row.dry_run == dry_run,
            Row.since.is_not_distinct_from(since),
            Row.by != SCHEDULE,
            Row.finished_at.is_(None),
            Row.created_at > func.now() - timedelta(days=7),
        )
        .order_by(Row.created_at.desc())
        .limit(1)
    )
    return _sweep(row) if row is not None else None


async def finished_since(session: Session, *, within: timedelta) -> bool:
    """Return whether a complete sweep finished within a period."""
    found = await session.scalar(
        select(Row.id)
        .where(
            Row.kind == SweepKind.RECONCILE,
            Row.dry_run.is_(False),
            Row.since.is_(None),
            Row.finished_at > func.now() - bindparam(None, within, type_=INTERVAL),
            Row.counts != {},
        )
        .limit(1)
    )
    return found is not None


async def advance(
    session: Session,
    sweep: Sweep,
    found: Sequence[Difference],
    *,
    phase: str,
    cursor: Mapping[str, Any],
    looked_at: Mapping[str, int],
    refetch: bool = True,
) -> Sweep:
    """
    Save the differences of a page, the refetches that repair them, and the new position. Return the advanced sweep.

    :param refetch: whether to request refetches; events that were inserted need none.
    :raises ConcurrentUpdate: if another worker advanced the sweep.
    """
    counts = dict(sweep.counts)
    for name, more in looked_at.items():
        counts[name] = counts.get(name, 0) + more
    moved = await session.scalar(
        update(Row)
        .where(Row.id == sweep.id, Row.phase == sweep.phase, Row.cursor == dict(sweep.cursor))
        .values(
            phase=phase,
            cursor=dict(cursor),
            counts=counts,
            **({"finished_at": func.now(), "due_at": None} if phase == SweepPhase.DONE else {}),
        )
        .returning(Row)
    )
    if moved is None:
        raise ConcurrentUpdate(sweep.id)
    for one in found:
        session.add(
            DifferenceRow(sweep_id=sweep.id, object_id=one.object_id, words=one.words, key=one.key, code=one.code)
        )
    if refetch and not sweep.dry_run:
        for key in sorted({one.key for one in found if one.key is not None}):
            await inbox.request_refetch(session, key, why="reconciled")
    await session.flush()
    return _sweep(moved)


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceCounts:
    """How many differences a sweep found."""

    total: int
    for_review: int  # staff must check them
    unusual: int  # objects with a code, each code once


async def count_differences(session: Session, sweep_id: str) -> DifferenceCounts:
    """Return how many differences a sweep found."""
    counts = select(func.count(), func.count().filter(_FOR_REVIEW), _UNUSUAL)
    total, for_review, unusual = (await session.execute(counts.where(DifferenceRow.sweep_id == sweep_id))).one()
    return DifferenceCounts(total=total, for_review=for_review, unusual=unusual)


async def differences(
    session: Session, sweep_id: str, *, only: Literal["for_review", "unusual"] | None = None, limit: int
) -> list[Difference]:
    """Return the first differences of a sweep, in order."""
    query = select(DifferenceRow).where(DifferenceRow.sweep_id == sweep_id)
    if only is not None:
        query = query.where(_FOR_REVIEW if only == "for_review" else DifferenceRow.code.is_not(None))
    # Not by the primary key's index: it begins with the differences of all earlier sweeps.
    rows = await session.scalars(query.order_by(DifferenceRow.id + 0).limit(limit))
    return [Difference(object_id=row.object_id, words=row.words, key=row.key, code=row.code) for row in rows]


async def differing_objects(session: Session, sweep_id: str, object_ids: Sequence[str]) -> set[str]:
    """Return the IDs of the objects for which a sweep found a difference and requested a refetch."""
    found = await session.scalars(
        select(DifferenceRow.object_id).where(
            DifferenceRow.sweep_id == sweep_id,
            among(DifferenceRow.object_id, object_ids),
            DifferenceRow.key.is_not(None),
        )
    )
    return set(found)


async def listed_by_imports(session: Session, object_ids: Sequence[str]) -> set[str]:
    """Return the IDs of the objects that an import has found to be unknown here."""
    imports = select(Row.id).where(Row.kind == SweepKind.IMPORT, Row.dry_run.is_(False))
    found = await session.scalars(
        select(DifferenceRow.object_id).where(
            DifferenceRow.sweep_id.in_(imports), among(DifferenceRow.object_id, object_ids)
        )
    )
    return set(found)


async def unlisted_subscriptions(
    session: Session, since: datetime, until: datetime | None, *, listed: Collection[str]
) -> list[str]:
    """
    Return the Stripe IDs of up to 100 of our subscriptions that were created in a period (end excluded), newest first.

    :param listed: the Stripe IDs to leave out.
    """
    query = (
        select(Subscription.stripe_id).where(Subscription.created_at >= since).order_by(Subscription.created_at.desc())
    )
    if until is not None:
        query = query.where(Subscription.created_at < until)
    found = await session.scalars(query.limit(len(listed) + 100))
    return [stripe_id for stripe_id in found if stripe_id not in listed][:100]


async def pending_keys(session: Session, keys: Sequence[str]) -> set[str]:
    """Return the keys with pending events: their differences are about to disappear."""
    found = await session.scalars(
        select(Event.work_key).where(among(Event.work_key, keys), Event.due_at.is_not(None)).distinct()
    )
    return set(found)


async def is_behind(session: Session) -> bool:
    """Return whether events have been waiting for more than a moment: our data may be older than Stripe's."""
    waiting = select(Event.id).where(Event.due_at.is_not(None), Event.received_at <= func.now() - A_MOMENT)
    return await session.scalar(waiting.limit(1)) is not None


async def known_events(session: Session, ids: Sequence[str]) -> set[str]:
    """Return the IDs of these events that are in the inbox."""
    return set(await session.scalars(select(Event.id).where(among(Event.id, ids))))


async def insert_events(session: Session, arrivals: Sequence[tuple[RefetchRequest, str]]) -> None:
    """Insert events as if a webhook had delivered them."""
    for refetch, payload in arrivals:
        await session.execute(
            insert(Event)
            .values(
                id=refetch.event_id,
                type=refetch.type,
                api_version=refetch.api_version,
                livemode=refetch.livemode,
                object_id=refetch.object_id,
                created_at=refetch.created_at,
                state=EventState.RECEIVED if refetch.ignored is None else EventState.IGNORED,
                reason=refetch.ignored or inbox.FOUND_BY_RECONCILIATION,
                payload=payload,
                is_reduced=True,
                work_key=refetch.key or NO_KEY,
                due_at=func.now() if refetch.ignored is None else None,
            )
            .on_conflict_do_nothing(index_elements=[Event.id])
        )


async def count_objects(session: Session) -> dict[str, int]:
    """Return the number of stored objects of each kind."""
    found: dict[str, int] = {}
    for name, model in (
        (SweepPhase.SUBSCRIPTIONS, Subscription),
        (SweepPhase.PAYMENTS, Payment),
        (SweepPhase.REFUNDS, Refund),
    ):
        found[name] = await session.scalar(select(func.count()).select_from(model)) or 0
    return found


async def known_customers(session: Session, ids: Sequence[str]) -> set[str]:
    """Return the IDs of the customers that belong to subscribers."""
    found = await session.scalars(
        select(Subscriber.stripe_customer_id).where(among(Subscriber.stripe_customer_id, ids))
    )
    return {one for one in found if one is not None}


async def prune(session: Session, *, kept_for: timedelta) -> int:
    """Delete sweeps that finished before a period."""
    old = select(Row.id).where(Row.finished_at < func.now() - bindparam(None, kept_for, type_=INTERVAL))
    await session.execute(delete(DifferenceRow).where(DifferenceRow.sweep_id.in_(old)))
    gone = await session.scalars(delete(Row).where(Row.id.in_(old)).returning(Row.id))
    return len(gone.all())


def _sweep(row: Row) -> Sweep:
    return Sweep(
        id=row.id,
        kind=row.kind,
        by=row.by,
        dry_run=row.dry_run,
        since=row.since,
        phase=row.phase,
        cursor=row.cursor,
        counts=row.counts,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
