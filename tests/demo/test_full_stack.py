"""The magazine with the service, the local Stripe and the issuer, beside the tour's straight path."""

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from demo.browser import Browser, Page
from demo.identity_provider.users import DEMO_PASSWORD
from demo.stack import Ports, Stack
from demo.tour import ADDRESS, CARD
from tests.demo.conftest import running

pytestmark = pytest.mark.xdist_group("everything")  # one stack for all

GATED = "/articles/a-bakery-without-a-door"
GATED_END = "slid it out into the cold."
ARCHIVE = "/articles/the-winter-the-cables-sang"
ARCHIVE_END = "and would not say."


@pytest.fixture(scope="module")
def shop() -> Iterator[Stack]:
    """Everything, running, for all tests of this file."""
    stack = Stack(Ports.free(), say=lambda _: None)
    asyncio.run(stack.start())
    yield stack
    stack.stop()


async def new_reader(browser: Browser, shop: Stack) -> str:
    """Sign up and return the e-mail address."""
    email = f"reader.{secrets.token_hex(4)}@example.com"
    sign_in = await browser.open(f"{shop.magazine}/sign-in")
    link = next(a.attributes["href"] for a in sign_in.find("a") if a.attributes["href"].startswith("/sign-up"))
    form = await browser.open(sign_in.resolve(link))
    await browser.submit(form, form.form("/sign-up"), name="Kit Moreau", email=email, password="long enough")
    return email


async def checkout(browser: Browser, shop: Stack, **choice: str) -> Page:
    offer = await browser.open(f"{shop.magazine}/subscribe")
    return await browser.submit(offer, offer.form("/subscribe"), **choice)


async def pay(browser: Browser, page: Page, card_number: str = CARD["card_number"]) -> Page:
    form = page.form()
    filled = {"email": "kit@example.com"} | ADDRESS | CARD | {"card_number": card_number}
    return await browser.submit(page, form, **{name: filled[name] for name in form.values() if name in filled})


async def closes(browser: Browser, shop: Stack) -> bool:
    """Tell whether the article closes within moments: the site hears of it from the service's feed."""
    for _ in range(200):
        if GATED_END not in (await browser.open(shop.magazine + GATED)).text:
            return True
        await asyncio.sleep(0.02)
    return False


async def desk_page(agent: Browser, shop: Stack, email: str) -> Page:
    """Sign in as an agent and open a reader's page."""
    page = await agent.open(f"{shop.magazine}/desk?q={email}")
    if "/authorize" in page.url:
        login = {"email": "agent@example.com", "password": DEMO_PASSWORD}
        await agent.submit(page, page.form("/authorize"), **login)
        page = await agent.open(f"{shop.magazine}/desk?q={email}")
    link = next(a.attributes["href"] for a in page.find("a") if "/desk/readers/" in a.attributes.get("href", ""))
    return await agent.open(page.resolve(link))


async def test_digital_alone_opens_this_issue_and_the_archive(shop: Stack) -> None:
    async with Browser() as browser:
        await new_reader(browser, shop)
        welcome = await pay(browser, await checkout(browser, shop, edition="digital"))
        assert "Welcome aboard, Kit Moreau" in welcome.text
        assert GATED_END in (await browser.open(shop.magazine + GATED)).text
        assert ARCHIVE_END in (await browser.open(shop.magazine + ARCHIVE)).text
        assert not list((await browser.open(shop.magazine)).find(class_="plan"))  # nothing more to sell
        account = await browser.open(f"{shop.magazine}/account")
        assert "$49 a year" in account.text
        assert "Digital and print" not in account.text
        assert "Money back Until" in account.text


async def test_a_declined_card_opens_nothing_and_another_can_follow(shop: Stack) -> None:
    async with Browser() as browser:
        await new_reader(browser, shop)
        declined = await pay(browser, await checkout(browser, shop, edition="print"), "4000 0000 0000 0002")
        assert "declined" in declined.text
        assert GATED_END not in (await browser.open(shop.magazine + GATED)).text
        assert "Welcome aboard" in (await pay(browser, declined)).text


async def test_going_back_from_the_payment_page_keeps_the_choice(shop: Stack) -> None:
    async with Browser() as browser:
        await new_reader(browser, shop)
        paying = await checkout(browser, shop, edition="print")
        left = await browser.open(next(a.attributes["href"] for a in paying.find("a", class_="back")))
        assert "Nothing was paid" in left.text
        assert left.form("/subscribe").values()["edition"] == "print"


async def test_signing_in_on_the_way_keeps_the_choice(shop: Stack) -> None:
    async with Browser() as browser:
        login = await checkout(browser, shop, edition="print", code="SPRING")
        assert "/authorize" in login.url
        offer = await browser.submit(login, login.form("/authorize"), email="ben@example.com", password=DEMO_PASSWORD)
        assert offer.form("/subscribe").values() | {"csrf": ""} == {
            "csrf": "", "plan": "annual", "edition": "print", "code": "SPRING",
        }  # fmt: skip


async def test_a_promotion_code_that_does_not_exist_is_said_where_it_was_typed(shop: Stack) -> None:
    async with Browser() as browser:
        await new_reader(browser, shop)
        offer = await checkout(browser, shop, edition="print", code="NOSUCHCODE")
        assert offer.status == 409
        assert offer.form("/subscribe").values()["code"] == "NOSUCHCODE"
        assert [e for e in offer.find(id="code-problem") if "NOSUCHCODE" in e.text]


async def test_a_subscriber_is_not_sold_a_second_subscription(shop: Stack) -> None:
    async with Browser() as browser:
        await new_reader(browser, shop)
        await pay(browser, await checkout(browser, shop, edition="digital"))
        again = await checkout(browser, shop, edition="digital")
        assert again.status == 409
        assert "You have a subscription already" in again.text


async def test_a_return_page_shows_nobody_elses_checkout(shop: Stack) -> None:
    async with Browser() as browser, Browser() as stranger:
        await new_reader(browser, shop)
        await new_reader(stranger, shop)
        welcome = await pay(browser, await checkout(browser, shop, edition="digital"))
        assert (await browser.open(welcome.url)).status == 200
        assert (await stranger.open(welcome.url)).status == 404


async def test_a_refund_that_is_only_pending_closes_the_article_at_once_and_is_paid_once(shop: Stack) -> None:
    async with Browser() as browser, Browser() as agent:
        email = await new_reader(browser, shop)
        paying = await checkout(browser, shop, edition="print")
        await pay(browser, paying, "4000 0000 0000 7726")
        page = await desk_page(agent, shop, email)
        form = page.form("/refund")
        first = await agent.submit(page, form)
        assert "Refund of $73: pending." in first.text
        assert await closes(browser, shop)
        double_click = await agent.submit(page, form)
        assert "Refund of $73" in double_click.text
        fresh_key = await agent.submit(page, form, key=secrets.token_urlsafe(16))
        assert "Not refunded: " in fresh_key.text
        refunds = next(h for h in fresh_key.find("section")).text.rpartition("Refunds")[2]
        assert refunds.count("$73") == 1


async def test_a_reader_gets_the_money_back_by_their_own_click_once(shop: Stack) -> None:
    async with Browser() as browser:
        await new_reader(browser, shop)
        assert (
            await browser.open(f"{shop.magazine}/account/refund")
        ).url == f"{shop.magazine}/account"  # bought nothing
        await pay(browser, await checkout(browser, shop, edition="print"))
        page = await browser.open(f"{shop.magazine}/account/refund")
        form = page.form("/account/refund")
        changed = await browser.submit(page, form, amount="100")
        assert changed.url == f"{shop.magazine}/account"
        assert GATED_END in (await browser.open(shop.magazine + GATED)).text  # not what was shown, so nothing
        page = await browser.open(f"{shop.magazine}/account/refund")
        form = page.form("/account/refund")
        clicks = await asyncio.gather(*(browser.submit(page, form) for _ in range(2)))
        assert any("$73 goes back to the card" in click.text for click in clicks)
        assert not any("still being worked on" in click.text for click in clicks)
        again = await browser.submit(page, form)
        assert "$73 goes back to the card" in again.text
        assert "Your subscription was refunded and ended on " in again.text
        assert await closes(browser, shop)
        over = await browser.open(f"{shop.magazine}/account/refund")
        assert "Nothing to pay back" in over.text
        assert not [form for form in over.find("form") if form.attributes.get("action") == "/account/refund"]


async def test_a_refund_that_is_no_longer_worth_what_was_seen_is_not_paid(shop: Stack) -> None:
    async with Browser() as browser, Browser() as agent:
        email = await new_reader(browser, shop)
        await pay(browser, await checkout(browser, shop, edition="digital"))
        page = await desk_page(agent, shop, email)
        changed = await agent.submit(page, page.form("/refund"), amount="100")
        assert "Not refunded: " in changed.text
        assert GATED_END in (await browser.open(shop.magazine + GATED)).text


async def test_a_reader_whose_token_is_not_believed_is_asked_to_sign_in_again(shop: Stack, issuer: str) -> None:
    """Asked, and not sent round in circles: here the service believes another issuer than the site."""
    settings = {"MAGAZINE_NEWSSTAND_URL": shop.service, "MAGAZINE_ISSUER": issuer, "MAGAZINE_API_KEY": "nsk_nobody"}
    with running("demo.magazine", "Magazine listening on ", **settings) as magazine:
        async with Browser() as browser:
            login = await browser.open(f"{magazine}/sign-in?next=/account")
            filled = {"email": "ada@example.com", "password": DEMO_PASSWORD}
            page = await browser.submit(login, login.form("/authorize"), **filled)
            assert page.status == 401
            assert "Sign in again" in page.text
            assert (await browser.open(magazine)).status == 200
