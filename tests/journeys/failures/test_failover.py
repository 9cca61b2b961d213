"""What a failover of the database and a rolling restart do to work in progress: nothing is lost, and nothing stays stuck."""

import asyncio
from functools import partial
from typing import Any

import asyncpg
import httpx2

from app.db.engine.connections import REQUEST_TIMEOUT
from tests.support.crashes import wait_until_hit
from tests.support.database_proxy import database_proxy
from tests.support.shop import Shop, open_shop
from tests.support.timeouts import TIMEOUT

HELD = {"method": "GET", "path": "/v1/subscriptions/*", "when": "before", "action": "hold", "times": 100}
OUTAGE_SECONDS = 1.0


async def cancel_at_stripe(shop: Shop, stripe_id: str) -> str:
    """Change a subscription, and wait until a worker is fetching it. Return the fault that holds the fetch."""
    fault = await shop.add_fault(**HELD)
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", cancel_at_period_end="true")
    await wait_until_hit(shop, fault)
    return fault


async def test_a_key_whose_release_was_cut_off_is_free_when_its_lease_expires(
    database: str, sandbox: Any, issuer: Any
) -> None:
    """The connection is cut while the job waits for Stripe, so that the running worker can't release the key."""
    async with (
        database_proxy(database) as wire,
        open_shop(wire.url, sandbox, issuer) as shop,
        asyncpg.create_pool(database, min_size=0, max_size=2) as direct,
    ):
        await shop.subscribe(shop.person())
        shop.pool = direct
        (held,) = await shop.rows("SELECT stripe_id FROM subscriptions")
        fault = await cancel_at_stripe(shop, held["stripe_id"])
        (lease,) = await shop.rows("SELECT key FROM leases WHERE key LIKE 'subscription:%'")

        wire.disconnect()
        await shop.stripe.delete(f"/_sandbox/faults/{fault}")
        await asyncio.sleep(OUTAGE_SECONDS)  # in which the job fails
        assert lease["key"] in [one["key"] for one in await shop.rows("SELECT key FROM leases")]
        wire.restore()

        await shop.wait_until("SELECT cancel_at IS NOT NULL FROM subscriptions")
        await shop.wait_until_idle()
        assert await shop.rows("SELECT FROM leases WHERE key LIKE 'subscription:%' AND until > now()") == []


async def test_sigterm_under_load_ends_a_service_whose_worker_waits_for_stripe(killable_shop: Shop) -> None:
    shop = killable_shop
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = await shop.rows("SELECT stripe_id FROM subscriptions")
    fault = await cancel_at_stripe(shop, held["stripe_id"])
    answers: list[int] = []

    async def read() -> None:
        try:
            while True:
                answer = await shop.get("/v1/me/subscription", ada)
                answers.append(answer.status_code)
        except httpx2.TransportError:
            return  # the port is closed

    readers = [asyncio.create_task(read()) for _ in range(4)]
    async with asyncio.timeout(TIMEOUT):
        while len(answers) < len(readers):
            await asyncio.sleep(0.01)
    assert shop.process is not None
    ended = await asyncio.to_thread(shop.process.terminate)
    await asyncio.wait_for(asyncio.gather(*readers), TIMEOUT)

    assert ended.returncode in {0, -15}, ended.stderr
    assert "Traceback" not in ended.stderr
    assert set(answers) == {200}
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.process.start()
    await shop.wait_until("SELECT cancel_at IS NOT NULL FROM subscriptions")


async def test_a_silent_database_is_answered_as_an_outage_and_delays_no_stop(
    database: str, sandbox: Any, issuer: Any
) -> None:
    """Nothing closes the connections, as if the machine of the database had stopped, or its packets were dropped."""
    async with (
        database_proxy(database) as wire,
        open_shop(wire.url, sandbox, issuer, separate_process=True) as shop,
        httpx2.AsyncClient(base_url=shop.url, timeout=REQUEST_TIMEOUT * 2) as http,
    ):
        assert shop.process is not None
        ada = shop.person()
        await shop.subscribe(ada)
        pages = ["/v1/me/subscription", "/v1/me/declarations"] * 10  # as many as a pool has connections
        read = [partial(http.get, page, headers=dict(ada.headers)) for page in pages]
        assert {(await shop.get(page, ada)).status_code for page in pages[:2]} == {200}

        wire.silence()
        refused = await asyncio.gather(*(one() for one in read))
        assert {(one.status_code, one.json()["code"]) for one in refused} == {(503, "database_unavailable")}
        ended = await asyncio.wait_for(asyncio.to_thread(shop.process.terminate), TIMEOUT)
        assert ended.returncode in {0, -15}, ended.stderr
        assert "Traceback" not in ended.stderr
        wire.restore()
