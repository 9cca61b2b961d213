"""What the hosted account says first in the states that need the reader to do something."""

from datetime import timedelta

import pytest

from tests.account.conftest import OpenAccount
from tests.journeys.cancellations.test_ends import A_YEAR, make_past_due
from tests.support.shop import START_TIME, Shop
from tests.support.trials import start_trial


async def test_an_unpaid_renewal_says_until_when_and_offers_the_card(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await make_past_due(shop, person)
    nia = await open_account(person)

    page = await nia.open("/")

    main = next(page.find("main")).text
    assert "We couldn’t charge your card" in main, main
    assert "Update your card" in main
    assert "Pay now" in main
    assert "Get your money back" not in main, "the term that began was not paid"


async def test_a_months_notice_says_when_it_ends(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    await shop.execute(
        "INSERT INTO declarations (id, kind, channel, received_at, subscriber_id, subscription_id, words, acknowledgment,"
        " status, ends_at) SELECT 'dcl_1', 'cancellation', 'reader', now(), subscriber_id, id, '{}', '', 'scheduled',"
        " '2026-04-03 05:00Z' FROM subscriptions"
    )
    nia = await open_account(person)

    main = next((await nia.open("/")).find("main")).text

    assert "Your subscription ends on April 3, 2026. You keep access until then, and we refund the issues" in main, main


async def test_a_trial_says_when_it_ends_and_what_follows(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await start_trial(shop, person)
    nia = await open_account(person)
    during = next((await nia.open("/")).find("main")).text
    await shop.advance_to(START_TIME + timedelta(days=40))
    await shop.wait_until_idle()

    after = next((await nia.open("/")).find("main")).text

    assert "You’re on a free trial. Your first payment is on March 31, 2026." in during, during
    assert "Cancel your subscription" in during
    assert "Your subscription is active." in after, after


@pytest.mark.parametrize(
    ("change", "parameters", "headline", "notice"),
    [
        pytest.param(
            "/pause",
            {"type": "subscription", "bill_for[unused_time_from][type]": "none"},
            "Your subscription is paused.",
            "You keep access until March 1, 2027. To resume it, contact us.",
            id="paused",
        ),
        pytest.param(
            "/pause",
            {"type": "subscription"},
            "Your subscription is paused.",
            "Your subscription is paused, and your unused time was credited. You have no access until it is resumed. To "
            "resume it, contact us.",
            id="paused, with credit",
        ),
        pytest.param(
            "",
            {"pause_collection[behavior]": "void"},
            "Your subscription is active.",
            "Payments for your subscription are paused. You keep access until March 1, 2027.",
            id="collection paused",
        ),
    ],
)
async def test_a_paused_subscription_is_described_once_with_a_contact(
    shop: Shop, open_account: OpenAccount, change: str, parameters: dict[str, str], headline: str, notice: str
) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    (row,) = await shop.rows("SELECT stripe_id FROM subscriptions")
    await shop.stripe_post(f"/v1/subscriptions/{row['stripe_id']}{change}", **parameters)
    await shop.wait_until_idle()
    nia = await open_account(person)

    page = await nia.open("/")

    assert next(page.find("h1")).text == headline
    told = next(page.find("section", class_="notice"))
    assert next(told.find("p")).text == notice
    assert [link.attributes["href"] for link in told.find("a")] == ["mailto:help@example.com"]
    assert not list(told.find("button"))


@pytest.mark.parametrize(
    ("change", "parameters", "notice"),
    [
        pytest.param(
            "/pause",
            {"type": "subscription", "bill_for[unused_time_from][type]": "none"},
            "Your subscription is paused. Subscribe again to continue reading.",
            id="paused",
        ),
        pytest.param(
            "",
            {"pause_collection[behavior]": "void"},
            "Payments for your subscription are paused.",
            id="collection paused",
        ),
    ],
)
async def test_a_pause_says_once_that_access_has_ended(
    shop: Shop, open_account: OpenAccount, change: str, parameters: dict[str, str], notice: str
) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    (row,) = await shop.rows("SELECT stripe_id FROM subscriptions")
    await shop.stripe_post(f"/v1/subscriptions/{row['stripe_id']}{change}", **parameters)
    await shop.wait_until_idle()
    await shop.advance_to(A_YEAR + timedelta(days=20))
    await shop.wait_until_idle()
    nia = await open_account(person)

    page = await nia.open("/")

    assert next(page.find("h1")).text == "Your access ended on March 1, 2027."
    assert next(next(page.find("section", class_="notice")).find("p")).text == notice


async def test_an_unpaid_renewal_says_once_that_access_has_ended(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await make_past_due(shop, person)
    await shop.advance_to(A_YEAR + timedelta(days=14, hours=12))
    await shop.wait_until_idle()
    nia = await open_account(person)

    page = await nia.open("/")

    assert next(page.find("h1")).text == "Your access ended on March 15, 2027."
    told = next(next(page.find("section", class_="notice")).find("p")).text
    assert told == "We couldn’t charge your renewal. Pay the open invoice, or subscribe again."
