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
    images = [str(one.attributes.get("src", "")) for one in march.find("img")]
    images += [str(one.attributes.get("srcset", "")) for one in march.find("source")]
    for name in ("owed", "owed-narrow"):
        (image,) = (one for one in images if one.startswith(f"/console/liability/{name}.svg?figures="))
        assert "Mar 2026: 67 usd" in (await noor.open(image.removeprefix("/console"))).text
    (subscription,) = await shop.rows("SELECT id FROM subscriptions")
    for path in ("/liability/subscriptions?month=2026-03", "/liability.csv?month=2026-03"):
        assert subscription["id"] in (await noor.open(path)).text

    closed = await noor.submit(await noor.open("/liability/close?month=2026-03"), "/liability/close")
    assert "March 2026 is closed." in closed.text
    assert "these figures are final" in closed.text
    assert "Close March 2026" not in closed.text
    assert "Nothing was owed" in (await noor.open("/liability?month=2025-01")).text
    for wrong in ("nonsense", "03/2026", "2026-13", "2031-01"):
        page = await noor.open(f"/liability?month={wrong}")
        assert "Liability, April 2026" in page.text
        assert "Enter a month such as 2026-03 that is not in the future." in page.text
        assert page.form("/liability").values()["month"] == wrong
        for path in ("/liability.csv", "/liability/subscriptions"):
            refused = await noor.open(f"{path}?month={wrong}")
            assert (refused.status, refused.title) == (422, "Invalid month · Newsstand")
            assert "/console/liability" in {a.attributes["href"] for a in refused.find("a")}

    assert shop.app is not None
    ctx, today = shop.app.state.api.ctx, date(2026, 4, 9)
    for through in (date(2026, 2, 28), date(2026, 3, 31), today):
        together = await liability.overview(ctx, through, today=today)
        report, closings, history = together
        assert (report, closings) == (await liability.report(ctx, through), await liability.closings(ctx))
        assert [day for day, _ in history] == [date(2026, 2, 28), date(2026, 3, 31), today]
        for day, owed in history:
            movements = (await liability.report(ctx, day)).movements
            assert owed == {currency: one.closing for currency, one in movements.items()}


async def test_the_chart_is_drawn_from_the_figures_of_the_page(open_console: OpenConsole) -> None:
    noor = await open_console("finance@example.com")
    drawn = (await noor.open("/liability/owed.svg?figures=2026-03-31+usd+6700+jpy+41,2026-04-30+usd+0+jpy+5")).text
    assert "Mar 2026: 41 jpy, 67 usd. Apr 2026: 5 jpy, 0 usd." in drawn
    for malformed in (
        "",
        "x",
        "2026-03-31",
        "2026-03-31+usd",
        "2026-03-31+usd+x",
        "2026-13-31+usd+5",
        ",",
        "2026-03-31+usd+-5",
        "2026-03-31+<a>+5",
        f"2026-03-31+usd+{'9' * 400}",
    ):
        empty = await noor.open(f"/liability/owed.svg?figures={malformed}")
        assert (empty.status, "<rect" in empty.text) == (200, False), malformed
