"""The pages for a person's data: what an erasure would do, the export, the erasure, and who saw a reader."""

from tests.console.conftest import OpenConsole
from tests.console.test_subscriptions_and_comps import audit_entries
from tests.support.shop import Shop


async def test_reader_is_exported_and_erased(shop: Shop, open_console: OpenConsole) -> None:
    officer, ada = await open_console("admin@example.com"), shop.person("ada")
    await shop.subscribe(ada)
    (row,) = await shop.rows("SELECT id FROM subscribers")
    path = f"/readers/{row['id']}"

    export = await officer.open(f"{path}/export")
    form = await officer.open(f"{path}/personal-data")
    unconfirmed = await officer.submit(form, "/erase", confirmation=row["id"])
    mistyped = await officer.submit(form, "/erase", confirmation="ada", without_refund="yes")
    assert await shop.may_read(ada)
    page = await officer.submit(form, "/erase", confirmation=row["id"], without_refund="yes")
    await shop.wait_until("SELECT count(*) = 1 FROM erasures WHERE finished_at IS NOT NULL")
    done = await officer.open(f"{path}/personal-data")

    assert "ada@example.com" in export.text
    assert "Can be refunded:" in form.text
    assert "$49" in form.text
    assert (unconfirmed.status, mistyped.status) == (409, 422)
    assert "Erasure requested." in page.text
    assert "Reader erased" in done.text
    assert "Tax law requires the books to be kept." in done.text
    assert not await shop.may_read(ada)
    assert "ada@example.com" not in (await officer.open(path)).text
    assert await audit_entries(shop, "reader.exported") == [("staff:staff-admin", "")]
    assert len(await audit_entries(shop, "reader.erased")) == 1


async def test_what_is_undecided_is_shown_instead_of_the_form(shop: Shop, open_console: OpenConsole) -> None:
    officer = await open_console("admin@example.com")
    await shop.subscribe(shop.person("ada"))
    (payment,) = await shop.rows("SELECT id, subscription_id FROM payments")
    await shop.request_refund(str(payment["id"]))
    await shop.wait_until_idle()
    await shop.execute("UPDATE refunds SET status = 'pending'")
    (row,) = await shop.rows("SELECT id FROM subscribers")

    page = await officer.open(f"/readers/{row['id']}/personal-data")

    assert "Not possible yet:" in page.text
    assert "is on its way" in page.text
    assert "Erase reader" not in page.text


async def test_views_of_a_reader_are_listed(shop: Shop, open_console: OpenConsole) -> None:
    robin, officer = await open_console("agent@example.com"), await open_console("admin@example.com")
    await shop.subscribe(shop.person("ada"))
    (row,) = await shop.rows("SELECT id FROM subscribers")
    await robin.open(f"/readers/{row['id']}")
    await robin.open("/readers?q=ada")

    page = await officer.open(f"/views?reader={row['id']}")

    assert page.text.count("staff:staff-agent") == 2
    assert "Search results" in page.text
    assert (await robin.open("/views")).status == 403
    assert "No matching views." in (await officer.open("/views?reader=rdr_none")).text
