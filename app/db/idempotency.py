"""
Idempotency keys of requests that move money, with their first response.

The end of its lease identifies the request that holds a key, because no two leases end at the same time. So a request that
was overtaken can neither store a response nor release the key. All times are the database's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, bindparam, func, select, text, update
from sqlalchemy import delete as delete_rows
from sqlalchemy.dialects.postgresql import INTERVAL

from app.db.engine.session import Session
from app.db.models import IdempotentRequest as Row


@dataclass(frozen=True, slots=True)
class KeyName:
    """The identity of a key: keys are per caller and route."""

    caller: str
    route: str
    key: str


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A key that this request holds, and the ID of the object to create. ``taken_over``: an earlier request crashed."""

    name: KeyName
    object_id: str
    running_until: datetime
    taken_over: bool


@dataclass(frozen=True, slots=True)
class StoredKey:
    """The record of a key that can't be acquired. ``status`` is None while the first request is running."""

    body_hash: str
    status: int | None
    answer: Mapping[str, object] | None


_FORGET = text(
    """
    DELETE FROM idempotent_requests
    WHERE caller = :caller AND route = :route AND key = :key AND created_at <= now() - :kept_for
      AND (running_until IS NULL OR running_until <= clock_timestamp())
    """
).bindparams(bindparam("kept_for", type_=INTERVAL))
# xmax is 0 in a row that this statement inserted, and its own ID in one that it took over.
_TAKE = text(
    """
    INSERT INTO idempotent_requests (caller, route, key, body_hash, object_id, running_until)
    VALUES (:caller, :route, :key, :body_hash, :object_id, clock_timestamp() + :lease)
    ON CONFLICT (caller, route, key) DO UPDATE SET running_until = clock_timestamp() + :lease
    WHERE idempotent_requests.status IS NULL AND idempotent_requests.running_until <= clock_timestamp()
      AND idempotent_requests.body_hash = excluded.body_hash
    RETURNING object_id, running_until, xmax <> 0
    """
).bindparams(bindparam("lease", type_=INTERVAL))


async def acquire(
    session: Session, name: KeyName, *, body_hash: str, object_id: str, lease: timedelta, kept_for: timedelta
) -> HeldKey | None:
    """Acquire a key that is new, or whose holder crashed with the same body. Return None if it is held or has a response."""
    known_by = {"caller": name.caller, "route": name.route, "key": name.key}
    await session.execute(_FORGET, {**known_by, "kept_for": kept_for})
    taken = await session.execute(_TAKE, {**known_by, "body_hash": body_hash, "object_id": object_id, "lease": lease})
    row = taken.one_or_none()
    return HeldKey(name, *row) if row else None


async def find(session: Session, name: KeyName) -> StoredKey | None:
    """Return the record of a key."""
    found = await session.execute(select(Row.body_hash, Row.status, Row.answer).where(_named(name)))
    row = found.one_or_none()
    return StoredKey(*row) if row else None


async def answer(session: Session, begun: HeldKey, *, status: int, body: Mapping[str, object]) -> bool:
    """Store the first response. Return False if another request took over."""
    return await _change(session, begun, status=status, answer=dict(body), running_until=None)


async def end_lease(session: Session, begun: HeldKey) -> bool:
    """Let the next request with the same key and body take over immediately. Return False if one has already taken over."""
    return await _change(session, begun, running_until=func.clock_timestamp())


async def delete(session: Session, begun: HeldKey) -> None:
    """Delete a key if this request still holds it."""
    await session.execute(delete_rows(Row).where(_held(begun)))


async def prune(session: Session, *, kept_for: timedelta) -> int:
    """Delete older keys, except those of running requests. Return their number."""
    gone = await session.scalars(
        delete_rows(Row)
        .where(
            Row.created_at <= func.now() - kept_for,
            (Row.running_until.is_(None)) | (Row.running_until <= func.clock_timestamp()),
        )
        .returning(Row.key)
    )
    return len(gone.all())


async def _change(session: Session, begun: HeldKey, **values: object) -> bool:
    done = await session.scalar(update(Row).where(_held(begun)).values(**values).returning(Row.key))
    return done is not None


def _named(name: KeyName) -> ColumnElement[bool]:
    return and_(Row.caller == name.caller, Row.route == name.route, Row.key == name.key)


def _held(begun: HeldKey) -> ColumnElement[bool]:
    return and_(_named(begun.name), Row.running_until == begun.running_until)
