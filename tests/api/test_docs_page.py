"""The API's reference at /docs: complete, and without scripts or other hosts."""

import re
from types import SimpleNamespace

import httpx2

from app import main
from app.settings import Settings


async def get(path: str) -> httpx2.Response:
    app = main.application(Settings())
    app.state.api = SimpleNamespace(ctx=SimpleNamespace(settings=Settings()))
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


async def test_fastapis_own_documentation_page_is_off() -> None:
    assert (await get("/redoc")).status_code == 404
