"""The API's reference at /docs: complete, without scripts or other hosts, and off with a live key."""

import re

import httpx2
import pytest
from pydantic import SecretStr

from app import main
from app.settings import STRIPE, Settings

LIVE = Settings(stripe_api_key=SecretStr("sk_live_real"), stripe_url=STRIPE, webhook_secrets=(SecretStr("whsec_real"),))


async def get(path: str, settings: Settings | None = None) -> httpx2.Response:
    app = main.application(settings or Settings())
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://newsstand") as client:
        return await client.get(path)


async def test_the_page_shows_every_operation_schema_and_error() -> None:
    page = (await get("/docs")).text
    document = main.document(main.application(Settings()))
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    operations = {method["operationId"] for methods in document["paths"].values() for method in methods.values()}
    assert operations | set(document["components"]["schemas"]) | {"error-not_found"} <= ids


async def test_every_link_of_the_page_has_a_target() -> None:
    page = (await get("/docs")).text
    ids = set(re.findall(r'\bid="([^"]+)"', page))
    links = set(re.findall(r'\bhref="([^"]+)"', page))
    assert {link for link in links if link.startswith("#")} <= {f"#{one}" for one in ids}
    for link in links:
        if not link.startswith("#"):
            assert (await get(link)).status_code == 200, link


async def test_the_page_uses_no_script_and_no_other_host() -> None:
    answer = await get("/docs")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    assert "<script" not in answer.text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.text)
    style = await get("/docs/style.css")
    assert style.headers["content-type"].startswith("text/css")
    assert "url(" not in style.text


@pytest.mark.parametrize("path", ["/docs", "/docs/style.css", "/redoc"])
async def test_the_page_is_off_with_a_live_key(path: str) -> None:
    assert (await get(path, LIVE)).status_code == 404


async def test_fastapis_own_documentation_page_is_off() -> None:
    assert (await get("/redoc")).status_code == 404
