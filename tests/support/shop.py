"""
The whole service over HTTP, with a local Stripe, an identity provider and a test clock.

Each test has its own shop: a database cloned from the template, an account at the sandbox, and the service with its
worker.
"""

import asyncio
import contextlib
import math
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import httpx2
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from app import main
from app.cli.http_protocol import OPTIONS
from app.domain.caller_limits import Limit
from app.setting_types import NO_LIMIT
from app.settings import Settings
from tests.support import shop_template
from tests.support.busy_machine import RepeatingTransport
from tests.support.processes import Service
from tests.support.timeouts import TIMEOUT

CATALOGUE = shop_template.CATALOGUE
START_TIME = datetime(2026, 3, 1, 18, tzinfo=UTC)  # noon in Chicago
VISA, DECLINED, REQUIRES_3DS = "4242424242424242", "4000000000000002", "4000002760003184"
RENEW_TOKENS_AFTER = 300  # seconds: the service refuses the tokens of staff after 15 minutes
CHARGE_FAILS_LATER = "4000000000000341"
MAY_BE_REFUSED = "may_be_refused"  # an extension of a request to the sandbox
# A delivery is repeated for as long as tests wait, often: the service may be down or stopped for any time in between.
RETRY_SECONDS = [0.2, 0.5, *[1] * int(TIMEOUT)]
# A client must drop an idle connection well before the servers do, which is after a minute.
KEEPALIVE_LIMITS = httpx2.Limits(keepalive_expiry=2)
TLS = ssl.create_default_context()  # shared, because loading the root certificates takes 20 ms
ADDRESS = {
    "shipping_name": "Ada Invented",
    "shipping_line1": "1 Lantern Street",
    "shipping_line2": "",
    "shipping_city": "Springfield",
    "shipping_state": "IL",
    "shipping_postal_code": "62701",
    "shipping_country": "US",
}
EVENTS = [
    "checkout.session.completed",
    "checkout.session.expired",
    "customer.updated",
    "customer.deleted",
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice_payment.paid",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.refunded",
    "credit_note.created",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "radar.early_fraud_warning.created",
    "radar.early_fraud_warning.updated",
]


@dataclass(frozen=True)
class Person:
    """A signed-in person. Their access token is renewed after a while, because the service refuses old ones."""

    sub: str
    email: str
    headers: Mapping[str, str]
    roles: tuple[str, ...] = ()
    renew_at: float = field(default=math.inf, compare=False)  # in monotonic seconds


@dataclass
class Shop:
    """A running service and everything it uses."""

    url: str
    settings: Settings
    http: httpx2.AsyncClient  # to the service
    stripe: httpx2.AsyncClient  # to the sandbox, with the account's key
    browser: httpx2.AsyncClient  # a reader's browser, for the hosted checkout page
    issuer: Any
    dsn: str
    clock: str
    server_key: str
    pool: asyncpg.Pool  # to the service's database: opening a connection costs more than most queries
    process: Service | None = None
    app: FastAPI | None = None  # when it runs in this process
    people: dict[str, Person] = field(default_factory=dict)

    def person(self, name: str = "ada", *, roles: tuple[str, ...] = ()) -> Person:
        """Return a signed-in person; the same one for the same name, with a new access token in a long test."""
        known, now = self.people.get(name), time.monotonic()
        if known is None or known.renew_at < now:
            roles, email = roles if known is None else known.roles, f"{name}@example.com"
            token = self.issuer.token(name, email=email, name=name.title(), roles=list(roles))
            headers = {"Authorization": f"Bearer {token}"}
            self.people[name] = Person(name, email, headers, roles, renew_at=now + RENEW_TOKENS_AFTER)
        return self.people[name]

    @property
    def agent(self) -> Person:
        """A member of the support staff."""
        return self.person("agent", roles=("support",))

    @property
    def supervisor(self) -> Person:
        """A member of the staff who may approve what others requested."""
        return self.person("supervisor", roles=("supervisor",))

    async def approve(self, request_id: str, by: Person | None = None) -> httpx2.Response:
        """Approve a request as the second person."""
        key = {"Idempotency-Key": f"approve-{request_id}"}
        return await self.post(f"/v1/support/approvals/{request_id}/approve", by or self.supervisor, **key)

    async def get(self, path: str, by: Person, **query: str) -> httpx2.Response:
        """Send a GET request to the service."""
        return await self.http.get(path, headers=dict(by.headers), params=query)

    async def post(self, path: str, by: Person, body: object = None, **headers: str) -> httpx2.Response:
        """Send a POST request to the service."""
        return await self.http.post(path, headers={**by.headers, **headers}, json=body)

    async def open_checkout(self, by: Person, *, print_edition: bool = False, **more: object) -> httpx2.Response:
        """Create a checkout session."""
        back = "http://127.0.0.1:8080"
        chosen = {
            "plan": "annual",
            "print_edition": print_edition,
            "success_url": f"{back}/welcome?session_id={{CHECKOUT_SESSION_ID}}",
            "cancel_url": f"{back}/subscribe",
        }
        return await self.post("/v1/checkout-sessions", by, {**chosen, **more})

    async def pay_checkout(
        self, url: str, *, card: str = VISA, address: Mapping[str, str] | None = None, **more: str
    ) -> httpx2.Response:
        """Fill in the hosted checkout page and submit it."""
        form = {"card_number": card, "card_expiry": "12 / 34", "card_cvc": "123", "card_name": "Ada Invented"}
        return await self.browser.post(
            url, data={"email": "ada@example.com", **form, **(address or {}), **more}, follow_redirects=False
        )

    async def subscribe(self, by: Person, *, print_edition: bool = False, **more: object) -> str:
        """Subscribe, pay, and wait until all events are processed. Return the ID of the session."""
        opened = await self.open_checkout(by, print_edition=print_edition, **more)
        assert opened.status_code == 201, opened.text
        paid = await self.pay_checkout(opened.json()["url"], address=ADDRESS if print_edition else None)
        assert paid.status_code == 303, paid.text
        await self.wait_until_idle()
        return str(opened.json()["id"])

    async def check(self, by: Person, feature: str = "archive") -> dict[str, Any]:
        """Check a reader's access with the site's API key."""
        answer = await self.http.post(
            "/v1/entitlements/check",
            headers={"Authorization": f"Bearer {self.server_key}"},
            json={"subscriber": by.sub, "feature": feature},
        )
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def may_read(self, by: Person, feature: str = "archive") -> bool:
        """Return whether a reader has access to a feature."""
        return bool((await self.check(by, feature))["allowed"])

    async def overview(self, of: Person) -> dict[str, Any]:
        """Return the support view of a reader."""
        found = (await self.get("/v1/support/subscribers", self.agent, q=of.email)).json()["data"]
        assert len(found) == 1, found
        return dict((await self.get(f"/v1/support/subscribers/{found[0]['id']}", self.agent)).json())

    async def quote(self, payment: str) -> dict[str, Any]:
        """Return the guarantee quote of a payment."""
        answer = await self.get(f"/v1/support/payments/{payment}/refund-quote", self.agent)
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["quotes"][0])

    async def request_refund(
        self, payment: str, *, key: str = "click-1", amount: int = 49_00, by: Person | None = None
    ) -> httpx2.Response:
        """Request a guarantee refund as support."""
        body = {
            "payment": payment,
            "basis": "guarantee",
            "reason": "requested_by_reader",
            "expected_amount": {"amount": amount, "currency": "usd"},
        }
        return await self.post("/v1/support/refunds", by or self.agent, body, **{"Idempotency-Key": key})

    async def stripe_get(self, path: str, **query: str) -> dict[str, Any]:
        """Get an object or a list from Stripe."""
        answer = await self.stripe.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def stripe_post(self, path: str, **fields: str) -> dict[str, Any]:
        """Send a POST request to Stripe, as the Dashboard would."""
        answer = await self.stripe.post(path, data=fields)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def stripe_customers(self) -> list[dict[str, Any]]:
        """Return Stripe's customers on the test clock."""
        return list((await self.stripe_get("/v1/customers", test_clock=self.clock))["data"])

    async def stripe_requests(self, method: str, path: str) -> list[dict[str, Any]]:
        """Return the requests that the sandbox received, without replayed ones."""
        asked = (await self.stripe.get("/_sandbox/requests")).json()["data"]
        return [c for c in asked if c["method"] == method and c["path"] == path and not c["replayed"]]

    async def add_fault(self, **fault: object) -> str:
        """Add a fault to the sandbox, and return its ID."""
        answer = await self.stripe.post("/_sandbox/faults", json=fault)
        return str(answer.json()["id"])

    async def ask_bank(self, path: str, **fields: object) -> httpx2.Response:
        """Let a bank act, through a control of the sandbox. Unlike other controls, it may refuse."""
        return await self.stripe.post(f"/_sandbox/{path}", json=fields, extensions={MAY_BE_REFUSED: True})

    async def advance_to(self, moment: datetime) -> None:
        """Advance the test clock in steps of at most 200 days, and process the events of each step."""
        while True:
            now = datetime.fromtimestamp(
                (await self.stripe_get(f"/v1/test_helpers/test_clocks/{self.clock}"))["frozen_time"], UTC
            )
            if now >= moment:
                return
            step = min(now + timedelta(days=200), moment)
            advanced = await self.stripe.post(
                f"/v1/test_helpers/test_clocks/{self.clock}/advance", data={"frozen_time": str(int(step.timestamp()))}
            )
            assert advanced.status_code == 200, advanced.text
            await self.wait_for_clock()
            await self.wait_until_idle()

    async def wait_for_clock(self) -> None:
        """Wait until Stripe's test clock is ready."""
        async with asyncio.timeout(TIMEOUT):
            while (await self.stripe_get(f"/v1/test_helpers/test_clocks/{self.clock}"))["status"] != "ready":
                await asyncio.sleep(0.02)

    async def postpone(self, table: str) -> None:
        """Make no row of this table due for a month. A worker that has one may make it due earlier: wait for it first."""
        async with asyncio.timeout(TIMEOUT):
            while True:
                await self.pool.execute(f"UPDATE {table} SET due_at = now() + interval '30 days'")
                if await self.pool.fetchval(
                    "SELECT NOT EXISTS (SELECT FROM leases WHERE until > now())"
                    f" AND bool_and(due_at > now() + interval '29 days') FROM {table}"
                ):
                    return
                await asyncio.sleep(0.02)

    async def wait_until_idle(self) -> None:
        """
        Wait until all events are delivered and no work is due.

        Work can cause new events, for a credit note for example, so repeat until none was sent since the last check.
        A worker may still call Stripe for work that a request has finished meanwhile; it holds a lease until then. A killed
        process leaves its leases behind, so they count only if the service runs in this process.
        """
        unfinished = f"SELECT ({_UNFINISHED}) > 0" + (
            " OR EXISTS (SELECT FROM leases WHERE until > now())" if self.app else ""
        )
        sent = -1
        async with asyncio.timeout(TIMEOUT):
            while sent != (sent := await self.wait_for_deliveries()):
                while await self.pool.fetchval(unfinished):
                    await asyncio.sleep(0.02)

    async def wait_for_deliveries(self) -> int:
        """Wait until no delivery is pending, including retries. Return the number of deliveries so far."""
        answer = await self.stripe.get("/_sandbox/idle", params={"timeout": str(TIMEOUT - 10)})
        return int(answer.json()["planned"])

    async def count_pending_work(self) -> int:
        """Return the number of rows with pending work, due now or later."""
        return int((await self.rows(_UNFINISHED))[0]["rows"])

    async def plan_issues(self, count: int, *, but: str | None = None) -> None:
        """
        Put issues on the calendar, one every 15 days from January 16, 2026, without the work that a change starts.

        :param but: a statement that changes these issues, before any process can read them.
        """
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO issues (number, title, cover_date, planned_mail_date, label_cutoff, counts_as)"
                " SELECT n, 'Issue ' || n, d, d, d - 9, 1 FROM generate_series(1, $1::int) n,"
                " LATERAL (SELECT DATE '2026-01-01' + n * 15 AS d) x",
                count,
            )
            if but is not None:
                await connection.execute(but)
            # The processes that start write a token too. Each caches the calendar by its token, for all tests that it runs.
            await connection.execute(
                "INSERT INTO calendar_edition (id, token) VALUES (true, $1) ON CONFLICT (id) DO UPDATE SET token = $1",
                uuid4().hex,
            )

    async def execute(self, statement: str) -> None:
        """Execute a statement in the database, for example to end a delay."""
        await self.rows(statement)

    async def wait_until(self, query: str) -> None:
        """Wait until a query's first column is true."""
        async with asyncio.timeout(TIMEOUT):
            while not next(iter((await self.rows(query))[0].values())):
                await asyncio.sleep(0.02)

    async def wait_for_names(self) -> None:
        """Wait until a worker has indexed all names for the search."""
        await self.wait_until("SELECT NOT EXISTS (SELECT FROM subscribers WHERE name IS DISTINCT FROM indexed_name)")

    async def rows(self, query: str, *arguments: object) -> list[dict[str, Any]]:
        """Return the rows of a query in the database."""
        return [dict(row) for row in await self.pool.fetch(query, *arguments)]


_UNFINISHED = """
SELECT (SELECT count(*) FROM events WHERE due_at IS NOT NULL)
     + (SELECT count(*) FROM refunds WHERE due_at < now() + interval '30 minutes')
     + (SELECT count(*) FROM subscriptions WHERE due_at IS NOT NULL)
     + (SELECT count(*) FROM declarations WHERE due_at < now() + interval '1 minute')
     + (SELECT count(*) FROM print_changes WHERE due_at < now() + interval '1 minute')
     + (SELECT count(*) FROM price_migrations WHERE due_at IS NOT NULL)
     + (SELECT count(*) FROM price_changes WHERE due_at IS NOT NULL)
     + (SELECT count(*) FROM postal_addresses WHERE due_at IS NOT NULL)
     + (SELECT count(*) FROM derivation_runs WHERE finished_at IS NULL)
     + (SELECT count(*) FROM calendar_work WHERE due_at IS NOT NULL) AS rows
"""


def free_socket() -> socket.socket:
    """Return a socket that is bound to a free port of this machine."""
    # with the protocol given, or uvicorn leaves Nagle's algorithm on, which delays each response
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", 0))
    return bound


class Server(uvicorn.Server):
    """uvicorn in the test's event loop, without signal handlers."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the test runner."""
        yield


@asynccontextmanager
async def serving(
    settings: Settings, bound: socket.socket, *, with_worker: bool = True, **options: Any
) -> AsyncIterator[FastAPI]:
    """
    Run the service on a socket, in this process.

    :param options: other options of uvicorn than those of ``newsstand serve``.
    """
    app = main.application(settings, with_worker=with_worker)
    server = Server(uvicorn.Config(app, timeout_graceful_shutdown=5, timeout_keep_alive=60, **(OPTIONS | options)))
    running = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        async with asyncio.timeout(TIMEOUT):
            while not server.started:
                if running.done():
                    running.result()
                    raise RuntimeError("the service did not start")
                await asyncio.sleep(0.01)
        yield app
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def open_shop(
    dsn: str,
    sandbox: Any,
    issuer: Any,
    *,
    opening: datetime = START_TIME,
    separate_process: bool = False,
    endpoint_version: str | None = None,
    **more: Any,
) -> AsyncIterator[Shop]:
    """
    Open a shop: an account at the sandbox with the catalogue pushed, and the service beside it.

    :param separate_process: run the service in its own process, so that a test can kill it.
    :param endpoint_version: the API version of the webhook endpoint; None: the account's.
    """
    bound = free_socket()
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    key = sandbox.key()
    async with (
        httpx2.AsyncClient(
            base_url=sandbox.url,
            headers={"Authorization": f"Bearer {key}"},
            timeout=TIMEOUT,
            verify=TLS,
            limits=KEEPALIVE_LIMITS,
            event_hooks={"response": [_raise_if_a_control_failed]},
        ) as stripe,
        httpx2.AsyncClient(
            base_url=url, timeout=TIMEOUT, transport=RepeatingTransport(verify=TLS, limits=KEEPALIVE_LIMITS)
        ) as http,
        httpx2.AsyncClient(timeout=TIMEOUT, verify=TLS, limits=KEEPALIVE_LIMITS) as browser,
        asyncpg.create_pool(dsn, min_size=0, max_size=4) as pool,
    ):
        await shop_template.copy_catalogue(stripe, sandbox)
        await stripe.put("/_sandbox/settings", json={"retry_seconds": RETRY_SECONDS})
        secret = await _webhook_secret(stripe, url, endpoint_version)
        settings, clock = await _settings(stripe, dsn, secret, key, sandbox.url, issuer.url, opening, more)
        server_key = await shop_template.add_api_key(pool)
        await stripe.delete("/_sandbox/requests")
        async with serving_in_process(settings, bound, url) if separate_process else serving(settings, bound) as server:
            shop = Shop(
                url=url,
                settings=settings,
                http=http,
                stripe=stripe,
                browser=browser,
                issuer=issuer,
                dsn=dsn,
                clock=clock,
                server_key=server_key,
                pool=pool,
                process=server if isinstance(server, Service) else None,
                app=server if isinstance(server, FastAPI) else None,
            )
            # The service records its offers in the background. Later, that would change what a test sees of the calendar.
            await shop.wait_until("SELECT count(*) > 0 FROM offer_versions")
            yield shop
        violations = (await stripe.get("/_sandbox/violations")).json()["data"]
        assert violations == [], "the local Stripe sent a response that Stripe's types don't allow"


async def _raise_if_a_control_failed(response: httpx2.Response) -> None:
    """Let no control of the sandbox fail in silence: without a fault or a held delivery, a test would pass by chance."""
    request = response.request
    if request.url.path.startswith("/_sandbox/") and MAY_BE_REFUSED not in request.extensions and response.is_error:
        await response.aread()
        raise AssertionError(f"{request.method} {request.url.path}: {response.status_code} {response.text}")


@asynccontextmanager
async def serving_in_process(settings: Settings, bound: socket.socket, url: str) -> AsyncIterator[Service]:
    """
    Run the service in its own process, on the socket's port.

    The socket stays bound and never listens. So the system gives the port to nobody else while no process has it, and the
    service can still bind it, because both set SO_REUSEADDR.
    """
    service = Service(settings, url)
    try:
        await service.start()
        yield service
    finally:
        service.kill()
        bound.close()


async def _webhook_secret(stripe: httpx2.AsyncClient, url: str, version: str | None) -> str:
    """Create a webhook endpoint, and return its secret."""
    fields = {"url": f"{url}/webhooks/stripe", **{f"enabled_events[{i}]": e for i, e in enumerate(EVENTS)}}
    made = await stripe.post("/v1/webhook_endpoints", data=fields | ({"api_version": version} if version else {}))
    assert made.status_code == 200, made.text
    return str(made.json()["secret"])


async def _settings(
    stripe: httpx2.AsyncClient,
    dsn: str,
    secret: str,
    key: str,
    sandbox_url: str,
    issuer_url: str,
    opening: datetime,
    more: Mapping[str, Any],
) -> tuple[Settings, str]:
    clock = await stripe.post("/v1/test_helpers/test_clocks", data={"frozen_time": str(int(opening.timestamp()))})
    assert clock.status_code == 200, clock.text
    clock_id = str(clock.json()["id"])
    values: dict[str, Any] = {
        "database_url": SecretStr(dsn),
        "database_pool_size": 4,
        "stripe_url": sandbox_url,
        "stripe_api_key": SecretStr(key),
        "stripe_timeout": timedelta(seconds=30),
        "stripe_rate_limit": 1000,  # high enough not to delay a test
        "stripe_endpoint_rate_limit": 1000,
        "webhook_secrets": (SecretStr(secret),),
        "oidc_issuer": issuer_url,
        "oidc_audience": "newsstand",
        "allowed_return_hosts": ("127.0.0.1:8080",),
        "clock_url": f"{sandbox_url}/v1/test_helpers/test_clocks/{clock_id}",
        "catalogue": CATALOGUE,
        "lease": timedelta(seconds=3),
        "log_level": "WARNING",
        "reconcile_at": None,
        **{f"limit_{limit}": NO_LIMIT for limit in Limit},  # tests do in seconds what people do in hours
    }
    return Settings(**{**values, **more}), clock_id
