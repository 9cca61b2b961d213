"""
Process the events in the inbox. They are accepted by :mod:`app.db.inbox_writer`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Integer, bindparam, func, select, text, update
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT

from app.db import subscriptions
from app.db.engine import leases
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Record, Session, new_id
from app.db.models import Event as Row
from app.db.models import WorkItemMarks, table_of
from app.domain.events import EventState, RefetchKind
from app.domain.history import StripeEvent

_TEXTS = ARRAY(TEXT)
_CLOSE = text(
    "UPDATE events SET state = 'applied', applied_at = now(), due_at = NULL, last_error = NULL WHERE id = ANY(:ids)"
    " RETURNING extract(epoch FROM now() - received_at) AS waited"
).bindparams(bindparam("ids", type_=_TEXTS))
_CLOSE_EARLIER = text(  # the states as the index says
    """
    WITH newest AS (
        SELECT done.key, max(e.received_at) AS at FROM unnest(:ids, :keys) AS done (id, key) JOIN events e USING (id)
        GROUP BY done.key)
    UPDATE events SET state = 'applied', applied_at = now(), due_at = NULL, last_error = NULL
    FROM newest WHERE work_key = newest.key AND state IN ('failed', 'dead') AND received_at <= newest.at
    """
).bindparams(bindparam("ids", type_=_TEXTS), bindparam("keys", type_=_TEXTS))
# The subscription of an invoice is known from its own events and from stored payments. It never changes.
_JOIN_KNOWN = text(
    """
    WITH known AS (
        SELECT invoice, coalesce(
            (SELECT work_key FROM events WHERE object_id = invoice AND work_key LIKE 'subscription:%' LIMIT 1),
            (SELECT 'subscription:' || s.stripe_id FROM payments p JOIN subscriptions s ON s.id = p.subscription_id
             WHERE p.invoice_id = invoice LIMIT 1)) AS key
        FROM unnest(:invoices) AS asked (invoice))
    UPDATE events e SET work_key = known.key, due_at = now(), attempts = greatest(attempts - 1, 0)
    FROM known WHERE known.key IS NOT NULL AND e.work_key = 'invoice:' || invoice AND e.due_at IS NOT NULL
    RETURNING e.id, 'invoice:' || invoice AS was, known.key
    """
).bindparams(bindparam("invoices", type_=_TEXTS))
_ADOPT = text(
    """
    WITH arrived AS (
        SELECT DISTINCT object_id, work_key FROM events
        WHERE work_key = ANY(:keys) AND due_at IS NOT NULL AND object_id LIKE 'in!_%' ESCAPE '!')
    UPDATE events e SET work_key = arrived.work_key, attempts = attempts + 1, due_at = now() + :lease
    FROM arrived WHERE e.work_key = 'invoice:' || arrived.object_id AND e.due_at <= now()
        AND NOT EXISTS (SELECT FROM leases l WHERE l.key = e.work_key AND l.until > now())
    RETURNING e.id, e.work_key AS key
    """
).bindparams(bindparam("keys", type_=_TEXTS), bindparam("lease", type_=INTERVAL))
FOUND_BY_RECONCILIATION = "Found by reconciliation"  # the reason of an event that was not delivered
_ROWS = table_of(Row)
_BY_KEYS = (  # for the reader's page
    select(
        _ROWS.c.type,
        _ROWS.c.state,
        _ROWS.c.created_at,
        _ROWS.c.received_at,
        _ROWS.c.last_error,
        _ROWS.c.reason,
    )
    .where(_ROWS.c.work_key == func.any(bindparam("keys", type_=_TEXTS)))
    .order_by(_ROWS.c.received_at.desc(), _ROWS.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)


async def request_refetch(session: Session, key: str, *, why: str) -> None:
    """Insert an event of our own, so that a worker refetches the object as it does after a Stripe event."""
    kind, _, object_id = key.partition(":")
    session.add(
        Row(
            id=new_id("knk"),
            type=f"newsstand.{kind}.{why}",
            object_id=object_id,
            state=EventState.RECEIVED,
            payload="{}",
            is_reduced=True,
            work_key=key,
            due_at=func.now(),
        )
    )
    await session.flush()


async def claim(session: Session, *, owner: str, lease: timedelta, limit: int) -> list[leases.Claimed]:
    """
    Lease up to ``limit`` keys with due events, as :func:`app.db.engine.leases.claim` does, and
    read the versions of their subscriptions.

    A payment's event names only its invoice. If the invoice's subscription is known, the event becomes one of the
    subscription, so that one worker refetches it once for all its events.
    """
    leased = await leases.claim(session, "events", owner=owner, lease=lease, limit=limit, may_crash=True)
    claimed = {one.key: one for one in leased}
    invoices = [key.partition(":")[2] for key in claimed if key.startswith(f"{RefetchKind.INVOICE}:")]
    if invoices:
        joined = (await session.execute(_JOIN_KNOWN, {"invoices": invoices})).all()
        gone = {row.was for row in joined}
        for key in gone:
            del claimed[key]
        await leases.release_all(session, gone, owner=owner)
        _add(claimed, joined)
    bought = [key for key in claimed if key.startswith(f"{RefetchKind.SUBSCRIPTION}:")]
    if bought:
        _add(claimed, (await session.execute(_ADOPT, {"keys": bought, "lease": lease})).all())
        known = await subscriptions.versions(session, [key.partition(":")[2] for key in bought])
        for key in bought:
            claimed[key] = replace(claimed[key], version=known[key.partition(":")[2]])
    return list(claimed.values())


def _add(claimed: dict[str, leases.Claimed], rows: Sequence[Record]) -> None:
    for row in rows:
        one = claimed.get(row.key)
        if one is not None:
            claimed[row.key] = replace(one, ids=(*one.ids, row.id))


async def backlog(session: Session) -> tuple[int, int]:
    """Return the number of subscriptions with due events, up to some thousands, and the estimated number of all objects."""
    waiting = await session.scalar(
        text(
            """
            SELECT count(DISTINCT work_key) FROM (
                SELECT work_key FROM events WHERE due_at <= now() AND work_key LIKE 'subscription:%'
                ORDER BY due_at LIMIT 50000) due  -- the index's order, or the table is scanned while most events are due
            """
        )
    )
    known = await session.scalar(  # the planner's estimate: counting millions of rows takes too long
        text("SELECT max(reltuples) FROM pg_class WHERE oid IN ('subscriptions'::regclass, 'payments'::regclass)")
    )
    return int(waiting or 0), max(0, int(known or 0))


async def close(session: Session, looked_at: Sequence[tuple[str, Sequence[str]]]) -> list[float]:
    """
    Mark events as applied, and earlier failed or dead events of their keys too. Return the seconds each event waited.

    Only the events that were read before the fetch began are closed: later ones need another fetch.
    """
    ids = [event_id for _, some in looked_at for event_id in some]
    keys = [key for key, some in looked_at for _ in some]
    waited = [float(row.waited) for row in await session.execute(_CLOSE, {"ids": ids})]
    await session.execute(_CLOSE_EARLIER, {"ids": ids, "keys": keys})
    return waited


async def was_told(session: Session, key: str, *, before: datetime, within: timedelta) -> bool:
    """
    Return whether Stripe has delivered an event about an object that was created before a time.

    Replays of old events and events that a reconciliation found don't count.

    :param within: only events that were received in this period until now.
    """
    delivered = select(Row.id).where(
        Row.work_key == key,
        Row.id.startswith("evt_", autoescape=True),
        Row.state != EventState.IGNORED,
        Row.reason.is_(None),
        Row.created_at < before,
        Row.received_at > func.now() - bindparam(None, within, type_=INTERVAL),
    )
    return await session.scalar(delivered.limit(1)) is not None


async def move(session: Session, ids: Sequence[str], *, key: str) -> None:
    """Move events to another key, due immediately. It does not count as an attempt."""
    await session.execute(
        update(Row)
        .where(Row.id.in_(list(ids)))
        .values(work_key=key, due_at=func.now(), attempts=func.greatest(Row.attempts - 1, 0))
    )


async def ignore(session: Session, ids: Sequence[str], *, reason: str) -> None:
    """Mark events as ignored, with the reason."""
    await session.execute(
        update(Row).where(Row.id.in_(list(ids))).values(state=EventState.IGNORED, reason=reason[:1000], due_at=None)
    )


async def mark_waiting(session: Session, ids: Sequence[str]) -> None:
    """Mark events as failed, to be retried without limit, because Stripe or the database is unavailable."""
    await session.execute(update(Row).where(Row.id.in_(list(ids))).values(state=EventState.FAILED))


async def mark_failed(session: Session, ids: Sequence[str], *, most: int) -> None:
    """Mark events as failed, or as dead after the last attempt."""
    await session.execute(  # one that staff snoozed wakes up when it fails again, after a replay
        text(
            """
            WITH failed AS (
                UPDATE events SET state = CASE WHEN attempts >= :most THEN 'dead' ELSE 'failed' END,
                                  due_at = CASE WHEN attempts >= :most THEN NULL ELSE due_at END
                WHERE id = ANY(:ids) RETURNING id, state
            )
            UPDATE work_item_marks SET snoozed_until = NULL, snoozed_state = NULL, version = version + 1
            FROM failed WHERE object_id = failed.id AND failed.state = 'dead' AND snoozed_until IS NOT NULL
            """
        ).bindparams(bindparam("ids", type_=ARRAY(TEXT))),
        {"ids": list(ids), "most": most},
    )


async def mark_dead(session: Session, key: str, *, most: int) -> None:
    """Mark events as dead if every attempt crashed the worker."""
    crashed = (
        update(Row)
        .where(Row.work_key == key, Row.attempts > most, Row.due_at.is_not(None))
        .values(
            state=EventState.DEAD,
            due_at=None,
            last_error=func.coalesce(Row.last_error, "every attempt crashed the worker"),
        )
        .returning(Row.id)
        .cte("crashed")
    )
    await session.execute(
        update(WorkItemMarks)
        .where(WorkItemMarks.object_id.in_(select(crashed.c.id)), WorkItemMarks.snoozed_until.is_not(None))
        .values(snoozed_until=None, snoozed_state=None, version=WorkItemMarks.version + 1)
        .execution_options(synchronize_session=False)
    )


async def list_by_keys(session: Reads, keys: Iterable[str], *, limit: int = 200) -> list[StripeEvent]:
    """Return the newest events of these keys, with their outcome."""
    rows = await session.execute(_BY_KEYS, {"keys": list(keys), "most": limit})
    return [
        StripeEvent(
            at=row.created_at or row.received_at, type=row.type, state=row.state, why=row.last_error or row.reason
        )
        for row in rows
    ]
