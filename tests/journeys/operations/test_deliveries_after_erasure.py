"""What a receiver says about a reader who was erased may name them, so it is not kept."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.journeys.notifications.test_bounces import erase
from tests.support.shop import open_shop
from tests.support.timeouts import TIMEOUT
from tests.support.webhook_receiver import LOOPBACK, receiving

SAID = "SELECT count(*)::int AS n FROM webhook_deliveries WHERE concat(error, response_body) LIKE '%Lovelace%'"


async def test_an_answer_that_comes_after_an_erasure_names_nobody(
    database: str, sandbox: Any, issuer: Any, tmp_path: Path
) -> None:
    """One is on its way during the erasure; another is about the erasure itself."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def respond(event: Mapping[str, Any]) -> web.Response:
        if event["type"] == "entitlements.changed":
            arrived.set()
            await go_on.wait()
        return web.Response(status=500, text="Ada Lovelace, ada@example.com")

    options: dict[str, Any] = {"webhook_networks": LOOPBACK, "data_dir": tmp_path}
    async with open_shop(database, sandbox, issuer, **options) as shop, receiving(respond) as site:
        admin, ada = shop.person("admin-1", roles=("admin",)), shop.person()
        wanted = {"name": "the site", "url": site.url, "types": ["entitlements.changed", "reader.erased"]}
        assert (await shop.post("/v1/webhook-endpoints", admin, wanted)).status_code == 201
        await shop.subscribe(ada)
        async with asyncio.timeout(TIMEOUT):
            await arrived.wait()
        await erase(shop, str((await shop.rows("SELECT id FROM subscribers"))[0]["id"]))
        go_on.set()

        await shop.wait_until(
            "SELECT count(*) = 1 FROM webhook_deliveries WHERE type = 'reader.erased' AND response_status = 500"
        )

        assert (await shop.rows(SAID))[0]["n"] == 0
        (told,) = await shop.rows("SELECT * FROM webhook_deliveries WHERE type = 'reader.erased'")
        assert (told["status"], told["response_body"]) == ("pending", None)
