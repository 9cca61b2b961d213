"""Refused requests leave nothing of the sender's choice in the audit log, and people without a role get no session."""

from tests.console.conftest import OpenConsole
from tests.support.shop import Shop

CHOSEN = "x" * 300


async def recorded(shop: Shop) -> list[tuple[str, str]]:
    """Return the action and object of each entry of the audit log."""
    rows = await shop.rows("SELECT action, object_id FROM audit_log WHERE action LIKE 'console.%' ORDER BY id")
    return [(row["action"], row["object_id"]) for row in rows]


async def test_person_without_a_role_gets_no_session_and_writes_no_entries(
    shop: Shop, open_console: OpenConsole
) -> None:
    ada = await open_console()
    page = await ada.sign_in("ada@example.com")
    assert page.status == 403
    assert "Your account has no staff role" in page.text
    assert ada.browser.cookies("newsstand_console") == []
    assert await shop.rows("SELECT FROM staff_sessions") == []
    for _ in range(3):
        refused = await ada.post(f"/events/{CHOSEN}/replay", {}, origin=shop.url)
        assert refused.status == 403
    assert await recorded(shop) == [("console.sign_in_refused", "console")]
    again = next(a for a in page.find("a") if "another account" in a.text)
    assert (await ada.browser.open(page.resolve(again.attributes["href"]))).url.startswith(shop.issuer.url)


async def test_refused_forms_are_recorded_with_the_template_of_their_route(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin = await open_console("agent@example.com")
    own = (await robin.open("/")).form("/sign-out").values()
    assert (await robin.post(f"/events/{CHOSEN}/replay", own, origin=shop.url)).status == 403
    assert (await robin.post(f"/readers/{CHOSEN}/comp", {}, origin=shop.url)).status == 403
    assert (await robin.post(f"/readers/{CHOSEN}/comp", own, origin="https://evil.example.com")).status == 403
    assert (await robin.post(f"/{CHOSEN}", own, origin="https://evil.example.com")).status == 403
    assert (await recorded(shop))[1:] == [
        ("console.refused", "POST /console/events/{event}/replay"),
        ("console.form_refused", "POST /console/readers/{reader}/comp"),
        ("console.form_refused", "POST /console/readers/{reader}/comp"),
        ("console.form_refused", "POST /console/unmatched"),
    ]
