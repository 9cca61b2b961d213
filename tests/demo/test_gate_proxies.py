"""Real proxies before the magazine, which ask the service's gate: nginx and Caddy, as deploy/gate configures them."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from demo.browser import Browser, Page
from demo.stack import Ports, Stack
from tests.demo.test_full_stack import ARCHIVE, ARCHIVE_END, checkout, desk_page, new_reader, pay
from tests.support.packages import skip_without

DEPLOY = Path(__file__).parents[2] / "deploy" / "gate"
PATH = os.environ["PATH"] + ":/usr/sbin"
PATIENCE = 30.0
pytestmark = [pytest.mark.xdist_group("gates"), pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Gated:
    """A proxy before the magazine."""

    name: str
    url: str
    shop: Stack


@pytest.fixture(scope="module")
def shop() -> Iterator[Stack]:
    stack = Stack(Ports.free(), say=lambda _: None)
    asyncio.run(stack.start())
    yield stack
    stack.stop()


@contextmanager
def proxy(name: str, shop: Stack, folder: Path) -> Iterator[str]:
    """Run a proxy of Debian's with the configuration that is shipped, on addresses of this test."""
    port = Ports.free().service
    file = {"nginx": "nginx.conf", "caddy": "Caddyfile"}[name]
    settings = (DEPLOY / file).read_text()
    for shipped, ours in (
        ("127.0.0.1:8000", shop.service.removeprefix("http://")),
        ("127.0.0.1:8080", shop.magazine.removeprefix("http://")),
        ("127.0.0.1:8081", f"127.0.0.1:{port}"),
        ("worker_processes auto;", "worker_processes 1;"),
    ):
        assert shipped in settings or name == "caddy", shipped
        settings = settings.replace(shipped, ours)
    (folder / file).write_text(settings)
    (folder / "tmp").mkdir()
    command = {
        "nginx": ["nginx", "-p", str(folder), "-c", file, "-e", "stderr", "-g", "daemon off; user root;"],
        "caddy": ["caddy", "run", "--config", str(folder / file)],
    }[name]
    home = {"PATH": PATH, "HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=home, cwd=folder)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(params=["nginx", "caddy"])
async def gated(request: pytest.FixtureRequest, shop: Stack, tmp_path: Path) -> AsyncIterator[Gated]:
    skip_without({"nginx": "nginx-light", "caddy": "caddy"}[request.param])
    with proxy(request.param, shop, tmp_path) as url:
        async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(PATIENCE):
            while not await _listens(client, url):
                await asyncio.sleep(0.05)
        yield Gated(request.param, url, shop)


async def _listens(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        await client.get(url)
    except httpx2.TransportError:
        return False
    return True


async def opens(browser: Browser, url: str, *, until: str) -> Page:
    """Open an address until the page holds, or its address is, what is waited for."""
    async with asyncio.timeout(PATIENCE):
        while until not in (page := await browser.open(url)).text and until not in page.url:
            await asyncio.sleep(0.05)
    return page


async def token(shop: Stack, **more: object) -> str:
    """Return an access token of the identity provider's."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        made = await client.post(f"{shop.issuer}/_issuer/tokens", json={"sub": "somebody", **more})
        return str(made.json()["access_token"])


@asynccontextmanager
async def without_service(shop: Stack) -> AsyncIterator[None]:
    """Stop the service for a while."""
    os.kill(shop.processes.pids()["service"], signal.SIGTERM)
    async with httpx2.AsyncClient(trust_env=False) as client, asyncio.timeout(PATIENCE):
        while await _listens(client, f"{shop.service}/healthz"):
            await asyncio.sleep(0.05)
    yield
    host, _, port = shop.service.removeprefix("http://").partition(":")
    command = ["-m", "app", "serve", "--host", host, "--port", port, "--no-worker"]
    await shop.processes.serve("service", command, f"{shop.service}/readyz")


async def test_a_proxy_lets_readers_in_by_the_gate_and_no_others(gated: Gated) -> None:
    shop = gated.shop
    async with Browser(follow=False) as nobody:
        assert (await nobody.open(gated.url + "/")).status == 200  # a free page
        turned = await nobody.open(gated.url + ARCHIVE)
        assert turned.status == 302
        assert (turned.location or "").removeprefix(gated.url) == f"/sign-in?next={ARCHIVE}"
    async with httpx2.AsyncClient(trust_env=False) as liar:
        for headers in (
            {"X-Newsstand-Subscriber": "somebody"},
            {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},
            {"Cookie": "slow_ferry_token=; slow_ferry_token=x\tx"},
            {"Cookie": f"slow_ferry_token={await token(shop, expires_in=-60)}"},
        ):
            assert (await liar.get(gated.url + ARCHIVE, headers=headers)).status_code == 302
    async with Browser() as browser:
        email = await new_reader(browser, shop)
        turned = await browser.open(gated.url + ARCHIVE)  # signed in, and not subscribed
        assert "reason=never_subscribed" in turned.url
        await pay(browser, await checkout(browser, shop, edition="digital"))
        page = await opens(browser, gated.url + ARCHIVE, until=ARCHIVE_END)
        assert page.url == gated.url + ARCHIVE

        async with Browser() as agent:
            desk = await desk_page(agent, shop, email)
            assert "Refund of $49" in (await agent.submit(desk, desk.form("/refund"))).text
        await opens(browser, gated.url + ARCHIVE, until="reason=refunded")  # the proxy remembers for a second at most


async def test_while_the_service_is_away_nginx_remembers_who_was_let_in_and_caddy_lets_nobody_in(gated: Gated) -> None:
    shop = gated.shop
    async with Browser() as browser, Browser(follow=False) as nobody, Browser() as late:
        await new_reader(browser, shop)
        await pay(browser, await checkout(browser, shop, edition="digital"))
        await new_reader(late, shop)
        await pay(late, await checkout(late, shop, edition="digital"))
        assert ARCHIVE_END in (await browser.open(gated.url + ARCHIVE)).text

        async with without_service(shop):
            held = await browser.open(gated.url + ARCHIVE)
            never_asked = await late.open(gated.url + ARCHIVE)
            assert (await nobody.open(gated.url + "/")).status == 200  # a free page needs no gate
            assert (await nobody.open(gated.url + ARCHIVE)).status == 503
        if gated.name == "nginx":
            assert held.status == 200
            assert ARCHIVE_END in held.text  # the site believes the reader's own token meanwhile
        else:
            assert held.status == 503
        assert never_asked.status == 503
        assert "Please try again in a minute" in never_asked.text

        await opens(late, gated.url + ARCHIVE, until=ARCHIVE_END)  # it is back, and nothing had to be restarted
