"""Declarations of readers who leave; see :mod:`app.domain.declarations`. What was received never changes."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import INTERVAL

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Declaration as Row
from app.db.models import table_of
from app.domain.declarations import REVOCABLE, Channel, Declaration, DeclarationKind, DeclarationStatus

MOST = 50  # of one reader
_ROWS = table_of(Row)
_OF_SUBSCRIBER = (
    select(*_ROWS.c)
    .where(_ROWS.c.subscriber_id == bindparam("subscriber"))
    .order_by(_ROWS.c.received_at.desc(), _ROWS.c.id.desc())
    .limit(MOST)
)


async def insert(session: Session, declaration: Declaration, *, due_in: timedelta | None = None) -> None:
    """Store a declaration as it was received. ``due_in``: when a worker looks at it; None: nothing is left to do."""
    session.add(
        Row(
            id=declaration.id,
            kind=declaration.kind,
            channel=declaration.channel,
            received_at=declaration.received_at,
            subscriber_id=declaration.subscriber_id,
            subscription_id=declaration.subscription_id,
            words=dict(declaration.words),
            place=declaration.place,
            law=declaration.law,
            acknowledgment=declaration.acknowledgment,
            status=declaration.status,
            ends_at=declaration.ends_at,
            refund_id=declaration.refund_id,
            work_key=f"declaration:{declaration.id}",
            due_at=func.now() + bindparam(None, due_in, type_=INTERVAL) if due_in is not None else None,
        )
    )
    await session.flush()


async def by_id(session: Session, declaration_id: str) -> Declaration | None:
    """Return a declaration."""
    rows = await session.execute(select(*_ROWS.c).where(_ROWS.c.id == declaration_id))
    return _first(rows.all())


async def withdrawal_from(session: Session, subscription_id: str) -> Declaration | None:
    """Return the withdrawal from a subscription's contract, if there is one."""
    rows = await session.execute(
        select(*_ROWS.c).where(_ROWS.c.subscription_id == subscription_id, _ROWS.c.kind == DeclarationKind.WITHDRAWAL)
    )
    return _first(rows.all())


async def of_subscriber(session: Reads, subscriber_id: str) -> list[Declaration]:
    """Return a reader's declarations, the newest first."""
    return [_declaration(row) for row in await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id})]


async def newest_cancellation(session: Session, subscription_id: str) -> Declaration | None:
    """Return the newest cancellation of a subscription, if there is one."""
    rows = await session.execute(
        select(*_ROWS.c)
        .where(_ROWS.c.subscription_id == subscription_id, _ROWS.c.kind == DeclarationKind.CANCELLATION)
        .order_by(_ROWS.c.received_at.desc(), _ROWS.c.id.desc())
        .limit(1)
    )
    return _first(rows.all())


async def set_outcome(session: Session, declared: Declaration, *, due_in: timedelta | None = None) -> None:
    """Store what became of a declaration, and when a worker looks at it again; None: nothing is left to do."""
    await session.execute(
        update(Row)
        .where(Row.id == declared.id)
        .values(
            status=declared.status,
            # An erasure may have set it meanwhile.
            subscriber_id=func.coalesce(declared.subscriber_id, Row.subscriber_id),
            subscription_id=declared.subscription_id,
            ends_at=declared.ends_at,
            refund_id=declared.refund_id,
            due_at=func.now() + bindparam(None, due_in, type_=INTERVAL) if due_in is not None else None,
            attempts=0,
            last_error=None,
        )
    )


async def revoke_notice(session: Session, subscription_id: str) -> bool:
    """Record that a subscription goes on after all. Return whether it was to end."""
    revoked = await session.scalars(
        update(Row)
        .where(Row.subscription_id == subscription_id, Row.status.in_(REVOCABLE))
        .values(status=DeclarationStatus.REVOKED, due_at=None)
        .returning(Row.id)
    )
    return bool(revoked.all())


async def settle(session: Session, declaration_id: str, *, by: str, now: datetime) -> None:
    """Record that staff acted on a declaration."""
    await session.execute(
        update(Row)
        .where(Row.id == declaration_id)
        .values(status=DeclarationStatus.SETTLED, settled_by=by, settled_at=now)
    )


def _first(rows: Sequence[Record]) -> Declaration | None:
    return _declaration(rows[0]) if rows else None


def _declaration(row: Record) -> Declaration:
    return Declaration(
        id=row.id,
        kind=DeclarationKind(row.kind),
        channel=Channel(row.channel),
        received_at=row.received_at,
        subscriber_id=row.subscriber_id,
        subscription_id=row.subscription_id,
        words=row.words,
        place=row.place,
        law=row.law,
        acknowledgment=row.acknowledgment,
        status=DeclarationStatus(row.status),
        ends_at=row.ends_at,
        refund_id=row.refund_id,
        settled_by=row.settled_by,
        settled_at=row.settled_at,
    )
