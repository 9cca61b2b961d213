"""
Deliver the outbox to webhook endpoints.

A worker queues the deliveries of each new event, then sends them. An attempt is counted before it is made. If the worker
dies between sending and recording, the event is sent again with the same ID: a receiver gets each event at least once.
"""

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from app import observability
from app.batching import Batcher
from app.context import DatabaseContext
from app.db import anomalies, audit, erasures, outbox, webhook_deliveries, webhook_endpoints
from app.db.engine import leases
from app.db.engine.session import Session
from app.db.webhook_deliveries import ClaimedDelivery, RecordedEvent, Result
from app.domain.anomalies import WEBHOOK_ENDPOINT_DISABLED
from app.domain.errors import NotFound
from app.domain.outbox import NewOutboxEvent
from app.domain.pages import Page, page_of
from app.domain.webhook_deliveries import (
    TEST_DATA,
    TEST_TYPE,
    DeliveryStatus,
    EndpointResponse,
    InvalidReplay,
    Replay,
    WebhookDelivery,
    body_of,
    next_delay,
)
from app.domain.webhook_endpoints import EndpointDisabled, WebhookEndpoint, checked_types
from app.encryption import webhook_secret_cipher
from app.gateway.webhook_deliveries import WebhookSender

QUEUE_SLICE = 1_000  # events
REPLAY_SLICE = 1_000  # events
MOST_REPLAYED = 100_000  # events of one request
EACH = 8  # deliveries to one endpoint at the same time, of one worker
CLAIMED = 64  # of one endpoint, so that the next are at hand while those are sent
NOT_KEPT = "The reader was erased, so what went wrong is not kept"
QUEUE_PAUSE = 0.2  # seconds between slices, in which events gather: a slice costs as much as applying an event
log = structlog.get_logger()


class Deliverer:
    """
    Queues and sends the deliveries of one worker. Slow endpoints don't delay others: each has its own share.

    Its methods are the jobs of a worker.
    """

    def __init__(self, ctx: DatabaseContext, sender: WebhookSender, real_time: Callable[[], datetime]) -> None:
        """:param real_time: which signatures have."""
        self._ctx, self._sender, self._real_time = ctx, sender, real_time
        self._is_queueing = False
        self._cipher = webhook_secret_cipher(ctx.settings.token_secrets, ctx.settings.data_dir)
        self._secrets: dict[str, str | None] = {}  # decrypted, by what is stored
        self._busy: Counter[str] = Counter()  # claimed, by endpoint
        self._sending: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(EACH))
        self._recorder = Batcher(self._record, retry_singly=(Exception,))

    async def claim_events(
        self, session: Session, /, *, owner: str, lease: timedelta, limit: int
    ) -> Sequence[leases.Claimed]:
        """Claim the next slice of the outbox, if there is one and none is being queued. It needs no lease."""
        await asyncio.sleep(0)  # one that was claimed a moment ago begins
        if self._is_queueing or not await outbox.is_due(session):
            return []
        return [leases.Claimed(key="outbox", ids=(), attempts=0)]

    async def queue(self, _: leases.Claimed, _owner: str) -> None:
        """Queue the deliveries of the next slice of the outbox."""
        self._is_queueing = True
        try:
            async with self._ctx.sessions.begin() as session:
                queued = await webhook_deliveries.queue_slice(session, limit=QUEUE_SLICE)
            if queued.events < QUEUE_SLICE:
                await asyncio.sleep(QUEUE_PAUSE)
        finally:
            self._is_queueing = False

    async def claim(
        self, session: Session, /, *, owner: str, lease: timedelta, limit: int
    ) -> Sequence[ClaimedDelivery]:
        """Claim due deliveries: of each endpoint as many as its share has room for."""
        await asyncio.sleep(0)  # those that were claimed a moment ago begin, and count
        return await webhook_deliveries.claim(session, owner=owner, lease=lease, busy=+self._busy, each=CLAIMED)

    async def deliver(self, claimed: leases.Claimed, owner: str) -> None:
        """Send a claimed delivery, record what came of it, and release its lane."""
        assert isinstance(claimed, ClaimedDelivery)
        self._busy[claimed.endpoint_id] += 1
        try:
            async with self._sending[claimed.endpoint_id]:
                response = await self._send(claimed)
            await self._recorder.submit((_result(claimed, response), owner))
        finally:
            self._busy[claimed.endpoint_id] -= 1

    async def _send(self, claimed: ClaimedDelivery) -> EndpointResponse | None:
        if claimed.event is None:
            return None
        secrets = [self._decrypt(one) for one in claimed.secrets]
        known = [one for one in secrets if one is not None]
        if not known:
            return EndpointResponse(
                None, "The secret can't be decrypted: see NEWSSTAND_TOKEN_SECRETS", "", timedelta(0)
            )
        body = json.dumps(body_of(claimed.event), separators=(",", ":"), ensure_ascii=False)
        return await self._sender.send(
            claimed.url, event_id=claimed.event.id, body=body, secrets=known, now=self._real_time()
        )

    def _decrypt(self, encrypted_secret: str) -> str | None:
        if encrypted_secret not in self._secrets:
            self._secrets[encrypted_secret] = self._cipher.decrypt(encrypted_secret)
        return self._secrets[encrypted_secret]

    async def _record(self, batch: Sequence[tuple[Result, str]]) -> list[None]:
        results = [result for result, _ in batch]
        sent = [(one.claimed.endpoint_id, one.response) for one in results if one.response is not None]
        succeeded = {endpoint for endpoint, response in sent if response.is_success}
        failed = {endpoint for endpoint, _ in sent} - succeeded
        asked: defaultdict[str, timedelta] = defaultdict(timedelta)  # to wait
        for its_id, response in sent:
            asked[its_id] = max(asked[its_id], response.retry_after or timedelta(0))
        gone = sorted({endpoint for endpoint, response in sent if response.is_gone} & failed)
        async with self._ctx.sessions.begin() as session:
            for owner in sorted({owner for _, owner in batch}):
                keys = [result.claimed.key for result, its_owner in batch if its_owner == owner]
                await leases.release_all(session, keys, owner=owner)
            await webhook_deliveries.record(session, await _without_erased(session, results))
            disabled = await webhook_endpoints.record_results(
                session,
                succeeded=sorted(succeeded),
                failed=sorted(failed),
                gone=gone,
                waits={one: wait for one, wait in asked.items() if wait},
            )
            for endpoint in disabled:
                await _report_disabled(session, endpoint)
        for one in results:
            if one.response is not None:
                outcome = one.status if one.status != DeliveryStatus.PENDING else "retried"
                observability.WEBHOOK_ATTEMPTS.labels(outcome).inc()
        return [None] * len(batch)


async def _without_erased(session: Session, results: Sequence[Result]) -> list[Result]:
    """Return the results without what receivers said about readers who were erased: it may name them."""
    said = {
        one.claimed.event.subscriber_id
        for one in results
        if one.claimed.event is not None and one.response is not None and (one.response.body or one.response.error)
    }
    readers = sorted(one for one in said if one is not None)
    erased = await erasures.erased_among(session, readers) if readers else set()
    return [
        replace(one, response=replace(one.response, body="", error=NOT_KEPT if one.response.error else None))
        if one.response is not None and one.claimed.event is not None and one.claimed.event.subscriber_id in erased
        else one
        for one in results
    ]


def _result(claimed: ClaimedDelivery, response: EndpointResponse | None) -> Result:
    if response is None or claimed.first_tried_at is None or claimed.claimed_at is None:
        return Result(claimed, DeliveryStatus.FAILED, None, None)
    if response.is_success:
        return Result(claimed, DeliveryStatus.DELIVERED, response, None)
    again_in = next_delay(
        claimed.attempts,
        first_tried_at=claimed.first_tried_at,
        now=claimed.claimed_at,
        jitter=random.random(),  # noqa: S311 - it only spreads the load
        asked=response.retry_after,
    )
    status = DeliveryStatus.FAILED if again_in is None else DeliveryStatus.PENDING
    log.warning(
        "webhook_failed",
        endpoint=claimed.endpoint_id,
        event_id=claimed.ids[0],
        attempts=claimed.attempts,
        status=response.status,
        error=response.error,
        given_up=again_in is None,
    )
    return Result(claimed, status, response, again_in)


async def _report_disabled(session: Session, endpoint: WebhookEndpoint) -> None:
    """Alert staff that an endpoint is disabled: in the log, the metrics and the work queue."""
    why = "it returned 410 Gone" if endpoint.disabled_reason == "gone" else "no delivery succeeded for five days"
    log.error("webhook_endpoint_disabled", endpoint=endpoint.id, reason=endpoint.disabled_reason)
    observability.WEBHOOK_ENDPOINTS_DISABLED.inc()
    reason = f"The webhook endpoint “{endpoint.name}” was disabled because {why}. Events are not sent to it."
    await anomalies.report(session, endpoint.id, {WEBHOOK_ENDPOINT_DISABLED: reason}, subscriber_id=None)


async def page(
    ctx: DatabaseContext, endpoint_id: str, *, status: str | None, after: int | None, limit: int
) -> Page[WebhookDelivery]:
    """
    Return the deliveries to an endpoint, those of the newest events first.

    :raises NotFound: there is no such endpoint.
    """
    async with ctx.sessions.begin() as session:
        await _find(session, endpoint_id)
        found = await webhook_deliveries.page(session, endpoint_id, status=status, after=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda one: str(one.sequence))


async def replay(ctx: DatabaseContext, endpoint_id: str, wanted: Replay, *, by: str, most: int = MOST_REPLAYED) -> int:
    """
    Send events to an endpoint again: one, or those of a period. Return how many.

    :param most: how many events may be sent.
    :raises NotFound: there is no such endpoint or event.
    :raises EndpointDisabled: the endpoint is disabled.
    :raises InvalidReplay: the period has too many events.
    :raises UnknownEventType: the filter names a type that doesn't exist.
    """
    checked_types(wanted.types)
    async with ctx.sessions.begin() as session:
        endpoint = await _find(session, endpoint_id)
        if not endpoint.is_enabled:
            raise EndpointDisabled
        events = await _chosen(session, endpoint, wanted, most=most)
        await audit.record(
            session,
            actor=by,
            action="webhook_endpoint.replayed",
            object_id=endpoint_id,
            after={
                "event": wanted.event_id,
                "since": wanted.since.isoformat() if wanted.since else None,
                "until": wanted.until.isoformat() if wanted.until else None,
                "types": list(wanted.types),
                "only_undelivered": wanted.only_undelivered,
            },
        )
    queued, delivered_too = 0, wanted.event_id is not None or not wanted.only_undelivered
    for start in range(0, len(events), REPLAY_SLICE):  # if it is interrupted, what is queued stays: it can be repeated
        slice_ = events[start : start + REPLAY_SLICE]
        async with ctx.sessions.begin() as session:
            queued += await webhook_deliveries.put(session, endpoint_id, slice_, delivered_too=delivered_too)
    return queued


async def _chosen(session: Session, endpoint: WebhookEndpoint, wanted: Replay, *, most: int) -> Sequence[RecordedEvent]:
    """Return the events that are replayed. All are found before the first is queued, so that a refusal changes nothing."""
    if wanted.event_id is not None:
        event = await webhook_deliveries.event(session, wanted.event_id)
        if event is None:
            raise NotFound("No such event, or it is no longer kept")
        return [event]
    assert wanted.since is not None
    after = await webhook_deliveries.start_of(session, wanted.since)
    chosen: list[RecordedEvent] = []
    types = set(wanted.types or endpoint.types)
    while after is not None:
        slice_ = await webhook_deliveries.events_after(session, after, limit=REPLAY_SLICE)
        chosen += [
            one
            for one in slice_
            if one.type != TEST_TYPE
            and (not types or one.type in types)
            and one.created_at >= wanted.since
            and (wanted.until is None or one.created_at < wanted.until)
        ]
        if len(chosen) > most:
            raise InvalidReplay(f"At most {most} events can be replayed at once: choose a shorter period")
        is_past = wanted.until is not None and all(one.created_at >= wanted.until for one in slice_)
        after = slice_[-1].sequence if len(slice_) == REPLAY_SLICE and not is_past else None
    return chosen


async def send_test(ctx: DatabaseContext, endpoint_id: str, *, by: str) -> str:
    """
    Send a test event to an endpoint. Return its ID.

    :raises NotFound: there is no such endpoint.
    :raises EndpointDisabled: the endpoint is disabled.
    """
    async with ctx.sessions.begin() as session:
        endpoint = await _find(session, endpoint_id)
        if not endpoint.is_enabled:
            raise EndpointDisabled
        event_id = await outbox.add_queued(session, NewOutboxEvent(type=TEST_TYPE, reader=None, data=TEST_DATA))
        event = await webhook_deliveries.event(session, event_id)
        assert event is not None
        await webhook_deliveries.put(session, endpoint_id, [event], delivered_too=True)
        await audit.record(session, actor=by, action="webhook_endpoint.tested", object_id=endpoint_id)
    return event_id


async def _find(session: Session, endpoint_id: str) -> WebhookEndpoint:
    found = await webhook_endpoints.by_id(session, endpoint_id)
    if found is None:
        raise NotFound("No such webhook endpoint")
    return found
