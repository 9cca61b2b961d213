"""The magazine keeps its own promises, also while the subscription service is away. With it: see the tour."""

import httpx2
import pytest

from demo.browser import Browser, Page
from demo.identity_provider.users import DEMO_PASSWORD
from demo.magazine import messages
from demo.magazine.articles import load
from demo.magazine.context import own_path

GATED = "/articles/what-the-tide-gauge-knows"
ENDING = "Give it a minute."
CHICAGO = "America/Chicago"


async def signed_in(browser: Browser, magazine: str, destination: str = "/") -> Page:
    form = await browser.open(f"{magazine}/sign-in?next={destination}")
    return await browser.submit(form, form.form("/authorize"), email="ada@example.com", password=DEMO_PASSWORD)


async def test_reading_goes_on_without_the_service_but_nothing_opens(lonely_magazine: str) -> None:
    async with Browser() as browser:
        front = await browser.open(lonely_magazine)
        assert front.status == 200
        assert "subscription desk is closed for a moment" in front.text
        free = await browser.open(f"{lonely_magazine}/articles/the-last-timetable")
        assert free.status == 200
        assert "looking at his watch." in free.text
        stranger = await browser.open(f"{lonely_magazine}{GATED}")
        assert stranger.status == 200
        assert ENDING not in stranger.text


async def test_a_signed_in_reader_is_told_kindly_that_the_service_is_away(lonely_magazine: str) -> None:
    async with Browser() as browser:
        page = await signed_in(browser, lonely_magazine, GATED)
        assert page.url == lonely_magazine + GATED
        assert page.status == 503
        assert "It is our fault and not yours" in page.text
        assert ENDING not in page.text
        for path in ("/account", "/subscribe", "/welcome?session_id=cs_test_x"):
            away = await browser.open(lonely_magazine + path)
            assert away.status == 503
            assert "does not answer at the moment" in away.text


async def test_signing_out_forgets_the_reader_at_both_sites(lonely_magazine: str) -> None:
    async with Browser() as browser:
        page = await signed_in(browser, lonely_magazine)
        page = await browser.submit(page, page.form("/sign-out"))
        assert page.url == f"{lonely_magazine}/"
        assert "Sign in" in page.text
        again = await browser.open(f"{lonely_magazine}/sign-in")
        assert "/authorize" in again.url  # asked for the password anew


async def test_the_readers_token_never_reaches_the_browser(lonely_magazine: str) -> None:
    async with Browser() as browser:
        page = await signed_in(browser, lonely_magazine)
        cookies = browser.cookies("slow_ferry")
        assert cookies
        assert all("eyJhbGci" not in value and len(value) < 500 for value in cookies)
        assert "eyJhbGci" not in page.text


async def test_a_form_from_elsewhere_changes_nothing(browser: httpx2.AsyncClient, lonely_magazine: str) -> None:
    for path in (
        "/subscribe",
        "/account/cancel",
        "/account/resume",
        "/account/refund",
        "/sign-out",
        "/desk/readers/x/refund",
    ):
        refused = await browser.post(lonely_magazine + path, data={"csrf": "guessed", "plan": "annual"})
        assert refused.status_code == 403


async def test_the_session_cookie_is_kept_from_scripts_and_other_sites(
    browser: httpx2.AsyncClient, lonely_magazine: str
) -> None:
    answer = await browser.get(lonely_magazine)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_an_answer_of_the_issuer_that_nobody_asked_for_signs_nobody_in(
    browser: httpx2.AsyncClient, lonely_magazine: str
) -> None:
    assert (await browser.get(f"{lonely_magazine}/signed-in?code=x&state=planted")).status_code == 400
    begun = await browser.get(f"{lonely_magazine}/sign-in")
    assert begun.status_code == 303
    assert (await browser.get(f"{lonely_magazine}/signed-in?error=access_denied")).status_code == 400


async def test_the_desk_is_for_staff(lonely_magazine: str) -> None:
    async with Browser() as browser:
        page = await signed_in(browser, lonely_magazine, "/desk")
        assert page.status == 403
        assert "support staff" in page.text


async def test_an_unknown_page_says_so(lonely_magazine: str) -> None:
    async with Browser() as browser:
        for path in ("/nothing", "/articles/nothing", "/articles/..%2Fsettings"):
            page = await browser.open(lonely_magazine + path)
            assert page.status == 404
            assert "Nothing at this address" in page.text


@pytest.mark.parametrize(
    "value",
    ["https://evil.example.com", "//evil.example.com", "/\\evil.example.com", "javascript:alert(1)", "/\n/x", "", None],
)
def test_sign_in_never_leads_off_the_site(value: str | None) -> None:
    assert own_path(value) == "/"


def test_sign_in_leads_back_to_where_the_reader_was() -> None:
    assert own_path("/subscribe?print=yes&from=small-post") == "/subscribe?print=yes&from=small-post"


def test_every_gated_article_keeps_something_back_and_has_a_picture() -> None:
    articles = load()
    assert {article.feature for article in articles} == {None, "exclusive_content", "archive"}
    for article in articles:
        assert article.opening
        assert article.rest
        assert article.rest not in article.opening


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        ({"amount": 4900, "currency": "usd"}, "$49"),
        ({"amount": 4905, "currency": "usd"}, "$49.05"),
        ({"amount": 123456, "currency": "eur"}, "€1,234.56"),
        ({"amount": 5000, "currency": "jpy"}, "JPY 5,000"),
        (None, ""),
    ],
)
def test_money_is_shown_as_a_price(amount: dict[str, object] | None, shown: str) -> None:
    assert messages.money(amount) == shown


def test_a_date_is_the_publishers_and_until_midnight_is_the_day_before() -> None:
    assert messages.date("2027-03-04T05:30:00Z", CHICAGO) == "3 March 2027"
    assert messages.last_day("2027-01-22T06:00:00Z", CHICAGO) == "21 January 2027"


@pytest.mark.parametrize(
    ("subscription", "sentence"),
    [
        pytest.param(
            {"status": "active", "renews_at": "2027-03-04T18:00:00Z", "ends_at": None},
            "Your subscription is active. It renews on 4 March 2027.",
            id="it renews",
        ),
        pytest.param(
            {"status": "active", "renews_at": None, "ends_at": "2027-03-04T18:00:00Z"},
            "Your subscription is active, and ends on 4 March 2027. It will not renew.",
            id="it ends",
        ),
        pytest.param(
            {"status": "canceled", "ends_at": "2027-03-04T18:00:00Z"},
            "Your subscription ended on 4 March 2027.",
            id="it has ended",
        ),
        pytest.param(
            {"status": "past_due", "renews_at": "2027-03-04T18:00:00Z"},
            "Your last payment did not go through, and we are trying again.",
            id="it is in dunning",
        ),
        pytest.param({"status": "brand_new"}, "Your subscription is brand new.", id="a status of tomorrow"),
    ],
)
def test_a_subscription_stands_in_a_sentence(subscription: dict[str, object], sentence: str) -> None:
    assert messages.standing(subscription, CHICAGO) == sentence


@pytest.mark.parametrize(
    ("ended_by", "sentence"),
    [
        ("guarantee", "Your subscription was refunded and ended on 4 March 2027."),
        ("duplicate", "Your subscription was refunded and ended on 4 March 2027."),
        ("cancel_now", "Your subscription ended on 4 March 2027."),
        (None, "Your subscription ended on 4 March 2027."),
    ],
)
def test_a_subscription_that_a_refund_ended_says_so(ended_by: str | None, sentence: str) -> None:
    ended = {"status": "canceled", "ends_at": "2027-03-04T18:00:00Z", "ended_by": ended_by}
    assert messages.standing(ended, CHICAGO) == sentence


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("succeeded", "$73 goes back to the card you paid with."),
        ("processing", "$73 is on its way back to the card you paid with."),
        ("pending", "$73 is on its way back to the card you paid with."),
        ("failed", "Your bank did not take the $73 back."),
    ],
)
def test_a_refund_says_how_it_stands(status: str, sentence: str) -> None:
    assert messages.refund({"status": status, "amount": {"amount": 7300, "currency": "usd"}}).startswith(sentence)
