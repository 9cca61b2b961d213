"""A reader's page in the console shows their next price, and their cancellations and withdrawals."""

from datetime import timedelta

from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.journeys.cancellations.test_withdrawals import subscribe_in_berlin, withdraw
from tests.support.price_migrations import new_price, run_at, start
from tests.support.shop import START_TIME, Shop

RENEWAL = START_TIME.replace(year=2027)


async def reader_page(shop: Shop, robin: ConsoleBrowser) -> str:
    """Return the text of the page about the only reader."""
    reader = (await shop.rows("SELECT id FROM subscribers"))[0]["id"]
    return (await robin.open(f"/readers/{reader}")).text


async def test_staff_see_the_new_price_before_and_after_its_notice(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("admin@example.com"), shop.person("ada")
    await shop.stripe.put("/_sandbox/settings", json={"tax_rate": 8})
    await shop.subscribe(ada)
    assert "New price" not in await reader_page(shop, robin)
    await new_price(shop, 59_00)
    await start(shop)
    planned = await reader_page(shop, robin)
    assert "$59 from March 1, 2027, instead of $49, before discounts and tax" in planned
    assert "The reader has not been told yet." in planned
    assert "Price migration" in planned

    await run_at(shop, RENEWAL - timedelta(days=28))
    told = await reader_page(shop, robin)
    assert "from March 1, 2027, instead of" in told
    assert "Notice of February 1, 2027." in told

    cancel = await shop.post("/v1/me/subscription/cancel", ada, {"when": "period_end"})
    assert cancel.status_code == 200
    left = await reader_page(shop, robin)
    assert "New price" not in left, "nothing is charged anymore"
    assert "Cancellations and withdrawals" in left


async def test_staff_see_a_withdrawal_and_what_became_of_it(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), await subscribe_in_berlin(shop)
    assert "Cancellations and withdrawals" not in await reader_page(shop, robin)
    done = await withdraw(shop, ada)
    assert done.status_code == 201, done.text
    shown = await reader_page(shop, robin)
    assert done.json()["id"] in shown
    for fact in ("Withdrawal", "By the reader", "Carried out"):
        assert fact in shown, fact
