"""The pages of the hosted account, from one link to money back."""

from datetime import UTC, datetime, timedelta

import pytest

from app.account.checkout import chosen
from tests.account.conftest import OpenAccount
from tests.support.shop import Shop


async def test_one_link_leads_from_sign_in_through_payment_to_the_account(
    shop: Shop, open_account: OpenAccount
) -> None:
    await shop.plan_issues(30)
    ada = await open_account()
    plans = await ada.sign_in(path="/subscribe?plan=annual&edition=print")
    assert plans.url.endswith("/account/subscribe?plan=annual&edition=print")
    assert plans.form("/subscribe").values()["choice"] == "annual:print"
    assert "$73" in plans.text
    leaving = await ada.submit(plans, "/subscribe", choice="annual:digital")
    paid = await shop.pay_checkout(ada.leaves_for(leaving))
    welcome = await ada.browser.open(str(paid.headers["location"]))
    assert "Welcome, Ada Marlowe" in welcome.text
    page = await ada.open("/")
    assert "Your subscription is active. It renews on March 1, 2027." in page.text
    assert "$49 a year" in page.text
    assert "24" in page.text
    assert "Get your money back" in page.text


async def test_subscription_is_canceled_and_resumed(shop: Shop, open_account: OpenAccount) -> None:
    await shop.plan_issues(30)
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    preview = await nia.open("/cancel")
    assert "You’ll keep access until March 1, 2027" in preview.text
    assert " You’ll still get 24 more issues. You can change your mind until March 1, 2027." in preview.text
    done = await nia.submit(preview, "/cancel", reason="too_expensive", comment="A bit much")
    assert done.url.endswith("/account/")
    assert "Your subscription is canceled. You won’t be charged again." in done.text
    assert "Canceled. You have access until March 1, 2027." in done.text
    resumed = await nia.submit(done, "/resume")
    assert "Your subscription will renew as usual." in resumed.text
    assert "It renews on March 1, 2027." in resumed.text


async def test_subscription_is_canceled_now(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    done = await nia.submit(await nia.open("/cancel"), "/cancel", when="now")
    assert "Your subscription ended on March 1, 2026." in done.text
    assert not await shop.may_read(person)


async def test_money_back_is_paid_once(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    page = await nia.open("/refund")
    assert "Get your $49 back" in page.text
    first, second = await nia.submit(page, "/refund"), await nia.submit(page, "/refund")
    assert "We’ve refunded $49 to your card." in first.text
    assert "We’ve refunded $49 to your card." in second.text
    payment = (await shop.rows("SELECT id FROM payments"))[0]["id"]
    found = await shop.stripe_get("/v1/refunds", payment_intent=payment)
    assert [one["amount"] for one in found["data"]] == [4900]
    await shop.wait_until_idle()
    page = await nia.open("/")
    assert "Your subscription was refunded and ended on March 1, 2026." in page.text


async def test_print_is_added_with_an_address_and_dropped_again(shop: Shop, open_account: OpenAccount) -> None:
    await shop.plan_issues(30)
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    assert "Add the print edition" in (await nia.open("/")).text
    page = await nia.open("/print")
    assert "We charge your card $23 now" in page.text
    refused = await nia.submit(page, "/print", name="Nia Invented", line1="", city="Springfield")
    assert "The street address is missing" in refused.text
    entered = {"line1": "1 Lantern Street", "region": "IL", "postal_code": "62701"}
    added = await nia.submit(refused, "/print", **entered)
    assert "Print is now part of your subscription." in added.text
    await shop.wait_until_idle()

    drop = await nia.open("/print")
    assert "We refund $23 to your card" in drop.text
    dropped = await nia.submit(drop, "/print")
    assert "Your refund of $23 is on its way to your card." in dropped.text
    await shop.wait_until_idle()
    assert "Add the print edition" in (await nia.open("/")).text
    assert [one["amount"] for one in (await shop.stripe_get("/v1/refunds"))["data"]] == [23_00]


async def test_invoices_and_the_card_page_are_reached(shop: Shop, open_account: OpenAccount) -> None:
    person = shop.person("nia")
    await shop.subscribe(person)
    nia = await open_account(person)
    invoices = await nia.open("/invoices")
    assert "March 1, 2026" in invoices.text
    assert "$49" in invoices.text
    assert "Paid" in invoices.text
    leaving = await nia.submit(await nia.open("/"), "/card")
    assert nia.leaves_for(leaving).startswith(shop.settings.stripe_url)
    again = await nia.open("/leaving")  # as after Back
    assert again.url.endswith("/account/")


async def test_session_ends_when_it_is_idle_or_old(shop: Shop, open_account: OpenAccount) -> None:
    nia = await open_account(shop.person("nia"))
    assert "You don’t have a subscription" in (await nia.open("/")).text
    nia.backdate(last_used_at=timedelta(hours=1, minutes=1))
    assert (await nia.open("/")).url.startswith(shop.issuer.url)
    nia.use_session_of(shop.person("nia"), started_at=datetime.now(UTC) - timedelta(hours=8, minutes=1))
    assert (await nia.open("/")).url.startswith(shop.issuer.url)


@pytest.mark.parametrize(
    ("plan", "edition", "codes", "expected"),
    [
        pytest.param("", "", ["monthly", "annual", "student"], "monthly:digital", id="the catalogue's first plan"),
        pytest.param("annual", "print", ["monthly", "annual"], "annual:print", id="those of the link"),
        pytest.param("", "", [], "", id="nothing is on sale"),
    ],
)
def test_the_plan_of_the_link_is_chosen_or_the_first(plan: str, edition: str, codes: list[str], expected: str) -> None:
    assert chosen(plan, edition, codes) == expected
