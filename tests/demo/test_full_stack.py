"""The magazine with the service, the local Stripe and the identity provider: what the tour does not cover."""

import asyncio
import secrets
import time

import httpx2
import pytest

from demo.browser import Browser, Page
from demo.identity_provider.users import DEMO_PASSWORD
from demo.stack import Stack
from demo.tour import ADDRESS, CARD
from tests.demo.conftest import running
from tests.support.timeouts import TIMEOUT

pytestmark = pytest.mark.xdist_group("stack")  # these tests share one stack

GATED = "/articles/a-bakery-without-a-door"
GATED_END = "slid it out into the cold."
ARCHIVE = "/articles/the-winter-the-cables-sang"
ARCHIVE_END = "and would not say."


@pytest.fixture(scope="module")
def shop(stack: Stack) -> Stack:
    """The running demo."""
    return stack


async def sign_up(browser: Browser, shop: Stack) -> str:
    """Create an account and return its email address."""
    email = f"reader.{secrets.token_hex(4)}@example.com"
    sign_in = await browser.open(f"{shop.magazine}/sign-in")
    link = next(a.attributes["href"] for a in sign_in.find("a") if a.attributes["href"].startswith("/sign-up"))
    form = await browser.open(sign_in.resolve(link))
    await browser.submit(form, form.form("/sign-up"), name="Kit Moreau", email=email, password="long enough")
    return email


async def checkout(browser: Browser, shop: Stack, **choice: str) -> Page:
    """Submit the plan card, and return the payment page."""
    page = await browser.open(f"{shop.magazine}/subscribe")
    return await browser.submit(page, page.form("/subscribe"), **choice)


async def pay(browser: Browser, page: Page, card_number: str = CARD["card_number"]) -> Page:
    """Submit the payment page."""
    form = page.form()
    values = {"email": "kit@example.com"} | ADDRESS | CARD | {"card_number": card_number}
    return await browser.submit(page, form, **{name: values[name] for name in form.values() if name in values})


async def article_closes(browser: Browser, shop: Stack) -> bool:
    """Return whether the article closes: the site follows the service's revocations."""
    end = time.monotonic() + TIMEOUT
    while time.monotonic() < end:
        if GATED_END not in (await browser.open(shop.magazine + GATED)).text:
            return True
        await asyncio.sleep(0.02)
    return False


async def support_page(agent: Browser, shop: Stack, email: str) -> Page:
    """Sign in as a support agent and open a reader's page."""
    page = await agent.open(f"{shop.magazine}/desk?q={email}")
    if "/authorize" in page.url:
        login = {"email": "agent@example.com", "password": DEMO_PASSWORD}
        await agent.submit(page, page.form("/authorize"), **login)
        page = await agent.open(f"{shop.magazine}/desk?q={email}")
    link = next(a.attributes["href"] for a in page.find("a") if "/desk/readers/" in a.attributes.get("href", ""))
    return await agent.open(page.resolve(link))


async def test_digital_subscription_opens_this_issue_and_the_archive(shop: Stack) -> None:
    async with Browser() as browser:
        await sign_up(browser, shop)
        welcome = await pay(browser, await checkout(browser, shop, edition="digital"))
        assert "Welcome aboard, Kit Moreau" in welcome.text
        assert GATED_END in (await browser.open(shop.magazine + GATED)).text
        assert ARCHIVE_END in (await browser.open(shop.magazine + ARCHIVE)).text
        assert not list((await browser.open(shop.magazine)).find(class_="plan"))  # no plan card for subscribers
        account = await browser.open(f"{shop.magazine}/account")
        assert "$49 a year" in account.text
        assert "Digital and print" not in account.text
        assert "Money-back guarantee Until" in account.text


async def test_reader_can_try_another_card_after_a_decline(shop: Stack) -> None:
    async with Browser() as browser:
        await sign_up(browser, shop)
        declined = await pay(browser, await checkout(browser, shop, edition="print"), "4000 0000 0000 0002")
        assert "declined" in declined.text
        assert GATED_END not in (await browser.open(shop.magazine + GATED)).text
        assert "Welcome aboard" in (await pay(browser, declined)).text


async def test_leaving_the_payment_page_keeps_the_choice(shop: Stack) -> None:
    async with Browser() as browser:
        await sign_up(browser, shop)
        paying = await checkout(browser, shop, edition="print")
        left = await browser.open(next(a.attributes["href"] for a in paying.find("a", class_="back")))
        assert "You haven’t been charged" in left.text
        assert left.form("/subscribe").values()["edition"] == "print"


async def test_signing_in_during_checkout_continues_to_the_payment_page(shop: Stack) -> None:
    async with Browser() as browser:
        login = await checkout(browser, shop, edition="print", code="SPRING")
        assert "/authorize" in login.url
        card = await browser.submit(login, login.form("/authorize"), email="ada@example.com", password=DEMO_PASSWORD)
        assert card.status == 409  # the code is checked after the sign-in, and the choice is kept
        assert card.form("/subscribe").values() | {"csrf": ""} == {
            "csrf": "", "plan": "annual", "edition": "print", "code": "SPRING",
        }  # fmt: skip
    async with Browser() as browser:
        login = await checkout(browser, shop, edition="print")
        paying = await browser.submit(login, login.form("/authorize"), email="ada@example.com", password=DEMO_PASSWORD)
        assert paying.url.startswith(shop.sandbox)
        assert "$73" in paying.text


async def test_unknown_promotion_code_shows_an_error_beside_the_field(shop: Stack) -> None:
    async with Browser() as browser:
        await sign_up(browser, shop)
        page = await checkout(browser, shop, edition="print", code="NOSUCHCODE")
        assert page.status == 409
        assert page.form("/subscribe").values()["code"] == "NOSUCHCODE"
        assert [e for e in page.find(id="code-problem") if "“NOSUCHCODE” isn’t valid" in e.text]


async def test_subscriber_cannot_start_a_second_subscription(shop: Stack) -> None:
    async with Browser() as browser:
        await sign_up(browser, shop)
        card = await browser.open(f"{shop.magazine}/subscribe")
        await pay(browser, await browser.submit(card, card.form("/subscribe"), edition="digital"))
        again = await browser.submit(card, card.form("/subscribe"), edition="digital")  # as from another tab
        assert again.status == 409
        assert "You’re already subscribed" in again.text
        page = await browser.open(f"{shop.magazine}/subscribe")
        assert "You’re subscribed" in page.text
        assert not [link for link in page.find("a") if link.text == "Subscribe"]
        assert not [form for form in page.find("form") if form.attributes["action"] == "/subscribe"]


async def test_welcome_page_stops_looking_after_a_refund(shop: Stack) -> None:
    async with Browser() as browser:
        await sign_up(browser, shop)
        welcome = await pay(browser, await checkout(browser, shop, edition="digital"))
        quote = await browser.open(f"{shop.magazine}/account/refund")
        await browser.submit(quote, quote.form("/account/refund"))
        page = await browser.open(welcome.url)
        assert "This subscription has ended" in page.text
        assert not list(page.find("meta", **{"http-equiv": "refresh"}))


async def test_welcome_page_does_not_show_another_readers_checkout(shop: Stack) -> None:
    async with Browser() as browser, Browser() as stranger:
        await sign_up(browser, shop)
        await sign_up(stranger, shop)
        welcome = await pay(browser, await checkout(browser, shop, edition="digital"))
        assert (await browser.open(welcome.url)).status == 200
        assert (await stranger.open(welcome.url)).status == 404


async def test_pending_refund_closes_the_article_immediately_and_is_paid_once(shop: Stack) -> None:
    async with Browser() as browser, Browser() as agent:
        email = await sign_up(browser, shop)
        paying = await checkout(browser, shop, edition="print")
        await pay(browser, paying, "4000 0000 0000 7726")
        page = await support_page(agent, shop, email)
        form = page.form("/refund")
        first = await agent.submit(page, form)
        assert "Refund of $73: pending." in first.text
        assert await article_closes(browser, shop)
        double_click = await agent.submit(page, form)
        assert "Refund of $73" in double_click.text
        fresh_key = await agent.submit(page, form, key=secrets.token_urlsafe(16))
        assert "Not refunded: " in fresh_key.text
        refunds = next(fresh_key.find("section")).text.rpartition("Refunds")[2]
        assert refunds.count("$73") == 1


async def test_reader_can_refund_themselves_once_under_the_guarantee(shop: Stack) -> None:
    async with Browser() as browser:
        await sign_up(browser, shop)
        page = await browser.open(f"{shop.magazine}/account/refund")
        assert page.url == f"{shop.magazine}/account"  # nothing to refund yet
        await pay(browser, await checkout(browser, shop, edition="print"))
        page = await browser.open(f"{shop.magazine}/account/refund")
        form = page.form("/account/refund")
        changed = await browser.submit(page, form, amount="100")
        assert changed.url == f"{shop.magazine}/account"
        assert (
            GATED_END in (await browser.open(shop.magazine + GATED)).text
        )  # the amount differs from the page, so there is no refund
        page = await browser.open(f"{shop.magazine}/account/refund")
        form = page.form("/account/refund")
        clicks = await asyncio.gather(*(browser.submit(page, form) for _ in range(2)))
        assert any("We’ve refunded $73 to your card" in click.text for click in clicks)
        assert not any("We’re still working on" in click.text for click in clicks)
        again = await browser.submit(page, form)
        assert "We’ve refunded $73 to your card" in again.text
        assert "Your subscription was refunded and ended on " in again.text
        assert await article_closes(browser, shop)
        refused = await browser.open(f"{shop.magazine}/account/refund")
        assert "No refund available" in refused.text
        assert not [form for form in refused.find("form") if form.attributes.get("action") == "/account/refund"]


async def test_refund_is_rejected_if_the_amount_has_changed(shop: Stack) -> None:
    async with Browser() as browser, Browser() as agent:
        email = await sign_up(browser, shop)
        await pay(browser, await checkout(browser, shop, edition="digital"))
        page = await support_page(agent, shop, email)
        changed = await agent.submit(page, page.form("/refund"), amount="100")
        assert "Not refunded: " in changed.text
        assert GATED_END in (await browser.open(shop.magazine + GATED)).text


async def test_reader_with_a_rejected_token_is_offered_to_sign_in_again(shop: Stack, issuer: str) -> None:
    """The service trusts another issuer than the site, so a redirect to the sign-in page would loop."""
    settings = {"MAGAZINE_NEWSSTAND_URL": shop.service, "MAGAZINE_ISSUER": issuer, "MAGAZINE_API_KEY": shop.api_key}
    with running("demo.magazine", "Magazine listening on ", **settings) as magazine:
        async with Browser() as browser:
            login = await browser.open(f"{magazine}/sign-in?next=/account")
            fields = {"email": "ada@example.com", "password": DEMO_PASSWORD}
            page = await browser.submit(login, login.form("/authorize"), **fields)
            assert page.status == 401
            assert "Sign in again" in page.text
            assert (await browser.open(magazine)).status == 200


async def test_agent_signs_in_again_before_a_refund_at_the_desk(shop: Stack) -> None:
    async with Browser() as browser, Browser() as agent, httpx2.AsyncClient(trust_env=False, timeout=TIMEOUT) as http:
        email = await sign_up(browser, shop)
        await pay(browser, await checkout(browser, shop, edition="digital"))
        await support_page(agent, shop, email)
        aged = await http.post(f"{shop.issuer}/_issuer/users/staff-agent/age-sign-ins", json={"seconds": 7200})
        assert aged.status_code == 204
        await agent.open(f"{shop.magazine}/sign-in?next=/desk")  # the provider still knows the agent
        page = await support_page(agent, shop, email)

        asked = await agent.submit(page, page.form("/refund"))

        assert asked.url.startswith(shop.issuer)
        login = {"email": "agent@example.com", "password": DEMO_PASSWORD}
        page = await agent.submit(asked, asked.form("/authorize"), **login)
        assert page.url.startswith(f"{shop.magazine}/desk/readers/")
        assert "Refund of $49" in (await agent.submit(page, page.form("/refund"))).text
