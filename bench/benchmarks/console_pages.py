"""
Console pages with a million readers: a search and a reader's page, against their own SQL queries.

The service's side is the whole page: session cookie, queries, rules and template. The baseline runs the queries that the
page made, recorded at the driver, one after the other with the same parameters on a single asyncpg connection. Both run in
this process, one at a time; the page is called as an ASGI server would call it.
"""

import asyncio
import gc
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial

import asyncpg
from pydantic import SecretStr
from starlette.types import Message

from app import main, observability
from app.cli.serve import tune_garbage_collection
from app.clock import SystemClock
from app.console.sessions import SessionCookie
from app.console.state import sign_in_config
from app.domain.callers import Reader, Role
from app.services import staff_sessions
from app.setting_types import NO_LIMIT
from app.settings import Settings
from bench import query_recorder, seed_data
from bench.environment import Environment
from bench.load_generator import BadResponse, Run
from bench.runner import Benchmark, Figure, Side

Operation = Callable[[], Awaitable[None]]


def _sides(path: str, environment: Environment) -> tuple[Side, Side]:
    loop = asyncio.new_event_loop()
    exit_stack = AsyncExitStack()
    page, queries = loop.run_until_complete(_prepare(path, environment.history_database(), exit_stack))
    environment.on_exit(lambda: loop.run_until_complete(exit_stack.aclose()))
    return partial(_side, loop, page), partial(_side, loop, queries)


def _side(loop: asyncio.AbstractEventLoop, operation: Operation, seconds: float) -> Run:
    return loop.run_until_complete(_run(operation, seconds))


async def _run(operation: Operation, seconds: float) -> Run:
    latencies: list[float] = []
    started_at = time.perf_counter()
    while (now := time.perf_counter()) < started_at + seconds or not latencies:
        await operation()
        latencies.append(time.perf_counter() - now)
    rate, ordered = len(latencies) / sum(latencies), sorted(latencies)
    p95, p99 = (ordered[int(len(ordered) * share)] for share in (0.95, 0.99))
    return Run(rate=rate, p95=p95, p99=p99, load_use=0.0)


async def _prepare(path: str, dsn: str, exit_stack: AsyncExitStack) -> tuple[Operation, Operation]:
    observability.configure("ERROR")  # without log messages, as in the other benchmarks
    settings = Settings(
        database_url=SecretStr(dsn),
        oidc_client_id="bench",
        oidc_issuer="http://127.0.0.1:9",  # unused
        session_key=SecretStr("a-public-key-of-the-benchmarks-only"),
        role_check_interval=timedelta(hours=8),  # there is no identity provider
        limit_search=NO_LIMIT,
        log_level="ERROR",
    )
    app = main.application(settings, with_worker=False)
    await exit_stack.enter_async_context(app.router.lifespan_context(app))
    sign_in = sign_in_config(settings)
    if sign_in is None:
        raise RuntimeError("the console is off")
    now = SystemClock().real()
    stored = await staff_sessions.start(
        app.state.api.ctx,
        Reader(sub="bench", name="Bench", roles=frozenset({Role.SUPPORT})),
        sid=None,
        signed_in_at=now,
        acr=None,
        refresh_token=None,
        now=now,
    )
    page = partial(_page, app, path, SessionCookie.start(stored).to_value(sign_in.session_cipher, now=now))
    for _ in range(3):  # fill the caches
        await page()
    pool = app.state.api.ctx.pool
    while not await pool.fetchval("SELECT EXISTS (SELECT FROM offers)"):  # written by a task in the background
        await asyncio.sleep(0.1)
    async with query_recorder.record_statements(pool) as statements:
        await page()
    # The view is recorded already, so recording it again changes nothing.
    repeatable = [
        one for one in statements if not re.search(r"\b(INSERT|UPDATE|DELETE)\b", one[0]) or "reader_views" in one[0]
    ]
    exit_stack.callback(gc.set_threshold, *gc.get_threshold())
    exit_stack.callback(gc.unfreeze)
    tune_garbage_collection()  # as `newsstand serve` does after its start
    connection = await asyncpg.connect(dsn)
    exit_stack.push_async_callback(connection.close)

    async def queries() -> None:
        for statement, parameters in repeatable:
            await connection.fetch(statement, *parameters)

    return page, queries


async def _page(app: Callable[..., Awaitable[None]], path: str, cookie: str) -> None:
    route, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "path": route,
        "raw_path": route.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "http_version": "1.1",
        "headers": [
            (b"host", b"bench"),
            (b"cookie", f"newsstand_console={cookie}".encode()),
        ],
        "server": ("bench", 80),
        "client": ("127.0.0.1", 1),
    }
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, send)
    if messages[0]["status"] != 200:
        raise BadResponse(f"{path}: {messages[0]['status']}")


def _benchmark(name: str, path: str, description: str, *, figure: Figure = "time") -> Benchmark:
    return Benchmark(name=name, unit="µs", description=description, sides=partial(_sides, path), figure=figure)


BENCHMARKS = (
    _benchmark(
        "search_vs_query",
        "/console/readers?q=amily42+given4",
        "a search for parts of a name in the console, against its SQL queries: the 95th percentiles",
        figure="p95",
    ),
    _benchmark(
        "misspelled_search_vs_query",
        "/console/readers?q=famliy4242",
        "a search with a mistake in the console, against its SQL queries: the 95th percentiles",
        figure="p95",
    ),
    _benchmark(
        "reader_list_vs_query",
        "/console/readers?status=active",
        "the filtered list of readers, against its SQL queries",
    ),
    _benchmark(
        "reader_page_vs_queries",
        f"/console/readers/rdr_{seed_data.LONG_HISTORY}",
        "the page about a reader with 40 payments and 9 subscriptions, against its SQL queries",
    ),
)
