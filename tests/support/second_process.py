"""A second process of the service with the same database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.support.shop import KEEPALIVE_LIMITS, TLS, Shop, free_socket, serving
from tests.support.timeouts import TIMEOUT

# The connections of the change feeds in the test's database; other tests use the same server.
LISTENING_CONNECTIONS = """
FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND query LIKE '%pg_current_snapshot()::text AS snapshot%'"""


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
