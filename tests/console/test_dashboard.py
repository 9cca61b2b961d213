"""The figures below the work queue: money with its trend, and nothing about what is zero."""

from demo.browser import Page
from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.support.shop import Shop


async def figures(shop: Shop, browser: ConsoleBrowser) -> Page:
    """Return the front page with figures that were counted now."""
    await shop.execute("UPDATE figures SET content = NULL, taken_at = NULL, due_at = now()")
    await shop.wait_until("SELECT content IS NOT NULL AND due_at IS NULL FROM figures")
    return await browser.open("/")


async def test_money_of_the_last_30_days_is_compared_with_the_30_before(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.subscribe(shop.person("ada"))
    await shop.subscribe(shop.person("bob"))
    await shop.execute(
        "UPDATE payments SET amount = 4000, paid_at = paid_at - interval '40 days' WHERE id = (SELECT min(id) FROM payments)"
    )
    await shop.execute("UPDATE payments SET amount = 5000 WHERE id = (SELECT max(id) FROM payments)")

    page = await figures(shop, robin)

    assert "$50 paid in 30 days 25% more than in the 30 days before" in page.text
    assert "refunded in 30 days" not in page.text


async def test_sections_without_numbers_are_left_out(shop: Shop, open_console: OpenConsole) -> None:
    page = await figures(shop, await open_console("agent@example.com"))

    assert "No new or lost subscribers in the last 13 weeks." in page.text
    assert "Unpaid renewals by days overdue" not in page.text
    assert page.text.count("No subscribers yet.") == 1


async def test_front_page_works_before_the_figures_are_counted(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await figures(shop, robin)  # so that no worker is counting anymore
    await shop.wait_until("SELECT due_at IS NULL FROM figures")
    await shop.execute("UPDATE figures SET content = NULL, taken_at = NULL, due_at = now() + interval '1 hour'")

    page = await robin.open("/")

    assert page.status == 200
    assert "Calculating the figures for the first time" in page.text
