"""The console in a real browser, as support staff use it: each thing it does, wide and on a phone, and by keyboard alone."""

import asyncio
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from playwright.sync_api import Browser, expect

from app.db.engine import embedded, schema
from app.db.engine.dsn import DATABASE
from demo.stack import Stack
from tests.browser import looks
from tests.browser.visiting import Sitter, Visitor

Visit = Callable[[], Visitor]
Sit = Callable[..., Sitter]
pytestmark = pytest.mark.xdist_group("browser")  # one shop and one browser for all

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def spoiled(shop: Stack, statement: str) -> None:
    """
    Change what the database holds, as no page does, once the worker has nothing left to do that would change it back.

    In a thread, since a browser's is busy with a loop of its own.
    """

    async def change() -> None:
        dsn = await schema.create_database(await asyncio.to_thread(embedded.ensure, shop.folder), DATABASE)
        connection = await asyncpg.connect(dsn)
        async with asyncio.timeout(30):
            while await connection.fetchval("SELECT EXISTS (SELECT FROM events WHERE due_at IS NOT NULL)"):
                await asyncio.sleep(0.05)
        await connection.execute(statement)
        await connection.close()

    with ThreadPoolExecutor(1) as apart:
        apart.submit(asyncio.run, change()).result()


@pytest.fixture
def sit(browser: Browser, shop: Stack) -> Iterator[Sit]:
    """Have somebody sit down at the console. No other script may have run, and nothing been refused, when the test ends."""
    sitting: list[Sitter] = []

    def down(email: str = "agent@example.com", *, scripts: bool = True) -> Sitter:
        sitting.append(Sitter(browser, shop, scripts=scripts))
        sitting[-1].sits_down(email)
        return sitting[-1]

    yield down
    for sitter in sitting:
        sitter.close()
    assert [trouble for sitter in sitting for trouble in sitter.troubles] == []


def test_a_refund_from_the_search_to_the_end_by_keyboard_alone(visit: Visit, sit: Sit) -> None:
    """Signing in, typing three letters, and then three keys: open, go on, confirm. Every page is looked at on the way."""
    reader, robin = visit(), sit()
    reader.subscribed("Nia Fontaine", edition="Digital and print")
    robin.presses("Tab")
    expect(robin.page.get_by_role("link", name="Skip to the page")).to_be_focused()
    robin.presses("/")
    robin.page.keyboard.type("fontai")
    expect(robin.page.get_by_role("link", name="Nia Fontaine")).to_be_visible()
    looks.check(robin.page)
    robin.presses("ArrowDown")
    robin.presses("Enter")
    robin.is_at("/readers/rdr_")
    robin.sees("Nia Fontaine")
    robin.sees(re.compile(r"Paid until \d+ \w+ 20\d\d, print and digital"))
    looks.check(robin.page)

    robin.presses("r")
    robin.is_at("/payments/")
    robin.sees("Refund a payment of $73")
    looks.check(robin.page)
    robin.presses("Enter")
    robin.sees("Refund $73?")
    robin.sees("The subscription ends now")
    looks.check(robin.page)
    robin.presses("Enter")
    robin.is_at("/refunds/rfd_")
    robin.sees("Done: $73 given back")
    looks.check(robin.page)
    robin.presses("Enter")
    robin.sees("refunded under the money-back guarantee")
    looks.check(robin.page)
    reader.open("/account")
    reader.sees("Your subscription was refunded")


def test_a_name_a_search_and_a_note_that_are_scripts_are_words(visit: Visit, sit: Sit) -> None:
    """And a double click on what moves money moves it once."""
    reader, robin = visit(), sit()
    reader.subscribed(SCRIPT)
    robin.page.get_by_role("searchbox").fill(SCRIPT[:12])
    expect(robin.page.get_by_role("link", name=SCRIPT)).to_be_visible()
    robin.open(f"/readers?q={SCRIPT}<b>")
    robin.sees(f"Nobody is known by “{SCRIPT}<b>”")
    robin.open(f"/readers?q={reader.email}")
    robin.page.get_by_role("link", name=SCRIPT).click()
    expect(robin.page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
    robin.presses("r")
    robin.page.get_by_label("Note").fill(SCRIPT)
    robin.click("Go on")
    robin.sees(SCRIPT)
    robin.page.get_by_role("button", name="Refund $49").dblclick()
    robin.sees("Done: $49 given back")
    robin.sees(SCRIPT)
    robin.click("To <script>")
    expect(robin.page.locator("body script, img[src=x]")).to_have_count(0)
    expect(robin.page.get_by_role("row", name="the reader asked for it")).to_have_count(1)


def test_a_reader_is_served_cancelled_resumed_extended_comped_and_given_goodwill_by_two(visit: Visit, sit: Sit) -> None:
    """Each page is looked at; what two people have to agree on waits for the second."""
    reader, robin, sam, alex = visit(), sit(), sit("supervisor@example.com"), sit("admin@example.com")
    reader.subscribed("Ines Okafor")
    robin.open(f"/readers?q={reader.email}")
    robin.click("Ines Okafor")
    robin.is_at("/readers/rdr_")
    for key, page, button, said in (
        ("c", "/cancel", "Cancel the subscription", "The subscription ends with what is paid."),
        ("u", "/resume", "Have it go on", "The subscription goes on, and renews."),
        ("e", "/extend", "Extend", "Extended by 1: "),
        ("g", "/comp", "Give the comp", "They read as a guest until"),
    ):
        robin.presses(key)
        expect(robin.page).to_have_url(re.compile(page + "$"))
        robin.page.wait_for_load_state()
        looks.check(robin.page)
        robin.page.get_by_role("button", name=button).click()
        robin.sees(said)
    looks.check(robin.page)
    robin.page.get_by_label("Why is it taken back?").fill("Given to the wrong Ines.")
    robin.click("Take back")
    robin.sees("The comp was taken back.")
    robin.presses("r")
    robin.page.get_by_role("radio", name=re.compile("^Goodwill")).check()
    robin.page.get_by_label("How much, as goodwill?").fill("40")
    robin.click("Go on")
    robin.sees("waits for a supervisor")
    robin.click("Ask for $40")
    robin.sees("You asked for it, so somebody else decides.")
    looks.check(robin.page)
    sam.click("Approvals")
    sam.page.wait_for_url("**/approvals")
    looks.check(sam.page)
    sam.click("Ines Okafor")
    sam.click("Approve $40")
    sam.sees("Done: $40 given back")
    alex.click("Audit")
    alex.page.wait_for_url("**/audit")
    alex.page.get_by_label("What begins with").fill("refund.approved")
    alex.click("Show")
    alex.page.wait_for_url("**action=refund.approved**")
    expect(alex.page.get_by_role("row")).to_have_count(2)
    alex.sees("staff:staff-supervisor")
    looks.check(alex.page)


def test_events_that_failed_are_looked_at_again_one_or_all(visit: Visit, sit: Sit, shop: Stack) -> None:
    reader, alex = visit(), sit("admin@example.com")
    reader.subscribed("Remy Castellane")
    alex.open(f"/readers?q={reader.email}")
    alex.click("Remy Castellane")
    alex.sees("Known as")
    while not alex.page.get_by_text("it was given up: Boom").count():  # Stripe may only be telling of it now
        spoiled(
            shop, "UPDATE events SET state = 'dead', last_error = 'Boom', due_at = NULL WHERE type = 'invoice.paid'"
        )
        alex.page.reload()
    alex.click("Events")
    alex.page.wait_for_url("**/events")
    looks.check(alex.page)
    alex.page.get_by_role("button", name=re.compile("^Replay evt_")).first.click()
    alex.sees("is being looked at again.")
    spoiled(shop, "UPDATE events SET state = 'dead', last_error = 'Boom', due_at = NULL WHERE type LIKE 'invoice.%'")
    alex.open("/events")
    alex.click("Replay all of them")
    alex.sees(re.compile(r"\d+ events are being looked at again"))


def test_without_scripts_everything_works_with_a_click_more(visit: Visit, sit: Sit) -> None:
    reader, robin = visit(), sit(scripts=False)
    reader.subscribed("Kit Moreau")
    robin.page.get_by_role("searchbox").fill(reader.email)
    robin.presses("Enter")
    robin.click("Kit Moreau")
    robin.click("Refund…")
    robin.click("Go on")
    robin.click("Refund $49")
    robin.sees("Done: $49 given back")


def test_the_front_page_draws_what_it_counts(sit: Sit) -> None:
    sam = sit("supervisor@example.com")
    expect(sam.page.get_by_role("heading", name="New and lost, by week")).to_be_visible()
    for picture in sam.page.locator("main img").all():
        assert picture.evaluate("async image => { await image.decode(); return image.naturalWidth > 100 }")
    looks.check(sam.page)


def test_single_keys_can_be_turned_off(sit: Sit) -> None:
    robin = sit()
    robin.click("Turn keys off")
    robin.presses("/")
    expect(robin.page.get_by_role("searchbox")).not_to_be_focused()
    robin.click("Turn keys on")
    robin.presses("/")
    expect(robin.page.get_by_role("searchbox")).to_be_focused()


def test_what_is_refused_is_said_on_a_page_that_everybody_can_use(sit: Sit) -> None:
    robin = sit()
    for path, said in [
        ("/readers/rdr_made_up", "there is no such reader"),
        ("/nothing-here", "nothing at this address"),
    ]:
        robin.open(path)
        robin.sees(re.compile(said, re.IGNORECASE))
    looks.check(robin.page)
    robin.click("Sign out")
    robin.sees("You are signed out")
    looks.check(robin.page)
