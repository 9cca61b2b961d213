"""A second process of the service with the same database."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

import httpx2

from app.db.engine.session import PATIENCE
from tests.support.shop import KEEPALIVE_LIMITS, TLS, Shop, free_socket, serving
from tests.support.timeouts import TIMEOUT

# The connections of the change feeds in the test's database; other tests use the same server.
LISTENING_CONNECTIONS = """
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND query LIKE '%pg_current_snapshot()::text AS snapshot%'"""

Answer = TypeVar("Answer")


async def promptly(shop: Shop, http: httpx2.AsyncClient, ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """
    Return what one process answers to a check of access when its database is prompt.

    Otherwise it gives its last known answer, as documented. A busy machine may delay any query for that long.
    """
    async with asyncio.timeout(TIMEOUT):
        while True:
            start = time.monotonic()
            answer = await ask()
            if time.monotonic() - start < PATIENCE:
                return answer
            while True:  # until the database has answered about somebody for whom there is no last known answer
                nobody = dict(shop.person(uuid4().hex).headers)
                if (await http.get("/v1/gate", params={"feature": "archive"}, headers=nobody)).status_code == 403:
                    break


@asynccontextmanager
async def second_process(shop: Shop, **settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """Run a second instance of the service with the same database and without a worker."""
    bound = free_socket()
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with (
        serving(shop.settings.model_copy(update=settings), bound, with_worker=False),
        httpx2.AsyncClient(base_url=url, timeout=TIMEOUT, verify=TLS, limits=KEEPALIVE_LIMITS) as http,
    ):
        yield http
