"""``newsstand keys`` rotates, lists and revokes signing keys while the service runs."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx2
import jwt
from newsstand_edge import Edge

from tests.support.commands import run_command
from tests.support.processes import environment
from tests.support.shop import KEEPALIVE_LIMITS, TLS, Shop, free_socket, serving
from tests.support.timeouts import TIMEOUT


async def commands(shop: Shop, *each: Sequence[str]) -> list[str]:
    """Run commands of `newsstand keys` one after the other, and return the lines of their output."""
    lines = []
    for words in each:
        done = await asyncio.to_thread(run_command, ["keys", *words], environment(shop.settings))
        assert done.returncode == 0, done.stderr
        lines += done.stdout.splitlines()
    return lines


def key_states(listed: Sequence[str]) -> dict[str, str]:
    """Return the state of each key in the list, by its ID."""
    return {words[0]: words[1] for words in (line.split("  ") for line in listed)}


@asynccontextmanager
async def edge_at_a_new_process(shop: Shop) -> AsyncIterator[tuple[Edge, httpx2.AsyncClient]]:
    """Return an edge that fetched the keys from a newly started process."""
    bound = free_socket()
    url = f"http://127.0.0.1:{bound.getsockname()[1]}"
    async with (
        serving(shop.settings, bound, with_worker=False),
        httpx2.AsyncClient(base_url=url, timeout=TIMEOUT, verify=TLS, limits=KEEPALIVE_LIMITS) as http,
    ):
        edge = Edge(url)
        await asyncio.to_thread(edge.feeds.fetch_keys)
        yield edge, http


async def test_signing_keys_are_rotated_while_the_service_runs(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    token = (await shop.post("/v1/me/entitlement-tokens", ada)).json()["token"]
    old = jwt.get_unverified_header(token)["kid"]

    output, *listed = await commands(shop, ["rotate"], ["list"])

    new, _, when = output.partition(" ")
    assert when.startswith("signs from "), when
    before = key_states(listed)
    (api_key,) = [key for key, state in before.items() if state == "active"]
    assert before == {api_key: "active", old: "signs", new: "will sign"}
    async with edge_at_a_new_process(shop) as (edge, http):
        published = (await http.get("/.well-known/jwks.json")).json()["keys"]
        assert {key["kid"] for key in published} == {old, new}
        assert edge.may_token(token, "archive")
        later = await http.post("/v1/me/entitlement-tokens", headers=dict(ada.headers))
        assert edge.may_token(later.json()["token"], "archive")

    output, *listed = await commands(shop, ["rotate", "--compromised"], ["revoke", api_key], ["list"])

    newest = output.partition(" ")[0]
    after = key_states(listed)
    assert after.keys() == {api_key, newest}
    assert after[api_key].startswith("revoked ")
    assert after[newest] == "signs"
    async with edge_at_a_new_process(shop) as (edge, http):
        assert edge.may_token(token, "archive").reason == "token_unknown_key"
        server = {"Authorization": f"Bearer {shop.server_key}"}
        assert (await http.get("/v1/subscribers/ada/entitlements", headers=server)).status_code == 401
