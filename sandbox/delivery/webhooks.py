"""
Webhook delivery: each event is signed and sent to each subscribed endpoint. Failed deliveries are retried.

The account's settings can hold, delay, lose, duplicate or reorder deliveries. Each random decision depends on the
account's seed and the delivery's number, so a run can be repeated.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sandbox import clock
from sandbox.delivery import older_versions, signatures
from sandbox.errors import StripeError, invalid
from sandbox.json_types import Json, JsonObject
from sandbox.seeded_random import random_for
from sandbox.store.accounts import Account

_MAX_CONCURRENT = 32
_TIMEOUT = 10.0
"""Seconds to wait for an endpoint's response."""
_SHUFFLE_WINDOW = 0.05
"""Seconds in which deliveries collect before they are shuffled."""
STRIPE_RETRY_DELAYS = [3600 * 2**step for step in range(6)]
"""Seconds between attempts: doubled each time, for up to three days as in Stripe's live mode. Stripe does not publish its
exact intervals."""
_MAX_ADVANCE = 30 * 86400


@dataclass(eq=False, slots=True)
class _Delivery:
    """The delivery of one event to one endpoint."""

    event: JsonObject
    endpoint: JsonObject
    name: tuple[int, int]
    """Number of the delivery in its account, and of the copy: the names of its random decisions."""
    clock_id: str | None
    """The test clock whose time applies; None for the queue's own time."""
    last_attempt_at: int
    """When it was last attempted, or created."""
    state: str = "new"
    """`new`, `sending`, `pausing` (retry in real time) or `waiting` (retry when its clock advances)."""
    attempt: int = 1
    due: int = 0


@dataclass(eq=False)
class _Queue:
    """The pending deliveries of one account."""

    account: Account
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    deliveries: list[_Delivery] = field(default_factory=list)
    shuffling: list[_Delivery] = field(default_factory=list)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    planned: int = 0
    offset: int = 0
    shared_second: int | None = None
    """The creation time of all events while `equal_seconds` is on."""

    def now(self, clock_id: str | None = None) -> int:
        """Return the time of a test clock, or the system time plus the queue's offset."""
        return clock.now() + self.offset if clock_id is None else self.account.now(clock_id)

    def drop(self, delivery: _Delivery) -> None:
        """Remove a delivery."""
        if delivery in self.deliveries:
            self.deliveries.remove(delivery)


class WebhookDelivery:
    """Sends the events of all accounts. Create it inside a running event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_MAX_CONCURRENT)
        self._queues: dict[str, _Queue] = {}

    async def close(self) -> None:
        """Cancel all deliveries and close the connections."""
        tasks = [task for queue in self._queues.values() for task in queue.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def flush(self, account: Account) -> None:
        """Start the delivery of new events, and of retries that are due."""
        if account.outbox:
            queue = self._queue(account)
            events, account.outbox = account.outbox, []
            for event in events:
                _apply_equal_seconds(queue, event)
                endpoints = list(_subscribed_endpoints(account, event))
                event["_pending"] = [endpoint["id"] for endpoint in endpoints]
                event["pending_webhooks"] = len(endpoints)
                for endpoint in endpoints:
                    self._enqueue(queue, event, endpoint)
        if account.key in self._queues:
            self._start_due_retries(self._queue(account))

    def apply_settings(self, account: Account) -> None:
        """Hold or release the deliveries of an account as its settings say."""
        gate = self._queue(account).gate
        if account.settings.deliver:
            gate.set()
        else:
            gate.clear()

    def under_way(self, account: Account) -> int:
        """Return the number of deliveries in progress. Held ones, and retries waiting for a clock, do not count."""
        queue = self._queue(account)
        return sum(delivery.state != "waiting" for delivery in queue.deliveries) - self.held(account)

    def planned(self, account: Account) -> int:
        """Return the total number of deliveries so far, including lost ones."""
        return self._queue(account).planned

    def held(self, account: Account) -> int:
        """Return the number of deliveries held until `deliver` is true again."""
        queue = self._queue(account)
        return 0 if queue.gate.is_set() else sum(delivery.state == "new" for delivery in queue.deliveries)

    def waiting(self, account: Account) -> list[JsonObject]:
        """Return the retries that wait for their clock to advance, the earliest first."""
        deliveries = [delivery for delivery in self._queue(account).deliveries if delivery.state == "waiting"]
        return [
            {
                "event": delivery.event["id"],
                "endpoint": delivery.endpoint["id"],
                "attempt": delivery.attempt,
                "due": delivery.due,
                "test_clock": delivery.clock_id,
            }
            for delivery in sorted(deliveries, key=_due)
        ]

    def now(self, account: Account) -> int:
        """Return the time of an account's retries and rolled secrets."""
        return self._queue(account).now()

    def discard(self, account: Account) -> None:
        """Discard all pending deliveries of an account."""
        queue = self._queue(account)
        for task in list(queue.tasks):
            task.cancel()
        queue.deliveries.clear()
        queue.shuffling.clear()

    async def advance(self, account: Account, seconds: Json) -> None:
        """
        Advance the delivery's time, and make each attempt that falls due on the way, in order.

        :raises StripeError: 400 unless `seconds` is from 1 to 30 days.
        """
        if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= _MAX_ADVANCE:
            message = f"Invalid seconds: {seconds!r}. It must be a whole number from 1 to {_MAX_ADVANCE}."
            raise invalid(message, param="seconds")
        queue = self._queue(account)
        target = queue.now() + seconds
        while due := [p for p in queue.deliveries if p.state == "waiting" and p.clock_id is None and p.due <= target]:
            delivery = min(due, key=_due)
            delivery.state, delivery.last_attempt_at = "new", delivery.due
            queue.offset = max(queue.offset, delivery.due - clock.now())
            if queue.gate.is_set():
                await self._attempt(queue, delivery)
            else:
                self._start_task(queue, self._attempt(queue, delivery))
        queue.offset = max(queue.offset, target - clock.now())

    async def send(self, account: Account, event: JsonObject, endpoint: JsonObject, *, attempt: int = 1) -> JsonObject:
        """Send an event once, now, even while deliveries are held. Return the record of the attempt."""
        shown = older_versions.event_for(account, event, endpoint["api_version"])
        payload = json.dumps(shown, separators=(",", ":"), ensure_ascii=False)
        record = _record(account, event, endpoint, attempt)
        try:
            async with self._slots:
                record["status"] = await self._post(endpoint, payload, now=self.now(account))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            record["error"] = f"{type(error).__name__}: {error}"
        pending: list[str] = event.get("_pending", [])
        if _accepted(record) and endpoint["id"] in pending:
            pending.remove(endpoint["id"])
            event["pending_webhooks"] = len(pending)
        return record

    async def send_payload(self, account: Account, endpoint: JsonObject, payload: str) -> int:
        """
        Send any payload to an endpoint, signed like an event, and return the status of the response.

        :raises StripeError: 400 if the endpoint cannot be reached.
        """
        try:
            async with self._slots:
                return await self._post(endpoint, payload, now=self.now(account))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise invalid(f"Cannot reach {endpoint['url']}: {type(error).__name__}.") from error

    def _enqueue(self, queue: _Queue, event: JsonObject, endpoint: JsonObject) -> None:
        """Decide whether a delivery is lost or duplicated, and start it."""
        settings, number = queue.account.settings, queue.planned
        queue.planned += 1
        if random_for(settings.seed, "loss", number).random() < settings.loss:
            _record(queue.account, event, endpoint, 1)["error"] = "Lost, as the setting `loss` requires."
            return
        duplicated = random_for(settings.seed, "duplicates", number).random() < settings.duplicates
        clock_id = _clock_of(queue.account, event)
        for copy in range(2 if duplicated else 1):
            delivery = _Delivery(event, endpoint, (number, copy), clock_id, queue.now(clock_id))
            queue.deliveries.append(delivery)
            if settings.order == "made":
                self._start_task(queue, self._send_after_delay(queue, delivery))
            else:
                queue.shuffling.append(delivery)
                if len(queue.shuffling) == 1:
                    self._start_task(queue, self._send_shuffled(queue))

    async def _send_after_delay(self, queue: _Queue, delivery: _Delivery) -> None:
        await clock.sleep(_delay(queue.account, delivery))
        await self._attempt(queue, delivery)

    async def _send_shuffled(self, queue: _Queue) -> None:
        """Send the deliveries that collected in a short time, or while deliveries were held, in random order."""
        await clock.sleep(_SHUFFLE_WINDOW)
        await queue.gate.wait()
        deliveries, queue.shuffling = queue.shuffling, []
        random_for(queue.account.settings.seed, "order", deliveries[0].name).shuffle(deliveries)
        for delivery in deliveries:
            if _delay(queue.account, delivery):  # then the delays determine the order
                self._start_task(queue, self._send_after_delay(queue, delivery))
            else:
                await self._attempt(queue, delivery)

    async def _attempt(self, queue: _Queue, delivery: _Delivery) -> None:
        """Make the next attempt once deliveries are not held. Schedule another if it fails."""
        await queue.gate.wait()
        account, endpoint = queue.account, delivery.endpoint
        if account.find("webhook_endpoint", endpoint["id"]) is None or endpoint["status"] != "enabled":
            queue.drop(delivery)
            return
        delivery.state = "sending"
        record = await self.send(account, delivery.event, endpoint, attempt=delivery.attempt)
        settings = account.settings
        delays = STRIPE_RETRY_DELAYS if settings.retry_schedule == "stripe" else settings.retry_seconds
        if _accepted(record) or delivery.attempt > len(delays):
            queue.drop(delivery)
            return
        delay = delays[delivery.attempt - 1]
        delivery.attempt += 1
        if settings.retry_schedule == "stripe":
            delivery.state, delivery.due = "waiting", delivery.last_attempt_at + int(delay)
            self._start_due_retries(queue)
        else:
            delivery.state = "pausing"
            self._start_task(queue, self._retry_after(queue, delivery, delay))

    async def _retry_after(self, queue: _Queue, delivery: _Delivery, delay: float) -> None:
        await clock.sleep(delay)
        delivery.state = "new"
        await self._attempt(queue, delivery)

    def _start_due_retries(self, queue: _Queue) -> None:
        """Start the retries whose time has come."""
        for delivery in [delivery for delivery in queue.deliveries if delivery.state == "waiting"]:
            try:
                now = queue.now(delivery.clock_id)
            except StripeError:  # the test clock and its objects were deleted
                queue.drop(delivery)
                continue
            if delivery.due <= now:
                delivery.state, delivery.last_attempt_at = "new", delivery.due
                self._start_task(queue, self._attempt(queue, delivery))

    def _start_task(self, queue: _Queue, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        queue.tasks.add(task)
        task.add_done_callback(queue.tasks.discard)

    def _queue(self, account: Account) -> _Queue:
        queue = self._queues.get(account.key)
        if queue is None:
            queue = self._queues[account.key] = _Queue(account)
            if account.settings.deliver:
                queue.gate.set()
        return queue

    async def _post(self, endpoint: JsonObject, payload: str, *, now: int) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signatures.header(endpoint, payload, now=now),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        body = payload.encode()
        async with self._session.post(endpoint["url"], data=body, headers=headers, allow_redirects=False) as reply:
            return reply.status


def _apply_equal_seconds(queue: _Queue, event: JsonObject) -> None:
    if not queue.account.settings.equal_seconds:
        queue.shared_second = None
        return
    queue.shared_second = queue.shared_second or event["created"]
    event["created"] = queue.shared_second


def _delay(account: Account, delivery: _Delivery) -> float:
    wanted = account.settings.delay_seconds
    least, most = wanted if isinstance(wanted, list) else (wanted, wanted)
    return random_for(account.settings.seed, "delay", delivery.name).uniform(least, most)


def _due(delivery: _Delivery) -> tuple[int, tuple[int, int]]:
    return delivery.due, delivery.name


def _record(account: Account, event: JsonObject, endpoint: JsonObject, attempt: int) -> JsonObject:
    record: JsonObject = {
        "event": event["id"],
        "type": event["type"],
        "endpoint": endpoint["id"],
        "url": endpoint["url"],
        "attempt": attempt,
        "at": clock.precise(),
        "status": None,
        "error": None,
    }
    account.deliveries.append(record)
    return record


def _accepted(record: JsonObject) -> bool:
    return record["status"] is not None and 200 <= record["status"] < 300


def _subscribed_endpoints(account: Account, event: JsonObject) -> Iterator[JsonObject]:
    for endpoint in account.all("webhook_endpoint"):
        if endpoint["status"] == "enabled" and {"*", event["type"]} & set(endpoint["enabled_events"]):
            yield endpoint


def _clock_of(account: Account, event: JsonObject) -> str | None:
    """Return the test clock of the event's object, if it still exists."""
    obj = event["data"]["object"]
    found = obj["id"] if obj["object"] == "test_helpers.test_clock" else obj.get("test_clock")
    if not isinstance(found, str) and isinstance(obj.get("customer"), str):
        found = account.clock_of(obj["customer"])
    return found if isinstance(found, str) and account.find("test_helpers.test_clock", found) else None
