"""Streams of CSV: a slow client keeps one of a few connections that nothing else uses."""

import asyncio
import gc
from collections.abc import AsyncIterator
from datetime import timedelta

import asyncpg
import pytest

from app.db.engine.copying import CsvExports
from app.db.engine.session import DatabaseUnreachable
from app.domain.errors import Overloaded
from tests.support.timeouts import TIMEOUT

LONGEST = timedelta(seconds=TIMEOUT)
MANY = "SELECT n, repeat('x', 1000) AS filler FROM generate_series(1, $1::int) AS rows (n)"
ROWS = 20_000  # far more than wait for a client
RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE $1"
)


@pytest.fixture
async def exports(database: str) -> AsyncIterator[CsvExports]:
    """Provide two exports at the same time, for which others hardly wait."""
    opened = await CsvExports.open(database, pooler=False, limit=2, patience=timedelta(milliseconds=50))
    yield opened
    await opened.close()


async def read(exports: CsvExports, rows: int) -> bytes:
    """Return a whole file."""
    return b"".join([part async for part in await exports.copy(MANY, rows, longest=LONGEST)])


async def wait_until_free(exports: CsvExports) -> bytes:
    """Return a small file as soon as it is not refused."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            try:
                return await read(exports, 1)
            except Overloaded:
                await asyncio.sleep(0.01)


async def test_a_file_is_the_same_however_slowly_it_is_read(exports: CsvExports) -> None:
    slowly, parts = await exports.copy(MANY, ROWS, longest=LONGEST), list[bytes]()
    async for part in slowly:
        parts.append(part)
        await asyncio.sleep(0)

    assert len(parts) > 1
    assert b"".join(parts) == await read(exports, ROWS)
    assert b"".join(parts).count(b"\n") == ROWS + 1


async def test_slow_clients_leave_room_until_the_limit_and_then_others_are_told_to_wait(exports: CsvExports) -> None:
    slow = [await exports.copy(MANY, ROWS, longest=LONGEST) for _ in range(2)]
    for one in slow:
        await anext(one)

    with pytest.raises(Overloaded) as refused:
        await exports.copy(MANY, 1, longest=LONGEST)
    assert refused.value.retry_after == timedelta(seconds=30)

    assert sum([part.count(b"\n") async for part in slow[0]]) > 0  # one reads the rest
    assert await read(exports, 1) == b"n,filler\n1," + b"x" * 1000 + b"\n"


@pytest.mark.parametrize("has_read", [False, True], ids=["before the first part", "after the first part"])
async def test_a_client_that_leaves_ends_the_query(exports: CsvExports, database: str, *, has_read: bool) -> None:
    left = [await exports.copy(MANY, ROWS, longest=LONGEST) for _ in range(2)]
    for one in left:
        if has_read:
            await anext(one)
    del one
    left.clear()
    gc.collect()

    await wait_until_free(exports)
    watch = await asyncpg.connect(database)
    async with asyncio.timeout(TIMEOUT):
        while await watch.fetchval(RUNNING, "COPY%"):
            await asyncio.sleep(0.01)
    await watch.close()


async def test_a_failed_query_frees_its_place(exports: CsvExports) -> None:
    for _ in range(3):
        with pytest.raises(asyncpg.DivisionByZeroError):
            [part async for part in await exports.copy("SELECT 1 / $1::int AS n", 0, longest=LONGEST)]
    assert await wait_until_free(exports)


async def test_without_a_connection_an_export_is_refused_before_it_begins() -> None:
    exports = await CsvExports.open("postgresql://postgres@127.0.0.1:9/none", pooler=False, limit=1)
    for _ in range(2):
        with pytest.raises(DatabaseUnreachable):
            await exports.copy(MANY, 1, longest=LONGEST)
    await exports.close()
