"""At the console, moving money and giving access needs a recent sign-in. What was entered is not lost."""

import secrets
from datetime import timedelta

import pytest

from app.console import app as console
from app.console.access_control import NamedRoute
from demo.browser import Page
from demo.identity_provider.users import DEMO_PASSWORD
from tests.console.conftest import SETTINGS, ConsoleBrowser, OpenConsole
from tests.support.busy_machine import patient_browser
from tests.support.shop import Shop, open_shop

HOURS_AGO = timedelta(hours=2)
NEED_A_RECENT_SIGN_IN = {
    "GET /payments/{payment}/refund",
    "GET /readers.csv",
    "POST /payments/{payment}/refund",
    "POST /refunds/{refund}/approve",
    "POST /approvals/{request}/approve",
    "GET /comps/new",
    "POST /comps/new",
    "GET /comps/new/confirm",
    "POST /comps/new/confirm",
    "GET /readers/{reader}/comp",
    "POST /readers/{reader}/comp",
    "GET /readers/{reader}/comp/confirm",
    "POST /readers/{reader}/comp/confirm",
    "GET /subscriptions/{subscription}/resume",
    "POST /subscriptions/{subscription}/resume",
    "GET /subscriptions/{subscription}/extend",
    "POST /subscriptions/{subscription}/extend",
    "GET /subscriptions/{subscription}/print",
    "POST /subscriptions/{subscription}/print",
    "GET /subscriptions/{subscription}/back-issue",
    "POST /subscriptions/{subscription}/back-issue",
    "GET /subscriptions/{subscription}/issues/{number}/claim",
    "POST /subscriptions/{subscription}/issues/{number}/claim",
    "GET /issues/{number}/circulation.csv",
    "GET /issues/{number}/labels.csv",
    "GET /readers/{reader}/personal-data",
    "GET /readers/{reader}/export",
    "POST /readers/{reader}/erase",
    "GET /liability/close",
    "POST /liability/close",
    "POST /api-keys",
    "POST /api-keys/{key}/rotate",
    "GET /api-keys/{key}/revoke",
    "POST /api-keys/{key}/revoke",
    "POST /webhook-endpoints",
    "POST /webhook-endpoints/{endpoint}/rotate",
}


def test_all_that_moves_money_gives_access_or_erases_needs_a_recent_sign_in() -> None:
    found = {
        f"{'POST' if 'POST' in (route.methods or ()) else 'GET'} {route.path}"
        for route in console.application().routes
        if isinstance(route, NamedRoute) and route.recent_sign_in
    }
    assert found == NEED_A_RECENT_SIGN_IN


async def subscribe(shop: Shop) -> str:
    """Subscribe Ada. Return her payment's ID."""
    await shop.subscribe(shop.person("ada"))
    return str((await shop.rows("SELECT id FROM payments"))[0]["id"])


async def sign_in_again(robin: ConsoleBrowser, page: Page, email: str = "agent@example.com") -> Page:
    """Enter the password at the identity provider, which asks for it although it knows the person."""
    assert page.url.startswith(robin.shop.issuer.url), page.text
    assert "prompt=login" in page.url
    return await robin.browser.submit(page, page.form("/authorize"), email=email, password=DEMO_PASSWORD)


async def follow_link(robin: ConsoleBrowser, page: Page) -> Page:
    """Follow the link to sign-in on the page that keeps a form."""
    assert (page.status, page.title) == (403, "Sign in again · Newsstand")
    link = next(a for a in page.find("a") if a.text == "Sign in and continue")
    return await robin.browser.open(page.resolve(link.attributes["href"]))


async def test_form_opens_after_a_new_sign_in(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    await robin.backdate(signed_in_at=HOURS_AGO)
    page = await sign_in_again(robin, await robin.open(f"/payments/{payment}/refund"))
    assert page.url == f"{shop.url}/console/payments/{payment}/refund"
    assert page.form("/refund/confirm")
    assert (await robin.open("/readers?q=nobody")).url.endswith("q=nobody"), "other pages need no recent sign-in"


async def test_submitted_form_is_kept_and_continued_once(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    form = await robin.open(f"/payments/{payment}/refund")
    review = await robin.submit(form, "/refund/confirm", reason="hardship", note="A hard wint\u00e9r.")
    await robin.backdate(signed_in_at=HOURS_AGO)

    asked = await follow_link(robin, await robin.submit(review, "/refund"))
    assert await shop.rows("SELECT FROM refunds") == []
    kept = await sign_in_again(robin, asked)

    assert kept.title.startswith("Refund $49?")
    assert "You’re signed in again. Nothing was changed yet" in kept.text
    assert "A hard wint\u00e9r." in kept.text
    assert "$49" in kept.text
    assert await shop.rows("SELECT FROM refunds") == []
    done = await robin.submit(kept, "/refund")
    assert "$49 refunded" in done.text
    assert robin.browser.cookies("newsstand_form") == []
    assert (await robin.submit(kept, "/refund")).url == done.url, "the form keeps its idempotency key"
    assert [row["note"] for row in await shop.rows("SELECT note FROM refunds")] == ["A hard wint\u00e9r."]


async def test_form_of_a_session_that_has_ended_is_continued_too(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    review = await robin.submit(await robin.open(f"/payments/{payment}/refund"), "/refund/confirm")
    await robin.backdate(idle_for=timedelta(minutes=61))
    kept = await follow_link(robin, await robin.submit(review, "/refund"))
    assert "/refund/confirm?draft=" in kept.url, "the provider still knows the person"
    assert "$49 refunded" in (await robin.submit(kept, "/refund")).text


async def test_kept_form_is_not_shown_to_another_person(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    review = await robin.submit(await robin.open(f"/payments/{payment}/refund"), "/refund/confirm", note="Secret.")
    await robin.backdate(signed_in_at=HOURS_AGO)
    asked = await follow_link(robin, await robin.submit(review, "/refund"))
    page = await sign_in_again(robin, asked, "supervisor@example.com")
    assert page.url == f"{shop.url}/console/"
    assert "Secret." not in page.text


async def test_form_that_is_too_long_to_keep_changes_nothing(shop: Shop, open_console: OpenConsole) -> None:
    payment, robin = await subscribe(shop), await open_console("agent@example.com")
    review = await robin.submit(await robin.open(f"/payments/{payment}/refund"), "/refund/confirm")
    await robin.backdate(signed_in_at=HOURS_AGO)
    page = await robin.submit(review, "/refund", note=secrets.token_urlsafe(4000))
    assert page.status == 403
    assert "too long to be kept, so nothing was changed" in page.text
    assert await shop.rows("SELECT FROM refunds") == []


async def test_forged_form_is_not_kept(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await robin.backdate(signed_in_at=HOURS_AGO, idle_for=timedelta(minutes=61))
    for form in ({}, {"form_token": "made up"}):
        assert (await robin.post("/payments/pi_1/refund", form, origin=shop.url)).status == 403
    assert robin.browser.cookies("newsstand_form") == []


async def test_sign_in_without_the_demanded_prompt_is_refused(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    shop.issuer.age_sign_ins("staff-agent", seconds=3600)
    asked = await robin.browser._client.get(f"{shop.url}/console/sign-in?step_up=1", follow_redirects=False)
    address, _, query = asked.headers["location"].partition("?")
    changed = "&".join(part for part in query.split("&") if not part.startswith(("prompt=", "max_age=")))
    page = await robin.browser.open(f"{address}?{changed}")
    assert page.status == 400
    assert "Sign-in failed" in page.text


@pytest.mark.parametrize(
    ("acr", "opens"),
    [
        pytest.param(("password-again",), True, id="a class that the provider has"),
        pytest.param(("hardware-key",), False, id="a class that the provider lacks"),
    ],
)
async def test_demanded_class_of_sign_in(
    database: str, sandbox: object, issuer: object, acr: tuple[str, ...], *, opens: bool
) -> None:
    async with open_shop(database, sandbox, issuer, **SETTINGS, recent_sign_in_acr=acr) as shop:
        payment = await subscribe(shop)
        async with patient_browser() as browser:
            robin = ConsoleBrowser(shop, browser)
            await robin.sign_in("agent@example.com")
            page = await sign_in_again(robin, await robin.open(f"/payments/{payment}/refund"))
            assert page.url.endswith(f"/payments/{payment}/refund") is opens
            assert page.status == (200 if opens else 400)
