"""Support adds print for a reader who pays by bank debit, which takes some days."""

from tests.console.conftest import OpenConsole
from tests.console.test_issues import main_text
from tests.journeys.print_edition.test_payments import _pay_by_debit
from tests.support.shop import Shop


async def test_support_reads_that_the_bank_debit_is_pending(shop: Shop, open_console: OpenConsole) -> None:
    await shop.plan_issues(50)
    await shop.subscribe(shop.person("ada"))
    await _pay_by_debit(shop, "pm_usBankAccount_success")
    (held,) = await shop.rows("SELECT id FROM subscriptions")
    robin = await open_console("agent@example.com")

    form = await robin.open(f"/subscriptions/{held['id']}/print")
    address = {
        "line1": "1 Lantern Street",
        "city": "Springfield",
        "region": "IL",
        "postal_code": "62701",
        "country": "US",
    }
    added = main_text(await robin.submit(form, "/print", **address))

    assert "The bank debit is on its way. Print is added once it is paid, which can take some days." in added
    assert "asks them to confirm" not in added
