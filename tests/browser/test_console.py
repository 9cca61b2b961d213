"""The console in a real browser: every task, in a wide window and on a phone, and with the keyboard alone."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from demo.stack import Stack
from tests.browser import page_checks
from tests.browser.stack_database import execute_sql
from tests.browser.visitors import ConsoleUser, Visitor

NewVisitor = Callable[[], Visitor]
NewAgent = Callable[..., ConsoleUser]
pytestmark = pytest.mark.xdist_group("stack")

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def test_refund_with_the_keyboard_alone(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    """Search, and then three keys: open, review, submit. Checks every page on the way."""
    reader, robin = new_visitor(), new_agent()
    reader.subscribe("Nia Fontaine", edition="Digital and print")
    robin.open("/readers?q=fontai")
    robin.reload_until_shown(robin.page.get_by_role("link", name="Nia Fontaine"))  # once the name is indexed
    robin.open("/")
    robin.press("Tab")
    expect(robin.page.get_by_role("link", name="Skip to content")).to_be_focused()
    robin.press("/")
    robin.page.keyboard.type("fontai")
    expect(robin.page.get_by_role("link", name="Nia Fontaine")).to_be_visible()
    page_checks.check(robin.page)
    robin.press("ArrowDown")
    robin.press("Enter")
    robin.expect_url("/readers/rdr_")
    robin.expect_text("Nia Fontaine")
    robin.expect_text(re.compile(r"Paid until \w+ \d+, 20\d\d, then renews for \$73"))
    page_checks.check(robin.page)

    robin.press("r")
    robin.expect_url("/payments/")
    robin.expect_text("Refund a $73 payment")
    page_checks.check(robin.page)
    robin.press("Enter")
    robin.expect_text("Refund $73?")
    robin.expect_text("The subscription ends now")
    page_checks.check(robin.page)
    robin.press("Enter")
    robin.expect_url("/refunds/rfd_")
    robin.expect_text("$73 refunded")
    page_checks.check(robin.page)
    robin.press("Enter")
    robin.expect_text("Money-back guarantee")
    page_checks.check(robin.page)
    reader.open("/account")
    reader.expect_text("Your subscription was refunded")


def test_html_in_names_searches_and_notes_is_shown_as_text(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    """Also checks that a double click refunds once."""
    reader, robin = new_visitor(), new_agent()
    reader.subscribe(SCRIPT)
    robin.open(f"/readers?q={SCRIPT[:12]}")
    robin.reload_until_shown(robin.page.get_by_role("link", name=SCRIPT))  # once the name is indexed
    robin.open("/")
    robin.page.get_by_role("searchbox").fill(SCRIPT[:12])
    expect(robin.page.get_by_role("link", name=SCRIPT)).to_be_visible()
    robin.open(f"/readers?q={SCRIPT}<b>")
    robin.expect_text(f"No readers match “{SCRIPT}<b>”")
    robin.open(f"/readers?q={reader.email}")
    robin.page.get_by_role("link", name=SCRIPT).click()
    expect(robin.page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
    robin.press("r")
    robin.page.get_by_label("Note").fill(SCRIPT)
    robin.click("Review refund")
    robin.expect_text(SCRIPT)
    robin.page.get_by_role("button", name="Refund $49").dblclick()
    robin.expect_text("$49 refunded")
    robin.expect_text(SCRIPT)
    robin.click("Back to <script>")
    expect(robin.page.locator("body script, img[src=x]")).to_have_count(0)
    expect(robin.page.get_by_role("row", name="Requested by the reader")).to_have_count(1)


def test_typing_a_search_keeps_the_filters_and_enter_too(new_agent: NewAgent) -> None:
    sam = new_agent("supervisor@example.com")
    sam.open("/readers?status=past_due&complimentary=yes")
    with sam.page.expect_request("**/readers?*part=1*") as typed:
        sam.page.get_by_role("searchbox").press_sequentially("zzyx")
    sam.expect_text("No readers match “zzyx” and the filters")
    assert "status=past_due" in typed.value.url
    assert "complimentary=yes" in typed.value.url
    expect(sam.page.get_by_role("link", name="Export as CSV")).to_be_hidden()
    sam.page.get_by_role("checkbox", name="Complimentary").uncheck()
    sam.page.get_by_role("button", name="Filter").click()
    expect(sam.page).to_have_url(re.compile(r"/readers\?.*q=zzyx"))
    expect(sam.page).to_have_url(re.compile("status=past_due"))
    expect(sam.page.get_by_role("checkbox", name="Complimentary")).not_to_be_checked()
    sam.page.get_by_role("searchbox").fill("zzyy")
    sam.press("Enter")
    expect(sam.page).to_have_url(re.compile(r"/readers\?q=zzyy&status=past_due$"))
    page_checks.check(sam.page)


def test_without_script_a_search_keeps_the_filters(new_agent: NewAgent) -> None:
    sam = new_agent("supervisor@example.com", scripts=False)
    sam.open("/readers?status=past_due")
    sam.page.get_by_role("searchbox").fill("zzyy")
    sam.page.get_by_role("searchbox").press("Enter")
    expect(sam.page).to_have_url(re.compile(r"/readers\?q=zzyy&status=past_due$"))


@pytest.mark.parametrize(
    ("status", "message"), [(429, "Too many searches"), (503, "The search didn't respond")], ids=["limit", "outage"]
)
def test_a_search_that_fails_leaves_the_page_as_it_is(new_agent: NewAgent, status: int, message: str) -> None:
    """The answer comes from the browser: the service refuses a search only after hundreds."""
    robin = new_agent("admin@example.com")
    robin.open("/issues")
    url = robin.page.url
    robin.page.route("**/readers?*part=1*", lambda route: route.fulfill(status=status, body="<h1>Refused</h1>"))
    robin.page.get_by_role("searchbox").press_sequentially("mar")
    expect(robin.page.locator(".search-popup")).to_contain_text(message)
    assert robin.page.url == url
    robin.page.unroute_all()
    robin.page.get_by_role("searchbox").press_sequentially("zyx")
    expect(robin.page.locator(".search-popup")).to_contain_text("No readers match “marzyx”")


def test_cancel_resume_extend_comp_and_goodwill_with_approval(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    """Checks every page on the way."""
    reader, robin, sam, alex = (
        new_visitor(),
        new_agent(),
        new_agent("supervisor@example.com"),
        new_agent("admin@example.com"),
    )
    reader.subscribe("Ines Okafor")
    robin.open(f"/readers?q={reader.email}")
    robin.click("Ines Okafor")
    robin.expect_url("/readers/rdr_")
    for key, page, button, message in (
        ("c", "/cancel", "Cancel subscription", "Subscription canceled. It ends at the end of the paid period."),
        ("u", "/resume", "Resume subscription", "Subscription resumed. It will renew as usual."),
        ("e", "/extend", "Extend subscription", "1 issue added."),
        ("g", "/comp", "Give complimentary access", "Complimentary access until"),
    ):
        robin.press(key)
        expect(robin.page).to_have_url(re.compile(page + "$"))
        robin.page.wait_for_load_state()
        page_checks.check(robin.page)
        robin.page.get_by_role("button", name=button).click()
        if key == "g":
            robin.expect_text("already pays for access")
            page_checks.check(robin.page)
            robin.click("Give complimentary access anyway")
        robin.expect_text(message)
    page_checks.check(robin.page)
    robin.page.get_by_label("Reason for revoking").fill("Given to the wrong Ines.")
    robin.click("Revoke")
    robin.expect_text("Complimentary access revoked.")
    robin.press("r")
    robin.page.get_by_role("radio", name=re.compile("^Goodwill")).check()
    robin.page.get_by_label("Goodwill amount").fill("40")
    robin.click("Review refund")
    robin.expect_text("A second person must approve this.")
    robin.click("Request refund of $40")
    robin.expect_text("You requested this refund.")
    page_checks.check(robin.page)
    sam.click("Approvals")
    sam.page.wait_for_url("**/approvals")
    page_checks.check(sam.page)
    sam.click("Ines Okafor")
    sam.click("Approve $40")
    sam.expect_text("$40 refunded")
    alex.click("Audit log")
    alex.page.wait_for_url("**/audit")
    alex.page.get_by_label("Action starts with").fill("refund.approved")
    alex.click("Filter")
    alex.page.wait_for_url("**action=refund.approved**")
    expect(alex.page.locator(".entries > li")).to_have_count(1)
    alex.expect_text("Sam Iyer approved a refund")
    page_checks.check(alex.page)


def test_failed_events_are_replayed_one_by_one_and_all_at_once(
    new_visitor: NewVisitor, new_agent: NewAgent, shop: Stack
) -> None:
    reader, alex = new_visitor(), new_agent("admin@example.com")
    reader.subscribe("Remy Castellane")
    alex.open(f"/readers?q={reader.email}")
    alex.click("Remy Castellane")
    alex.expect_text("IDs")
    while not alex.page.get_by_text("failed permanently: Boom").count():  # the event may not have arrived yet
        execute_sql(
            shop, "UPDATE events SET state = 'dead', last_error = 'Boom', due_at = NULL WHERE type = 'invoice.paid'"
        )
        alex.page.reload()
    alex.click("Events")
    alex.page.wait_for_url("**/events")
    page_checks.check(alex.page)
    alex.page.get_by_role("button", name=re.compile("^Replay evt_")).first.click()
    alex.expect_text("Replaying evt_")
    execute_sql(
        shop, "UPDATE events SET state = 'dead', last_error = 'Boom', due_at = NULL WHERE type LIKE 'invoice.%'"
    )
    alex.open("/events")
    alex.click("Replay all")
    alex.expect_text(re.compile(r"Replaying \d+ events"))


def test_refund_without_javascript(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    reader, robin = new_visitor(), new_agent(scripts=False)
    reader.subscribe("Kit Moreau")
    robin.page.get_by_role("searchbox").fill(reader.email)
    robin.press("Enter")
    robin.click("Kit Moreau")
    robin.click("Refund payment")
    robin.click("Review refund")
    robin.click("Refund $49")
    robin.expect_text("$49 refunded")


def test_export_and_erase_a_reader(new_visitor: NewVisitor, new_agent: NewAgent) -> None:
    """Checks every page on the way."""
    reader, alex = new_visitor(), new_agent("admin@example.com")
    reader.subscribe("Lena Marsh")
    alex.open(f"/readers?q={reader.email}")
    alex.click("Lena Marsh")
    alex.click("Views of this reader")
    alex.expect_text("Search results")
    page_checks.check(alex.page)
    alex.page.go_back()
    alex.click("Personal data")
    alex.expect_text("Can be refunded:")
    page_checks.check(alex.page)
    with alex.page.expect_download() as export:
        alex.click("Download a readable page")
    assert reader.email in export.value.path().read_text()
    alex.page.get_by_label("Erase without a refund").check()
    confirmation = alex.page.get_by_label(re.compile("to confirm"))
    confirmation.fill(str(confirmation.locator("xpath=preceding-sibling::label").locator("code").text_content()))
    alex.click("Erase reader")
    alex.expect_text("Reader erased")
    alex.expect_text("Tax law requires the books to be kept.")
    page_checks.check(alex.page)


def test_dashboard_shows_charts(new_agent: NewAgent) -> None:
    sam = new_agent("supervisor@example.com")
    expect(sam.page.get_by_role("heading", name="New and lost subscribers by week")).to_be_visible()
    for picture in sam.page.locator("main img").all():
        assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth > 100 }")
    page_checks.check(sam.page)


def test_shortcuts_can_be_turned_off(new_agent: NewAgent) -> None:
    robin = new_agent()
    robin.click("Turn off shortcuts")
    robin.press("/")
    expect(robin.page.get_by_role("searchbox")).not_to_be_focused()
    robin.click("Turn on shortcuts")
    robin.press("/")
    expect(robin.page.get_by_role("searchbox")).to_be_focused()


def test_error_and_sign_out_pages_are_accessible(new_agent: NewAgent) -> None:
    robin = new_agent()
    for path, message in [
        ("/readers/rdr_made_up", "not found"),
        ("/nothing-here", "page not found"),
    ]:
        robin.open(path)
        robin.expect_text(re.compile(message, re.IGNORECASE))
    page_checks.check(robin.page)
    robin.click("Sign out")
    robin.expect_text("You’re signed out")
    page_checks.check(robin.page)
