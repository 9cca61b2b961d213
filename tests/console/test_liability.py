"""What is owed in money, at the console: a month, its subscriptions, and closing it."""

from datetime import UTC, date, datetime

from app.services import liability
from tests.console.conftest import OpenConsole
from tests.support.shop import Shop


async def test_a_month_is_shown_listed_downloaded_and_closed(shop: Shop, open_console: OpenConsole) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(datetime(2026, 4, 10, tzinfo=UTC))
    noor = await open_console("finance@example.com")

    march = await noor.open("/liability?month=2026-03")
    assert "Liability, March 2026" in march.text
    assert "$73" in march.text
    assert "/console/liability/owed.svg" in [one.attributes["src"] for one in march.find("img")]
    for name in ("owed", "owed-narrow"):
        assert "Mar 2026: 67 usd" in (await noor.open(f"/liability/{name}.svg")).text
    (subscription,) = await shop.rows("SELECT id FROM subscriptions")
    for path in ("/liability/subscriptions?month=2026-03", "/liability.csv?month=2026-03"):
        assert subscription["id"] in (await noor.open(path)).text

    closed = await noor.submit(march, "/liability/close")
    assert "March 2026 is closed." in closed.text
    assert "these figures are final" in closed.text
    assert "Close March 2026" not in closed.text
    assert "Nothing was owed" in (await noor.open("/liability?month=2025-01")).text
    assert "Liability, April 2026" in (await noor.open("/liability?month=nonsense")).text

    assert shop.app is not None
    ctx, today = shop.app.state.api.ctx, date(2026, 4, 9)
    for through in (date(2026, 2, 28), date(2026, 3, 31), today):
        together = await liability.overview(ctx, through, today=today)
        apart = await liability.report(ctx, through), await liability.closings(ctx)
        assert together == (*apart, await liability.history(ctx, today=today))
