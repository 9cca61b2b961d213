"""
The inbox of events: each stored once, kept with what became of it.

Accepting runs on the bare asyncpg pool, and those that arrive together share one commit (:mod:`app.db.arrivals`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT

from app.db.models import Event as Row
from app.db.session import Session, new_id
from app.domain.events import Knock

RECEIVED, APPLIED, FAILED, DEAD, IGNORED = "received", "applied", "failed", "dead", "ignored"
NO_KEY = "-"

_STORE = """
INSERT INTO events (id, type, api_version, livemode, object_id, created_at, state, reason, payload, work_key, due_at)
SELECT id, type, version, livemode, object_id, created, CASE WHEN ignored IS NULL THEN 'received' ELSE 'ignored' END,
       ignored, payload, key, CASE WHEN ignored IS NULL THEN now() END
FROM unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::timestamptz[], $7::text[], $8::text[],
            $9::text[]) AS arrived (id, type, version, livemode, object_id, created, ignored, payload, key)
ON CONFLICT (id) DO NOTHING
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event as it came in: what it is a knock for, and its own words."""

    knock: Knock
    payload: str


async def store(
    pool: "asyncpg.Pool[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]", arrivals: Sequence[Arrival]
) -> set[str]:
    """Keep events, durably and in one commit, each once. Returns the ids of those that were not there yet."""
    knocks = [arrival.knock for arrival in arrivals]
    stored = await pool.fetch(
        _STORE,
        [knock.event_id for knock in knocks],
        [knock.type for knock in knocks],
        [knock.api_version for knock in knocks],
        [knock.livemode for knock in knocks],
        [knock.object_id for knock in knocks],
        [knock.created_at for knock in knocks],
        [knock.ignored for knock in knocks],
        [arrival.payload for arrival in arrivals],
        [knock.key or NO_KEY for knock in knocks],
    )
    return {row["id"] for row in stored}


async def knock(session: Session, key: str, *, why: str) -> None:
    """Leave a knock of our own: the object is looked at as if Stripe had told of it."""
    kind, _, object_id = key.partition(":")
    session.add(
        Row(
            id=new_id("knk"),
            type=f"newsstand.{kind}.{why}",
            object_id=object_id,
            state=RECEIVED,
            payload="{}",
            work_key=key,
            due_at=func.now(),
        )
    )
    await session.flush()


async def close(session: Session, ids: Sequence[str], *, key: str) -> None:
    """Close exactly the events that were read before the fetch began, and earlier failed or dead ones of the key."""
    applied = {"state": APPLIED, "applied_at": func.now(), "due_at": None, "last_error": None}
    await session.execute(update(Row).where(Row.id.in_(list(ids))).values(**applied))
    newest = select(func.max(Row.received_at)).where(Row.id.in_(list(ids))).scalar_subquery()
    await session.execute(
        update(Row)
        .where(Row.work_key == key, text("state IN ('failed', 'dead')"), Row.received_at <= newest)  # as the index says
        .values(**applied)
    )


async def ignore(session: Session, ids: Sequence[str], *, reason: str) -> None:
    """Put events aside, with the reason."""
    await session.execute(
        update(Row).where(Row.id.in_(list(ids))).values(state=IGNORED, reason=reason[:1000], due_at=None)
    )


async def wait(session: Session, ids: Sequence[str]) -> None:
    """Mark events as failed, to be tried until it works: it is not they that are wrong."""
    await session.execute(update(Row).where(Row.id.in_(list(ids))).values(state=FAILED))


async def fail(session: Session, ids: Sequence[str], *, most: int) -> None:
    """Mark events as failed, after :func:`app.db.work.later` set their next try; the last try makes them dead."""
    await session.execute(
        text(
            """
            UPDATE events SET state = CASE WHEN attempts >= :most THEN 'dead' ELSE 'failed' END,
                              due_at = CASE WHEN attempts >= :most THEN NULL ELSE due_at END
            WHERE id = ANY(:ids)
            """
        ).bindparams(bindparam("ids", type_=ARRAY(TEXT))),
        {"ids": list(ids), "most": most},
    )


async def bury(session: Session, key: str, *, most: int) -> None:
    """Mark as dead what was tried more than ``most`` times without anyone living to tell why."""
    await session.execute(
        update(Row)
        .where(Row.work_key == key, Row.attempts > most, Row.due_at.is_not(None))
        .values(state=DEAD, due_at=None, last_error=func.coalesce(Row.last_error, "every worker that tried it died"))
    )
