"""
The console over a million readers: a search, and a reader's page, beside their own SQL on the bare driver.

Ours is the whole page: the session in the cookie, the queries, the rules, the template. The limit is what the page asked
of the database, overheard at the driver: statement by statement with the same parameters, by asyncpg on a kept connection.
Both run in this process, one at a time: the page is called as its server would call it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

import asyncpg
from pydantic import SecretStr
from starlette.types import Message

from app import main, observability
from app.clock import SystemClock
from app.console.desk import sign_in_of
from app.console.sessions import Staff
from app.domain.callers import SUPPORT, Reader
from app.settings import Settings
from bench import overheard
from bench.load import BadAnswer, Run
from bench.runner import Bench, Side
from bench.stage import Stage

Once = Callable[[], Awaitable[None]]


def _sides(path: str, stage: Stage) -> tuple[Side, Side]:
    loop = asyncio.new_event_loop()
    kept = AsyncExitStack()
    ours, limit = loop.run_until_complete(_prepared(path, stage.books(), kept))
    stage.at_the_end(lambda: loop.run_until_complete(kept.aclose()))
    return partial(_side, loop, ours), partial(_side, loop, limit)


def _side(loop: asyncio.AbstractEventLoop, once: Once, seconds: float) -> Run:
    return loop.run_until_complete(_run(once, seconds))


async def _run(once: Once, seconds: float) -> Run:
    late: list[float] = []
    began = time.perf_counter()
    while (now := time.perf_counter()) < began + seconds or not late:
        await once()
        late.append(time.perf_counter() - now)
    return Run(rate=len(late) / sum(late), p99=sorted(late)[int(len(late) * 0.99)], busy=0.0)


async def _prepared(path: str, dsn: str, kept: AsyncExitStack) -> tuple[Once, Once]:
    observability.configure("ERROR")  # as the other benches: lines of the log are not what is measured
    settings = Settings(
        database_url=SecretStr(dsn),
        oidc_client_id="bench",
        oidc_issuer="http://127.0.0.1:9",  # nobody is there, and nobody is asked
        session_key=SecretStr("only-for-the-bench-and-nothing-else"),
        log_level="ERROR",
    )
    app = main.application(settings, with_worker=False)
    await kept.enter_async_context(app.router.lifespan_context(app))
    sign_in = sign_in_of(settings)
    if sign_in is None:
        raise RuntimeError("the console is off")
    now = SystemClock().real()
    staff = Staff.of(Reader(sub="bench", name="Bench", roles=frozenset({SUPPORT})), now=now)
    page = partial(_page, app, path, staff.sealed(sign_in.staff_seal, now=now))
    for _ in range(3):  # what is made once is made before
        await page()
    async with overheard.statements(app.state.container.pool) as asked:
        await page()
    connection = await asyncpg.connect(dsn)
    kept.push_async_callback(connection.close)

    async def bare() -> None:
        for statement, parameters in asked:
            await connection.fetch(statement, *parameters)

    return page, bare


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
        "headers": [(b"host", b"bench"), (b"cookie", f"newsstand_console={cookie}".encode())],
        "server": ("bench", 80),
        "client": ("127.0.0.1", 1),
    }
    came: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        came.append(message)

    await app(scope, receive, send)
    if came[0]["status"] != 200:
        raise BadAnswer(f"{path}: {came[0]['status']}")


def _bench(name: str, path: str, what: str) -> Bench:
    return Bench(name=name, unit="µs", what=what, sides=partial(_sides, path), time=True)


BENCHES = (
    _bench("search_vs_query", "/console/readers?q=reader-4242", "a search in the console, beside its SQL"),
    _bench("reader_page_vs_queries", "/console/readers/rdr_42", "a reader's page, beside its SQL"),
)
