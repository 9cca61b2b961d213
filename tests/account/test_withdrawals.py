"""Withdrawing from the contract in the hosted account, in the reader's language, with the labels that the law asks for."""

import pytest

from tests.account.conftest import OpenAccount
from tests.journeys.cancellations.test_withdrawals import live_in_berlin
from tests.journeys.refunds.test_credits import subscribe_with_credit
from tests.support.shop import Shop


@pytest.mark.parametrize(
    ("locale", "link", "until", "refund", "confirm", "received"),
    [
        pytest.param(
            "de-AT",
            "Vertrag widerrufen",
            "bis 16. März 2026",
            "Wir erstatten 49 $ auf Ihre Karte",
            "Widerruf bestätigen",
            "Ihr Widerruf ist eingegangen",
            id="German",
        ),
        pytest.param(
            "en-US",
            "Withdraw from contract",
            "until March 16, 2026",
            "We refund $49 to your card",
            "Confirm withdrawal",
            "We received your withdrawal",
            id="English",
        ),
    ],
)
async def test_a_reader_withdraws_in_their_language(
    shop: Shop,
    open_account: OpenAccount,
    locale: str,
    link: str,
    until: str,
    refund: str,
    confirm: str,
    received: str,
) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    await live_in_berlin(shop, ada)
    await shop.execute(f"UPDATE subscribers SET locale = '{locale}'")
    account = await open_account(ada)

    overview = await account.open("/")
    assert link in overview.text
    assert until in overview.text
    page = await account.open("/withdraw")
    for said in (link, until, refund, confirm):
        assert said in page.text
    done = await account.submit(page, "/account/withdraw")
    assert received in done.text
    assert "Bestätigung" in done.text, "the acknowledgment is in the language of the place"


async def test_a_withdrawal_says_what_is_returned_to_the_balance(shop: Shop, open_account: OpenAccount) -> None:
    ada = shop.person()
    await subscribe_with_credit(shop, ada, 49_00)
    await live_in_berlin(shop, ada)
    page = await (await open_account(ada)).open("/withdraw")
    assert "We return $49 to your balance, which paid it." in page.text
    assert "You won’t be charged" not in page.text
