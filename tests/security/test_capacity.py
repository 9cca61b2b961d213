"""Requests in progress are bounded, and what waits or is checked at each page view keeps its own share."""

import asyncio
from datetime import timedelta
from typing import Any

from tests.support.shop import Shop, open_shop
from tests.support.timeouts import TIMEOUT


async def test_too_many_slow_requests_are_refused_and_checks_are_not(database: str, sandbox: Any, issuer: Any) -> None:
    async with open_shop(database, sandbox, issuer, max_requests=2, stripe_timeout=timedelta(minutes=1)) as shop:
        assert shop.app is not None
        others = shop.app.others  # type: ignore[attr-defined]
        polls = [asyncio.create_task(follow(shop)) for _ in range(4)]  # more than are counted
        await shop.add_fault(action="hold", method="POST", path="/v1/customers")
        slow = [asyncio.create_task(shop.open_checkout(shop.person(name))) for name in ("ada", "ben")]
        async with asyncio.timeout(TIMEOUT):
            while others.in_progress < 2:
                await asyncio.sleep(0.01)

        refused = await shop.http.get("/v1/plans")
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "2"
        assert (await shop.http.get("/healthz")).status_code == 200
        assert (await shop.http.get("/readyz")).json()["status"] in {"ok", "unavailable"}, "no refusal"
        assert not await shop.may_read(shop.person("eve"))  # an answer, and not 503

        await shop.stripe.delete("/_sandbox/faults")
        for task in (*slow, *polls):
            task.cancel()
        await asyncio.gather(*slow, *polls, return_exceptions=True)
        async with asyncio.timeout(TIMEOUT):
            while (await shop.http.get("/v1/plans")).status_code == 503:
                await asyncio.sleep(0.05)


async def follow(shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {shop.server_key}"}
    await shop.http.get("/v1/revocations", params={"since": "0", "wait": "20"}, headers=headers)
