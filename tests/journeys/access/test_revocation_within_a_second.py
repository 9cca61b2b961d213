"""After a refund or an immediate end, every process refuses access within a second, with or without a notification."""

import asyncio
from functools import partial

import httpx2
from pydantic import SecretStr

from tests.support.database_proxy import DatabaseProxy, database_proxy
from tests.support.second_process import LISTENING_CONNECTIONS, promptly, second_process
from tests.support.shop import Person, Shop

MAX_AGE = 1.0  # seconds: docs/concepts/entitlements.md, "Cached answers are at most one second old"


async def gate(shop: Shop, http: httpx2.AsyncClient, reader: Person) -> int:
    """Call the gate of one process for a reader, and return the status."""
    ask = partial(http.get, "/v1/gate", params={"feature": "archive"}, headers=dict(reader.headers))
    return (await promptly(shop, http, ask)).status_code


async def refund(shop: Shop, reader: Person) -> None:
    """Refund a reader."""
    payment = (await shop.overview(reader))["payments"][0]["id"]
    assert (await shop.request_refund(payment, key=f"of-{reader.sub}")).status_code == 201


async def cancel_now(shop: Shop, reader: Person) -> None:
    """Cancel a reader's subscription immediately."""
    assert (await shop.post("/v1/me/subscription/cancel", reader, {"when": "now"})).status_code == 200


async def revoke_comp(shop: Shop, reader: Person) -> None:
    """Revoke a reader's comp."""
    (comp,) = [row["id"] for row in await shop.rows("SELECT id FROM comps WHERE removed_at IS NULL")]
    gone = await shop.http.delete(f"/v1/support/comps/{comp}", headers=dict(shop.agent.headers))
    assert gone.status_code == 200, gone.text


async def check_all_refuse_within_a_second(
    shop: Shop, processes: list[httpx2.AsyncClient], wire: DatabaseProxy | None
) -> None:
    """End the access of three readers in three ways, and check that every process refuses them within a second."""
    ada, bob, cyd = (shop.person(f"{name}-{'deaf' if wire else 'hears'}") for name in ("ada", "bob", "cyd"))
    await shop.subscribe(ada)
    await shop.subscribe(bob)
    comp_body = {"subscriber": cyd.sub, "plan": "annual", "until": "2026-05-01T00:00:00Z", "reason": "why"}
    assert (await shop.post("/v1/support/comps", shop.agent, comp_body)).status_code == 201
    if wire:
        wire.stall()
    for reader, loses in ((ada, refund), (bob, cancel_now), (cyd, revoke_comp)):
        await asyncio.sleep(MAX_AGE)  # a refusal may have been cached before access began
        for _ in range(2):  # now the permission is cached
            assert [await gate(shop, http, reader) for http in processes] == [204] * len(processes), reader.sub
        await loses(shop, reader)
        await asyncio.sleep(MAX_AGE)
        assert [await gate(shop, http, reader) for http in processes] == [403] * len(processes), reader.sub


async def test_every_process_refuses_access_within_a_second_of_its_end(shop: Shop) -> None:
    async with second_process(shop) as second, second_process(shop) as third:
        await check_all_refuse_within_a_second(shop, [shop.http, second, third], None)


async def test_a_process_that_misses_notifications_refuses_within_a_second(shop: Shop) -> None:
    async with database_proxy(shop.dsn) as wire, second_process(shop, listen_database_url=SecretStr(wire.url)) as deaf:
        await shop.wait_until(f"SELECT count(*) = 2 {LISTENING_CONNECTIONS}")
        await check_all_refuse_within_a_second(shop, [shop.http, deaf], wire)


async def test_a_process_without_its_listening_connection_refuses_within_a_second(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    assert [await gate(shop, shop.http, ada) for _ in range(3)] == [204] * 3
    await shop.rows(f"SELECT pg_terminate_backend(pid) {LISTENING_CONNECTIONS}")
    await cancel_now(shop, ada)
    await asyncio.sleep(MAX_AGE)
    assert await gate(shop, shop.http, ada) == 403
