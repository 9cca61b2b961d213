"""The configurations of deploy/gate against odd paths and forged headers, with real proxies, a real gate and a bare site."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.api import gate
from tests.security.wire import Response, ask, request
from tests.support.proxies import run_proxy
from tests.support.shop import Shop, open_shop
from tests.support.timeouts import TIMEOUT

ARTICLE = "/articles/the-winter-the-cables-sang"
FRONT = "/"
REFUSED = None  # 400
HEADERS = [name.decode() for name in (gate.SUBSCRIBER, gate.REASON, gate.UNTIL)]  # all that the gate sends
PATHS = [  # what is asked for, and where the reader returns to after sign-in
    pytest.param(ARTICLE, ARTICLE, id="plain"),
    pytest.param(f"{ARTICLE}?a=1&next=//evil.example", ARTICLE, id="query"),
    pytest.param(f"{ARTICLE}&next=//evil.example", FRONT, id="ampersand"),
    pytest.param(f"{ARTICLE}%26next=//evil.example", f"{ARTICLE}%26next=//evil.example", id="encoded ampersand"),
    pytest.param(f"{ARTICLE}%0d%0aSet-Cookie:%20forged=1", REFUSED, id="CR LF"),
    pytest.param(f"{ARTICLE}%0aSet-Cookie:%20forged=1", REFUSED, id="LF"),
    pytest.param(f"{ARTICLE}%0d", REFUSED, id="CR"),
    pytest.param(f"/{ARTICLE}", FRONT, id="two slashes first"),
    pytest.param(f"/{ARTICLE}/evil.example", FRONT, id="two slashes first, and more"),
    pytest.param(ARTICLE.replace("s/", "s//"), ARTICLE.replace("s/", "s//"), id="two slashes within"),
    pytest.param(f"/%2f{ARTICLE[1:]}", f"/%2f{ARTICLE[1:]}", id="encoded slash first"),
    pytest.param(ARTICLE.replace("s/", "s%2f"), ARTICLE.replace("s/", "s%2f"), id="encoded slash within"),
    pytest.param(f"{ARTICLE}\\evil.example", REFUSED, id="backslash"),
    pytest.param(f"/%5c{ARTICLE}", REFUSED, id="encoded backslash"),
    pytest.param(f"{ARTICLE}/caf%C3%A9", f"{ARTICLE}/caf%C3%A9", id="Unicode"),
    pytest.param(f"{ARTICLE}/caf\u00e9", FRONT, id="Unicode that is not encoded"),
    pytest.param(ARTICLE.title(), ARTICLE.title(), id="title case"),
    pytest.param(ARTICLE.upper(), ARTICLE.upper(), id="upper case"),
    pytest.param(ARTICLE.replace("a", "%61"), ARTICLE.replace("a", "%61"), id="encoded letters"),
    pytest.param(f"/articles/../{ARTICLE[1:]}", f"/articles/../{ARTICLE[1:]}", id="dots"),
    pytest.param(f"{ARTICLE}%252e%2B+", f"{ARTICLE}%252e%2B+", id="encoded percent sign and plus"),
    pytest.param(f"{ARTICLE}{'a' * 3000}", FRONT, id="long"),
]


@dataclass
class Site:
    """The site behind the proxy: keeps the head of each request, and answers 200."""

    url: str = ""
    heads: list[str] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


@dataclass(frozen=True)
class Gated:
    """A proxy with its site and its gate."""

    url: str
    site: Site
    shop: Shop


@pytest.fixture(params=["nginx", "caddy"])
async def gated(
    request: pytest.FixtureRequest, database: str, sandbox: Any, issuer: Any, tmp_path: Path
) -> AsyncIterator[Gated]:
    site = Site()
    server = await asyncio.start_server(site.handle, "127.0.0.1", 0)
    site.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with open_shop(database, sandbox, issuer, gate_cookie="slow_ferry_token") as shop, server:
        with run_proxy(request.param, service=shop.url, site=site.url, folder=tmp_path) as url:
            async with asyncio.timeout(TIMEOUT):
                while not await _listens(url):
                    await asyncio.sleep(0.05)
            site.heads.clear()
            yield Gated(url, site, shop)


async def _listens(url: str) -> bool:
    try:
        await ask(url, request("GET", "/"))
    except OSError:
        return False
    return True


async def get(gated: Gated, target: str, *headers: str) -> Response:
    answer = await ask(gated.url, request("GET", target, *headers, "Connection: close"))
    assert answer.header("set-cookie") is None, answer
    return answer


async def test_sign_in_returns_to_the_path_as_it_was_sent_and_never_to_another_host(gated: Gated) -> None:
    wrong = []
    for case in PATHS:
        target, expected = case.values
        answer = await get(gated, str(target))
        location = urlsplit(answer.header("location") or "")
        seen = (answer.status, location.netloc, location.path, parse_qs(location.query).get("next"))
        if seen != ((400, "", "", None) if expected is REFUSED else (302, "", "/sign-in", [expected])):
            wrong.append((case.id, expected, seen))
    assert wrong == []
    for host in (gated.url, "http://evil.example"):  # a whole URL, as for a forward proxy
        answer = await get(gated, host + ARTICLE)
        next_ = parse_qs(urlsplit(answer.header("location") or "").query).get("next", [FRONT])
        assert next_ in ([FRONT], [ARTICLE]), answer
    assert gated.site.heads == []  # the site was asked for none of them


async def test_the_site_receives_no_header_that_a_browser_forged(gated: Gated) -> None:
    shop = gated.shop
    reader = shop.person("ada")
    comp = {"subscriber": reader.sub, "plan": "annual", "until": "2026-04-01T00:00:00Z", "reason": "a copy lost"}
    await shop.open_checkout(reader)  # makes the reader known
    assert (await shop.post("/v1/support/comps", shop.agent, comp)).status_code == 201
    names = [form for name in HEADERS for form in (name, name.upper(), name.replace("-", "_"), name.title())]
    names += ["X-Newsstand_Subscriber", "X_Newsstand-Subscriber"]
    forged = [f"{name}: forged" for name in names]
    token = f"Authorization: {reader.headers['Authorization']}"

    free = await get(gated, "/free", *forged, "X-Other: kept")
    let_in = await get(gated, ARTICLE, *forged, token)
    anonymous = await get(gated, ARTICLE, *forged)

    assert (free.status, let_in.status, anonymous.status) == (200, 200, 302)
    at_free, at_gated = gated.site.heads
    assert "X-Other: kept" in at_free
    assert "forged" not in at_free
    assert "forged" not in at_gated
    assert ours(at_free) == []
    assert ours(at_gated) == [("x-newsstand-subscriber", reader.sub)]


def ours(head: str) -> list[tuple[str, str]]:
    """Return the headers of ours in a request."""
    lines = [line.partition(": ") for line in head.split("\r\n")]
    return [(name.lower(), value) for name, _, value in lines if "newsstand" in name.lower()]
