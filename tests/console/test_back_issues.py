"""Support orders more back issues than one person may: a supervisor approves them."""

from datetime import UTC, datetime

from tests.console.conftest import OpenConsole
from tests.console.test_issues import CUTOFF, ISSUE, main_text
from tests.support.labels import freeze
from tests.support.shop import Shop


async def test_a_back_issue_above_the_limit_is_approved_by_a_supervisor(shop: Shop, open_console: OpenConsole) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    await shop.advance_to(CUTOFF)
    await freeze(shop, ISSUE)
    await shop.advance_to(datetime(2026, 3, 20, 18, tzinfo=UTC))
    (row,) = await shop.rows("SELECT id AS subscription FROM subscriptions")
    for n in range(6):
        body = {"subscription": row["subscription"], "issue": ISSUE}
        key = {"Idempotency-Key": f"order-{n}"}
        assert (await shop.post("/v1/support/back-issues", shop.agent, body, **key)).status_code == 201
    robin, sam = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    order = f"/subscriptions/{row['subscription']}/back-issue"

    asked = await robin.submit(await robin.open(order), "/back-issue", number=str(ISSUE))

    assert f"Back issue {ISSUE} is waiting for approval" in main_text(asked)
    assert "Awaiting approval" in main_text(await robin.open(order))
    assert "Back issue for" in main_text(await sam.open("/"))
    listed = await sam.open("/approvals")
    assert "Back issue" in main_text(listed)
    path = asked.url.partition("/console")[2]
    approved = await sam.submit(await sam.open(path), "/approve")
    assert "Approved. The issue goes out with its next supplement." in main_text(approved)
    assert (await freeze(shop, ISSUE, supplement=True))["counts"]["copies"] == 7
