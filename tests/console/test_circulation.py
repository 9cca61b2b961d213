"""The circulation desk orders a back issue, enters a press run, lists the claims and reads the statement."""

from datetime import UTC, datetime

from tests.console.conftest import OpenConsole
from tests.console.test_forms import error_of
from tests.console.test_issues import CUTOFF, ISSUE, main_text
from tests.support.labels import freeze
from tests.support.shop import Shop

MAILED = datetime(2026, 3, 20, 18, tzinfo=UTC)
PERIOD = "from=2026-03-01&to=2026-03-31"


async def test_circulation_from_back_issue_to_statement(shop: Shop, open_console: OpenConsole) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    await shop.advance_to(MAILED)
    (row,) = await shop.rows("SELECT subscriber_id AS reader, id AS subscription FROM subscriptions")
    order = f"/subscriptions/{row['subscription']}/back-issue"
    robin, lou = await open_console("agent@example.com"), await open_console("circulation@example.com")

    links = [link.attributes["href"] for link in (await robin.open(f"/readers/{row['reader']}")).find("a")]
    assert f"/console{order}" in links
    form = await robin.open(order)
    wrong = await robin.submit(form, "/back-issue", number="soon", note="For a friend.")
    assert error_of(wrong, "number") == "Enter a whole number from 1 to 1,000,000,000."
    assert wrong.form("/back-issue").values()["note"] == "For a friend."
    unknown = await robin.submit(form, "/back-issue", number="999")
    assert error_of(unknown, "number") == "There is no issue 999."
    future = await robin.submit(form, "/back-issue", number=str(ISSUE + 3))
    assert error_of(future, "number") == f"Issue {ISSUE + 3} is not mailed yet."
    ordered = await robin.submit(form, "/back-issue", number=str(ISSUE))
    assert f"Issue {ISSUE} ordered." in main_text(ordered)
    assert (await robin.submit(form, "/back-issue", number=str(ISSUE))).status == 200
    assert len(await shop.rows("SELECT FROM back_issues")) == 1
    ordered_before = await robin.open(order)
    assert f"No. {ISSUE}, ordered on" in main_text(ordered_before)
    assert "/console/back-issues" in [link.attributes["href"] for link in ordered_before.find("a")]
    orders = await robin.open(f"/back-issues?issue={ISSUE}")
    assert f"No. {ISSUE} Ada" in main_text(orders)
    assert "Ordered" in main_text(orders)
    assert "No orders match the filter." in main_text(await robin.open("/back-issues?issue=1"))

    claim = f"/subscriptions/{row['subscription']}/issues/{ISSUE}/claim"
    await robin.submit(await robin.open(claim), "/claim", reason="damaged", note="Wet.")
    claims = main_text(await lou.open(f"/claims?issue={ISSUE}"))
    assert "Ada" in claims
    assert "Granted" in claims
    assert "No claims match the filters." in main_text(await lou.open("/claims?waiting=yes"))
    assert (await robin.open("/claims")).status == 403

    missing = main_text(await lou.open(f"/circulation?{PERIOD}"))
    assert f"Press run missing: issue {ISSUE}" in missing
    form = await lou.open(f"/issues/{ISSUE}/circulation")
    wrong = await lou.submit(form, "/circulation", press_run="-5", dealer_sales="3")
    assert error_of(wrong, "press_run") == "Enter a whole number from 0 to 1,000,000,000."
    assert wrong.form("/circulation").values()["dealer_sales"] == "3"
    saved = main_text(await lou.submit(form, "/circulation", press_run="1,000", dealer_sales="20"))
    assert f"Press run of issue {ISSUE} saved." in saved
    statement = main_text(await lou.open(f"/circulation?{PERIOD}"))
    assert "15a Total number of copies (net press run) 1,000 1,000" in statement
    assert "15b3 Paid: sold outside the mails 20 20" in statement
    refused = main_text(await lou.open("/circulation?from=2026-03-31&to=2026-03-01"))
    assert "The first day must be before the last day" in refused

    exported = await lou.open(f"/circulation.csv?{PERIOD}")
    assert exported.text.startswith(
        f"line,title,average,issue {ISSUE} 15a,Total number of copies (net press run),1000,1000"
    )
    in_county = await lou.open(f"/issues/{ISSUE}/circulation.csv?line=15b2")
    assert "Ada Invented" in in_county.text, "the label that the figure counts"
    outside = await lou.open(f"/issues/{ISSUE}/circulation.csv?line=15b1")
    assert "Ada Invented" not in outside.text
    await lou.submit(form, "/circulation", press_run="1,000", single_copies_mailed="30")
    entered = main_text(await lou.open(f"/issues/{ISSUE}/circulation"))
    assert "15b4 Paid: mailed at other classes (30 entered, without labels) 30" in entered
