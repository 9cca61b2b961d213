"""Forms: input stays when a form is refused or the session ends. Sending twice and reloading do no harm."""

import re
from datetime import timedelta

import pytest
from starlette.routing import Match, Route

from app.console import app as console
from app.console.access_control import NamedRoute
from demo.browser import Element, Page
from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.support.shop import Shop

NOTE = "<b>Ünal</b> “مرحبا” 👩‍🚀"


async def subscribe(shop: Shop) -> tuple[str, str, str]:
    """Subscribe Ada. Return the IDs of her, her subscription and her payment."""
    await shop.subscribe(shop.person("ada"))
    (row,) = await shop.rows(
        "SELECT s.subscriber_id AS reader, s.id AS subscription, p.id AS payment"
        " FROM subscriptions s JOIN payments p ON p.subscription_id = s.id"
    )
    return str(row["reader"]), str(row["subscription"]), str(row["payment"])


def field(page: Page, id_: str) -> Element:
    return next(page.find(id=id_))


def error_of(page: Page, name: str) -> str:
    """Return the error beside a field, to which the field refers."""
    assert field(page, name).attributes["aria-invalid"] == "true"
    described = field(page, name).attributes["aria-describedby"]
    assert any(link.attributes["href"] == f"#{name}" for link in page.find("a") if link.text)
    return field(page, described).text


def test_every_form_is_on_a_page_that_can_be_opened() -> None:
    routes = [route for route in console.application().routes if isinstance(route, Route)]
    for form in routes:
        if isinstance(form, NamedRoute) and "POST" in (form.methods or ()):
            path = re.sub(r"\{\w+\}", "made-up", form.shown_at)
            scope = {"type": "http", "method": "GET", "path": path}
            assert any(page.matches(scope)[0] == Match.FULL for page in routes), form.path


async def test_each_error_is_beside_its_field_and_the_input_is_kept(shop: Shop, open_console: OpenConsole) -> None:
    (_, subscription, payment), robin = await subscribe(shop), await open_console("agent@example.com")
    form = await robin.open(f"/payments/{payment}/refund")
    page = await robin.submit(form, "/refund/confirm", basis="goodwill", much="a lot", reason="other", note=" ")
    assert (page.status, error_of(page, "much")) == (422, "Enter an amount such as $10.")
    assert error_of(page, "note") == "Explain the reason in the note."
    entered = page.form("/refund/confirm").values()
    assert (entered["basis"], entered["much"], entered["reason"]) == ("goodwill", "a lot", "other")
    page = await robin.submit(
        await robin.open(f"/subscriptions/{subscription}/extend"), "/extend", issues="1,5", note=NOTE
    )
    assert error_of(page, "issues") == "Enter a whole number from 1 to 24."
    assert page.form("/extend").values()["issues"] == "1,5"
    assert page.form("/extend").values()["note"] == NOTE


@pytest.mark.parametrize("typed", ["10", "10.00", "$10", "USD 10", " 10.0 "])
async def test_an_amount_is_understood_in_every_notation(shop: Shop, open_console: OpenConsole, typed: str) -> None:
    (_, _, payment), robin = await subscribe(shop), await open_console("agent@example.com")
    form = await robin.open(f"/payments/{payment}/refund")
    page = await robin.submit(form, "/refund/confirm", basis="goodwill", much=typed)
    assert page.title.startswith("Refund $10?")


async def test_review_is_a_page_that_can_be_reloaded(shop: Shop, open_console: OpenConsole) -> None:
    (_, _, payment), robin = await subscribe(shop), await open_console("agent@example.com")
    page = await robin.submit(await robin.open(f"/payments/{payment}/refund"), "/refund/confirm", note=NOTE)
    assert "/refund/confirm?draft=" in page.url
    assert NOTE not in page.url
    again = await robin.browser.open(page.url)
    assert NOTE in again.text
    sam = await open_console("supervisor@example.com")
    assert NOTE not in (await sam.browser.open(page.url)).text, "a draft belongs to one person"
    other = await robin.open(f"/payments/{payment}/refund?draft={page.url.partition('draft=')[2]}")
    assert NOTE not in other.text, "a draft belongs to one page"
    made_up = await robin.open(f"/payments/{payment}/refund/confirm?draft=made-up")
    assert made_up.url.endswith(f"/payments/{payment}/refund"), "an expired draft leads to the form"


async def sign_in_again(robin: ConsoleBrowser, page: Page) -> Page:
    link = next(a for a in page.find("a") if a.text == "Sign in and continue")
    return await robin.browser.open(page.resolve(link.attributes["href"]))


async def test_form_is_filled_in_again_after_the_session_has_ended(shop: Shop, open_console: OpenConsole) -> None:
    (reader, subscription, _), robin = await subscribe(shop), await open_console("agent@example.com")
    form = await robin.open(f"/readers/{reader}/comp")
    await robin.backdate(idle_for=timedelta(minutes=61))
    entered = {"ends": "day", "day": "2026-05-31", "reason": "press", "note": NOTE}
    page = await sign_in_again(robin, await robin.submit(form, "/comp", **entered))
    assert "You’re signed in again. Nothing was changed yet" in page.text
    assert page.url.partition("?")[0].endswith(f"/readers/{reader}/comp")
    assert entered.items() <= page.form("/comp").values().items()
    assert await shop.rows("SELECT FROM comps") == []

    form = await robin.open(f"/subscriptions/{subscription}/cancel")
    await robin.backdate(idle_for=timedelta(minutes=61))
    page = await sign_in_again(robin, await robin.submit(form, "/cancel", when="now", note=NOTE))
    kept = page.form("/cancel").values()
    assert (kept["when"], kept["note"]) == ("now", NOTE)


async def test_form_of_an_older_session_is_shown_again(shop: Shop, open_console: OpenConsole) -> None:
    (_, subscription, _), robin = await subscribe(shop), await open_console("agent@example.com")
    old_tab = await robin.open(f"/subscriptions/{subscription}/extend")
    robin.browser._client.cookies.delete("newsstand_console")
    await robin.open("/")  # in another tab: the provider still knows the person
    page = await robin.submit(old_tab, "/extend", issues="3", note=NOTE)
    assert page.status == 403
    assert "You have signed in again since this page was opened." in page.text
    assert await shop.rows("SELECT FROM issue_adjustments") == []
    assert "3 issues added." in (await robin.submit(page, "/extend")).text


async def test_form_sent_again_with_other_values_is_refused_once(shop: Shop, open_console: OpenConsole) -> None:
    (_, subscription, _), robin = await subscribe(shop), await open_console("agent@example.com")
    form = await robin.open(f"/subscriptions/{subscription}/extend")
    assert "1 issue added." in (await robin.submit(form, "/extend", issues="1")).text
    page = await robin.submit(form, "/extend", issues="2")
    assert (page.status, "This form was sent before, with other values." in page.text) == (409, True)
    assert "2 issues added." in (await robin.submit(page, "/extend")).text
