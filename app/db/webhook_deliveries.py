"""
Deliveries of events to webhook endpoints.

The pending deliveries of a reader to an endpoint are a *lane*. A lane is a due row: a worker leases it and sends its first
delivery. So each reader's events arrive in order, those of different readers at the same time, and a lane whose first
delivery has to be tried again later costs nothing meanwhile, however many wait behind it.

Two locks keep this right. One transaction at a time queues events, because otherwise a reader's second event could be queued
before the first. And who adds a delivery to a lane, or looks whether it is empty, locks the lane first.

Everybody locks rows in the same order, so that nobody waits in a circle: leases, lanes, deliveries, endpoints; and those of
one kind in the order of their IDs.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL, TEXT

from app.db.engine import leases
from app.db.engine.session import Record, Session
from app.db.models import WebhookDelivery as Row
from app.db.models import table_of
from app.domain.errors import NotFound
from app.domain.webhook_deliveries import DeliveredEvent, EndpointResponse, WebhookDelivery

LANES = "webhook_lanes"
WINDOW = 200  # due lanes of an endpoint that a claim looks at
SLACK = 1_000  # by how much the order of the sequence can differ from that of the time
_ROWS = table_of(Row)
_QUEUE_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('outbox_events'))")
_QUEUE = text(
    """
    WITH taken AS (
        SELECT id, sequence, type, subscriber_id, created_at FROM outbox_events WHERE queued_at IS NULL
        ORDER BY sequence LIMIT :limit FOR UPDATE),
    marked AS (UPDATE outbox_events SET queued_at = now() FROM taken WHERE outbox_events.id = taken.id),
    wanted AS MATERIALIZED (
        SELECT w.id AS endpoint_id, t.sequence, t.id AS event_id, t.type, t.subscriber_id,
            w.id || ':' || coalesce(t.subscriber_id, '') AS lane
        FROM taken t JOIN webhook_endpoints w ON w.disabled_at IS NULL AND w.created_at <= t.created_at
            AND (cardinality(w.types) = 0 OR t.type = ANY(w.types))),
    laned AS (
        INSERT INTO webhook_lanes (id, endpoint_id, work_key, due_at)
        SELECT DISTINCT lane, endpoint_id, 'webhook:' || lane, now() FROM wanted ORDER BY lane
        ON CONFLICT (id) DO UPDATE SET due_at = webhook_lanes.due_at RETURNING 1),  -- which locks it
    added AS (
        INSERT INTO webhook_deliveries (endpoint_id, sequence, event_id, type, subscriber_id, lane, status)
        SELECT endpoint_id, sequence, event_id, type, subscriber_id, lane, 'pending' FROM wanted
        WHERE (SELECT count(*) FROM laned) > 0  -- so that all lanes are locked before the first delivery is added
        ON CONFLICT (endpoint_id, sequence) DO NOTHING RETURNING 1)
    SELECT (SELECT count(*) FROM taken) AS taken, (SELECT count(*) FROM added) AS added,
        ARRAY(SELECT DISTINCT endpoint_id FROM wanted ORDER BY endpoint_id) AS endpoints
    """
)
# An endpoint that is deleted meanwhile has locked itself and the lanes that it had: it doesn't know of new ones.
_KEEP_ENDPOINTS = text(
    "SELECT id FROM webhook_endpoints WHERE id = ANY(:endpoints) ORDER BY id FOR KEY SHARE"
).bindparams(bindparam("endpoints", type_=ARRAY(TEXT)))
_CANCEL_OF = text(
    "UPDATE webhook_deliveries SET status = 'canceled', finished_at = now()"
    " WHERE endpoint_id = ANY(:endpoints) AND status = 'pending'"
).bindparams(bindparam("endpoints", type_=ARRAY(TEXT)))
_REMOVE_LANES_OF = text("DELETE FROM webhook_lanes WHERE endpoint_id = ANY(:endpoints)").bindparams(
    bindparam("endpoints", type_=ARRAY(TEXT))
)
_SLICE = text(
    "SELECT id, sequence, type, subscriber_id, created_at FROM outbox_events WHERE sequence > :after"
    " ORDER BY sequence LIMIT :limit"
)
_ONE = text("SELECT id, sequence, type, subscriber_id, created_at FROM outbox_events WHERE id = :event")
_WAKE_LANES = text(
    """
    INSERT INTO webhook_lanes (id, endpoint_id, work_key, due_at)
    SELECT lane, :endpoint, 'webhook:' || lane, now() FROM unnest(:lanes) AS wanted (lane) ORDER BY lane
    ON CONFLICT (id) DO UPDATE SET due_at = least(webhook_lanes.due_at, now())
    """
).bindparams(bindparam("endpoint", type_=TEXT), bindparam("lanes", type_=ARRAY(TEXT)))
_WAKE_ENDPOINT = text("UPDATE webhook_endpoints SET resting_until = NULL WHERE id = :endpoint RETURNING id")
_PUT = text(
    """
    INSERT INTO webhook_deliveries AS d (endpoint_id, sequence, event_id, type, subscriber_id, lane, status)
    SELECT :endpoint, sequence, id, type, subscriber_id, :endpoint || ':' || coalesce(subscriber_id, ''), 'pending'
    FROM unnest(:sequences, :ids, :types, :readers) AS chosen (sequence, id, type, subscriber_id)
    ON CONFLICT (endpoint_id, sequence) DO UPDATE SET status = 'pending', attempts = 0, first_tried_at = NULL,
        last_tried_at = NULL, finished_at = NULL, response_status = NULL, error = NULL, response_body = NULL,
        duration_ms = NULL
    WHERE d.status <> 'pending' AND (d.status <> 'delivered' OR :delivered_too)
    RETURNING 1
    """
).bindparams(
    bindparam("endpoint", type_=TEXT),
    bindparam("sequences", type_=ARRAY(BigInteger)),
    *(bindparam(name, type_=ARRAY(TEXT)) for name in ("ids", "types", "readers")),
)
_FREE_LANES = text(
    f"""
    SELECT free.work_key FROM webhook_endpoints w
    LEFT JOIN unnest(:busy, :counts) AS busy (id, count) ON busy.id = w.id
    CROSS JOIN LATERAL (
        SELECT work_key
        FROM (SELECT work_key, due_at FROM webhook_lanes WHERE endpoint_id = w.id AND due_at <= now()
              ORDER BY due_at LIMIT {WINDOW}) oldest
        WHERE NOT EXISTS (SELECT FROM leases WHERE key = oldest.work_key AND until > now())
        ORDER BY due_at
        LIMIT CASE WHEN coalesce(busy.count, 0) = 0 AND w.failing_since IS NOT NULL THEN 1
            WHEN coalesce(busy.count, 0) * 2 > :each OR w.failing_since IS NOT NULL THEN 0
            ELSE :each - coalesce(busy.count, 0) END) free
    WHERE w.disabled_at IS NULL AND (w.resting_until IS NULL OR w.resting_until <= now())
    """  # noqa: S608 - a number
).bindparams(bindparam("busy", type_=ARRAY(TEXT)), bindparam("counts", type_=ARRAY(BigInteger)))
_FIRST_OF_LANES = text(
    """
    UPDATE webhook_deliveries d
    SET attempts = d.attempts + 1, first_tried_at = coalesce(d.first_tried_at, now()), last_tried_at = now()
    FROM webhook_lanes l
    JOIN webhook_endpoints w ON w.id = l.endpoint_id
    CROSS JOIN LATERAL (
        SELECT sequence, event_id FROM webhook_deliveries WHERE lane = l.id AND status = 'pending'
        ORDER BY sequence LIMIT 1) first
    LEFT JOIN outbox_events e ON e.id = first.event_id
    WHERE l.id = ANY(:lanes) AND d.endpoint_id = l.endpoint_id AND d.sequence = first.sequence
    RETURNING l.id AS lane, d.endpoint_id, d.sequence, d.event_id, d.attempts, d.first_tried_at, now() AS claimed_at,
        e.type, e.version, e.created_at, e.subscriber_id, e.sub, e.data,
        w.url, w.encrypted_secret,
        CASE WHEN w.previous_secret_expires_at > now() THEN w.previous_encrypted_secret END AS previous_encrypted_secret
    """
).bindparams(bindparam("lanes", type_=ARRAY(TEXT)))
_LOCK_LANES = text("SELECT id FROM webhook_lanes WHERE id = ANY(:lanes) ORDER BY id FOR UPDATE").bindparams(
    bindparam("lanes", type_=ARRAY(TEXT))
)
_RECORD = text(
    """
    UPDATE webhook_deliveries d
    SET status = r.status, response_status = r.response_status, error = r.error, response_body = r.response_body,
        duration_ms = r.duration_ms,
        finished_at = CASE WHEN r.status <> 'pending' THEN now() END
    FROM unnest(:endpoints, :sequences, :statuses, :response_statuses, :errors, :bodies, :durations)
        AS r (endpoint_id, sequence, status, response_status, error, response_body, duration_ms)
    WHERE d.endpoint_id = r.endpoint_id AND d.sequence = r.sequence AND d.status = 'pending'
    """
).bindparams(
    *(bindparam(name, type_=ARRAY(TEXT)) for name in ("endpoints", "statuses", "errors", "bodies")),
    *(bindparam(name, type_=ARRAY(BigInteger)) for name in ("sequences", "response_statuses", "durations")),
)
_REMOVE_EMPTY = text(
    """
    DELETE FROM webhook_lanes l WHERE l.id = ANY(:lanes)
        AND NOT EXISTS (SELECT FROM webhook_deliveries d WHERE d.lane = l.id AND d.status = 'pending')
    """
).bindparams(bindparam("lanes", type_=ARRAY(TEXT)))
_SCHEDULE = text(
    """
    UPDATE webhook_lanes l SET due_at = now() + (CAST(:pauses AS interval[]))[array_position(:lanes, l.id)],
        last_error = (CAST(:errors AS text[]))[array_position(:lanes, l.id)]
    WHERE l.id = ANY(:lanes)
    """
).bindparams(
    bindparam("lanes", type_=ARRAY(TEXT)),
    bindparam("pauses", type_=ARRAY(INTERVAL)),
    bindparam("errors", type_=ARRAY(TEXT)),
)
_START = text("SELECT sequence FROM outbox_events WHERE created_at >= :since ORDER BY created_at LIMIT 1")


@dataclass(frozen=True, slots=True)
class ClaimedDelivery(leases.Claimed):
    """
    The first delivery of a leased lane, with what is needed to send it.

    ``event`` is None if it is no longer kept; ``sequence`` is None if the lane is empty.
    """

    lane: str = ""
    endpoint_id: str = ""
    sequence: int | None = None
    event: DeliveredEvent | None = None
    url: str = ""
    secrets: tuple[str, ...] = ()  # encrypted; the newest first
    first_tried_at: datetime | None = None
    claimed_at: datetime | None = None  # by the database's clock


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a claimed delivery. ``again_in`` is None if it is over: then the next of its lane is due."""

    claimed: ClaimedDelivery
    status: str
    response: EndpointResponse | None
    again_in: timedelta | None


@dataclass(frozen=True, slots=True)
class Queued:
    """How many events were looked at, and for how many deliveries."""

    events: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """An event of the outbox, as far as its deliveries need it."""

    id: str
    sequence: int
    type: str
    subscriber_id: str | None
    created_at: datetime


async def queue_slice(session: Session, *, limit: int) -> Queued:
    """Queue the deliveries of the next events. Another process that does the same is not waited for."""
    if not await session.scalar(_QUEUE_LOCK):
        return Queued(0, 0)
    row = (await session.execute(_QUEUE, {"limit": limit})).one()
    if row.added:
        kept = set(await session.scalars(_KEEP_ENDPOINTS, {"endpoints": row.endpoints}))
        deleted = [one for one in row.endpoints if one not in kept]
        if deleted:
            await session.execute(_CANCEL_OF, {"endpoints": deleted})
            await session.execute(_REMOVE_LANES_OF, {"endpoints": deleted})
        await leases.notify(session, LANES)
    return Queued(row.taken, row.added)


async def events_after(session: Session, sequence: int, *, limit: int) -> list[RecordedEvent]:
    """Return the next events after a sequence."""
    return [RecordedEvent(*row) for row in await session.execute(_SLICE, {"after": sequence, "limit": limit})]


async def event(session: Session, event_id: str) -> RecordedEvent | None:
    """Return an event, if it is still kept."""
    row = (await session.execute(_ONE, {"event": event_id})).one_or_none()
    return RecordedEvent(*row) if row is not None else None


async def put(session: Session, endpoint_id: str, events: Sequence[RecordedEvent], *, delivered_too: bool) -> int:
    """
    Queue deliveries of events to an endpoint, again if they were queued before. Pending ones stay as they are.

    Their lanes are due now, even if the first delivery has failed and would be tried later, and the endpoint doesn't rest:
    somebody asked for them.

    :param delivered_too: whether those that were delivered are sent again.
    :returns: how many are queued now.
    :raises NotFound: the endpoint was deleted.
    """
    if not events:
        return 0
    lanes = sorted({f"{endpoint_id}:{one.subscriber_id or ''}" for one in events})
    await session.execute(_WAKE_LANES, {"endpoint": endpoint_id, "lanes": lanes})
    columns = {
        "sequences": [one.sequence for one in events],
        "ids": [one.id for one in events],
        "types": [one.type for one in events],
        "readers": [one.subscriber_id for one in events],
    }
    queued = await session.execute(_PUT, {"endpoint": endpoint_id, "delivered_too": delivered_too, **columns})
    if await session.scalar(_WAKE_ENDPOINT, {"endpoint": endpoint_id}) is None:
        raise NotFound("No such webhook endpoint")
    await leases.notify(session, LANES)
    return len(queued.all())


async def start_of(session: Session, since: datetime) -> int | None:
    """Return a sequence that no event since a time is before; None: there is no such event."""
    first = await session.scalar(_START, {"since": since})
    return None if first is None else max(int(first) - SLACK, 0)


async def claim(
    session: Session, *, owner: str, lease: timedelta, busy: Mapping[str, int], each: int
) -> list[ClaimedDelivery]:
    """
    Lease due lanes, and count the attempt to send the first delivery of each.

    So that no endpoint takes the place of others, each has its own share. One that failed last gets a single attempt at a
    time, until one succeeds.

    :param busy: how many deliveries to each endpoint this process has claimed and not finished.
    :param each: how many it may have claimed. More are claimed when half of them are finished.
    """
    parameters = {"busy": list(busy), "counts": list(busy.values()), "each": each}
    free = list(await session.scalars(_FREE_LANES, parameters))
    keys = await leases.take_all(session, free, owner=owner, lease=lease) if free else []
    if not keys:
        return []
    lanes = {key.partition(":")[2]: key for key in keys}
    await session.execute(_LOCK_LANES, {"lanes": list(lanes)})
    rows = await session.execute(_FIRST_OF_LANES, {"lanes": list(lanes)})
    found = {row.lane: _claimed(row, lanes[row.lane]) for row in rows}
    empty = [
        ClaimedDelivery(key, (), 0, lane=lane, endpoint_id=lane.partition(":")[0])
        for lane, key in lanes.items()
        if lane not in found
    ]
    return [*found.values(), *empty]


def _claimed(row: Record, key: str) -> ClaimedDelivery:
    event = None
    if row.type is not None:
        event = DeliveredEvent(
            id=row.event_id,
            type=row.type,
            version=row.version,
            sequence=row.sequence,
            created_at=row.created_at,
            subscriber_id=row.subscriber_id,
            sub=row.sub,
            data=row.data,
        )
    return ClaimedDelivery(
        key,
        (row.event_id,),
        row.attempts,
        lane=row.lane,
        endpoint_id=row.endpoint_id,
        sequence=row.sequence,
        event=event,
        url=row.url,
        secrets=tuple(one for one in (row.encrypted_secret, row.previous_encrypted_secret) if one is not None),
        first_tried_at=row.first_tried_at,
        claimed_at=row.claimed_at,
    )


async def record(session: Session, results: Collection[Result]) -> None:
    """Record what came of deliveries, and make the next of their lanes due, or the same one after a pause."""
    await session.execute(_LOCK_LANES, {"lanes": [one.claimed.lane for one in results]})
    sent = [(one, one.claimed.sequence, one.response) for one in results if one.claimed.sequence is not None]
    await session.execute(
        _RECORD,
        {
            "endpoints": [one.claimed.endpoint_id for one, _, _ in sent],
            "sequences": [sequence for _, sequence, _ in sent],
            "statuses": [one.status for one, _, _ in sent],
            "response_statuses": [response.status if response else None for _, _, response in sent],
            "errors": [response.error if response else "The event is no longer kept" for _, _, response in sent],
            "bodies": [response.body or None if response else None for _, _, response in sent],
            "durations": [
                int(response.took / timedelta(milliseconds=1)) if response else None for _, _, response in sent
            ],
        },
    )
    over = [one.claimed.lane for one in results if one.again_in is None]
    if over:
        await session.execute(_REMOVE_EMPTY, {"lanes": over})
    await session.execute(
        _SCHEDULE,
        {
            "lanes": [one.claimed.lane for one in results],
            "pauses": [one.again_in or timedelta(0) for one in results],
            "errors": [one.response.error if one.response and one.again_in else None for one in results],
        },
    )


async def page(
    session: Session, endpoint_id: str, *, status: str | None, after: int | None, limit: int
) -> list[WebhookDelivery]:
    """Return the deliveries to an endpoint before a sequence, the newest first."""
    query = select(*_ROWS.c).where(_ROWS.c.endpoint_id == endpoint_id).order_by(_ROWS.c.sequence.desc()).limit(limit)
    if status is not None:
        query = query.where(_ROWS.c.status == status)
    if after is not None:
        query = query.where(_ROWS.c.sequence < after)
    return [_delivery(row) for row in await session.execute(query)]


def _delivery(row: Record) -> WebhookDelivery:
    return WebhookDelivery(
        endpoint_id=row.endpoint_id,
        sequence=row.sequence,
        event_id=row.event_id,
        type=row.type,
        subscriber_id=row.subscriber_id,
        status=row.status,
        attempts=row.attempts,
        created_at=row.created_at,
        first_tried_at=row.first_tried_at,
        last_tried_at=row.last_tried_at,
        finished_at=row.finished_at,
        response_status=row.response_status,
        error=row.error,
        response_body=row.response_body,
        duration_ms=row.duration_ms,
    )
