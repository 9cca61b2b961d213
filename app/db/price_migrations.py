"""Price migrations and their changes. See :mod:`app.domain.price_migrations`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from sqlalchemy import any_, bindparam, func, select, true, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, TIMESTAMP
from sqlalchemy.dialects.postgresql import insert as upsert

from app.db import subscriptions
from app.db.engine import leases
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import PriceChange as ChangeRow
from app.db.models import PriceMigration as Row
from app.db.models import Subscription as SubscriptionRow
from app.db.models import table_of
from app.domain.price_migrations import (
    OPEN,
    STOPPABLE,
    UNFINISHED,
    UNSWITCHED,
    UPCOMING,
    ChangeStatus,
    ItemChange,
    Keeps,
    MigrationStatus,
    PriceChange,
    PriceMigration,
    Quote,
    Target,
    notice_about,
)
from app.domain.subscriptions import Subscription

BATCH = 500  # changes that become due in one transaction
_CHANGES, _SUBSCRIPTIONS = table_of(ChangeRow), table_of(SubscriptionRow)
_OPEN_CHANGE = (
    select(*(column.label(f"change_{column.name}") for column in _CHANGES.c))
    .where(
        _CHANGES.c.subscription_id == _SUBSCRIPTIONS.c.id,
        _CHANGES.c.status == any_(bindparam("open", sorted(OPEN), type_=ARRAY(TEXT))),
        _CHANGES.c.renewal_at > bindparam("now", type_=TIMESTAMP(timezone=True)),
    )
    .order_by(_CHANGES.c.announced_at.desc().nulls_last(), _CHANGES.c.id.desc())
    .limit(1)
    .lateral()
)
# One statement, because the reader's page shows both.
_WITH_SUBSCRIPTIONS = (
    select(*_SUBSCRIPTIONS.c, *_OPEN_CHANGE.c)
    .join_from(_SUBSCRIPTIONS, _OPEN_CHANGE, true(), isouter=True)
    .where(_SUBSCRIPTIONS.c.subscriber_id == bindparam("subscriber"))
    .order_by(_SUBSCRIPTIONS.c.created_at, _SUBSCRIPTIONS.c.id)
)


def work_key(stripe_id: str) -> str:
    """Return the work key of a subscription's change, so that one process at a time handles it."""
    return f"price:{stripe_id}"


async def insert(session: Session, migration: PriceMigration, *, list_again_at: datetime) -> None:
    """Insert a migration whose subscriptions are listed now, and once more later."""
    session.add(
        Row(
            id=migration.id,
            plan=migration.plan,
            currency=migration.currency,
            targets=[asdict(target) for target in migration.targets],
            versions=list(migration.versions),
            from_at=migration.from_at,
            status=migration.status,
            publisher_sends_notices=migration.publisher_sends_notices,
            requested_by=migration.requested_by,
            created_at=migration.created_at,
            list_again_at=list_again_at,
            work_key=f"price_migration:{migration.id}",
            due_at=func.now(),
        )
    )
    await session.flush()
    await leases.notify(session)


async def lock_plan(session: Session, plan: str) -> None:
    """Let one transaction at a time start a migration of a plan."""
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"price_migration:{plan}"))))


async def by_id(session: Session, migration_id: str, *, lock: bool = False) -> PriceMigration | None:
    """Return a migration."""
    query = select(Row).where(Row.id == migration_id)
    row = await session.scalar(query.with_for_update() if lock else query)
    return _migration(row) if row is not None else None


async def unfinished(session: Session, plan: str) -> PriceMigration | None:
    """Return the migration of a plan that is not finished."""
    row = await session.scalar(select(Row).where(Row.plan == plan, Row.status.in_(UNFINISHED)))
    return _migration(row) if row is not None else None


async def running(session: Session) -> list[PriceMigration]:
    """Return the migrations whose subscriptions are listed and that are not finished."""
    rows = await session.scalars(select(Row).where(Row.status == MigrationStatus.RUNNING).order_by(Row.id))
    return [_migration(row) for row in rows]


async def page(session: Session, *, before: datetime | None, limit: int) -> list[PriceMigration]:
    """Return migrations, newest first."""
    query = select(Row).order_by(Row.created_at.desc()).limit(limit)
    rows = await session.scalars(query if before is None else query.where(Row.created_at < before))
    return [_migration(row) for row in rows]


async def set_status(
    session: Session, migration_id: str, status: MigrationStatus, *, ended_at: datetime | None = None
) -> bool:
    """Store the status of an unfinished migration, which has no work now. Return False if it is finished or stopped."""
    changed = await session.scalar(
        update(Row)
        .where(Row.id == migration_id, Row.status.in_(UNFINISHED))
        .values(status=status, ended_at=ended_at, due_at=None, attempts=0, last_error=None)
        .returning(Row.id)
    )
    return changed is not None


async def clear_due(session: Session, migration_id: str) -> None:
    """Mark a migration as having no work left."""
    await session.execute(update(Row).where(Row.id == migration_id).values(due_at=None))


async def set_listed(session: Session, migration_id: str, *, listed_at: datetime) -> None:
    """Record that the subscriptions were listed at ``listed_at``, and whether that was the last time."""
    is_last = (Row.id == migration_id, Row.list_again_at <= listed_at)
    await session.execute(update(Row).where(*is_last).values(list_again_at=None))


async def finish(session: Session, migration_id: str, *, now: datetime) -> bool:
    """Finish a running migration that was listed for the last time and has no open change. Return whether it was that."""
    left = [  # the first entry of the index for each status, however many there are
        select(ChangeRow.id)
        .where(ChangeRow.migration_id == migration_id, ChangeRow.status == status)
        .order_by(ChangeRow.id)
        .limit(1)
        .scalar_subquery()
        .is_(None)
        for status in sorted(OPEN)
    ]
    done = await session.scalar(
        update(Row)
        .where(Row.id == migration_id, Row.status == MigrationStatus.RUNNING, Row.list_again_at.is_(None), *left)
        .values(status=MigrationStatus.FINISHED, ended_at=now)
        .returning(Row.id)
    )
    return done is not None


async def queue_due(session: Session, *, now: datetime) -> int:
    """Make the changes and the lists due whose policy time has come. Return how many changes, at most :data:`BATCH`."""
    await session.execute(
        update(Row)
        .where(Row.list_again_at <= now, Row.status == MigrationStatus.RUNNING, Row.due_at.is_(None))
        .values(due_at=func.now())
    )
    come = select(ChangeRow.id).where(ChangeRow.act_at <= now).order_by(ChangeRow.act_at).limit(BATCH)
    found = (await session.scalars(come.with_for_update(skip_locked=True))).all()
    if found:
        await session.execute(update(ChangeRow).where(ChangeRow.id.in_(found)).values(act_at=None, due_at=func.now()))
    await leases.notify(session)
    return len(found)


async def add_changes(session: Session, changes: Sequence[PriceChange]) -> int:
    """Insert the changes of subscriptions that the migration does not have yet. Return how many those are."""
    if not changes:
        return 0
    made = await session.scalars(
        upsert(ChangeRow)
        .values([_values(change) for change in changes])
        .on_conflict_do_nothing(index_elements=["migration_id", "stripe_id"])
        .returning(ChangeRow.id)
    )
    return len(made.all())


def new_change_id() -> str:
    """Return a new ID."""
    return new_id("pcg")


def new_migration_id() -> str:
    """Return a new ID."""
    return new_id("pmg")


async def change_by_id(session: Session, change_id: str, *, lock: bool = False) -> PriceChange | None:
    """Return a change."""
    query = select(ChangeRow).where(ChangeRow.id == change_id)
    row = await session.scalar((query.with_for_update() if lock else query).execution_options(populate_existing=True))
    return _change(row) if row is not None else None


async def save_change(session: Session, change: PriceChange, *, again_in: timedelta | None = None) -> None:
    """
    Store what a change has become, and when it is looked at next.

    :param again_in: also due again after this time of the database, while something outside is awaited.
    """
    values = _values(change)
    del values["id"], values["migration_id"], values["stripe_id"], values["work_key"]
    due_at = None if again_in is None else func.now() + again_in
    await session.execute(
        update(ChangeRow).where(ChangeRow.id == change.id).values(**values, due_at=due_at, attempts=0, last_error=None)
    )


async def clear_change_due(session: Session, change_id: str) -> None:
    """Mark a change as having no work now."""
    await session.execute(update(ChangeRow).where(ChangeRow.id == change_id).values(due_at=None))


async def stop_changes(session: Session, migration_id: str) -> Sequence[str]:
    """
    Stop the changes of a migration for which Stripe was not asked yet. They are due: for their notices.

    Those for which it was asked are locked, so that their next step sees the stopped migration.

    :return: what the newest notice of each stopped change is about.
    """
    unswitched = select(ChangeRow.id).where(ChangeRow.migration_id == migration_id, ChangeRow.status.in_(UNSWITCHED))
    await session.execute(unswitched.order_by(ChangeRow.id).with_for_update())
    stopped = await session.execute(
        update(ChangeRow)
        .where(
            ChangeRow.migration_id == migration_id,
            ChangeRow.status.in_(STOPPABLE),
        )
        .values(status=ChangeStatus.STOPPED, reason=Keeps.MIGRATION_STOPPED, act_at=None, due_at=func.now())
        .returning(ChangeRow.subscription_id, ChangeRow.id, ChangeRow.notices)
    )
    return [notice_about(*one) for one in stopped]


async def counts(session: Session, migration_id: str) -> Mapping[tuple[str, str | None], int]:
    """Return the number of changes by status and reason."""
    found = await session.execute(
        select(ChangeRow.status, ChangeRow.reason, func.count())
        .where(ChangeRow.migration_id == migration_id)
        .group_by(ChangeRow.status, ChangeRow.reason)
    )
    return {(status, reason): count for status, reason, count in found}


async def changes(
    session: Session, migration_id: str, *, status: str | None, after: str | None, limit: int
) -> list[PriceChange]:
    """Return the changes of a migration by ID."""
    query = select(ChangeRow).where(ChangeRow.migration_id == migration_id)
    if status is not None:
        query = query.where(ChangeRow.status == status)
    if after is not None:
        query = query.where(ChangeRow.id > after)
    return [_change(row) for row in await session.scalars(query.order_by(ChangeRow.id).limit(limit))]


async def upcoming(session: Session, subscription_id: str, *, now: datetime) -> PriceChange | None:
    """Return the change of which the reader was told and whose renewal is ahead."""
    row = await session.scalar(
        select(ChangeRow)
        .where(
            ChangeRow.subscription_id == subscription_id,
            ChangeRow.status.in_(UPCOMING),
            ChangeRow.renewal_at > now,
        )
        .order_by(ChangeRow.announced_at.desc())
        .limit(1)
    )
    return _change(row) if row is not None else None


async def with_subscriptions(
    session: Reads, subscriber_id: str, *, now: datetime
) -> list[tuple[Subscription, PriceChange | None]]:
    """Return all subscriptions of a subscriber, earliest first, each with its open change whose renewal is ahead."""
    rows = await session.execute(_WITH_SUBSCRIPTIONS, {"subscriber": subscriber_id, "now": now})
    return [
        (subscriptions.of_row(row), _change(row, prefix="change_") if row.change_id is not None else None)
        for row in rows
    ]


def _values(change: PriceChange) -> dict[str, object]:
    quote = change.quote
    return {
        "id": change.id,
        "migration_id": change.migration_id,
        "stripe_id": change.stripe_id,
        "subscription_id": change.subscription_id,
        "subscriber_id": change.subscriber_id,
        "status": change.status,
        "reason": change.reason,
        "currency": change.currency,
        "items": [asdict(item) for item in change.items],
        "renewal_at": change.renewal_at,
        "total": quote.total if quote else None,
        "tax": quote.tax if quote else None,
        "before": quote.before if quote else None,
        "announced_at": change.announced_at,
        "notices": change.notices,
        "act_at": change.act_at,
        "work_key": work_key(change.stripe_id),
    }


def _migration(row: Row) -> PriceMigration:
    return PriceMigration(
        id=row.id,
        plan=row.plan,
        currency=row.currency,
        targets=tuple(Target(**target) for target in row.targets),
        versions=tuple(row.versions),
        from_at=row.from_at,
        status=MigrationStatus(row.status),
        publisher_sends_notices=row.publisher_sends_notices,
        requested_by=row.requested_by,
        created_at=row.created_at,
        ended_at=row.ended_at,
    )


def _change(row: ChangeRow | Record, *, prefix: str = "") -> PriceChange:
    found = {column.name: getattr(row, prefix + column.name) for column in _CHANGES.c}
    total, tax, before = found["total"], found["tax"], found["before"]
    has_quote = total is not None and tax is not None and before is not None
    return PriceChange(
        id=found["id"],
        migration_id=found["migration_id"],
        subscription_id=found["subscription_id"],
        subscriber_id=found["subscriber_id"],
        stripe_id=found["stripe_id"],
        status=ChangeStatus(found["status"]),
        reason=found["reason"],
        currency=found["currency"],
        items=tuple(ItemChange(**item) for item in found["items"]),
        renewal_at=found["renewal_at"],
        quote=Quote(total=total, tax=tax, before=before) if has_quote else None,
        announced_at=found["announced_at"],
        notices=found["notices"],
        act_at=found["act_at"],
        last_error=found["last_error"],
    )
