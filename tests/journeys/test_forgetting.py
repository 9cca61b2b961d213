"""After a refund every process refuses: the one that was told, and the others, whether they hear or not."""

import asyncio

import httpx2

from tests.support.shop import PATIENCE, TLS, Shop, free_socket, serving


async def test_another_process_that_remembers_a_reader_forgets_them_with_the_refund(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribes(ada)
    bound = free_socket()
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with (
        serving(shop.settings, bound, with_worker=False),
        httpx2.AsyncClient(base_url=url, headers=dict(ada.headers), verify=TLS) as other,
    ):

        async def gate() -> int:
            return (await other.get("/v1/gate", params={"feature": "archive"})).status_code

        assert [await gate() for _ in range(3)] == [204, 204, 204]
        listening = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        for deaf in (False, True):
            if deaf:  # every connection that listens is cut, so that nothing is heard of what comes now
                given = {"subscriber": "ada", "plan": "annual", "until": "2027-01-01T00:00:00Z", "reason": "why"}
                comp = (await shop.post("/v1/support/comps", shop.agent, given)).json()
                async with asyncio.timeout(PATIENCE):
                    while await gate() != 204:
                        await asyncio.sleep(0.02)
                await shop.rows(listening)
                path = f"/v1/support/comps/{comp['id']}"
                assert (await shop.http.delete(path, headers=dict(shop.agent.headers))).status_code == 200
            else:
                payment = (await shop.overview(ada))["payments"][0]["id"]
                assert (await shop.refunds(payment)).status_code == 201
            async with asyncio.timeout(PATIENCE):
                while await gate() != 403:
                    await asyncio.sleep(0.02)
