"""Searching for names that thousands of readers have."""

from tests.console.conftest import OpenConsole
from tests.console.test_reader_search import names, search
from tests.support.shop import Shop

MANY = 5_100  # more readers than the search checks one by one
READERS = f"""
INSERT INTO subscribers (id, sub, name, indexed_name)
SELECT 'rdr_' || key || n, key || n, name, name FROM (VALUES ('a', 'James Brown', {MANY}), ('b', 'Bob Smith', {MANY}),
    ('z', 'James Smith', 3), ('y', 'Jameson Smithers', 2)) AS one (key, name, many), generate_series(1, many) n;
INSERT INTO reader_name_parts (part, subscriber_id)
SELECT part, id FROM subscribers, unnest(string_to_array(lower(name), ' ')) AS part;
INSERT INTO subscriptions (id, stripe_id, subscriber_id, version, plan, print_edition, status, price_amount, currency,
    created_at, work_key, card_last4)
SELECT 'scr_1', 'sub_1', 'rdr_z2', 1, 'annual', false, 'past_due', 4900, 'usd', now(), 'k', '1234';
ANALYZE
"""
MORE = "More readers may match than this list shows"


async def fill(shop: Shop) -> None:
    for statement in READERS.split(";"):
        await shop.execute(statement)


async def test_a_common_first_and_last_name_find_their_readers(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await fill(shop)
    for query in ["James Smith", "smith james"]:
        page = await search(robin, shop, q=query)
        assert names(page) == ["James Smith"] * 3 + ["Jameson Smithers"] * 2, query
        assert MORE not in page.text
    page = await search(robin, shop, q="jame smi", status="past_due")
    assert names(page) == ["James Smith"]
    assert names(await search(robin, shop, q="james smith 1234"))[:1] == ["James Smith"]
    assert names(await search(robin, shop, q="James Smyth"))[:1] == ["James Smith"]


async def test_a_list_that_was_cut_says_so(shop: Shop, open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    await fill(shop)
    assert MORE in next((await search(robin, shop, q="smith")).find("main")).text
    page = await search(robin, shop, q="smith", disputed="yes")
    assert "“smith” is too common to check every reader for the filters" in next(page.find("main")).text
    assert MORE not in (await search(robin, shop)).text

    for query, truncated in [("smith", True), ("James Smith", False), ("smithers", False), ("", False)]:
        body = (await shop.get("/v1/support/subscribers", shop.agent, q=query)).json()
        assert body["truncated"] is truncated, query
