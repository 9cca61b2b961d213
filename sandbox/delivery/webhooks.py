"""
Webhooks: each event goes, signed, to each endpoint that listens for it; failures are tried again.

What the network does to them is the account's to set: deliveries are held, late, lost, doubled or in any order. Each such
chance is drawn from the account's seed and the delivery's number, so that a run can be had again.
"""

import asyncio
import json
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from sandbox import clock
from sandbox.delivery import signatures
from sandbox.errors import StripeError, invalid
from sandbox.json_types import Json, JsonObject
from sandbox.seeded_random import draw
from sandbox.store.accounts import Account

_AT_ONCE = 32
_PATIENCE = 10.0
"""Seconds that an endpoint has to answer in."""
_GATHERED = 0.05
"""Seconds in which deliveries gather before they are shuffled."""
STRIPE_PAUSES = [3600 * 2**step for step in range(6)]
"""Seconds from each failure to the next attempt: doubled each time and within three days, as Stripe tells of live mode.
The steps themselves are the sandbox's own; Stripe publishes none."""
_LONGEST_WIND = 30 * 86400


@dataclass(eq=False, slots=True)
class _Parcel:
    """One event on its way to one endpoint."""

    event: JsonObject
    endpoint: JsonObject
    name: tuple[int, int]
    """The number of the delivery in its account and of the copy: what its chances are drawn by."""
    clock_id: str | None
    """The test clock whose time it lives in; None for the delivery's own."""
    moment: int
    """When it was last tried, or made, in that time."""
    state: str = "new"
    """`new` until it is let through, `sending`, `pausing` in real time, or `waiting` for a clock."""
    attempt: int = 1
    due: int = 0


@dataclass(eq=False)
class _Desk:
    """What is on its way for one account."""

    account: Account
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    parcels: list[_Parcel] = field(default_factory=list)
    gathered: list[_Parcel] = field(default_factory=list)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    planned: int = 0
    wound: int = 0
    second: int | None = None
    """The one second of all events while `equal_seconds` is on."""

    def now(self, clock_id: str | None = None) -> int:
        """Return the time of a delivery: a test clock's, or real time and how far it was wound."""
        return clock.now() + self.wound if clock_id is None else self.account.now(clock_id)

    def drop(self, parcel: _Parcel) -> None:
        """Have done with a parcel."""
        if parcel in self.parcels:
            self.parcels.remove(parcel)


class Delivery:
    """Delivers the events of all accounts. Made inside a running event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._desks: dict[str, _Desk] = {}

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        tasks = [task for desk in self._desks.values() for task in desk.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def flush(self, account: Account) -> None:
        """Begin the delivery of the events that an account has made since the last time, and of retries that are due."""
        if account.outbox:
            desk = self._desk(account)
            events, account.outbox = account.outbox, []
            for event in events:
                _date(desk, event)
                endpoints = list(_listeners(account, event))
                event["_pending"] = [endpoint["id"] for endpoint in endpoints]
                event["pending_webhooks"] = len(endpoints)
                for endpoint in endpoints:
                    self._plan(desk, event, endpoint)
        if account.key in self._desks:
            self._release_due(self._desk(account))

    def obey(self, account: Account) -> None:
        """Hold the deliveries of an account, or let them go, as its settings say."""
        gate = self._desk(account).gate
        if account.settings.deliver:
            gate.set()
        else:
            gate.clear()

    def under_way(self, account: Account) -> int:
        """Return how many deliveries are running, queued or pausing; those held or waiting for a clock do not count."""
        desk = self._desk(account)
        return sum(parcel.state != "waiting" for parcel in desk.parcels) - self.held(account)

    def planned(self, account: Account) -> int:
        """Return how many deliveries there ever were, those that were lost among them."""
        return self._desk(account).planned

    def held(self, account: Account) -> int:
        """Return how many deliveries wait for `deliver` to be true again."""
        desk = self._desk(account)
        return 0 if desk.gate.is_set() else sum(parcel.state == "new" for parcel in desk.parcels)

    def waiting(self, account: Account) -> list[JsonObject]:
        """Return the retries that wait until their clock is wound, the next one first."""
        parcels = [parcel for parcel in self._desk(account).parcels if parcel.state == "waiting"]
        return [
            {
                "event": parcel.event["id"],
                "endpoint": parcel.endpoint["id"],
                "attempt": parcel.attempt,
                "due": parcel.due,
                "test_clock": parcel.clock_id,
            }
            for parcel in sorted(parcels, key=_due)
        ]

    def now(self, account: Account) -> int:
        """Return the time that an account's retries and rolled secrets live in."""
        return self._desk(account).now()

    def forget(self, account: Account) -> None:
        """Drop all that is still to be delivered: those webhooks are lost."""
        desk = self._desk(account)
        for task in list(desk.tasks):
            task.cancel()
        desk.parcels.clear()
        desk.gathered.clear()

    async def wind(self, account: Account, seconds: Json) -> None:
        """
        Move the delivery's time forward, and make each attempt that falls due on the way, in order.

        :raises StripeError: 400 if it would go backwards, or further than 30 days at once.
        """
        if not isinstance(seconds, int) or isinstance(seconds, bool) or not 0 < seconds <= _LONGEST_WIND:
            message = f"Invalid seconds: {seconds!r}. Deliveries are wound forward by 1 to {_LONGEST_WIND} seconds."
            raise invalid(message, param="seconds")
        desk = self._desk(account)
        target = desk.now() + seconds
        while due := [p for p in desk.parcels if p.state == "waiting" and p.clock_id is None and p.due <= target]:
            parcel = min(due, key=_due)
            parcel.state, parcel.moment = "new", parcel.due
            desk.wound = max(desk.wound, parcel.due - clock.now())
            if desk.gate.is_set():
                await self._try(desk, parcel)
            else:
                self._spawn(desk, self._try(desk, parcel))
        desk.wound = max(desk.wound, target - clock.now())

    async def send(self, account: Account, event: JsonObject, endpoint: JsonObject, *, attempt: int = 1) -> JsonObject:
        """Deliver once, now, whatever is held; return the record of the attempt."""
        payload = json.dumps(account.render(event), separators=(",", ":"), ensure_ascii=False)
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

    def _plan(self, desk: _Desk, event: JsonObject, endpoint: JsonObject) -> None:
        """Decide what becomes of a delivery: whether it is lost, or doubled, and begin it."""
        settings, number = desk.account.settings, desk.planned
        desk.planned += 1
        if draw(settings.seed, "loss", number).random() < settings.loss:
            _record(desk.account, event, endpoint, 1)["error"] = "Lost on the way, as the settings ask."
            return
        doubled = draw(settings.seed, "duplicates", number).random() < settings.duplicates
        clock_id = _clock_of(desk.account, event)
        for copy in range(2 if doubled else 1):
            parcel = _Parcel(event, endpoint, (number, copy), clock_id, desk.now(clock_id))
            desk.parcels.append(parcel)
            if settings.order == "made":
                self._spawn(desk, self._begin(desk, parcel))
            else:
                desk.gathered.append(parcel)
                if len(desk.gathered) == 1:
                    self._spawn(desk, self._shuffled(desk))

    async def _begin(self, desk: _Desk, parcel: _Parcel) -> None:
        await clock.sleep(_delay(desk.account, parcel))
        await self._try(desk, parcel)

    async def _shuffled(self, desk: _Desk) -> None:
        """Send what gathers in a moment, or while deliveries are held, one after another in an order of chance."""
        await clock.sleep(_GATHERED)
        await desk.gate.wait()
        parcels, desk.gathered = desk.gathered, []
        draw(desk.account.settings.seed, "order", parcels[0].name).shuffle(parcels)
        for parcel in parcels:
            if _delay(desk.account, parcel):  # then it is the delays that make the order
                self._spawn(desk, self._begin(desk, parcel))
            else:
                await self._try(desk, parcel)

    async def _try(self, desk: _Desk, parcel: _Parcel) -> None:
        """Make the next attempt as soon as deliveries are let through; if it fails, see to another."""
        await desk.gate.wait()
        account, endpoint = desk.account, parcel.endpoint
        if account.find("webhook_endpoint", endpoint["id"]) is None or endpoint["status"] != "enabled":
            desk.drop(parcel)
            return
        parcel.state = "sending"
        record = await self.send(account, parcel.event, endpoint, attempt=parcel.attempt)
        settings = account.settings
        pauses = STRIPE_PAUSES if settings.retry_schedule == "stripe" else settings.retry_seconds
        if _accepted(record) or parcel.attempt > len(pauses):
            desk.drop(parcel)
            return
        pause = pauses[parcel.attempt - 1]
        parcel.attempt += 1
        if settings.retry_schedule == "stripe":
            parcel.state, parcel.due = "waiting", parcel.moment + int(pause)
            self._release_due(desk)
        else:
            parcel.state = "pausing"
            self._spawn(desk, self._later(desk, parcel, pause))

    async def _later(self, desk: _Desk, parcel: _Parcel, pause: float) -> None:
        await clock.sleep(pause)
        parcel.state = "new"
        await self._try(desk, parcel)

    def _release_due(self, desk: _Desk) -> None:
        """Let go of the retries whose clock has come to them."""
        for parcel in [parcel for parcel in desk.parcels if parcel.state == "waiting"]:
            try:
                now = desk.now(parcel.clock_id)
            except StripeError:  # the test clock was deleted, and all that was on it
                desk.drop(parcel)
                continue
            if parcel.due <= now:
                parcel.state, parcel.moment = "new", parcel.due
                self._spawn(desk, self._try(desk, parcel))

    def _spawn(self, desk: _Desk, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        desk.tasks.add(task)
        task.add_done_callback(desk.tasks.discard)

    def _desk(self, account: Account) -> _Desk:
        desk = self._desks.get(account.key)
        if desk is None:
            desk = self._desks[account.key] = _Desk(account)
            if account.settings.deliver:
                desk.gate.set()
        return desk

    async def _post(self, endpoint: JsonObject, payload: str, *, now: int) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE))
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signatures.header(endpoint, payload, now=now),
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        body = payload.encode()
        async with self._session.post(endpoint["url"], data=body, headers=headers, allow_redirects=False) as reply:
            return reply.status


def _date(desk: _Desk, event: JsonObject) -> None:
    if not desk.account.settings.equal_seconds:
        desk.second = None
        return
    desk.second = desk.second or event["created"]
    event["created"] = desk.second


def _delay(account: Account, parcel: _Parcel) -> float:
    wanted = account.settings.delay_seconds
    least, most = wanted if isinstance(wanted, list) else (wanted, wanted)
    return draw(account.settings.seed, "delay", parcel.name).uniform(least, most)


def _due(parcel: _Parcel) -> tuple[int, tuple[int, int]]:
    return parcel.due, parcel.name


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


def _listeners(account: Account, event: JsonObject) -> Iterator[JsonObject]:
    for endpoint in account.all("webhook_endpoint"):
        if endpoint["status"] == "enabled" and {"*", event["type"]} & set(endpoint["enabled_events"]):
            yield endpoint


def _clock_of(account: Account, event: JsonObject) -> str | None:
    """The test clock that the event's object lives on, if it is still there."""
    thing = event["data"]["object"]
    found = thing["id"] if thing["object"] == "test_helpers.test_clock" else thing.get("test_clock")
    if not isinstance(found, str) and isinstance(thing.get("customer"), str):
        found = account.clock_of(thing["customer"])
    return found if isinstance(found, str) and account.find("test_helpers.test_clock", found) else None
