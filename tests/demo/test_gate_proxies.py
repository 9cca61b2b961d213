"""nginx and Caddy in front of the magazine, calling the service's gate with the configurations from deploy/gate."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

import httpx2
import pytest

from demo.browser import Browser, Page
from demo.stack import Stack
from tests.demo.test_full_stack import ARCHIVE, ARCHIVE_END, checkout, pay, sign_up, support_page
from tests.support.proxies import run_proxy
from tests.support.timeouts import TIMEOUT

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.timeout(240)]


@dataclass(frozen=True)
class Proxy:
    """A running proxy in front of the magazine."""

    name: str
    url: str
    shop: Stack


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Stack:
    """The running demo."""
    return stack


@pytest.fixture(params=["nginx", "caddy"])
async def proxy(request: pytest.FixtureRequest, shop: Stack, tmp_path: Path) -> AsyncIterator[Proxy]:
    with run_proxy(request.param, service=shop.service, site=shop.magazine, folder=tmp_path) as url:
        async with httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT) as client, asyncio.timeout(TIMEOUT):
            while not await _listens(client, url):
                await asyncio.sleep(0.05)
        yield Proxy(request.param, url, shop)


async def _listens(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        await client.get(url)
    except httpx2.TransportError:
        return False
    return True


async def open_until(browser: Browser, url: str, text: str) -> Page:
    """Open a URL until the page, or its final URL, contains the text."""
    async with asyncio.timeout(TIMEOUT):
        while text not in (page := await browser.open(url)).text and text not in page.url:
            await asyncio.sleep(0.05)
    return page


async def access_token(shop: Stack, **options: object) -> str:
    """Return an access token from the identity provider."""
    async with httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
        made = await client.post(f"{shop.issuer}/_issuer/tokens", json={"sub": "somebody", **options})
        return str(made.json()["access_token"])


@asynccontextmanager
async def without_service(shop: Stack) -> AsyncIterator[None]:
    """Stop the service, and start it again afterwards."""
    os.kill(shop.processes.pids()["service"], signal.SIGTERM)
    async with httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT) as client, asyncio.timeout(TIMEOUT):
        while await _listens(client, f"{shop.service}/healthz"):
            await asyncio.sleep(0.05)
    yield
    host, _, port = shop.service.removeprefix("http://").partition(":")
    command = ["-m", "app", "serve", "--host", host, "--port", port, "--no-worker"]
    await shop.processes.serve("service", command, f"{shop.service}/readyz")


async def test_proxy_lets_only_entitled_readers_in(proxy: Proxy) -> None:
    shop = proxy.shop
    async with Browser(follow=False) as visitor:
        assert (await visitor.open(proxy.url + "/")).status == 200  # a free page
        redirect = await visitor.open(proxy.url + ARCHIVE)
        assert redirect.status == 302
        assert unquote(redirect.location or "").removeprefix(proxy.url) == f"/sign-in?next={ARCHIVE}"
    async with httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT) as client:
        for headers in (
            {"X-Newsstand-Subscriber": "somebody"},
            {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."},  # pragma: allowlist secret
            {"Cookie": "slow_ferry_token=; slow_ferry_token=x\tx"},
            {"Cookie": f"slow_ferry_token={await access_token(shop, expires_in=-60)}"},
        ):
            assert (await client.get(proxy.url + ARCHIVE, headers=headers)).status_code == 302
    async with Browser() as browser:
        email = await sign_up(browser, shop)
        redirect = await browser.open(proxy.url + ARCHIVE)  # signed in but not subscribed
        assert "reason=never_subscribed" in redirect.url
        await pay(browser, await checkout(browser, shop, edition="digital"))
        page = await open_until(browser, proxy.url + ARCHIVE, ARCHIVE_END)
        assert page.url == proxy.url + ARCHIVE

        async with Browser() as agent:
            page = await support_page(agent, shop, email)
            assert "Refund of $49" in (await agent.submit(page, page.form("/refund"))).text
        await open_until(
            browser, proxy.url + ARCHIVE, "reason=refunded"
        )  # the proxy caches the decision for a second at most


async def test_nginx_serves_known_readers_during_an_outage_and_caddy_serves_none(proxy: Proxy) -> None:
    shop = proxy.shop
    async with Browser() as browser, Browser(follow=False) as visitor, Browser() as unknown_reader:
        await sign_up(browser, shop)
        await pay(browser, await checkout(browser, shop, edition="digital"))
        await sign_up(unknown_reader, shop)
        await pay(unknown_reader, await checkout(unknown_reader, shop, edition="digital"))
        assert ARCHIVE_END in (await browser.open(proxy.url + ARCHIVE)).text

        async with without_service(shop):
            known = await browser.open(proxy.url + ARCHIVE)
            unknown = await unknown_reader.open(proxy.url + ARCHIVE)
            assert (await visitor.open(proxy.url + "/")).status == 200  # free pages do not need the gate
            assert (await visitor.open(proxy.url + ARCHIVE)).status == 503
        if proxy.name == "nginx":
            assert known.status == 200
            assert ARCHIVE_END in known.text  # the site verifies the reader's entitlement token itself
        else:
            assert known.status == 503
        assert unknown.status == 503
        assert "Please try again in a minute" in unknown.text

        await open_until(unknown_reader, proxy.url + ARCHIVE, ARCHIVE_END)  # recovers without restarting the proxy
