"""Searching for readers, and the number of queries of each page."""

import asyncio

import pytest

from bench import query_recorder
from demo.browser import Page
from tests.console.conftest import ConsoleBrowser, OpenConsole
from tests.support.labels import NEW_HOME
from tests.support.shop import Shop


def names(page: Page) -> list[str]:
    return [link.text for results in page.find("ul", class_="results") for link in results.find("b")]


async def search(robin: ConsoleBrowser, shop: Shop, **parameters: str) -> Page:
    """Open the list of readers with a search and filters."""
    url = robin.browser._client.build_request("GET", f"{shop.url}/console/readers", params=parameters).url
    return await robin.browser.open(str(url))


async def add_readers(shop: Shop, **named: str) -> None:
    """Add readers by ID, and wait until their names are indexed."""
    for number, (reader, name) in enumerate(named.items()):
        await shop.rows(
            "INSERT INTO subscribers (id, sub, name, created_at)"
            " VALUES ($1::text, $1::text, $2, now() - interval '1 day' * $3::int)",
            f"rdr_{reader}", name, number,
        )  # fmt: skip
    await shop.wait_for_names()


async def test_reader_is_found_by_name_email_and_ids(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.subscribe(shop.person("ada"))
    await shop.execute("UPDATE subscribers SET name = 'Ada van der Marlowe'")
    await shop.wait_for_names()
    row = (
        await shop.rows(
            "SELECT r.id, r.sub, r.stripe_customer_id, s.stripe_id, p.id AS payment, p.invoice_id, p.invoice_number"
            " FROM subscribers r JOIN subscriptions s ON s.subscriber_id = r.id JOIN payments p ON p.subscription_id = s.id"
        )
    )[0]
    number, sub = row.pop("invoice_number"), row.pop("sub")
    for query in [
        "ada v",
        "ADA V",
        "marl",
        "Marlowe",
        "arlow",
        "marlowe ada",
        "ada@exam",
        number,
        number.lower(),
        "  Ada  ",
        sub,
    ]:
        page = await search(robin, shop, q=query)
        assert names(page) == ["Ada van der Marlowe"], query
    for query in [f"#{number}", f"Invoice {number}", f"invoice #{number.lower()}", f"Invoice No. {number}"]:
        assert names(await search(robin, shop, q=query)) == ["Ada van der Marlowe"], query
    await shop.execute(
        "INSERT INTO refunds (id, act_id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by,"
        " status, created_at, work_key, stripe_refund_id, credit_note_id)"
        " SELECT 'rfd_1', 'rfd_1', p.id, s.subscriber_id, 'goodwill', 100, 0, 'usd', 'other', 'staff:x', 'succeeded',"
        " now(), 'k', 're_1', 'cn_1'"
        " FROM payments p JOIN subscriptions s ON s.id = p.subscription_id"
    )
    row |= {"refund": "rfd_1", "stripe_refund": "re_1", "credit_note": "cn_1"}
    assert names(await robin.open("/readers?part=1&q=marl")) == ["Ada van der Marlowe"]
    for exact in row.values():
        page = await search(robin, shop, q=exact)
        assert page.url.endswith(f"/console/readers/{row['id']}"), exact
        assert (await search(robin, shop, q=exact, edition="digital")).url.endswith(row["id"])
        assert names(await search(robin, shop, q=exact, edition="print")) == [], "the filters count for an ID, too"


async def test_reader_is_found_by_what_staff_copy_from_stripe(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.subscribe(shop.person("ada"))
    ((row),) = await shop.rows(
        "SELECT r.id, c.id AS checkout, c.stripe_id AS session, s.stripe_id AS subscription, p.id AS payment"
        " FROM subscribers r JOIN checkouts c ON c.subscriber_id = r.id JOIN subscriptions s ON s.subscriber_id = r.id"
        " JOIN payments p ON p.subscription_id = s.id"
    )
    await shop.execute(
        "INSERT INTO events (id, type, object_id, state, payload, work_key) VALUES"
        f" ('evt_1', 'charge.refunded', 'ch_refunded', 'applied', '{{}}', 'payment:{row['payment']}'),"
        f" ('evt_2', 'invoice.voided', 'in_void', 'applied', '{{}}', 'subscription:{row['subscription']}'),"
        f" ('evt_3', 'invoice.updated', 'in_void', 'applied', '{{}}', 'subscription:{row['subscription']}')"
    )
    await shop.execute(
        "INSERT INTO disputes (id, charge_id, subscriber_id, status, amount, currency, reason, is_charge_refundable,"
        " opened_at) VALUES"
        f" ('dp_1', 'ch_disputed', '{row['id']}', 'needs_response', 4900, 'usd', 'fraudulent', false, now())"
    )
    for exact in (row["checkout"], row["session"], "ch_refunded", "ch_disputed", "in_void", "dp_1"):
        assert (await search(robin, shop, q=exact)).url.endswith(f"/console/readers/{row['id']}"), exact
        page = await search(robin, shop, q=f"{exact}xyz")
        assert "The IDs that can be searched are" in page.text, exact
    for number in ("ABCD1234-0009", "Invoice #NS-0009", "NS-2027-0009"):
        assert "found once the invoice is paid" in (await search(robin, shop, q=number)).text, number
    for name in ("no-one", "Zzyzx", "zoe_x@example.com"):
        assert "Search by any part of a name" in (await search(robin, shop, q=name)).text, name


async def test_a_sign_in_id_that_is_somebodys_name_does_not_hide_them(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await add_readers(shop, a="Kit Smith", b="Robin Lantern")
    await shop.execute("UPDATE subscribers SET sub = 'smith' WHERE name = 'Robin Lantern'")
    page = await search(robin, shop, q="smith")
    assert page.url.endswith("/readers?q=smith")
    assert names(page) == ["Robin Lantern", "Kit Smith"]


async def test_a_reader_is_found_by_the_present_postal_address(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.subscribe(ada, print_edition=True)
    await shop.execute("UPDATE subscribers SET name = 'Ada Marlowe'")
    await add_readers(shop, lantern="Kit Lantern")
    for query in ["1 Lantern Street", "62701", "marlowe 62701", "springfield lantern", "lantern st springf"]:
        assert names(await search(robin, shop, q=query)) == ["Ada Marlowe"], query
    assert names(await search(robin, shop, q="lantern")) == ["Kit Lantern"]  # a name precedes what anybody lives at
    assert names(await search(robin, shop, q="62701", status="canceled")) == []

    moved = await shop.http.put("/v1/me/address", headers=dict(ada.headers), json=NEW_HOME)
    assert moved.status_code == 200, moved.text
    await shop.wait_for_names()

    assert names(await search(robin, shop, q="9 harbor road")) == ["Ada Marlowe"]
    assert names(await search(robin, shop, q="62701")) == []


READERS = {
    "fuente": "Maria de la Fuente III",
    "obrien": "Siobhán O’Brien",
    "unal": "Deniz Ünal",
    "smith": "Kit Smith-Jones",
    "marlowe": "Robin Marlowe",
    "vandenberg": "Sasha Vandenberghe",
    "hebrew": "נועה לוי",
    "html": "<b>Ann</b> & Co",
    "emoji": "Jo 🗞️ Lantern",
    "long": "Z" * 300,
}


async def test_any_part_of_a_name_finds_its_reader(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await add_readers(shop, **READERS)
    for query, reader in {
        "fuente": "fuente", "uent": "fuente", "delafuente": "fuente", "fuente maria": "fuente", "Fuente, Maria": "fuente",
        "obrien": "obrien", "O'Brien": "obrien", "o brien": "obrien", "siobhan": "obrien",
        "unal": "unal", "ÜNAL": "unal", "smith jones": "smith", "jones smith": "smith", "smith-jones kit": "smith",
        "marlwoe": "marlowe", "marlow": "marlowe", "malowe": "marlowe", "robbin marlowe": "marlowe",
        "vandenburge": "vandenberg", "לוי": "hebrew", "<b>ann</b>": "html", "lantern jo": "emoji", "z" * 300: "long",
    }.items():  # fmt: skip
        assert names(await search(robin, shop, q=query))[:1] == [READERS[reader]], query
    assert names(await search(robin, shop, q="fuente brien")) == []


async def test_a_dash_in_a_name_makes_no_difference(shop: Shop, open_console: OpenConsole) -> None:
    """The name was indexed by a release that did not join its words."""
    robin = await open_console("agent@example.com")
    await add_readers(shop, anne="Anne-Marie Weber", maria="Annemarie Klein", jean="Jean‑Luc‑Noël Picard")
    await shop.execute(
        "DELETE FROM reader_name_parts"
        " WHERE part IN ('annemarie', 'jeanlucnoel', 'lucnoel') AND subscriber_id <> 'rdr_maria'"
    )
    await shop.execute("UPDATE subscribers SET joined_name = NULL")
    await shop.wait_until("SELECT count(*) = 2 FROM subscribers WHERE joined_name = name")
    for query in ["annemarie", "Anne-Marie", "anne marie"]:
        assert set(names(await search(robin, shop, q=query))) >= {"Anne-Marie Weber"}, query
    assert set(names(await search(robin, shop, q="annemarie"))) == {"Anne-Marie Weber", "Annemarie Klein"}
    assert names(await search(robin, shop, q="lucnoel")) == ["Jean‑Luc‑Noël Picard"]


async def test_most_similar_name_comes_first(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await add_readers(shop, a="Annabel Lantern", b="Ann Lantern", c="Joann Lanterns", d="Lantern Annette Long")
    assert names(await search(robin, shop, q="ann lantern"))[:2] == ["Ann Lantern", "Annabel Lantern"]
    assert set(names(await search(robin, shop, q="ann"))) == {
        "Annabel Lantern", "Ann Lantern", "Joann Lanterns", "Lantern Annette Long",
    }  # fmt: skip


async def test_former_name_is_found_until_it_is_removed(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await add_readers(shop, kit="Kit Marlowe")
    await shop.execute(
        "INSERT INTO contact_changes (id, subscriber_id, name, work_key) VALUES ('ctc_1', 'rdr_kit', 'Kit Marlowe', 'k')"
    )
    await shop.execute("UPDATE subscribers SET name = 'Kit Lantern'")
    await shop.wait_for_names()
    assert "formerly Kit Marlowe" in next((await search(robin, shop, q="marlowe")).find("main")).text
    assert names(await search(robin, shop, q="lantern")) == ["Kit Lantern"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        pytest.param("%25", "No readers match “%”", id="percent sign"),
        pytest.param("_", "No readers match “_”", id="underscore"),
        pytest.param("%5C", "No readers match", id="backslash"),
        pytest.param("", "No readers yet", id="empty"),
        pytest.param("%20%20", "No readers yet", id="spaces"),
        pytest.param("...'-", "No readers match", id="punctuation"),
        pytest.param("x", "No readers match", id="one letter"),
        pytest.param("%E2%80%AE", "No readers match", id="direction mark"),
        pytest.param("x" * 242 + "@example.com", "No readers match", id="longest email address"),
        pytest.param("a%20" * 70, "No readers match", id="many words"),
        pytest.param("4242", "No readers match", id="card"),
        pytest.param("x" * 5_000, "Your search is too long", id="too long"),
        pytest.param("%3Cscript%3Ealert(1)%3C/script%3E", "No readers match “<script>alert(1)</script>”", id="script"),
        pytest.param("%27%20OR%201=1--", "No readers match", id="SQL"),
        pytest.param("%F0%9F%97%9E%EF%B8%8F", "No readers match", id="emoji"),
        pytest.param("%FF%FE", "No readers match", id="invalid UTF-8"),
    ],
)
async def test_search_text_is_taken_literally(shop: Shop, open_console: OpenConsole, query: str, message: str) -> None:
    robin = await open_console("agent@example.com")
    page = await robin.open(f"/readers?q={query}")
    assert page.status == 200
    assert message in next(page.find("main")).text


async def test_long_results_are_paginated(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await shop.execute(
        "INSERT INTO subscribers (id, sub, name) SELECT 'rdr_' || n, n, 'Kit ' || n FROM generate_series(1, 45) n"
    )
    await shop.wait_for_names()
    page, seen = await robin.open("/readers?q=kit"), []
    for _ in range(3):
        seen += names(page)
        more = next((a for a in page.find("a") if a.text == "More results"), None)
        if more is None:
            break
        page = await robin.browser.open(page.resolve(more.attributes["href"]))
    assert sorted(seen) == sorted(f"Kit {n}" for n in range(1, 46))


async def test_number_of_queries_does_not_depend_on_the_number_of_rows(shop: Shop, open_console: OpenConsole) -> None:
    """A page with two hundred of everything sends as many queries as a page with one."""
    robin = await open_console("admin@example.com")
    await shop.subscribe(shop.person("ada"))
    await shop.wait_for_names()
    reader = (await shop.rows("SELECT id FROM subscribers"))[0]["id"]

    assert shop.app is not None
    pool = shop.app.state.api.ctx.pool

    async def statements(path: str) -> tuple[int, int]:
        """Return the number of queries, and the length of the page."""
        async with query_recorder.record_statements(pool, request_id="counted") as asked:
            answer = await robin.browser._client.get(f"{shop.url}/console{path}", headers={"X-Request-Id": "counted"})
        assert answer.status_code == 200, answer.text
        return len(asked), len(answer.text)

    paths = ["/", f"/readers/{reader}", "/readers?q=a", "/approvals", "/events", "/audit"]
    for path in paths:  # the first time, pages also record who saw whom
        await statements(path)
    before = {path: await statements(path) for path in paths}
    for statement in MANY.split(";")[:-1]:
        await shop.execute(statement)
    await shop.wait_for_names()
    after = {path: await statements(path) for path in paths}

    # What is listed now names readers, and who saw them is recorded; before, nothing was listed.
    recorded = {"/": 2, "/approvals": 1, "/audit": 2}
    expected = {path: asked + recorded.get(path, 0) for path, (asked, _) in before.items()}
    assert {path: asked for path, (asked, _) in after.items()} == expected
    assert all(asked for asked, _ in before.values())
    assert before[f"/readers/{reader}"][0] <= READER_PAGE
    for path in paths[1:]:
        assert after[path][1] > before[path][1] + 1000, path  # it shows the new rows

    page, everything = await robin.open(f"/readers/{reader}"), await robin.open(f"/readers/{reader}?show=all")
    assert "195 earlier payments" in page.text
    assert page.text.count("Refund the payment of") == 6
    assert everything.text.count("Refund the payment of") == 201
    assert "earlier payments" not in everything.text
    assert "34 earlier declarations" in page.text
    assert everything.text.count("dcl_") == 40


async def test_more_pages_at_once_than_connections_wait_for_each_other_and_are_shown(
    shop: Shop, open_console: OpenConsole
) -> None:
    """Two sequences of queries of a page run at once, each on a connection of its own, and none takes a second one."""
    await shop.subscribe(shop.person("ada"))
    robin, reader = await open_console("agent@example.com"), (await shop.rows("SELECT id FROM subscribers"))[0]["id"]
    pages = await asyncio.gather(*(robin.open(f"/readers/{reader}") for _ in range(4 * POOL)))
    assert {page.status for page in pages} == {200}


POOL = 4  # connections of the tests' shop
READER_PAGE = 21  # statements
MANY = """
INSERT INTO subscribers (id, sub, name) SELECT 'rdr_' || n, n, 'Ann ' || n FROM generate_series(1, 200) n;
INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
    created_at, work_key)
SELECT 'scr_' || n, 'sub_' || n, (SELECT id FROM subscribers WHERE sub = 'ada'), 1, 'annual', false, 'canceled', 4900, 'usd',
    now(), 'subscription:' || n FROM generate_series(1, 200) n;
INSERT INTO terms (invoice_id, subscription_id, plan, print_edition, starts_at, ends_at, issues_owed)
SELECT 'in_' || n, 'scr_' || n, 'annual', false, now(), now() + interval '1 year', 24 FROM generate_series(1, 200) n;
INSERT INTO payments (id, invoice_id, subscription_id, amount, tax, currency, paid_at, billing_reason)
SELECT 'pi_' || n, 'in_' || n, 'scr_' || n, 4900, 0, 'usd', now(), 'subscription_create' FROM generate_series(1, 200) n;
INSERT INTO refunds (id, act_id, payment_id, subscriber_id, basis, amount, tax, currency, reason, requested_by, status,
    created_at, work_key)
SELECT 'rfd_' || n, 'rfd_' || n, 'pi_' || n, (SELECT id FROM subscribers WHERE sub = 'ada'), 'goodwill', 100, 0, 'usd',
    'other', 'staff:x', 'awaiting_approval', now(), 'payment:' || n FROM generate_series(1, 200) n;
INSERT INTO events (id, type, state, payload, work_key) SELECT 'evt_' || n, 'invoice.paid', 'dead', '{}',
    'subscription:sub_' || n FROM generate_series(1, 200) n;
INSERT INTO declarations (id, kind, channel, received_at, subscriber_id, subscription_id, words, acknowledgment, status)
SELECT 'dcl_' || n, 'cancellation', 'reader', now(), (SELECT id FROM subscribers WHERE sub = 'ada'), 'scr_' || n, '{}',
    'Received', 'done' FROM generate_series(1, 40) n;
INSERT INTO audit_log (actor, action, object_id, subscriber_id)
SELECT 'staff:x', 'refund.requested', 'rfd_' || n, (SELECT id FROM subscribers WHERE sub = 'ada')
FROM generate_series(1, 200) n;
"""
