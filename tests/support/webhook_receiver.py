"""A system of the publisher that receives webhooks over real HTTP, and the worker that sends them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from app.context import DatabaseContext
from app.db import outbox
from app.db.engine.session import Sessions
from app.domain.outbox import NewOutboxEvent, OutboxReader, OutboxType
from app.gateway.webhook_deliveries import WebhookSender
from app.services import webhook_endpoints
from app.services.webhook_deliveries import CLAIMED, Deliverer
from app.services.webhook_endpoints import NewSecret
from app.settings import Settings
from app.worker import Job, Worker
from tests.support.timeouts import TIMEOUT

LOOPBACK = (ip_network("127.0.0.0/8"),)
Respond = Callable[[Mapping[str, Any]], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """What was received, in order, and how it is answered."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[Mapping[str, str], str]] = field(default_factory=list)  # headers and body
    respond: Respond | None = None  # None: with 204

    @property
    def ids(self) -> list[str]:
        """The ID of each request, again if it was sent again."""
        return [headers["webhook-id"] for headers, _ in self.requests]

    def verify(self, secret: str) -> None:
        """Check the signatures of all requests."""
        for headers, body in self.requests:
            Webhook(secret).verify(body, dict(headers))

    async def wait_for(self, count: int) -> None:
        """Wait until that many requests have been received."""
        async with asyncio.timeout(TIMEOUT):
            while len(self.requests) < count:
                await asyncio.sleep(0.01)

    async def _receive(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        self.requests.append((request.headers, text))
        self.bodies.append(json.loads(text))
        return await self.respond(self.bodies[-1]) if self.respond is not None else web.Response(status=204)


@asynccontextmanager
async def receiving(respond: Respond | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver on loopback."""
    receiver = Receiver(respond=respond)
    app = web.Application()
    app.router.add_post("/hook", receiver._receive)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def webhook_context(sessions: Sessions, folder: Path, **settings: Any) -> DatabaseContext:
    """Return a context whose settings allow loopback."""
    values = {"webhook_networks": LOOPBACK, "data_dir": folder, **settings}
    return DatabaseContext(settings=Settings(**values), sessions=sessions)


@asynccontextmanager
async def delivering(
    ctx: DatabaseContext, *, timeout: timedelta = timedelta(seconds=TIMEOUT), sender: WebhookSender | None = None
) -> AsyncIterator[None]:
    """Run a worker that delivers events, and nothing else."""
    sender = sender or WebhookSender(allowed=ctx.settings.webhook_networks, timeout=timeout)
    worker = worker_of(ctx, sender)
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await sender.close()


# Longer than a busy machine stalls: an event whose lease is over is sent again.
LEASE = timedelta(seconds=10)


def worker_of(ctx: DatabaseContext, sender: WebhookSender) -> Worker:
    """Return a worker that delivers events, and nothing else."""
    deliverer = Deliverer(ctx, sender, lambda: datetime.now(UTC))
    jobs = [
        Job(table="outbox_events", run=deliverer.queue, claim=deliverer.claim_events),
        Job(table="webhook_lanes", run=deliverer.deliver, claim=deliverer.claim, concurrency=CLAIMED * 20),
    ]
    return Worker(ctx.sessions, jobs, housekeeping=None, lease=LEASE, listen_dsn=None, poll_seconds=0.02)


async def add_endpoint(ctx: DatabaseContext, url: str, *types: str, name: str = "the site") -> NewSecret:
    """Add an endpoint."""
    return await webhook_endpoints.add(ctx, name=name, url=url, types=types, by="staff:admin")


async def happen(
    ctx: DatabaseContext, *readers: str, type_: OutboxType = OutboxType.ADDRESS_NEEDED, **data: object
) -> None:
    """Record an event of each reader, in one transaction."""
    async with ctx.sessions.begin() as session:
        await outbox.add(
            session,
            [NewOutboxEvent(type=type_, reader=OutboxReader(f"rdr_{one}", one), data=data) for one in readers],
        )
