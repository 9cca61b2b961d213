"""The magazine without its subscription service. The tour and test_full_stack cover it with the service."""

import httpx2
import pytest

from demo.browser import Browser, Page
from demo.identity_provider.users import DEMO_PASSWORD
from demo.magazine import formatting, messages
from demo.magazine.articles import load
from demo.magazine.context import local_path

GATED = "/articles/what-the-tide-gauge-knows"
ENDING = "Give it a minute."
CHICAGO = "America/Chicago"


async def sign_in(browser: Browser, magazine: str, destination: str = "/") -> Page:
    form = await browser.open(f"{magazine}/sign-in?next={destination}")
    return await browser.submit(form, form.form("/authorize"), email="ada@example.com", password=DEMO_PASSWORD)


async def test_only_free_articles_are_readable_while_the_service_is_down(magazine_without_service: str) -> None:
    async with Browser() as browser:
        front = await browser.open(magazine_without_service)
        assert front.status == 200
        assert "Subscriptions are unavailable right now" in front.text
        free = await browser.open(f"{magazine_without_service}/articles/the-last-timetable")
        assert free.status == 200
        assert "looking at his watch." in free.text
        gated = await browser.open(f"{magazine_without_service}{GATED}")
        assert gated.status == 200
        assert ENDING not in gated.text


async def test_outage_message_says_that_it_is_our_fault(magazine_without_service: str) -> None:
    async with Browser() as browser:
        page = await sign_in(browser, magazine_without_service, GATED)
        assert page.url == magazine_without_service + GATED
        assert page.status == 503
        assert "This is our fault, not yours" in page.text
        assert ENDING not in page.text
        for path in ("/account", "/subscribe", "/welcome?session_id=cs_test_x"):
            unavailable = await browser.open(magazine_without_service + path)
            assert unavailable.status == 503
            assert "We’re having trouble right now" in unavailable.text


async def test_sign_out_ends_the_session_at_both_sites(magazine_without_service: str) -> None:
    async with Browser() as browser:
        page = await sign_in(browser, magazine_without_service)
        page = await browser.submit(page, page.form("/sign-out"))
        assert page.url == f"{magazine_without_service}/"
        assert "Sign in" in page.text
        again = await browser.open(f"{magazine_without_service}/sign-in")
        assert "/authorize" in again.url  # asks for the password again


async def test_access_token_is_not_in_the_page_or_the_session_cookie(magazine_without_service: str) -> None:
    async with Browser() as browser:
        page = await sign_in(browser, magazine_without_service)
        cookies = browser.cookies("slow_ferry")
        assert cookies
        assert all("eyJhbGci" not in value and len(value) < 500 for value in cookies)
        assert "eyJhbGci" not in page.text


async def test_every_form_requires_a_csrf_token(browser: httpx2.AsyncClient, magazine_without_service: str) -> None:
    for path in (
        "/subscribe",
        "/account/cancel",
        "/account/resume",
        "/account/refund",
        "/sign-out",
        "/desk/readers/x/refund",
    ):
        rejected = await browser.post(magazine_without_service + path, data={"csrf": "guessed", "plan": "annual"})
        assert rejected.status_code == 403


async def test_session_cookie_and_security_headers_are_strict(
    browser: httpx2.AsyncClient, magazine_without_service: str
) -> None:
    response = await browser.get(magazine_without_service)
    cookie = response.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"


async def test_sign_in_response_without_a_request_is_rejected(
    browser: httpx2.AsyncClient, magazine_without_service: str
) -> None:
    assert (await browser.get(f"{magazine_without_service}/signed-in?code=x&state=planted")).status_code == 400
    started = await browser.get(f"{magazine_without_service}/sign-in")
    assert started.status_code == 303
    assert (await browser.get(f"{magazine_without_service}/signed-in?error=access_denied")).status_code == 400


async def test_support_desk_is_for_staff_only(magazine_without_service: str) -> None:
    async with Browser() as browser:
        page = await sign_in(browser, magazine_without_service, "/desk")
        assert page.status == 403
        assert "support staff" in page.text


async def test_unknown_url_shows_page_not_found(magazine_without_service: str) -> None:
    async with Browser() as browser:
        for path in ("/nothing", "/articles/nothing", "/articles/..%2Fsettings"):
            page = await browser.open(magazine_without_service + path)
            assert page.status == 404
            assert "Page not found" in page.text


@pytest.mark.parametrize(
    "value",
    ["https://evil.example.com", "//evil.example.com", "/\\evil.example.com", "javascript:alert(1)", "/\n/x", "", None],
)
def test_sign_in_never_redirects_to_another_site(value: str | None) -> None:
    assert local_path(value) == "/"


def test_sign_in_redirects_back_to_the_page() -> None:
    assert local_path("/subscribe?print=yes&from=small-post") == "/subscribe?print=yes&from=small-post"


def test_every_article_has_an_opening_and_a_rest() -> None:
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
def test_money_is_formatted_as_a_price(amount: dict[str, object] | None, shown: str) -> None:
    assert formatting.money(amount) == shown


def test_dates_use_the_publishers_time_zone() -> None:
    assert formatting.date("2027-03-04T05:30:00Z", CHICAGO) == "March 3, 2027"
    assert formatting.last_day("2027-01-22T06:00:00Z", CHICAGO) == "January 21, 2027"


@pytest.mark.parametrize(
    ("subscription", "sentence"),
    [
        pytest.param(
            {"status": "active", "renews_at": "2027-03-04T18:00:00Z", "ends_at": None},
            "Your subscription is active. It renews on March 4, 2027.",
            id="renewing",
        ),
        pytest.param(
            {"status": "active", "renews_at": None, "ends_at": "2027-03-04T18:00:00Z"},
            "Canceled. You have access until March 4, 2027.",
            id="set to end",
        ),
        pytest.param(
            {"status": "canceled", "ends_at": "2027-03-04T18:00:00Z"},
            "Your subscription ended on March 4, 2027.",
            id="ended",
        ),
        pytest.param(
            {"status": "past_due", "renews_at": "2027-03-04T18:00:00Z"},
            "We couldn’t charge your card. We’ll try again soon.",
            id="past due",
        ),
        pytest.param({"status": "brand_new"}, "Your subscription is brand new.", id="unknown status"),
    ],
)
def test_subscription_status_is_a_sentence(subscription: dict[str, object], sentence: str) -> None:
    assert messages.subscription_status(subscription, CHICAGO) == sentence


@pytest.mark.parametrize(
    ("ended_by", "sentence"),
    [
        ("guarantee", "Your subscription was refunded and ended on March 4, 2027."),
        ("duplicate", "Your subscription was refunded and ended on March 4, 2027."),
        ("cancel_now", "Your subscription ended on March 4, 2027."),
        (None, "Your subscription ended on March 4, 2027."),
    ],
)
def test_status_of_an_ended_subscription_mentions_a_refund(ended_by: str | None, sentence: str) -> None:
    ended = {"status": "canceled", "ends_at": "2027-03-04T18:00:00Z", "ended_by": ended_by}
    assert messages.subscription_status(ended, CHICAGO) == sentence


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("succeeded", "We’ve refunded $73 to your card."),
        ("processing", "Your refund of $73 is on its way to your card."),
        ("pending", "Your refund of $73 is on its way to your card."),
        ("failed", "We couldn’t refund $73 to your card."),
    ],
)
def test_refund_status_is_a_sentence(status: str, sentence: str) -> None:
    assert messages.refund_status({"status": status, "amount": {"amount": 7300, "currency": "usd"}}).startswith(
        sentence
    )
