"""Support holds a reader's copies, lifts the hold, and claims a copy that did not arrive."""

from datetime import UTC, datetime

from tests.console.conftest import OpenConsole
from tests.console.test_forms import error_of
from tests.console.test_issues import CUTOFF, ISSUE, main_text
from tests.support.labels import NEW_HOME, freeze, move
from tests.support.shop import Shop

MAILED = datetime(2026, 3, 20, 18, tzinfo=UTC)


async def test_support_holds_copies_and_claims_one(shop: Shop, open_console: OpenConsole) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    (row,) = await shop.rows("SELECT subscriber_id AS reader, id AS subscription FROM subscriptions")
    reader, robin = f"/readers/{row['reader']}", await open_console("agent@example.com")

    form = await robin.open(f"{reader}/holds")
    wrong = await robin.submit(form, "/holds", since="soon", ends="issues", issues="0")
    assert error_of(wrong, "since") == "Enter a date such as 2027-03-01."
    assert error_of(wrong, "issues") == "Enter a whole number from 1 to 1,000."
    past = await robin.submit(form, "/holds", since="2026-03-01", until="2026-04-01")
    assert (past.status, past.form("/holds").values()["until"]) == (422, "2026-04-01")
    held = await robin.submit(form, "/holds", since="2026-03-15", ends="issues", issues="2")
    assert "Holds issues 6, 7." in main_text(held)
    lifted = await robin.submit(held, "/lift")
    assert "Hold lifted." in main_text(lifted)

    await shop.advance_to(MAILED)
    claim = f"/subscriptions/{row['subscription']}/issues/{ISSUE}/claim"
    links = [link.attributes["href"] for link in (await robin.open(reader)).find("a")]
    assert f"/console{claim}" in links
    extend = f"/subscriptions/{row['subscription']}/extend"
    offered = await robin.open(extend)
    assert "Did a copy not arrive? Claim it instead" in main_text(offered)
    assert f"/console{claim}" in [link.attributes["href"] for link in offered.find("a")]
    form = await robin.open(claim)
    assert "1 Lantern Street" in main_text(form)
    await move(shop, shop.person("ada"), NEW_HOME)  # after the cut-off, so the copy went to the old address
    moved = await robin.open(claim)
    elsewhere = await robin.submit(moved, "/claim", reason="not_received")
    refused = f"Issue {ISSUE} was sent to the address that was valid at its label cut-off."
    assert (elsewhere.status, error_of(elsewhere, "address")) == (422, refused)
    form = await robin.open(claim)
    done = await robin.submit(form, "/claim", address="label", reason="damaged", note="Wet.")
    assert f"Copy of issue {ISSUE} claimed. A replacement goes out with the next supplement." in main_text(done)
    assert (await robin.submit(form, "/claim", address="label", reason="damaged", note="Wet.")).status == 200
    assert "Did a copy not arrive?" not in main_text(await robin.open(extend))
    links = [link.attributes["href"] for link in (await robin.open(reader)).find("a")]
    assert f"/console{claim}" not in links, "what was claimed can't be claimed again"
    again = await robin.submit(await robin.open(claim), "/claim", address="label", reason="not_received")
    assert again.status == 409
    assert len(await shop.rows("SELECT FROM claims")) == 1
    supplement = await freeze(shop, ISSUE, supplement=True)
    assert supplement["counts"]["copies"] == 1
    assert "replacement" in main_text(await robin.open(reader))
