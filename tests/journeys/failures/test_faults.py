"""Entitled readers keep access while Stripe, the worker, the notifications or the database are unavailable."""

import asyncio
from datetime import timedelta
from functools import partial

import httpx2
from pydantic import SecretStr

from tests.support.database_proxy import database_proxy
from tests.support.manual_clock import manual_clock
from tests.support.second_process import LISTENING_CONNECTIONS, promptly, second_process
from tests.support.shop import START_TIME, Person, Shop
from tests.support.timeouts import TIMEOUT

TERM_ENDS = START_TIME.replace(year=START_TIME.year + 1)
BOUNDED_AGE = 1.0  # seconds: docs/concepts/entitlements.md, "Cached answers are at most one second old"


class ProcessChecks:
    """Checks readers' access at one process."""

    def __init__(self, http: httpx2.AsyncClient, shop: Shop) -> None:
        self.http, self._server = http, {"Authorization": f"Bearer {shop.server_key}"}

    async def gate(self, reader: Person) -> tuple[int, str]:
        """Call the gate. Return the status and the reason."""
        answer = await self.http.get("/v1/gate", params={"feature": "archive"}, headers=dict(reader.headers))
        return answer.status_code, answer.headers["x-newsstand-reason"]

    async def check(self, reader: Person) -> tuple[int, str]:
        """Call the check with an API key. Return the status and the reason or error code."""
        body = {"subscriber": reader.sub, "feature": "archive"}
        answer = await self.http.post("/v1/entitlements/check", json=body, headers=self._server)
        return answer.status_code, answer.json().get("reason") or answer.json()["code"]

    async def allows(self, reader: Person) -> bool:
        """Return whether access is allowed, by every method; all must agree."""
        mine = await self.http.get("/v1/me/entitlements", headers=dict(reader.headers))
        theirs = await self.http.get(f"/v1/subscribers/{reader.sub}/entitlements", headers=self._server)
        token = await self.http.post("/v1/me/entitlement-tokens", headers=dict(reader.headers))
        assert (mine.status_code, theirs.status_code, token.status_code) == (200, 200, 200)
        checked = await self.http.post(
            "/v1/entitlements/check", json={"subscriber": reader.sub, "feature": "archive"}, headers=self._server
        )
        decisions = {
            (await self.gate(reader))[0] == 204,
            bool(checked.json()["allowed"]),
            "archive" in mine.json()["features"],
            "archive" in theirs.json()["features"],
        }
        assert len(decisions) == 1, decisions
        return True in decisions


async def test_an_hour_without_stripe_worker_and_notifications_refuses_no_reader(
    shop: Shop,
) -> None:
    ada, bob, cyd = shop.person("ada"), shop.person("bob"), shop.person("cyd")
    await shop.subscribe(ada)
    until = TERM_ENDS + timedelta(days=9)
    comp_body = {"subscriber": "bob", "plan": "annual", "reason": "because", "until": until.isoformat()}
    comp = (await shop.post("/v1/support/comps", shop.agent, comp_body)).json()["id"]
    assert (await shop.approve(comp)).status_code == 201
    async with (
        database_proxy(shop.dsn) as listening,
        manual_clock(TERM_ENDS - timedelta(minutes=30)) as hands,
        second_process(
            shop,
            stripe_url="http://127.0.0.1:9",  # nothing listens there
            clock_url=hands.url,
            listen_database_url=SecretStr(listening.url),
        ) as http,
    ):
        door = ProcessChecks(http, shop)
        assert await door.allows(ada)
        await shop.wait_until(f"SELECT count(*) = 2 {LISTENING_CONNECTIONS}")
        listening.stall()
        for _ in range(13):  # an hour in which a paid term ends and its renewal can't arrive
            assert await door.allows(ada), hands.moment
            assert await door.allows(bob), hands.moment
            assert not await door.allows(cyd)
            hands.moment += timedelta(minutes=5)
        assert (await door.gate(ada))[1] == "renewal_pending"

        path = f"/v1/support/comps/{comp}"
        assert (await shop.http.delete(path, headers=dict(shop.agent.headers))).status_code == 200
        await asyncio.sleep(BOUNDED_AGE)  # the notification of this change is lost
        assert await promptly(shop, http, partial(door.gate, bob)) == (403, "ended")
        assert await promptly(shop, http, partial(door.check, bob)) == (200, "ended")
        listening.disconnect()
        assert await door.allows(ada)


async def test_recent_readers_keep_access_while_the_database_is_down(
    shop: Shop,
) -> None:
    ada, bob, cyd = shop.person("ada"), shop.person("bob"), shop.person("cyd")
    await shop.subscribe(ada)
    async with database_proxy(shop.dsn) as wire, second_process(shop, database_url=SecretStr(wire.url)) as http:
        door = ProcessChecks(http, shop)
        for reader, reason in ((ada, "paid_term"), (bob, "never_subscribed")):
            assert (await door.gate(reader))[1] == reason
            assert (await door.check(reader))[1] == reason
        assert (await http.post("/v1/me/entitlement-tokens", headers=dict(ada.headers))).status_code == 200

        wire.disconnect()
        await asyncio.sleep(BOUNDED_AGE)  # the cached API key has expired, too

        assert await door.allows(ada)  # by every method
        for reader in (bob, cyd):
            assert await door.gate(reader) == (503, "database_unavailable")
            assert await door.check(reader) == (503, "database_unavailable")
        stranger = {"Authorization": "Bearer nsk_" + "x" * 43}
        unknown = await http.get("/v1/subscribers/ada/entitlements", headers=stranger)
        other = await http.get("/v1/me/subscription", headers=dict(ada.headers))  # every other endpoint
        for answer in (unknown, other):
            assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable"), answer.text
        assert (await http.get("/healthz")).status_code == 200
        ready = await http.get("/readyz")
        assert ready.status_code == 200, "a balancer must not remove the processes that still let readers in"
        assert (ready.json()["degraded"], ready.json()["writable"]) == (True, None)

        wire.restore()

        async with asyncio.timeout(TIMEOUT):
            while await door.gate(cyd) != (403, "never_subscribed"):
                await asyncio.sleep(0.05)
            while (await http.get("/readyz")).json()["degraded"]:
                await asyncio.sleep(0.05)
        assert await door.check(bob) == (200, "never_subscribed")
        assert await door.allows(ada)
        assert (await http.get("/v1/me/subscription", headers=dict(ada.headers))).status_code == 200


async def test_a_silent_database_causes_only_a_short_wait(shop: Shop) -> None:
    ada, cyd = shop.person("ada"), shop.person("cyd")
    await shop.subscribe(ada)
    async with database_proxy(shop.dsn) as wire, second_process(shop, database_url=SecretStr(wire.url)) as http:
        door = ProcessChecks(http, shop)
        assert await door.check(ada) == (200, "paid_term")
        assert await door.gate(ada) == (204, "paid_term")

        wire.stall()
        await asyncio.sleep(BOUNDED_AGE)

        assert await asyncio.wait_for(door.gate(ada), TIMEOUT) == (204, "paid_term")
        assert await asyncio.wait_for(door.check(ada), TIMEOUT) == (200, "paid_term")
        assert await asyncio.wait_for(door.gate(cyd), TIMEOUT) == (503, "database_unavailable")

        wire.restore()

        async with asyncio.timeout(TIMEOUT):
            while await door.gate(cyd) != (403, "never_subscribed"):
                await asyncio.sleep(0.05)
