"""The work queue at the console: what each role sees, and what staff do with an item."""

from datetime import timedelta

import pytest

from demo.browser import Page
from tests.console.conftest import OpenConsole
from tests.support.shop import Shop

READER = "INSERT INTO subscribers (id, sub, name, created_at) VALUES ('rdr_1', 'reader-1', 'Ada Invented', now())"
DISPUTE = (
    "INSERT INTO disputes (id, charge_id, subscriber_id, status, amount, currency, reason, due_by, is_charge_refundable,"
    " opened_at) VALUES ('dp_1', 'ch_1', 'rdr_1', 'needs_response', 4900, 'usd', 'fraudulent', '2026-03-02T18:00:00Z',"
    " false, '2026-02-20T18:00:00Z')"
)
FRAUD_CONCERN = (
    "INSERT INTO disputes (id, charge_id, subscriber_id, status, amount, currency, reason, is_charge_refundable, opened_at,"
    " closed_at, concern) VALUES ('dp_2', 'ch_2', 'rdr_1', 'won', 4900, 'usd', 'general', false, now(), now(),"
    " 'won_after_lost')"
)
EVENT = (
    "INSERT INTO events (id, type, state, payload, work_key, attempts, last_error)"
    " VALUES ('evt_1', 'invoice.paid', 'dead', '{}', '-', 9, 'No such <b>invoice</b>')"
)
ANOMALY = (
    "INSERT INTO anomalies (id, object_id, code, reason) VALUES ('ano_1', 'sub_x', 'quantity', 'The quantity is 40.')"
)


async def fill(shop: Shop) -> None:
    """Insert one item of several kinds."""
    for statement in (READER, DISPUTE, FRAUD_CONCERN, EVENT, ANOMALY):
        await shop.execute(statement)


def navigation(page: Page) -> str:
    """Return the text of the navigation."""
    return next(page.find("nav")).text


async def test_the_first_page_is_the_work_of_the_role(shop: Shop, open_console: OpenConsole) -> None:
    robin, alex = await open_console("agent@example.com"), await open_console("admin@example.com")
    lou = await open_console("circulation@example.com")
    assert "All done." in (await robin.open("/")).text
    await fill(shop)

    page = await robin.open("/")
    everything = await alex.open("/")

    assert "$49 disputed by Ada Invented" in page.text
    assert "Evidence due March 2, 2026" in page.text
    assert "The quantity is 40." in page.text
    assert page.text.index("disputed by") < page.text.index("The quantity is 40.")
    assert "invoice.paid" not in page.text, "events are for administrators"
    assert "invoice.paid failed permanently" in everything.text
    assert "No such <b>invoice</b>" in everything.text, "the error is text, not HTML"
    assert "Queue 3 open" in navigation(page)
    assert "Events 1 open" in navigation(everything)
    assert "for support, supervisors and administrators" in (await lou.open("/")).text
    assert (await robin.open("/queue/evt_1")).status == 403
    assert (await robin.open("/queue/evt_9")).status == 404


async def test_an_item_is_assigned_noted_snoozed_and_wakes_up(shop: Shop, open_console: OpenConsole) -> None:
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    await fill(shop)

    page = await robin.submit(await robin.open("/"), "/queue/ano_1/assign")
    assert "Assigned to you." in page.text
    assert "Robin Vance" in (await sam.open("/")).text
    assert "The quantity is 40." in (await robin.open("/?view=mine")).text
    assert "disputed by" not in (await robin.open("/?view=mine")).text
    assert "The quantity is 40." not in (await sam.open("/?view=unassigned")).text

    stale = await sam.open("/queue/ano_1")
    page = await robin.submit(await robin.open("/queue/ano_1"), "/note", note="Asked <Ada>.\nWaiting.")
    assert "Note saved." in page.text
    refused = await sam.submit(stale, "/note", note="My own words")
    assert (refused.status, "Someone else changed this item" in refused.text) == (409, True)
    assert "My own words" in refused.text, "the input is kept"

    missing = await robin.submit(page, "/snooze", until="")
    assert (missing.status, "Enter a date." in missing.text) == (422, True)
    page = await robin.submit(page, "/snooze", until="2026-04-01")
    assert "Snoozed until April 1, 2026, or until it changes." in page.text
    assert "The quantity is 40." not in page.text
    assert "The quantity is 40." in (await robin.open("/?view=snoozed")).text
    await shop.execute("UPDATE anomalies SET reason = 'The quantity is 41.'")
    assert "The quantity is 41." in (await sam.open("/")).text

    actions = await shop.rows("SELECT action FROM audit_log WHERE object_id = 'ano_1' ORDER BY id")
    assert [row["action"] for row in actions] == ["work_item.assigned", "work_item.noted", "work_item.snoozed"]


@pytest.mark.parametrize(
    ("form", "field", "value"),
    [("note", "note", "Asked Ada."), ("snooze", "until", "2027-01-15"), ("dismiss", "reason", "Told Ada.")],
)
async def test_forms_of_an_item_keep_their_input_over_a_sign_in(
    shop: Shop, open_console: OpenConsole, form: str, field: str, value: str
) -> None:
    robin = await open_console("agent@example.com")
    await fill(shop)
    tab = await robin.open("/queue/dp_2")
    robin.browser._client.cookies.delete("newsstand_console")
    await robin.open("/")  # in another tab: the provider still knows the person
    again = await robin.submit(tab, f"/{form}", **{field: value})
    assert (again.status, "You have signed in again" in again.text) == (403, True)
    assert again.form(f"/{form}").values()[field] == value

    await robin.backdate(idle_for=timedelta(minutes=61))
    refused = await robin.submit(again, f"/{form}")
    link = next(a for a in refused.find("a") if a.text == "Sign in and continue")
    restored = await robin.browser.open(refused.resolve(link.attributes["href"]))
    assert restored.form(f"/{form}").values()[field] == value
    assert (await robin.submit(restored, f"/{form}")).status == 200


async def test_a_change_during_a_sign_in_is_not_overwritten(shop: Shop, open_console: OpenConsole) -> None:
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    await fill(shop)
    tab = await robin.open("/queue/dp_1")
    await sam.submit(await sam.open("/queue/dp_1"), "/note", note="Sam’s note")
    robin.browser._client.cookies.delete("newsstand_console")
    await robin.open("/")
    again = await robin.submit(tab, "/note", note="Robin’s note")
    conflict = await robin.submit(again, "/note")
    assert (conflict.status, "Someone else changed this item" in conflict.text) == (409, True)
    assert conflict.form("/note").values()["note"] == "Robin’s note"


async def test_a_snooze_ends_before_the_evidence_deadline(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await fill(shop)

    page = await robin.submit(await robin.open("/queue/dp_1"), "/snooze", until="2026-03-20")

    assert (page.status, "until after its evidence deadline" in page.text) == (422, True)
    assert next(page.find("input", name="until")).attributes["value"] == "2026-03-20"


async def test_an_item_is_dismissed_with_what_was_done(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await fill(shop)
    item = await robin.open("/queue/dp_2")

    refused = await robin.submit(item, "/dismiss", reason="")
    done = await robin.submit(item, "/dismiss", reason="Checked.")

    assert (refused.status, "Say what you did." in refused.text) == (422, True)
    assert "Dismissed." in done.text
    assert (await robin.open("/queue/dp_2")).status == 404
    assert (await robin.submit(item, "/dismiss", reason="Again")).status == 404


async def test_a_long_queue_is_counted_up_to_99_and_paged(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.execute(
        "INSERT INTO anomalies (id, object_id, code, reason, seen_at) SELECT 'ano_' || k, 'sub_' || k, 'quantity',"
        " 'Quantity ' || k || '.', now() + interval '1 second' * k FROM generate_series(1, 120) AS k"
    )

    first = await robin.open("/")
    page = await robin.open("/?kind=anomaly")
    link = next(a.attributes["href"] for a in page.find("a") if "Next page" in a.text)
    following = await robin.browser.open(page.resolve(link))

    assert "Queue 99+ open" in navigation(first)
    assert ("Quantity 8." in first.text, "Quantity 9." in first.text) == (True, False)
    assert ("Quantity 50." in page.text, "Quantity 51." in page.text) == (True, False)
    assert ("Quantity 51." in following.text, "Quantity 101." in following.text) == (True, False)


async def test_disputes_are_listed_by_deadline_open_and_closed(shop: Shop, open_console: OpenConsole) -> None:
    robin, lou = await open_console("agent@example.com"), await open_console("circulation@example.com")
    assert "No open disputes." in (await robin.open("/disputes")).text
    assert "No dispute was closed yet." in (await robin.open("/disputes?state=closed")).text
    await fill(shop)

    page, closed = await robin.open("/disputes"), await robin.open("/disputes?state=closed")

    assert "Disputes 1 open" in navigation(page)
    assert "Ada Invented" in page.text
    assert "Mar 2, 2026" in page.text
    assert "dp_1" in page.text
    assert "dp_2" not in page.text
    assert "dp_2" in closed.text
    assert "dp_1" not in closed.text
    assert (await robin.open("/disputes?state=x&after=dp_none")).status == 200
    assert (await lou.open("/disputes")).status == 403
