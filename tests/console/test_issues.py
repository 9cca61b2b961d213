"""The circulation desk: the calendar of a year, moving an issue, its label run, supplements and the file."""

from datetime import UTC, datetime

from demo.browser import Page
from tests.console.conftest import OpenConsole
from tests.console.test_forms import error_of
from tests.support.labels import CABIN, move
from tests.support.shop import Shop

ISSUE = 5  # of the planned ones: it closes at the end of March 8, 2026 in Chicago, and is mailed on March 17
CUTOFF = datetime(2026, 3, 9, 5, tzinfo=UTC)
NEW = {
    "number": "31",
    "title": "Winter lights",
    "cover_date": "2027-04-20",
    "planned_mail_date": "4/15/2027",
    "label_cutoff": "2027-04-05",
    "counts_as": "2",
}


def main_text(page: Page) -> str:
    return " ".join(next(page.find("main")).text.split())


async def test_a_double_issue_is_added_after_its_effects_are_shown(shop: Shop, open_console: OpenConsole) -> None:
    await shop.plan_issues(30)
    lou = await open_console("circulation@example.com")
    front = await lou.open("/issues")
    assert "Next label cut-off: issue 5 , at the end of March 8, 2026 (in 7 days)." in main_text(front)
    form = await lou.open("/issues/new")
    assert form.form("/issues/new").values()["number"] == "31"
    assert form.form("/issues/new").values()["planned_mail_date"] == "2027-04-11"

    taken = await lou.submit(form, "/issues/new", **NEW | {"number": "30"})
    assert error_of(taken, "number") == "Issue 30 exists already. Choose another number."
    early = await lou.submit(
        form, "/issues/new", **NEW | {"planned_mail_date": "2027-01-01", "label_cutoff": "2026-12-01"}
    )
    assert "Issues are mailed in the order of their numbers." in error_of(early, "planned_mail_date")
    wrong = await lou.submit(form, "/issues/new", title="", label_cutoff="2027-04-16", counts_as="7", cover_date="soon")
    assert (wrong.status, error_of(wrong, "title")) == (422, "Enter a title.")
    assert error_of(wrong, "cover_date") == "Enter a date such as 2027-03-01."
    assert error_of(wrong, "counts_as") == "Choose an option from the list."
    late = await lou.submit(form, "/issues/new", **NEW | {"label_cutoff": "2027-04-16"})
    assert error_of(late, "label_cutoff") == "The label cut-off can’t be after the mail date, April 15, 2027."
    assert late.form("/issues/new").values()["title"] == "Winter lights"

    passed = await lou.submit(form, "/issues/new", **NEW | {"label_cutoff": "2026-02-01"})
    assert "has passed, and the issue is not mailed yet." in error_of(passed, "label_cutoff")

    confirm = await lou.submit(form, "/issues/new", **NEW)
    assert confirm.title.startswith("Add issue 31?")
    assert "The labels of issue 31 close at the end of April 5, 2027." in main_text(confirm)
    assert await shop.rows("SELECT FROM issues WHERE number = 31") == []
    done = await lou.submit(confirm, "/issues/31/confirm")
    assert "Issue 31 saved." in main_text(done)
    assert (await shop.rows("SELECT counts_as, title FROM issues WHERE number = 31")) == [
        {"counts_as": 2, "title": "Winter lights"}
    ]
    year = main_text(await lou.open("/issues?year=2027"))
    assert "No. 31 Winter lights" in year
    assert "Double" in year


async def test_moving_an_issue_shows_readers_and_cutoffs_and_notices_a_rival(
    shop: Shop, open_console: OpenConsole
) -> None:
    await shop.plan_issues(30)
    await shop.subscribe(shop.person("ada"), print_edition=True)
    lou = await open_console("circulation@example.com")
    form = await lou.open("/issues/6/edit")
    confirm = await lou.submit(form, "/issues/6/edit", label_cutoff="2026-03-04")
    text = main_text(confirm)
    assert "1 reader is owed this issue in print." in text
    assert "The labels of issue 5 close at the end of March 4, 2026, no longer at the end of March 8, 2026." in text
    assert "The labels of issue 6 close at the end of March 4, 2026, no longer at the end of March 23, 2026." in text

    other = await lou.submit(form, "/issues/6/edit", title="Another title")
    assert "Issue 6 saved." in main_text(await lou.submit(other, "/issues/6/confirm"))
    refused = await lou.submit(confirm, "/issues/6/confirm")
    assert (refused.status, "Someone else changed this issue in the meantime." in main_text(refused)) == (422, True)
    assert "Issue 6 saved." in main_text(await lou.submit(refused, "/issues/6/confirm"))
    assert "Issue 6 saved." in main_text(await lou.submit(refused, "/issues/6/confirm")), (
        "a second click changes nothing"
    )
    (row,) = await shop.rows("SELECT title, label_cutoff::text FROM issues WHERE number = 6")
    assert row == {"title": "Issue 6", "label_cutoff": "2026-03-04"}
    assert (await lou.open("/issues/99")).status == 404
    assert (await lou.open("/issues/99999999999")).status == 404
    assert (await lou.open("/issues/-1/edit")).status == 404


async def test_labels_are_frozen_supplemented_and_downloaded(shop: Shop, open_console: OpenConsole) -> None:
    await shop.plan_issues(30)
    ada, ben = shop.person("ada"), shop.person("ben")
    for reader in (ada, ben):
        await shop.subscribe(reader, print_edition=True)
    await shop.execute(
        "UPDATE postal_addresses SET is_usable = false, problems = '{postal_code:required}'"
        " WHERE subscriber_id = (SELECT id FROM subscribers WHERE sub = 'ben')"
    )
    lou = await open_console("circulation@example.com")
    early = await lou.open(f"/issues/{ISSUE}/label-run")
    assert "A preview as of now." in main_text(early)
    assert "The postal address can’t be used 1" in main_text(early)
    assert [
        one.attributes.get("action", "") for one in early.find("form") if "label-run" in one.attributes["action"]
    ] == []
    listed = main_text(await lou.open("/addresses"))
    assert "Ben" in listed
    assert "The postal code is missing" in listed

    await shop.advance_to(CUTOFF)
    assert "Labels to freeze: the cut-off of issue 5 has passed." in main_text(await lou.open("/"))
    page = await lou.open(f"/issues/{ISSUE}/label-run")
    assert "United States" in main_text(page)
    unchecked = await lou.submit(page, "/label-run")
    assert error_of(unchecked, "checked") == "Check the numbers, then confirm that they are right."
    frozen = await lou.submit(unchecked, "/label-run", checked="yes")
    assert "Label run frozen: 1 copy." in main_text(frozen)
    twice = await lou.submit(unchecked, "/label-run", checked="yes")
    assert (twice.status, len(await shop.rows("SELECT FROM label_runs"))) == (200, 1)
    await shop.wait_until_idle()

    await move(shop, ben, CABIN)
    supplement = await lou.open(f"/issues/{ISSUE}/supplement")
    assert "Supplement 1 of issue 5" in main_text(supplement)
    done = await lou.submit(supplement, "/supplement", checked="yes")
    assert "Supplement 1 frozen: 1 copy." in main_text(done)
    file = await lou.open(f"/issues/{ISSUE}/labels.csv?supplement=1")
    assert "Duluth" in file.text
    assert (await lou.open(f"/issues/{ISSUE}/labels.csv?supplement=2")).status == 404
    form = await lou.submit(await lou.open(f"/issues/{ISSUE}/edit"), f"/issues/{ISSUE}/edit", counts_as="2")
    assert "The labels of this issue are frozen" in error_of(form, "label_cutoff")
    actions = await shop.rows("SELECT action FROM audit_log WHERE action LIKE 'labels.%' ORDER BY id")
    assert [row["action"] for row in actions] == ["labels.frozen", "labels.supplemented", "labels.downloaded"]
