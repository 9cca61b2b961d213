"""A worker that is killed between sending a webhook and recording that: it is sent again, with the same ID and content."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.support.crashes import held_recording
from tests.support.shop import open_shop
from tests.support.timeouts import TIMEOUT
from tests.support.webhook_receiver import LOOPBACK, receiving

NEW = {"name": "the site", "types": ["subscription.started", "entitlements.changed"]}


@pytest.mark.parametrize("answered", [False, True], ids=["before the answer", "before it is recorded"])
async def test_a_webhook_is_sent_again_after_a_kill_with_the_same_id(
    database: str, sandbox: Any, issuer: Any, tmp_path: Path, *, answered: bool
) -> None:
    options: dict[str, Any] = {"separate_process": True, "webhook_networks": LOOPBACK, "data_dir": tmp_path}
    arrived = asyncio.Event()
    async with (
        open_shop(database, sandbox, issuer, **options) as shop,
        contextlib.AsyncExitStack() as stack,
        receiving() as site,
    ):
        assert shop.process is not None
        held = []

        async def respond(_: Mapping[str, Any]) -> web.Response:
            site.respond = None  # from now on, everything is received
            if answered:  # the process reads the answer, and can't record it
                held.append(await stack.enter_async_context(held_recording(shop, "webhook_deliveries")))
            else:  # the receiver has the event, and the answer never arrives
                shop.process.kill()  # type: ignore[union-attr]
            arrived.set()
            return web.Response(status=204)

        site.respond = respond
        admin = shop.person("admin-1", roles=("admin",))
        made = (await shop.post("/v1/webhook-endpoints", admin, {**NEW, "url": site.url})).json()
        opened = await shop.open_checkout(shop.person())
        await shop.pay_checkout(opened.json()["url"])
        await asyncio.wait_for(arrived.wait(), TIMEOUT)
        for recording in held:
            await recording.wait_until_tried(shop)
        shop.process.kill()
        await stack.aclose()
        states = await shop.rows("SELECT status, attempts FROM webhook_deliveries ORDER BY sequence LIMIT 1")
        assert states == [{"status": "pending", "attempts": 1}], "nothing is recorded but the attempt"
        await shop.process.start()
        await site.wait_for(3)
        await shop.wait_until("SELECT count(*) = 2 FROM webhook_deliveries WHERE status = 'delivered'")

    site.verify(made["secret"])
    assert [body["type"] for body in site.bodies] == ["subscription.started"] * 2 + ["entitlements.changed"]
    assert (site.ids[0], site.bodies[0]) == (site.ids[1], site.bodies[1])
    assert len(set(site.ids)) == 2
