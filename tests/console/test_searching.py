"""Finding a reader, whatever is typed."""

import pytest

from bench import query_recorder
from demo.browser import Page
from tests.console.conftest import Sit
from tests.support.shop import Shop


def names(page: Page) -> list[str]:
    return [link.text for people in page.find("ul", class_="people") for link in people.find("b")]


async def test_a_reader_is_found_by_whatever_they_are_known_by(shop: Shop, sit: Sit) -> None:
    robin = await sit("agent@example.com")
    await shop.subscribes(shop.person("ada"))
    await shop.does("UPDATE subscribers SET name = 'Ada van der Marlowe'")
    row = (
        await shop.rows(
            "SELECT r.id, r.sub, r.stripe_customer_id, s.stripe_id, p.id AS payment, p.invoice_id, p.invoice_number"
            " FROM subscribers r JOIN subscriptions s ON s.subscriber_id = r.id JOIN payments p ON p.subscription_id = s.id"
        )
    )[0]
    assert row["invoice_number"]
    ways = ["ada", "ADA V", "marl", "Marlowe", "ada@exam", *row.values(), row["invoice_number"].lower(), "  ada  "]
    for words in ways:
        page = await robin.browser.open(str(robin.browser._client.build_request(
            "GET", f"{shop.url}/console/readers", params={"q": words}
        ).url))  # fmt: skip
        assert names(page) == ["Ada van der Marlowe"], words
    assert names(await robin.open("/readers?part=1&q=marl")) == ["Ada van der Marlowe"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param("%25", "Nobody is known by “%”", id="a percent sign is a percent sign"),
        pytest.param("_", "Nobody is known by “_”", id="and an underscore one"),
        pytest.param("%5C", "Nobody is known by", id="a backslash"),
        pytest.param("", "By the beginning of a name", id="nothing"),
        pytest.param("%20%20", "By the beginning of a name", id="spaces"),
        pytest.param("x" * 10_000, "longer than anything a reader is known by", id="ten thousand characters"),
        pytest.param(
            "%3Cscript%3Ealert(1)%3C/script%3E", "Nobody is known by “<script>alert(1)</script>”", id="a script"
        ),
        pytest.param("%27%20OR%201=1--", "Nobody is known by", id="a piece of SQL"),
        pytest.param("%F0%9F%97%9E%EF%B8%8F", "Nobody is known by", id="a newspaper"),
        pytest.param("%FF%FE", "Nobody is known by", id="no text at all"),
    ],
)
async def test_whatever_is_typed_is_looked_for_as_it_is(shop: Shop, sit: Sit, words: str, said: str) -> None:
    robin = await sit("agent@example.com")
    page = await robin.open(f"/readers?q={words}")
    assert page.status == 200
    assert said in next(page.find("main")).text


async def test_a_long_list_goes_on_where_it_stopped(shop: Shop, sit: Sit) -> None:
    robin = await sit("agent@example.com")
    await shop.does(
        "INSERT INTO subscribers (id, sub, name) SELECT 'rdr_' || n, n, 'Kit ' || n FROM generate_series(1, 45) n"
    )
    page, seen = await robin.open("/readers?q=kit"), []
    for _ in range(3):
        seen += names(page)
        more = next((a for a in page.find("a") if a.text == "More of them"), None)
        if more is None:
            break
        page = await robin.browser.open(page.resolve(more.attributes["href"]))
    assert sorted(seen) == sorted(f"Kit {n}" for n in range(1, 46))


async def test_no_page_asks_a_question_for_each_row(shop: Shop, sit: Sit) -> None:
    """The statements of a page are as many for two hundred of everything as for one."""
    robin = await sit("admin@example.com")
    await shop.subscribes(shop.person("ada"))
    reader = (await shop.rows("SELECT id FROM subscribers"))[0]["id"]

    assert shop.app is not None
    pool = shop.app.state.api.ctx.pool

    async def statements(path: str) -> tuple[int, int]:
        """Return how many there were, and how long the page was."""
        async with query_recorder.record_statements(pool, request_id="counted") as asked:
            answer = await robin.browser._client.get(f"{shop.url}/console{path}", headers={"X-Request-Id": "counted"})
        assert answer.status_code == 200, answer.text
        return len(asked), len(answer.text)

    paths = ["/", f"/readers/{reader}", "/readers?q=a", "/approvals", "/events", "/audit"]
    before = {path: await statements(path) for path in paths}
    for statement in MANY.split(";")[:-1]:
        await shop.does(statement)
    after = {path: await statements(path) for path in paths}

    assert {path: asked for path, (asked, _) in after.items()} == {path: asked for path, (asked, _) in before.items()}
    assert all(asked for asked, _ in before.values())
    for path in paths[1:]:
        assert after[path][1] > before[path][1] + 1000, path  # what was put in is shown


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
INSERT INTO audit_log (actor, action, object_id, subscriber_id)
SELECT 'staff:x', 'refund.requested', 'rfd_' || n, (SELECT id FROM subscribers WHERE sub = 'ada')
FROM generate_series(1, 200) n;
"""
