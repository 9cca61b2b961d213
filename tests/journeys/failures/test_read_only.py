"""While the database is read-only, readers keep access, and writes are refused with 503 and can be sent again."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests.support.database import END_THE_OTHERS
from tests.support.event_histories import deliver, deliver_until_accepted, list_events
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

DATABASE = "SELECT format('ALTER DATABASE %I {} default_transaction_read_only', current_database())"


async def set_read_only(shop: Shop, *, read_only: bool) -> None:
    """Make the database read-only or writable, and end all connections, as a failover does."""
    connection = await asyncpg.connect(shop.dsn)
    try:
        await connection.execute("SET default_transaction_read_only = off")
        statement = await connection.fetchval(DATABASE.format("SET" if read_only else "RESET"))
        await connection.execute(statement + (" = on" if read_only else ""))
        if read_only:  # afterwards the connections that are still read-only must be replaced by the service itself
            await connection.execute(END_THE_OTHERS)
    finally:
        await connection.close()


async def readiness(shop: Shop) -> dict[str, Any]:
    """Return the body of the readiness probe, which has the status 200 all the time."""
    answer = await shop.http.get("/readyz")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_a_read_only_database_refuses_writes_and_no_reader(shop: Shop) -> None:
    ada, ben = shop.person(), shop.person("ben")
    await shop.subscribe(ada)
    event = (await list_events(shop))[0]

    await set_read_only(shop, read_only=True)
    async with asyncio.timeout(TIMEOUT):
        while (seen := await readiness(shop))["writable"]:
            await asyncio.sleep(0.05)
    assert (seen["status"], seen["degraded"]) == ("ok", True)
    assert (await shop.check(ada))["allowed"]
    assert not (await shop.check(ben))["allowed"]
    refused = await shop.open_checkout(ben)
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    with pytest.raises(AssertionError, match="could not be written"):  # 503: Stripe sends it again
        await deliver(shop, {**event, "id": "evt_new"})

    await set_read_only(shop, read_only=False)
    async with asyncio.timeout(TIMEOUT):
        while not (await readiness(shop))["writable"] or (await shop.open_checkout(ben)).status_code != 201:
            await asyncio.sleep(0.05)
    await deliver_until_accepted(shop, {**event, "id": "evt_new"})
    assert (await shop.check(ada))["allowed"]
