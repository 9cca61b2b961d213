"""Webhooks: each event goes, signed, to each endpoint that listens for it; failures are tried again."""

import asyncio
import json
from collections.abc import Iterator

import aiohttp
from stripe import WebhookSignature

from sandbox import clock
from sandbox.jsontypes import JsonObject
from sandbox.store import Account

_AT_ONCE = 32
_PATIENCE = 10.0
"""Seconds that an endpoint has to answer in."""


class Delivery:
    """Delivers the events of all accounts. Made inside a running event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[asyncio.Task[None], Account] = {}
        self._gates: dict[str, asyncio.Event] = {}
        self._held: dict[str, int] = {}

    async def close(self) -> None:
        """Give up what is under way and close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def flush(self, account: Account) -> None:
        """Begin the delivery of the events that an account has made since the last time."""
        events, account.outbox = account.outbox, []
        for event in events:
            endpoints = list(_listeners(account, event))
            event["pending_webhooks"] = len(endpoints)
            for endpoint in endpoints:
                task = asyncio.create_task(self._deliver(account, event, endpoint))
                self._tasks[task] = account
                task.add_done_callback(lambda done: self._tasks.pop(done, None))

    def obey(self, account: Account) -> None:
        """Hold the deliveries of an account, or let them go, as its settings say."""
        gate = self._gate(account)
        if account.settings.deliver:
            gate.set()
        else:
            gate.clear()

    def under_way(self, account: Account) -> int:
        """Return how many deliveries are running, queued or waiting for their next attempt; held ones do not count."""
        return sum(owner is account for owner in self._tasks.values()) - self.held(account)

    def held(self, account: Account) -> int:
        """Return how many deliveries wait for `deliver` to be true again."""
        return self._held.get(account.key, 0)

    def forget(self, account: Account) -> None:
        """Drop all that is still to be delivered: those webhooks are lost."""
        for task, owner in list(self._tasks.items()):
            if owner is account:
                task.cancel()

    async def send(self, account: Account, event: JsonObject, endpoint: JsonObject, *, attempt: int = 1) -> JsonObject:
        """Deliver once, now, whatever is held; return the record of the attempt."""
        payload = json.dumps(account.render(event), separators=(",", ":"), ensure_ascii=False)
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
        try:
            async with self._slots:
                record["status"] = await self._post(endpoint, payload)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            record["error"] = f"{type(error).__name__}: {error}"
        if _accepted(record) and endpoint["id"] not in event.setdefault("_delivered", []):
            event["_delivered"].append(endpoint["id"])
            event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)
        return record

    async def _deliver(self, account: Account, event: JsonObject, endpoint: JsonObject) -> None:
        for attempt, pause in enumerate([0, *account.settings.retry_seconds], start=1):
            await clock.sleep(pause)
            await self._pass_gate(account)
            if account.find("webhook_endpoint", endpoint["id"]) is None or endpoint["status"] != "enabled":
                return
            if _accepted(await self.send(account, event, endpoint, attempt=attempt)):
                return

    async def _pass_gate(self, account: Account) -> None:
        gate = self._gate(account)
        if gate.is_set():
            return
        self._held[account.key] = self.held(account) + 1
        try:
            await gate.wait()
        finally:
            self._held[account.key] -= 1

    def _gate(self, account: Account) -> asyncio.Event:
        if account.key not in self._gates:
            self._gates[account.key] = asyncio.Event()
            self._gates[account.key].set()
        return self._gates[account.key]

    async def _post(self, endpoint: JsonObject, payload: str) -> int:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE))
        signature = WebhookSignature.generate_signature_header(payload, endpoint["_secret"], clock.now())
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature,
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        }
        body = payload.encode()
        async with self._session.post(endpoint["url"], data=body, headers=headers, allow_redirects=False) as reply:
            return reply.status


def _accepted(record: JsonObject) -> bool:
    return record["status"] is not None and 200 <= record["status"] < 300


def _listeners(account: Account, event: JsonObject) -> Iterator[JsonObject]:
    for endpoint in account.all("webhook_endpoint"):
        if endpoint["status"] == "enabled" and {"*", event["type"]} & set(endpoint["enabled_events"]):
            yield endpoint
