"""A reader's postal addresses and printed copies on the reader's page, and the forms that change the addresses."""

from datetime import UTC, datetime

from tests.console.conftest import OpenConsole
from tests.console.test_forms import error_of
from tests.console.test_issues import ISSUE, main_text
from tests.support.labels import freeze
from tests.support.shop import Shop

CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)


async def test_support_changes_addresses_and_sees_each_copy(shop: Shop, open_console: OpenConsole) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    (row,) = await shop.rows("SELECT id FROM subscribers")
    reader, robin = f"/readers/{row['id']}", await open_console("agent@example.com")
    assert "SPRINGFIELD, IL 62701" in main_text(await robin.open(reader))

    form = await robin.open(f"{reader}/address")
    assert form.form("/address").values()["line1"] == "1 Lantern Street"
    wrong = await robin.submit(form, "/address", postal_code="", line1="<b>9 Harbor Road</b>")
    assert error_of(wrong, "postal_code") == "The postal code is missing."
    assert wrong.form("/address").values()["line1"] == "<b>9 Harbor Road</b>"
    long = await robin.submit(form, "/address", line2="x" * 101)
    assert error_of(long, "line2") == "Use 100 characters or fewer. You entered 101."
    saved = await robin.submit(wrong, "/address", postal_code="04101", line1="=9 Harbor Road")
    assert "Address saved. It counts from issue 5. Please check: The postal code" in main_text(saved)
    away = await robin.submit(
        await robin.open(f"{reader}/temporary-address"),
        "/temporary-address",
        since="2026-04-01",
        until="2026-03-01",
        line1="3 Lake Path",
        city="Duluth",
        region="MN",
        postal_code="55801",
    )
    assert error_of(away, "until") == "The end date must be after the start date."
    page = await robin.submit(away, "/temporary-address", until="2026-05-01")
    assert "From April 1, 2026 until May 1, 2026" in main_text(page)
    (form_of_it,) = [one for one in page.find("form") if one.attributes["action"].endswith("/remove")]
    gone = await robin.submit(page, form_of_it.attributes["action"].removeprefix("/console"))
    assert "Temporary address removed." in main_text(gone)
    assert "DULUTH" not in main_text(gone)

    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    shown = main_text(await robin.open(reader))
    assert f"No. {ISSUE} Issue {ISSUE} Label run" in shown
    assert "=9 Harbor Road" in shown
    assert "to be mailed on March 17, 2026" in shown
