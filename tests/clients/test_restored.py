"""Edges that keep running while a backup is restored: they admit who pays, and miss no revocation."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from newsstand_edge import Edge

from tests.clients.conftest import EntitledReader, entitlement_token
from tests.journeys.webhooks.test_inbox import newsstand
from tests.support.check_methods import HERE, NODE
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

SINCE = "2026-03-01"
LOST_WINDOW = "INSERT INTO revocations (sub, version) SELECT 'ada', n FROM generate_series(1, 40) n"
RESTORE = ("DELETE FROM revocations", "ALTER TABLE revocations ALTER COLUMN id RESTART")
Answers = Callable[[str], Awaitable[list[str]]]  # of both clients about a token, after they fetched the revocations


@asynccontextmanager
async def running_edges(shop: Shop) -> AsyncIterator[Answers]:
    """Run both clients, which keep their cursor and the revocations in memory."""
    python = Edge(shop.url, api_key=shop.server_key)
    await asyncio.to_thread(python.feeds.fetch_keys)
    javascript = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", NODE, str(HERE / "edge.mjs"), shop.url, shop.server_key),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    reader, writer = javascript.stdout, javascript.stdin
    assert reader is not None
    assert writer is not None

    async def answers(token: str) -> list[str]:
        await asyncio.to_thread(python.feeds.fetch_revocations)
        writer.write(json.dumps({"token": token, "features": ["archive"], "refresh": True}).encode() + b"\n")
        async with asyncio.timeout(TIMEOUT):
            answered = json.loads(await reader.readline())
        return [python.may_token(token, "archive").reason, str(answered["archive"]["reason"])]

    try:
        async with asyncio.timeout(TIMEOUT):
            assert await reader.readline() == b"ready\n"
        yield answers
    finally:
        writer.close()
        await javascript.wait()
        python.close()


async def restore(shop: Shop) -> None:
    """Lose what was published after the backup: numbers and versions are given again."""
    for statement in RESTORE:
        await shop.execute(statement)


async def test_edges_admit_and_revoke_after_a_recovery(entitled_reader: EntitledReader) -> None:
    shop, ada = entitled_reader.shop, entitled_reader.person
    async with running_edges(shop) as answers:
        await shop.execute(LOST_WINDOW)
        assert await answers(entitled_reader.token) == ["token_revoked"] * 2
        await restore(shop)
        for _ in range(2):  # repeated, as after a kill
            status, output, words = await newsstand(shop.settings, "recover", "--since", SINCE)
            assert status == 0, output + words

        token = await entitlement_token(shop, ada)
        assert await answers(token) == ["entitled"] * 2

        assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})).status_code == 200
        await shop.wait_until_idle()
        assert await answers(token) == ["token_revoked"] * 2
    (last,) = await shop.rows(
        "SELECT min(sequence) AS first, max(numbers_from) AS floor FROM outbox_events, recoveries"
        " WHERE outbox_events.created_at > (SELECT max(at) FROM revocations) - interval '1 second'"
        " AND type = 'entitlements.changed'"
    )
    assert last["first"] > last["floor"]


async def test_a_cursor_of_before_a_restore_misses_nothing(entitled_reader: EntitledReader) -> None:
    shop, ada = entitled_reader.shop, entitled_reader.person
    async with running_edges(shop) as answers:
        await shop.execute(LOST_WINDOW.replace("'ada'", "'bob'"))
        assert await answers(entitled_reader.token) == ["entitled"] * 2
        await restore(shop)  # and nobody runs the recovery

        assert (await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})).status_code == 200
        await shop.wait_until_idle()
        assert await answers(entitled_reader.token) == ["token_revoked"] * 2
