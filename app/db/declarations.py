"""Declarations of readers who leave; see :mod:`app.domain.declarations`. What was received never changes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, select, update

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session
from app.db.models import Declaration as Row
from app.db.models import table_of
from app.domain.declarations import Channel, Declaration, DeclarationKind, DeclarationStatus

MOST = 50  # of one reader
_ROWS = table_of(Row)
_OF_SUBSCRIBER = (
    select(*_ROWS.c)
    .where(_ROWS.c.subscriber_id == bindparam("subscriber"))
    .order_by(_ROWS.c.received_at.desc(), _ROWS.c.id.desc())
    .limit(MOST)
)


async def insert(session: Session, declaration: Declaration) -> None:
    """Store a declaration as it was received."""
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
