"""Sign-in, roles, forged forms and security headers, on every page and form of the console."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import httpx2
import pytest
from starlette.routing import Route

from app.console import app as console
from app.console.state import CONSOLE
from app.domain.callers import IMPLIED_ROLES
from app.pages import return_paths
from app.pages.cookies import CookieCipher
from demo.identity_provider.users import DEMO_PASSWORD
from tests.console.conftest import SESSION_KEY, ConsoleBrowser, OpenConsole
from tests.support.busy_machine import patient_browser
from tests.support.shop import Shop
from tests.support.timeouts import TIMEOUT

ATTEMPT_CIPHER = CookieCipher(SESSION_KEY, purpose="console: attempt")
PUBLIC = {"/sign-in", "/signed-in", "/signed-out", "/backchannel-logout"}
STAFF = {
    "agent": "support",
    "supervisor": "supervisor",
    "circulation": "circulation",
    "finance": "finance",
    "admin": "admin",
}


def attempts_of(browser: ConsoleBrowser) -> list[str]:
    """Return the cookies of the sign-ins in progress: one for each."""
    jar = browser.browser._client.cookies.jar
    return [cookie.value or "" for cookie in jar if cookie.name.startswith("newsstand_sign_in_")]


def pages(method: str) -> Iterator[tuple[str, str]]:
    """Return the path and role of every route, with a made-up ID for each parameter."""
    for route in console.application().routes:
        if isinstance(route, Route) and method in (route.methods or ()) and route.path not in PUBLIC:
            yield re.sub(r"\{\w+\}", "made-up", route.path), route.name.partition(":")[0]


async def test_return_path_of_another_site_is_ignored_and_counted(shop: Shop, open_console: OpenConsole) -> None:
    async def refusals() -> float:
        lines = (await shop.http.get("/metrics")).text.splitlines()
        name = 'newsstand_refusals_total{code="return_url_not_allowed"} '
        return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)

    stranger, before = await open_console(follow=False), await refusals()

    for wanted in ("https://evil.example.com/", "//evil.example.com", "/console/readers?q=ada", ""):
        assert (await stranger.open(f"/sign-in?next={quote(wanted, safe='')}")).status == 303

    assert await refusals() == before + 2


async def test_without_session_pages_redirect_to_sign_in_and_forms_are_refused(
    shop: Shop, open_console: OpenConsole
) -> None:
    stranger = await open_console(follow=False)
    for path, _ in pages("GET"):
        page = await stranger.open(path)
        assert (page.status, page.text) == (303, ""), path
        assert page.location == f"/console/sign-in?next=%2Fconsole{path.replace('/', '%2F')}"
    for path, _ in pages("POST"):
        assert (await stranger.post(path, {}, origin=shop.url, follow=False)).status == 403, path


async def test_reader_without_staff_role_has_no_access(shop: Shop, open_console: OpenConsole) -> None:
    reader = await open_console()
    page = await reader.sign_in("ada@example.com")
    assert page.status == 403
    assert "Your account has no staff role" in page.text
    for path, _ in pages("GET"):
        assert (await reader.open(path)).status == 403, path
    log = await shop.rows("SELECT actor, action FROM audit_log ORDER BY id")
    assert {"actor": "reader:reader-ada", "action": "console.sign_in_refused"} in log


@pytest.mark.parametrize("who", STAFF)
async def test_each_role_can_open_its_own_pages_only(shop: Shop, open_console: OpenConsole, who: str) -> None:
    console = await open_console(f"{who}@example.com")
    roles = IMPLIED_ROLES[STAFF[who]] | ({"support"} if who == "supervisor" else set())
    for path, role in pages("GET"):
        page = await console.open(path)
        admitted = role == "any" or role in roles
        assert (page.status == 403) is not admitted, (path, page.text)
    refused = 0
    for path, role in pages("POST"):
        page = await console.post(path, {}, origin=shop.url, follow=False)
        assert page.status == 403, path  # without the role or without the form token
        refused += role != "any" and role not in roles
    written = await shop.rows("SELECT FROM audit_log WHERE action = 'console.refused'")
    assert len(written) == refused


async def test_form_of_another_session_or_site_is_refused_and_recorded(shop: Shop, open_console: OpenConsole) -> None:
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
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
        page = await robin.post("/sign-out", sent, origin=origin, follow=False)
        assert page.status == 403, origin
        assert "nothing was changed" in page.text
        assert (await robin.open("/")).status == 200  # still signed in
    written = await shop.rows("SELECT actor FROM audit_log WHERE action = 'console.form_refused'")
    assert [row["actor"] for row in written] == ["staff:staff-agent"] * 6


async def test_sign_out_ends_the_session_and_links_to_the_providers_sign_out(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin = await open_console("agent@example.com")
    page = await robin.submit(await robin.open("/"), "/sign-out")
    assert page.title.startswith("Signed out")
    provider = [a.attributes["href"] for a in page.find("a") if a.attributes["href"].startswith(shop.issuer.url)]
    assert len(provider) == 1
    back = await robin.browser.open(provider[0])
    assert back.url == f"{shop.url}/console/signed-out"
    assert (await robin.open("/")).url.startswith(shop.issuer.url)


async def test_sign_ins_in_several_tabs_all_succeed(shop: Shop, open_console: OpenConsole) -> None:
    robin, paths = await open_console(), ("/readers", "/disputes", "/")
    tabs = [await robin.open(path) for path in paths]
    for path, tab in zip(paths, tabs, strict=True):
        page = await robin.browser.submit(
            tab, tab.form("/authorize"), email="agent@example.com", password=DEMO_PASSWORD
        )
        assert (page.status, page.url) == (200, f"{shop.url}/console{path}")
    assert attempts_of(robin) == []


@pytest.mark.parametrize("unknown", ["newsstand_sign_in_", "newsstand_sign_in"], ids=["older", "newer"])
async def test_another_release_can_finish_a_sign_in(shop: Shop, open_console: OpenConsole, unknown: str) -> None:
    """The release before this one knows one cookie for all sign-ins, with all fields of the last one."""
    robin = await open_console()
    page = await robin.open("/readers")
    jar = robin.browser._client.cookies
    (older,) = robin.browser.cookies("newsstand_sign_in")
    kept = ATTEMPT_CIPHER.decrypt(older, max_age=timedelta(minutes=10), now=datetime.now(UTC)) or {}
    assert set(kept) == {
        *("state", "nonce", "verifier", "redirect_uri", "return_path", "max_age", "again", "acr_values", "started_at")
    }
    for name in [cookie.name for cookie in jar.jar]:
        if name == unknown or (unknown.endswith("_") and name.startswith(unknown)):
            jar.delete(name)
    back = await robin.browser.submit(page, page.form("/authorize"), email="agent@example.com", password=DEMO_PASSWORD)
    assert (back.status, back.url) == (200, f"{shop.url}/console/readers")


async def test_only_the_newest_sign_ins_are_kept_in_a_browser(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console()
    tabs = [await robin.open(f"/readers?page={number}") for number in range(8)]
    assert len(attempts_of(robin)) == 5
    long = [await robin.open(f"/readers?q={'x' * 900}") for _ in range(4)]
    assert sum(map(len, attempts_of(robin))) <= 4000
    oldest = await robin.browser.submit(
        tabs[0], tabs[0].form("/authorize"), email="agent@example.com", password=DEMO_PASSWORD
    )
    assert (oldest.status, "Sign-in failed" in oldest.text) == (400, True)
    newest = await robin.browser.submit(
        long[-1], long[-1].form("/authorize"), email="agent@example.com", password=DEMO_PASSWORD
    )
    assert newest.url.endswith("x" * 900)


async def test_cookies_of_many_tabs_that_open_at_once_stay_small(shop: Shop) -> None:
    async with httpx2.AsyncClient(timeout=TIMEOUT) as client:
        paths = [f"{CONSOLE}/readers/rdr_{number:032x}" for number in range(14)]
        starts = [client.get(f"{shop.url}{CONSOLE}/sign-in", params={"next": path}) for path in paths]
        cookies = {
            (cookie.name, cookie.value)
            for answer in await asyncio.gather(*starts)
            for cookie in answer.cookies.jar
            if cookie.name.startswith("newsstand_sign_in_")
        }
    assert len(cookies) == 14
    assert len("; ".join(f"{name}={value}" for name, value in cookies)) < 6000  # proxies refuse more than 8,000


async def test_the_live_search_starts_no_sign_in(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console()
    answer = await robin.browser._client.get(f"{shop.url}/console/readers?q=ada&part=1", follow_redirects=False)
    assert (answer.status_code, answer.headers["cache-control"]) == (401, "no-store")
    assert attempts_of(robin) == []


async def test_session_cookie_is_encrypted_and_authenticated(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    kept = robin.browser.cookies("newsstand_console")
    assert len(kept) == 1
    assert "staff-agent" not in kept[0]
    async with patient_browser(follow=False) as thief:
        for forged in (kept[0][:-2] + "AA", "e30", "", kept[0].swapcase()):
            thief._client.cookies.set("newsstand_console", forged, domain="127.0.0.1", path="/console")
            assert (await thief.open(f"{shop.url}/console/")).status == 303


async def test_pages_have_security_headers(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
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


async def test_cookies_are_secure_over_https(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    answer = await robin.browser._client.get(
        f"{shop.url}/console/sign-in", headers={"X-Forwarded-Proto": "https"}, follow_redirects=False
    )
    cookies = answer.headers.get_list("set-cookie")
    assert cookies
    for cookie in cookies:
        assert "; Secure" in cookie


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example.com/",
        "//evil.example.com",
        "//[",  # not a URL
        "/console/../v1",
        "/docs",
        "/console/\\evil",
        "javascript:1",
        "",
    ],
)
def test_sign_in_returns_to_pages_of_the_console_only(wanted: str) -> None:
    assert return_paths.safe(wanted, below=CONSOLE) == "/console/"
    assert return_paths.safe("/console/readers?q=ada", below=CONSOLE) == "/console/readers?q=ada"


async def test_ending_sessions_and_closing_a_month_ask_first(shop: Shop, open_console: OpenConsole) -> None:
    robin, alex = await open_console("agent@example.com"), await open_console("admin@example.com")
    forms = (await alex.open("/staff")).find("form", action="/console/staff/end-sessions")
    assert [form.attributes["method"] for form in forms] == ["get"]
    question = await alex.open("/staff/end-sessions?sub=staff-agent")
    assert "End all sessions of Robin Vance?" in question.text
    assert (await robin.open("/")).status == 200, "the page only asks"
    shop.issuer.age_sign_ins("staff-agent", seconds=10)  # the provider's times are whole seconds
    assert "of staff-agent ended." in (await alex.submit(question, "/end-sessions")).text
    assert (await robin.open("/")).url.startswith(shop.issuer.url)
    assert "Enter the person’s ID" in (await alex.open("/staff/end-sessions")).text
    refused = await alex.open("/liability/close?month=soon")
    assert (refused.status, "Enter a month such as 2026-03" in refused.text) == (422, True)
    assert "Choose a month" in {a.text for a in refused.find("a")}
    assert (await alex.open("/api-keys/key_made_up/revoke")).status == 404
