"""
The composition root: builds everything, and alone knows all of it.

What is built from the settings stands in one :class:`Parts`; the web application and the worker are made of it.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from app.api import docs_page, entitlement_checks, fast_path, hot, middleware, problems
from app.api.auth import Authenticator
from app.api.deps import Container
from app.api.openapi import TAGS
from app.api.routes import ROUTERS
from app.batching import Batcher
from app.clock import Clock, StripeTestClock, SystemClock
from app.console import app as console
from app.console.desk import Desk, sign_in_of
from app.db import inbox
from app.db.engine import leases, schema
from app.db.engine.change_feed import ChangeFeed
from app.db.engine.dsn import find_dsn, listen_dsn
from app.db.engine.notifications import Notifier
from app.db.engine.pool import open_pool
from app.db.engine.rate_buckets import RateBuckets
from app.db.engine.session import Sessions, make_engine, make_sessions
from app.db.entitlements import EntitlementLookup
from app.db.inbox_writer import InboxWriter
from app.domain import events
from app.domain.plans import Catalogue
from app.domain.reconciliation import until_next
from app.domain.rules import Rules
from app.domain.subscriptions import StripeSubscriptionState
from app.encryption import signing_key_cipher
from app.gateway.client import Gateway
from app.gateway.rate_limits import backlog
from app.services import audit as audit_cases
from app.services import (
    cancellations,
    catalogue,
    checkout,
    customers,
    dashboard_stats,
    duplicates,
    idempotency,
    imports,
    issues,
    payments,
    reconciliation,
    subscriptions,
    webhooks,
)
from app.services import events as event_cases
from app.services import refunds as refund_cases
from app.services import revocations as revocation_cases
from app.services.entitlements import Entitlements
from app.services.signing_keys import Minting, Signer
from app.settings import CONSOLE, Settings
from app.worker import Job, Worker, attend

VERSION = "0.1.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Everything that is built once for each process."""

    settings: Settings
    clock: Clock
    engine: AsyncEngine
    sessions: Sessions
    gateway: Gateway
    rules: Rules
    container: Container
    notices: Notifier
    hearing: ChangeFeed
    dsn: str

    def worker(self) -> Worker:
        """Return a worker over these parts, with a job for each kind of work."""
        done = webhooks.closing(self.sessions)
        return Worker(
            self.sessions,
            [
                Job(table="events", do=partial(self._apply, done), claim=inbox.claim),
                Job(table="refunds", do=self._finish_refunds),
                Job(table="subscriptions", do=self._finish_ends),
                Job(table="calendar_work", do=self._follow_calendar),
                Job(table="audit_unsealed", do=self._seal_audit),
                Job(table="figures", do=self._count_figures),
                Job(table="sweeps", do=self._reconcile),
            ],
            tidy=self._tidy,
            lease=self.settings.lease,
            listen_dsn=listen_dsn(self.settings, self.dsn),
            at_once=self.settings.worker_concurrency,
            catch_up=partial(self._catch_up, done),
        )

    async def _catch_up(self, done: Batcher[webhooks.LookedAt, None], owner: str) -> bool:
        async def do(claimed: leases.Claimed, seen: StripeSubscriptionState | None) -> None:
            await self._apply(done, claimed, owner, seen=seen)

        with backlog():
            return await webhooks.catch_up(
                self.sessions,
                partial(subscriptions.listed, self.gateway),
                do,
                owner=owner,
                lease=self.settings.lease,
                above=self.settings.backlog_threshold,
                at_once=self.settings.worker_concurrency,
            )

    async def _tidy(self) -> None:
        await idempotency.prune(self.sessions)
        await revocation_cases.prune(self.sessions)
        await event_cases.prune(self.sessions, kept_for=self.settings.events_kept)
        await self._keep_schedule()

    async def _keep_schedule(self) -> None:
        at, now = self.settings.reconcile_at, self.clock.real()
        due_in = until_next(at, now=now, zone=self.settings.zone) if at is not None else None
        await reconciliation.keep_schedule(self.sessions, due_in=due_in)

    async def _reconcile(self, claimed: leases.Claimed, owner: str) -> None:
        async def run(sweep_id: str) -> None:
            now, livemode = await self.clock.policy(), self.settings.livemode
            with backlog():
                await reconciliation.run(self.sessions, self.gateway, self.rules, sweep_id, livemode=livemode, now=now)
            await self._keep_schedule()

        await attend(self.sessions, "sweeps", claimed, owner, run)

    async def _apply(
        self,
        done: Batcher[webhooks.LookedAt, None],
        claimed: leases.Claimed,
        owner: str,
        *,
        seen: StripeSubscriptionState | None = None,
    ) -> None:
        now = await self.clock.policy()
        told = (self.sessions, self.gateway, self.rules)
        handlers: dict[str, webhooks.Handler] = {
            events.SUBSCRIPTION: partial(subscriptions.refresh, *told, now=now, version=claimed.version, seen=seen),
            events.INVOICE: partial(subscriptions.look_from_invoice, self.gateway),
            events.CREDITED: partial(subscriptions.refresh_credited, *told, now=now),
            events.PAYMENT: partial(payments.follow, *told, now=now),
            events.DUPLICATES: partial(duplicates.settle, *told, now=now),
            events.DISPUTE: partial(payments.follow_dispute, self.sessions, self.gateway, now=now),
            events.CHECKOUT: partial(checkout.refresh, self.sessions, self.gateway),
            events.CUSTOMER: partial(customers.follow, self.sessions, self.gateway),
        }
        with backlog():
            most = self.settings.event_attempts
            await webhooks.apply(self.sessions, handlers, claimed, owner=owner, most=most, done=done)

    async def _finish_refunds(self, claimed: leases.Claimed, owner: str) -> None:
        now = await self.clock.policy()
        finish = partial(refund_cases.finish, self.sessions, self.gateway, self.rules, now=now)
        await attend(self.sessions, "refunds", claimed, owner, finish)

    async def _follow_calendar(self, claimed: leases.Claimed, owner: str) -> None:
        follow = partial(issues.follow, self.sessions, self.rules, now=await self.clock.policy())
        await attend(self.sessions, "calendar_work", claimed, owner, follow)

    async def _finish_ends(self, claimed: leases.Claimed, owner: str) -> None:
        now = await self.clock.policy()
        finish = partial(cancellations.finish, self.sessions, self.gateway, self.rules, now=now)
        await attend(self.sessions, "subscriptions", claimed, owner, finish)

    async def _seal_audit(self, claimed: leases.Claimed, owner: str) -> None:
        once = replace(claimed, ids=claimed.ids[:1])  # it seals all that wait
        await attend(self.sessions, "audit_unsealed", once, owner, partial(audit_cases.seal, self.sessions))

    async def _count_figures(self, claimed: leases.Claimed, owner: str) -> None:
        now = await self.clock.policy()

        async def count(_: str) -> None:
            await dashboard_stats.count(self.sessions, self.rules, now=now)

        await attend(self.sessions, "figures", claimed, owner, count)

    def desk(self) -> Desk:
        """Return what the console is made of."""
        return Desk(
            settings=self.settings,
            clock=self.clock,
            sessions=self.sessions,
            gateway=self.gateway,
            rules=self.rules,
            pool=self.container.pool,
            wake=self.container.wake,
            believe=self.container.authenticator.reader_of,
            sign_in=sign_in_of(self.settings),
        )


@asynccontextmanager
async def parts(settings: Settings, offer: Catalogue) -> AsyncIterator[Parts]:
    """Build everything from the settings and the offer, and take it down again."""
    async with AsyncExitStack() as stack:
        dsn = await find_dsn(settings)
        if settings.database_url is None:  # the embedded database is ours alone: no operator migrates it
            await schema.migrate(dsn)
        engine = make_engine(dsn, pool_size=settings.database_pool_size, pooler=settings.database_pooler)
        stack.push_async_callback(engine.dispose)
        pool = await open_pool(dsn, size=settings.database_pool_size, pooler=settings.database_pooler)
        stack.push_async_callback(pool.close)
        arrivals = InboxWriter(pool)
        stack.push_async_callback(arrivals.close)
        notices = Notifier(pool)
        stack.push_async_callback(notices.close)
        key = settings.stripe_api_key.get_secret_value()
        clock: Clock = StripeTestClock(settings.clock_url, key) if settings.clock_url else SystemClock()
        stack.push_async_callback(clock.close)
        gateway = Gateway(
            url=settings.stripe_url,
            api_key=key,
            timeout=settings.stripe_timeout,
            test_clock=urlsplit(settings.clock_url).path.rpartition("/")[2] if settings.clock_url else None,
            rate_limit=RateBuckets(pool, overall=settings.overall_rate, each=settings.stripe_endpoint_rate_limit)
            if settings.overall_rate
            else None,
        )
        stack.push_async_callback(gateway.close)
        sessions = make_sessions(engine)
        authenticator = Authenticator(
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            roles_claim=settings.roles_claim,
            sessions=sessions,
            clock=clock,
            outage_allowance=settings.outage_allowance,
            greet=partial(imports.greet, sessions) if settings.claim_by_email else None,
        )
        stack.push_async_callback(authenticator.close)
        asked = Entitlements(EntitlementLookup(pool), offer, outage_allowance=settings.outage_allowance)
        hearing = ChangeFeed(listen_dsn(settings, dsn), pool, asked)
        minting = Minting(issuer=settings.token_issuer, audience=settings.token_audience, life=settings.token_life)
        container = Container(
            settings=settings,
            clock=clock,
            sessions=sessions,
            gateway=gateway,
            catalogue=offer,
            authenticator=authenticator,
            pool=pool,
            arrivals=arrivals,
            entitlements=asked,
            signer=Signer(sessions, signing_key_cipher(settings.token_secrets, settings.data_dir), minting),
            news=hearing.news,
            wake=notices.send,
        )
        yield Parts(
            settings=settings,
            clock=clock,
            engine=engine,
            sessions=sessions,
            gateway=gateway,
            rules=container.rules,
            container=container,
            notices=notices,
            hearing=hearing,
            dsn=dsn,
        )


class Application(FastAPI):
    """The web application, with a short way for what is asked most."""

    lanes: Mapping[str, fast_path.Lane] = MappingProxyType({})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, on the short way if it can be."""
        lane = self.lanes.get(scope["path"]) if scope["type"] == "http" else None
        going_on = await lane(scope, receive, send) if lane is not None else receive
        if going_on is not None:
            await super().__call__(scope, going_on, send)


def application(settings: Settings, *, with_worker: bool = True) -> FastAPI:
    """
    Return the web application; with a worker inside unless workers run apart.

    :raises BadCatalogue: the catalogue file is wrong.
    """
    offer = catalogue.load(settings.catalogue)
    pages = console.application()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with parts(settings, offer) as built:
            app.state.container = built.container
            app.lanes = fast_path.lanes(built.container)
            running = [asyncio.create_task(built.hearing.run())]
            if with_worker:
                running.append(asyncio.create_task(built.worker().run()))
            pages.state.desk = built.desk()
            try:
                yield
            finally:
                for task in running:
                    task.cancel()
                await asyncio.wait(running, timeout=timedelta(seconds=10).total_seconds())

    app = Application(
        title="Newsstand",
        version=VERSION,
        summary="The subscription billing service of a magazine.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from another host: docs_page is ours
        redoc_url=None,
        separate_input_output_schemas=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # ours are in the middleware
    )
    problems.install(app)
    asked_most = [*entitlement_checks.ROUTES, *hot.ROUTES]
    middleware.install(app, direct=asked_most)
    # The console's are tried first too: to pass by all others costs a page as much as three queries.
    app.router.routes[:0] = [*asked_most, Mount(CONSOLE, pages), Route(CONSOLE, to_console, include_in_schema=False)]
    # Not by include_router, which would build every route again at the first request.
    app.router.routes += [route for router in ROUTERS for route in router.routes]
    app.router.routes += docs_page.routes(partial(document, app), livemode=settings.livemode)
    app.openapi = partial(document, app)  # type: ignore[method-assign]  # FastAPI's own way of extending the document
    return app


async def to_console(_: Request) -> Response:
    """Lead to the console's front page, for whoever leaves the slash out."""
    return RedirectResponse(f"{CONSOLE}/", status_code=308)


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, the hot routes among the rest."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            routes=app.routes,
            tags=[{"name": name, "description": words} for name, words in TAGS.items()],
            separate_input_output_schemas=False,
        )
        made["paths"].update(entitlement_checks.PATHS | hot.PATHS)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in (*entitlement_checks.SCHEMAS, *hot.SCHEMAS):
            schemas[model.__name__] = model.model_json_schema(ref_template="#/components/schemas/{model}")
        app.openapi_schema = made
    return app.openapi_schema
