"""
The composition root: builds the context of use cases, the web application and the worker.

Nothing else imports every layer.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from prometheus_client import Counter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from app.account import app as account
from app.account.state import account_state
from app.api import docs_page, entitlement_checks, fast_path, gate, middleware, problems
from app.api import webhooks as webhook_endpoint
from app.api.auth import Authenticator
from app.api.cors import CrossOrigin
from app.api.deps import ApiState
from app.api.hosts import host_rules
from app.api.limits import OVERLOADED, UNLIMITED, Capacity
from app.api.openapi import REFERENCE, TAGS, restore_nulls
from app.api.routes import ROUTERS
from app.clock import Clock, StripeTestClock, SystemClock
from app.console import app as console
from app.console.state import ConsoleState, sign_in_config
from app.context import Context, make_rules
from app.db.caller_limits import CallerLimits
from app.db.engine import connection_budget, schema
from app.db.engine.change_feed import ChangeFeed
from app.db.engine.connections import REQUEST_TIMEOUT, limit_statements
from app.db.engine.copying import CsvExports
from app.db.engine.dsn import find_dsn, listen_dsn
from app.db.engine.notifications import Notifier
from app.db.engine.outages import outages
from app.db.engine.pool import Pool, close_pool, open_pool
from app.db.engine.rate_buckets import RateBuckets
from app.db.engine.session import ServerTimeouts, is_unreachable, make_engine, make_sessions
from app.db.entitlements import EntitlementLookup
from app.db.inbox_writer import InboxWriter
from app.domain.caller_limits import Limit
from app.domain.callers import Reader
from app.domain.plans import Catalogue
from app.encryption import signing_key_cipher
from app.gateway.client import Gateway
from app.gateway.webhook_deliveries import WebhookSender
from app.jobs import make_worker
from app.localization import Localization
from app.mail import templates
from app.mail.smtp import Mailer
from app.services import contacts, derivations, imports
from app.services.catalogue import load as load_catalogue
from app.services.entitlements import Entitlements
from app.services.signing_keys import Minting, Signer
from app.setting_types import Rate
from app.settings import ACCOUNT, CONSOLE, Settings

VERSION = "0.1.0"
RECORD_SECONDS = 5.0  # before another attempt to record the offers
RETURN_SECONDS = 600.0  # before another attempt to record offers that were replaced less than a day ago
RESTART_SECONDS = 1.0  # before a background task that ended is started again
TASK_RESTARTS = Counter("newsstand_task_restarts_total", "Background tasks that ended unexpectedly", ["task"])
log = structlog.get_logger()


@asynccontextmanager
async def open_context(settings: Settings, catalogue: Catalogue) -> AsyncIterator[Context]:
    """Build the context of a process from the settings and the catalogue, and close it again."""
    async with AsyncExitStack() as stack:
        dsn = await find_dsn(settings)
        if settings.database_url is None:  # no operator migrates the embedded database
            await schema.migrate(dsn)
        engine = make_engine(
            dsn,
            pool_size=settings.database_pool_size,
            pooler=settings.database_pooler,
            timeouts=ServerTimeouts(),
        )
        stack.push_async_callback(engine.dispose)
        probes = make_engine(dsn, pool_size=1, pooler=settings.database_pooler, timeouts=ServerTimeouts())
        stack.push_async_callback(probes.dispose)
        pool = await open_pool(dsn, size=settings.database_pool_size, pooler=settings.database_pooler)
        stack.push_async_callback(close_pool, pool)
        exports = await CsvExports.open(dsn, pooler=settings.database_pooler)
        stack.push_async_callback(exports.close)
        inbox_writer = InboxWriter(pool)
        stack.push_async_callback(inbox_writer.close)
        notifier = Notifier(pool)
        stack.push_async_callback(notifier.close)
        key = settings.stripe_api_key.get_secret_value()
        clock: Clock = StripeTestClock(settings.clock_url, key) if settings.clock_url else SystemClock()
        stack.push_async_callback(clock.close)
        gateway = make_gateway(settings, pool)
        stack.push_async_callback(gateway.close)
        mailer = make_mailer(settings, pool)
        if mailer is not None:
            stack.push_async_callback(mailer.close)
        rules = make_rules(settings, catalogue)
        webhook_sender = WebhookSender(allowed=settings.webhook_networks)
        stack.push_async_callback(webhook_sender.close)
        yield Context(
            settings=settings,
            clock=clock,
            sessions=make_sessions(engine, send=notifier.send),
            dsn=dsn,
            pool=pool,
            probes=make_sessions(probes),
            exports=exports,
            inbox_writer=inbox_writer,
            wake_workers=notifier.wake_workers,
            follow_entitlements=notifier.follow_entitlements,
            gateway=gateway,
            webhook_sender=webhook_sender,
            caller_limits=CallerLimits(pool, caller_rates(settings)),
            rules=rules,
            localization=Localization(settings.locale, settings.zone),
            templates=templates.load(settings.mail_templates, rules.templates),
            mailer=mailer,
        )


def caller_rates(settings: Settings) -> dict[Limit, Rate]:
    """Return the rate of each limit on callers."""
    return {limit: getattr(settings, f"limit_{limit}") for limit in Limit}


def make_gateway(settings: Settings, pool: Pool) -> Gateway:
    """Return the client of Stripe, whose rate limits all processes share."""
    return Gateway(
        url=settings.stripe_url,
        api_key=settings.stripe_api_key.get_secret_value(),
        timeout=settings.stripe_timeout,
        test_clock=urlsplit(settings.clock_url).path.rpartition("/")[2] if settings.clock_url else None,
        rate_limit=RateBuckets(pool, overall=settings.overall_rate, each=settings.stripe_endpoint_rate_limit)
        if settings.overall_rate
        else None,
    )


def make_mailer(settings: Settings, pool: Pool) -> Mailer | None:
    """Return the connection to the mail server, whose rate limit all processes share. None: email is off."""
    if settings.smtp_url is None:
        return None
    rate = settings.mail_rate_limit
    buckets = RateBuckets(pool, overall=rate.per_second, each=rate.per_second, everything="mail")
    return Mailer(
        settings.smtp_url.get_secret_value(),
        connections=settings.smtp_connections,
        timeout=settings.smtp_timeout,
        wait_for_turn=partial(buckets.wait, "smtp") if rate.number else None,
    )


@asynccontextmanager
async def open_api(ctx: Context, *, with_worker: bool) -> AsyncIterator[ApiState]:
    """Build what only the API has, and listen for changes of entitlements while it runs."""
    settings = ctx.settings
    authenticator = Authenticator(ctx, ctx.clock, on_sign_in=partial(follow_sign_in, ctx), limits=ctx.caller_limits)
    lookup = EntitlementLookup(ctx.pool)
    entitlements = Entitlements(lookup, ctx.catalogue, outage_allowance=settings.outage_allowance)
    ctx.follow_entitlements(entitlements.invalidate)
    name = connection_budget.application_name(settings, api=True, worker=with_worker)
    change_feed = ChangeFeed(listen_dsn(settings, ctx.dsn), ctx.pool, entitlements, name=name)
    minting = Minting(issuer=settings.token_issuer, audience=settings.token_audience, life=settings.token_life)
    listening = asyncio.create_task(keep_running(change_feed.run, name="change_feed"))
    recording = asyncio.create_task(record_offers(ctx))
    try:
        yield ApiState(
            ctx=ctx,
            authenticator=authenticator,
            entitlements=entitlements,
            signer=Signer(ctx.sessions, signing_key_cipher(settings.token_secrets, settings.data_dir), minting),
            wait_for_revocations=change_feed.revocation_waiter,
            end_long_polls=change_feed.release_waiters,
        )
    finally:
        await stop(listening, recording)
        lookup.close()
        await authenticator.close()


async def record_offers(ctx: Context) -> None:
    """
    Record the offers of the catalogue. Repeated until all are recorded, because the database may be away, and because a
    catalogue that was changed back counts a day later. A day after an upgrade, notices are followed again. What a
    migration ordered is derived again.
    """
    was_told = False
    while True:
        try:
            is_recorded = await derivations.record_offers(ctx, now=await ctx.clock.policy())
            if not is_recorded and not was_told:
                log.warning("catalogue_older_than_recorded")
                was_told = True
            is_repeated = await derivations.repeat_special_issues(ctx)
            if is_recorded and is_repeated and await derivations.repeat_notices(ctx, now=await ctx.clock.policy()):
                return
            await asyncio.sleep(RETURN_SECONDS)
        except Exception as error:
            log.warning("catalogue_not_recorded", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(RECORD_SECONDS)


async def follow_sign_in(ctx: Context, reader: Reader) -> None:
    """Do what a new token of a reader's makes necessary. Never fails."""
    if ctx.settings.claim_by_email:
        await imports.claim_by_email(ctx, reader)
    await contacts.follow_token(ctx, reader)


async def keep_running(run: Callable[[], Awaitable[None]], *, name: str) -> None:
    """Run a background task until it is canceled. One that ends by itself is logged and started again."""
    while True:
        try:
            await run()
            log.error("background_task_ended", task=name)
        except Exception as failure:
            if is_unreachable(failure):
                outages.failed("background_task_failed", failure)
            else:
                log.exception("background_task_failed", task=name)
        TASK_RESTARTS.labels(name).inc()
        await asyncio.sleep(RESTART_SECONDS)


async def stop(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, and wait until they have ended."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=timedelta(seconds=10).total_seconds())


class Application(FastAPI):
    """
    The web application. The most frequent requests take a fast path before FastAPI's routing.

    Both kinds of requests have a capacity of their own.
    """

    fast_routes: Mapping[str, fast_path.FastRoute] = MappingProxyType({})
    checks: Capacity
    others: Capacity

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, on the fast path if possible."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        limit_statements(REQUEST_TIMEOUT)
        path = scope["path"]
        route = self.fast_routes.get(path)
        capacity = self.others if route is None else self.checks
        counted = path not in UNLIMITED
        if counted and capacity.in_progress >= capacity.limit:
            scope[OVERLOADED] = True
            await super().__call__(scope, receive, send)
            return
        capacity.in_progress += counted
        try:
            remaining = await route(scope, receive, send) if route is not None else receive
            if remaining is not None:  # None: the request was answered
                await super().__call__(scope, remaining, send)
        finally:
            capacity.in_progress -= counted


def application(settings: Settings, *, with_worker: bool = True) -> FastAPI:
    """
    Return the web application.

    :param with_worker: whether it runs a worker too.
    :raises BadCatalogue: the catalogue file is invalid.
    """
    catalogue = load_catalogue(settings.catalogue)
    pages = console.application()
    reader_pages = account.application() if settings.account else None

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with open_context(settings, catalogue) as ctx, open_api(ctx, with_worker=with_worker) as api:
            app.state.api = api
            app.fast_routes = fast_path.routes(api)
            pages.state.console = ConsoleState(
                ctx=ctx, authenticate=api.authenticator.reader_of, sign_in=sign_in_config(settings)
            )
            if reader_pages is not None:
                reader_pages.state.account = account_state(ctx, api.authenticator.reader_of)
            worker = [asyncio.create_task(keep_running(make_worker(ctx).run, name="worker"))] if with_worker else []
            try:
                yield
            finally:
                if worker:
                    await stop(*worker)

    app = Application(
        title="Newsstand",
        version=VERSION,
        summary="The subscription billing service of a magazine.",
        lifespan=lifespan,
        docs_url=None,  # FastAPI's pages load scripts from another host: docs_page is ours
        redoc_url=None,
        openapi_url=None,  # docs_page serves it, to those who may see it
        separate_input_output_schemas=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # the middleware has its own
    )
    app.checks, app.others = Capacity(settings.max_requests), Capacity(settings.max_requests)
    problems.install(app)
    asgi_routes = [*entitlement_checks.ROUTES, *gate.ROUTES, *webhook_endpoint.ROUTES]
    front_ends = CrossOrigin(frozenset(origin.encode() for origin in settings.allowed_origins))
    middleware.install(app, direct=asgi_routes, hosts=host_rules(settings), cross_origin=front_ends)
    # Pages come first too, because matching all other routes before them costs as much as three queries.
    mounted = {CONSOLE: pages} | ({ACCOUNT: reader_pages} if reader_pages is not None else {})
    app.router.routes[:0] = [
        *asgi_routes,
        *(Mount(path, site) for path, site in mounted.items()),
        *(Route(path, to_first_page, include_in_schema=False) for path in mounted),
    ]
    # Not by include_router, which would build every route again at the first request.
    app.router.routes += [route for router in ROUTERS for route in router.routes]
    app.router.routes += docs_page.routes(partial(document, app))
    app.openapi = partial(document, app)  # type: ignore[method-assign]  # FastAPI's own way of extending the document
    return app


async def to_first_page(request: Request) -> Response:
    """Redirect to the first page of the console or the hosted account, whose path ends with a slash."""
    return RedirectResponse(f"{request.url.path}/", status_code=308)


def document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document, including the plain ASGI routes."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in TAGS.items()],
            separate_input_output_schemas=False,
        )
        made["paths"].update(entitlement_checks.PATHS | gate.PATHS | webhook_endpoint.PATHS)
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for model in (*entitlement_checks.SCHEMAS, *webhook_endpoint.SCHEMAS):
            schemas[model.__name__] = model.model_json_schema(ref_template=REFERENCE)
        restore_nulls(schemas)
        app.openapi_schema = made
    return app.openapi_schema
