"""The list of readers: its filters, its pages and its export."""

import csv
import io
from datetime import timedelta

import pytest

from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.console.test_reader_search import names, search
from tests.support.shop import Shop

READERS = """
INSERT INTO subscribers (id, sub, name, email, created_at) SELECT 'rdr_' || one.name, one.name, one.name,
    lower(one.name) || '@example.com', now() - one.age * interval '1 day'
FROM (VALUES ('Active', 9), ('Printed', 8), ('Overdue', 7), ('Ending', 6), ('Later', 5), ('Gone', 4), ('Back', 3),
    ('Guest', 2), ('Disputed', 1), ('Nobody', 0)) AS one (name, age);
INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
    created_at, work_key, cancel_at, ended_here_at, card_last4)
SELECT 'scr_' || one.id, 'sub_' || one.id, 'rdr_' || reader, 1, plan, reader = 'Printed', status, 4900, 'usd',
    timestamptz '2026-01-01' + one.id::int * interval '1 hour', 'k' || one.id, ends, over, '424' || one.id
FROM (VALUES ('1', 'Active', 'annual', 'active', NULL, NULL), ('2', 'Printed', 'annual', 'active', NULL, NULL),
    ('3', 'Overdue', 'annual', 'past_due', NULL, NULL),
    ('4', 'Ending', 'annual', 'active', timestamptz '2026-03-10', NULL),
    ('5', 'Later', 'old', 'active', timestamptz '2026-09-10', NULL),
    ('6', 'Gone', 'annual', 'canceled', NULL, timestamptz '2026-02-01'),
    ('7', 'Back', 'annual', 'canceled', NULL, NULL), ('8', 'Back', 'annual', 'active', NULL, NULL),
    ('9', 'Disputed', 'annual', 'active', NULL, NULL)) AS one (id, reader, plan, status, ends, over);
INSERT INTO comps (id, subscriber_id, plan, starts_at, until, reason, given_by)
SELECT 'cmp_' || reader, 'rdr_' || reader, 'annual', timestamptz '2026-01-01', until, 'press', 'staff:x'
FROM (VALUES ('Guest', timestamptz '2026-06-01'), ('Gone', timestamptz '2026-02-01')) AS one (reader, until);
INSERT INTO disputes (id, charge_id, subscriber_id, status, amount, currency, reason, is_charge_refundable, opened_at,
    closed_at)
VALUES ('dp_1', 'ch_1', 'rdr_Disputed', 'needs_response', 4900, 'usd', 'fraudulent', false, now(), NULL),
    ('dp_2', 'ch_2', 'rdr_Gone', 'lost', 4900, 'usd', 'fraudulent', false, now(), now())
"""


async def test_an_older_subscription_that_ends_does_not_list_its_reader(shop: Shop, open_console: OpenConsole) -> None:
    """The current subscription counts, and a reader with two that end is listed once."""
    robin = await open_console("agent@example.com")
    await fill(shop)
    await shop.execute("UPDATE subscriptions SET status = 'active', cancel_at = '2026-03-09' WHERE id = 'scr_7'")
    assert names(await search(robin, shop, ends_soon="yes")) == ["Ending"]
    await shop.execute("UPDATE subscriptions SET cancel_at = '2026-03-11' WHERE id = 'scr_8'")
    assert names(await search(robin, shop, ends_soon="yes")) == ["Ending", "Back"]


async def fill(shop: Shop) -> None:
    for statement in READERS.split(";"):
        await shop.execute(statement)
    await shop.wait_for_names()


async def test_filters_find_the_readers_and_are_the_same_in_the_api(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await fill(shop)
    everyone = ["Nobody", "Disputed", "Guest", "Back", "Gone", "Later", "Ending", "Overdue", "Printed", "Active"]
    expected: list[tuple[dict[str, str], list[str]]] = [
        ({}, everyone),
        ({"status": "active"}, ["Disputed", "Back", "Later", "Ending", "Printed", "Active"]),
        ({"status": "past_due"}, ["Overdue"]),
        ({"status": "canceled"}, ["Gone"]),
        ({"status": "paused"}, []),
        ({"plan": "old"}, ["Later"]),
        ({"plan": "annual", "status": "active", "edition": "digital"}, ["Disputed", "Back", "Ending", "Active"]),
        ({"edition": "print"}, ["Printed"]),
        ({"unpaid": "yes"}, ["Overdue"]),
        ({"ends_soon": "yes"}, ["Ending"]),
        ({"ends_soon": "yes", "plan": "old"}, []),
        ({"disputed": "yes"}, ["Disputed"]),
        ({"disputed": "yes", "unpaid": "yes"}, []),
        ({"complimentary": "yes"}, ["Guest"]),
        ({"complimentary": "yes", "status": "active"}, []),
        ({"q": "e", "status": "active"}, ["Ending"]),
        ({"q": "4244"}, ["Ending"]),
        ({"q": "ending 4244"}, ["Ending"]),
        ({"q": "active 4244"}, []),
        ({"q": "guest@example.com", "complimentary": "yes"}, ["Guest"]),
        ({"q": "guest@example.com", "unpaid": "yes"}, []),
        ({"status": "nonsense", "edition": "<b>", "unpaid": "maybe"}, everyone),
    ]
    for parameters, found in expected:
        page = await search(robin, shop, **parameters)
        assert names(page) == found, parameters
        if "nonsense" not in parameters.values():
            asked = {name: "true" if value == "yes" else value for name, value in parameters.items()}
            answer = await shop.http.get("/v1/support/subscribers", headers=shop.agent.headers, params=asked)
            assert [one["name"] for one in answer.json()["data"]] == found, parameters


async def test_what_ended_here_is_listed_as_canceled_whatever_stripe_says(
    shop: Shop, open_console: OpenConsole
) -> None:
    robin, dana = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    await fill(shop)
    await shop.execute("UPDATE subscriptions SET ended_here_at = '2026-03-01' WHERE id IN ('scr_1', 'scr_2', 'scr_3')")
    expected: list[tuple[dict[str, str], list[str]]] = [
        ({"status": "active"}, ["Disputed", "Back", "Later", "Ending"]),
        ({"status": "canceled"}, ["Gone", "Overdue", "Printed", "Active"]),
        ({"status": "canceled", "edition": "print"}, ["Printed"]),
        ({"status": "past_due"}, []),
        ({"unpaid": "yes"}, []),
        ({"plan": "annual"}, ["Disputed", "Back", "Gone", "Ending", "Overdue", "Printed", "Active"]),
        ({"edition": "print"}, ["Printed"]),
        ({"q": "printed@example.com", "status": "canceled"}, ["Printed"]),
        ({"q": "printed@example.com", "status": "active"}, []),
        ({"q": "overdue", "status": "canceled"}, ["Overdue"]),
    ]
    for parameters, found in expected:
        assert names(await search(robin, shop, **parameters)) == found, parameters
        answer = await shop.http.get("/v1/support/subscribers", headers=shop.agent.headers, params=parameters)
        assert [one["name"] for one in answer.json()["data"]] == found, parameters
    _, *rows = await export(dana, "?status=canceled&plan=annual")
    assert [row[:3] for row in rows] == [
        [name, f"{name.lower()}@example.com", "canceled"] for name in ("Gone", "Overdue", "Printed", "Active")
    ]


async def test_results_show_status_and_plan(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    ada = shop.person("ada")
    await shop.subscribe(ada)
    page = await search(robin, shop, q="ada@example.com")
    (facts,) = page.find("span", class_="result-facts")
    assert facts.text.startswith("Active")
    assert "digital" in facts.text
    assert "Paid until" in facts.text
    answer = await shop.http.get("/v1/support/subscribers", headers=shop.agent.headers, params={"q": "ada@example.com"})
    (found,) = answer.json()["data"]
    assert (found["status"], found["plan"], found["print_edition"]) == ("active", "annual", False)


async def test_reader_is_found_by_the_card_that_pays(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.subscribe(shop.person("ada"))
    await shop.wait_until_idle()
    assert await shop.rows("SELECT card_brand, card_last4 FROM subscriptions") == [
        {"card_brand": "visa", "card_last4": "4242"}
    ]
    (reader,) = await shop.rows("SELECT coalesce(name, email, sub) AS shown FROM subscribers")
    assert names(await search(robin, shop, q="4242")) == [reader["shown"]]
    assert names(await search(robin, shop, q="4241")) == []
    (known,) = await shop.rows("SELECT id FROM subscribers")
    assert "paid by Visa ending in 4242" in (await robin.open(f"/readers/{known['id']}")).text


async def test_list_is_paginated_by_value(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.execute(
        "INSERT INTO subscribers (id, sub, name, created_at) SELECT 'rdr_' || n, n, 'Kit ' || n,"
        " now() - n / 3 * interval '1 day' FROM generate_series(1, 45) n"
    )
    page, seen = await robin.open("/readers"), []
    while True:
        seen += names(page)
        more = next((a for a in page.find("a") if a.text == "More results"), None)
        if more is None:
            break
        await shop.execute(f"INSERT INTO subscribers (id, sub, name) VALUES ('new{len(seen)}', 'n{len(seen)}', 'New')")
        page = await robin.browser.open(page.resolve(more.attributes["href"]))
    assert sorted(seen) == sorted(f"Kit {n}" for n in range(1, 46))


@pytest.mark.parametrize(
    "cursor", ["x", "2026-01-01~rdr_1", "nan~rdr_1", "1.5", "9999999999~x", "2026-01-01T00:00:00+00:00~"]
)
async def test_invalid_cursor_is_refused_by_the_api_and_ignored_by_the_page(
    shop: Shop, open_console: OpenConsole, cursor: str
) -> None:
    robin = await open_console("agent@example.com")
    await fill(shop)
    answer = await shop.http.get("/v1/support/subscribers", headers=shop.agent.headers, params={"after": cursor})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_cursor"), answer.text
    assert len(names(await search(robin, shop, after=cursor))) == 10


async def export(browser: ConsoleBrowser, parameters: str = "") -> list[list[str]]:
    answer = await browser.browser._client.get(f"{browser.shop.url}/console/readers.csv{parameters}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return list(csv.reader(io.StringIO(answer.content.decode("utf-8-sig"))))


async def test_export_has_all_pages_and_no_formulas(shop: Shop, open_console: OpenConsole) -> None:
    dana = await open_console("supervisor@example.com")
    await shop.execute(
        "INSERT INTO subscribers (id, sub, name, email) SELECT 'rdr_' || n, n, CASE WHEN n = 1 THEN '=HYPERLINK(\"x\")'"
        " ELSE 'Ünal, \"Kit\" ' || n END, n || '@example.com' FROM generate_series(1, 1234) n"
    )
    header, *rows = await export(dana)
    assert header[:3] == ["Name", "Email", "Status"]
    assert len({row[7] for row in rows}) == 1234
    assert {row[0] for row in rows} >= {'\'=HYPERLINK("x")', 'Ünal, "Kit" 2'}
    viewed = await shop.rows("SELECT count(*) AS views FROM reader_views WHERE place = 'export'")
    assert viewed[0]["views"] == 1234


async def test_export_is_recorded_with_its_filters(shop: Shop, open_console: OpenConsole) -> None:
    dana = await open_console("supervisor@example.com")
    await fill(shop)
    _, *rows = await export(dana, "?unpaid=yes&plan=annual")
    assert [row[:5] for row in rows] == [["Overdue", "overdue@example.com", "past_due", "annual", "digital"]]
    (entry,) = await shop.rows("SELECT actor, after FROM audit_log WHERE action = 'readers.exported'")
    assert entry["actor"].startswith("staff:")
    assert "unpaid" in entry["after"]
    assert "annual" in entry["after"]


async def test_export_needs_a_supervisor_with_a_recent_sign_in(shop: Shop, open_console: OpenConsole) -> None:
    robin, dana = await open_console("agent@example.com"), await open_console("supervisor@example.com")
    assert "Export" not in (await robin.open("/readers")).text
    assert (await robin.open("/readers.csv")).status == 403
    assert "Export as CSV" in (await dana.open("/readers")).text
    await dana.backdate(signed_in_at=timedelta(hours=3))
    answer = await dana.browser._client.get(f"{shop.url}/console/readers.csv", follow_redirects=False)
    assert answer.status_code == 303
    assert not await shop.rows("SELECT FROM audit_log WHERE action = 'readers.exported'")
