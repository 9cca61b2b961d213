"""Who comes in, and who does not: every page and every form of the console, held to the same rules."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from starlette.routing import Route

from app.console import app as console
from app.console.sign_in import own_path
from app.domain.callers import IMPLIES
from demo.browser import Browser, Page
from tests.console.conftest import Sit, Sitter
from tests.support.shop import Shop

OPEN = {"/sign-in", "/signed-in", "/signed-out"}  # for whoever is not signed in yet, or no more
STAFF = {"agent": "support", "supervisor": "supervisor", "circulation": "circulation", "admin": "admin"}


def pages(method: str) -> Iterator[tuple[str, str]]:
    """Return the path and the role of every route, with an id where one belongs."""
    for route in console.application().routes:
        if isinstance(route, Route) and method in (route.methods or ()) and route.path not in OPEN:
            yield re.sub(r"\{\w+\}", "made-up", route.path), route.name.partition(":")[0]


async def test_a_way_back_that_leads_elsewhere_is_not_taken_and_is_counted(shop: Shop, sit: Sit) -> None:
    async def counted() -> float:
        lines = (await shop.http.get("/metrics")).text.splitlines()
        name = 'newsstand_refusals_total{code="return_url_not_allowed"} '
        return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)

    stranger, before = await sit(follow=False), await counted()

    for wanted in ("https://evil.example.com/", "//evil.example.com", "/console/readers?q=ada", ""):
        assert (await stranger.open(f"/sign-in?next={quote(wanted, safe='')}")).status == 303

    assert await counted() == before + 2


async def post(sitter: Sitter, path: str, *, origin: str | None, **form: str) -> Page:
    """Send a form that no page of ours has."""
    headers = {"Origin": origin} if origin else {}
    client = sitter.browser._client
    return Page(await client.post(f"{sitter.shop.url}/console{path}", data=form, headers=headers))


async def test_whoever_is_signed_out_is_led_to_sign_in_and_changes_nothing(shop: Shop, sit: Sit) -> None:
    stranger = await sit(follow=False)
    for path, _ in pages("GET"):
        page = await stranger.open(path)
        assert (page.status, page.text) == (303, ""), path
        assert page.location == f"/console/sign-in?next=%2Fconsole{path.replace('/', '%2F')}"
    for path, _ in pages("POST"):
        assert (await post(stranger, path, origin=shop.url)).status == 403, path


async def test_a_reader_who_signs_in_at_the_console_sees_nothing_of_it(shop: Shop, sit: Sit) -> None:
    reader = await sit()
    page = await reader.signs_in("ada@example.com")
    assert page.status == 403
    assert "you have no role here" in page.text
    for path, _ in pages("GET"):
        assert (await reader.open(path)).status == 403, path
    log = await shop.rows("SELECT actor, action FROM audit_log ORDER BY id")
    assert {"actor": "reader:reader-ada", "action": "console.sign_in_refused"} in log


@pytest.mark.parametrize("who", STAFF)
async def test_each_role_gets_the_pages_that_are_for_it_and_no_others(shop: Shop, sit: Sit, who: str) -> None:
    sitter = await sit(f"{who}@example.com")
    roles = IMPLIES[STAFF[who]] | ({"support"} if who == "supervisor" else set())
    for path, role in pages("GET"):
        page = await sitter.open(path)
        admitted = role == "anybody" or role in roles
        assert (page.status == 403) is not admitted, (path, page.text)
    refused = 0
    for path, role in pages("POST"):
        page = await post(sitter, path, origin=shop.url)
        assert page.status == 403, path  # for want of the role, or of the form's token
        refused += role != "anybody" and role not in roles
    written = await shop.rows("SELECT FROM audit_log WHERE action = 'console.refused'")
    assert len(written) == refused


async def test_a_form_of_another_session_or_of_another_site_does_nothing_and_is_written_down(
    shop: Shop, sit: Sit
) -> None:
    robin, sam = await sit("agent@example.com"), await sit("supervisor@example.com")
    token = (await sam.open("/")).form("/sign-out").values()["form_token"]
    own = (await robin.open("/")).form("/sign-out").values()["form_token"]
    for origin, sent in [
        (shop.url, {}),
        (shop.url, {"form_token": token}),
        (shop.url, {"form_token": own[:-1]}),
        ("https://evil.example.com", {"form_token": own}),
        ("null", {"form_token": own}),
        (None, {"form_token": own}),
    ]:
        page = await post(robin, "/sign-out", origin=origin, **sent)
        assert page.status == 403, origin
        assert "nothing was done" in page.text
        assert (await robin.open("/")).status == 200  # still signed in
    written = await shop.rows("SELECT actor FROM audit_log WHERE action = 'console.form_refused'")
    assert [row["actor"] for row in written] == ["staff:staff-agent"] * 6


async def test_signing_out_ends_it_here_and_offers_to_end_it_at_the_provider(shop: Shop, sit: Sit) -> None:
    robin = await sit("agent@example.com")
    page = await robin.sends(await robin.open("/"), "/sign-out")
    assert page.title.startswith("Signed out")
    elsewhere = [a.attributes["href"] for a in page.find("a") if a.attributes["href"].startswith(shop.issuer.url)]
    assert len(elsewhere) == 1
    back = await robin.browser.open(elsewhere[0])
    assert back.url == f"{shop.url}/console/signed-out"
    assert (await robin.open("/")).url.startswith(shop.issuer.url)


async def test_what_the_browser_keeps_can_be_neither_read_nor_changed(shop: Shop, sit: Sit) -> None:
    robin = await sit("agent@example.com")
    kept = robin.browser.cookies("newsstand_console")
    assert len(kept) == 1
    assert "staff-agent" not in kept[0]
    async with Browser(follow=False) as thief:
        for forged in (kept[0][:-2] + "AA", "e30", "", kept[0].swapcase()):
            thief._client.cookies.set("newsstand_console", forged, domain="127.0.0.1", path="/console")
            assert (await thief.open(f"{shop.url}/console/")).status == 303


async def test_pages_may_be_framed_kept_and_sniffed_by_nobody(shop: Shop, sit: Sit) -> None:
    robin = await sit("agent@example.com")
    for path in ("/", "/readers?q=ada", "/nothing-here"):
        headers = (await robin.browser._client.get(f"{shop.url}/console{path}")).headers
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
    signed_in = await robin.browser._client.get(f"{shop.url}/console/sign-in", follow_redirects=False)
    for cookie in signed_in.headers.get_list("set-cookie"):
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example.com/",
        "//evil.example.com",
        "/console/../v1",
        "/docs",
        "/console/\\evil",
        "javascript:1",
        "",
    ],
)
def test_signing_in_leads_to_pages_of_the_console_alone(wanted: str) -> None:
    assert own_path(wanted) == "/console/"
    assert own_path("/console/readers?q=ada") == "/console/readers?q=ada"
