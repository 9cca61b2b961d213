"""Events that failed, looked at again; and the audit log by filters."""

from tests.console.conftest import Sit
from tests.support.shop import Shop


async def test_an_event_that_was_given_up_is_replayed_and_applied(shop: Shop, sit: Sit) -> None:
    alex = await sit("admin@example.com")
    await shop.subscribes(shop.person("ada"))
    event = (await shop.rows("SELECT id FROM events WHERE state = 'applied' LIMIT 1"))[0]["id"]
    await shop.does(f"UPDATE events SET state = 'dead', last_error = 'Boom <b>', attempts = 12 WHERE id = '{event}'")
    page = await alex.open("/events?state=dead")
    assert event in page.text
    assert "Boom <b>" in page.text
    assert event not in (await alex.open("/events?state=failed")).text
    done = await alex.sends(page, f"/{event}/replay")
    assert f"{event} is being looked at again" in done.text
    await shop.settles()
    assert (await shop.rows("SELECT state FROM events WHERE id = $1", event))[0]["state"] == "applied"
    again = await alex.sends(page, f"/{event}/replay")
    assert f"Nothing to do: {event} was applied meanwhile" in again.text
    log = await alex.open("/audit?action=event.replay")
    assert [row.text for row in log.find("td", **{"data-label": "Who"})] == ["staff:staff-admin"]


async def test_all_that_failed_is_replayed_unless_there_are_others_than_were_counted(shop: Shop, sit: Sit) -> None:
    alex = await sit("admin@example.com")
    await shop.subscribes(shop.person("ada"))
    await shop.does("UPDATE events SET state = 'dead' WHERE type LIKE 'invoice.%'")
    await shop.does("UPDATE events SET state = 'failed' WHERE type = 'customer.subscription.created'")
    many = (await shop.rows("SELECT count(*) AS n FROM events WHERE type LIKE 'invoice.%'"))[0]["n"]
    page = await alex.open("/events?type=invoice.")
    assert f"{many} events" in page.text or many == 1
    assert "customer.subscription.created" not in page.text
    await shop.does("UPDATE events SET state = 'dead' WHERE id IN (SELECT min(id) FROM events WHERE state = 'applied')")
    stale = await alex.sends(await alex.open("/events"), "/events/replay", number=str(many))
    assert "Nothing was done: there are others than when you looked" in stale.text
    assert "being looked at again" in (await alex.sends(page, "/events/replay")).text
    await shop.settles()
    left = await shop.rows("SELECT type, state FROM events WHERE state <> 'applied' AND type LIKE 'invoice.%'")
    assert left == []


async def test_a_long_list_of_failed_events_goes_on_where_it_stopped(shop: Shop, sit: Sit) -> None:
    alex = await sit("admin@example.com")
    await shop.does(
        "INSERT INTO events (id, type, state, payload, work_key) SELECT 'evt_' || n, 'invoice.paid', 'dead', '{}', '-'"
        " FROM generate_series(1, 60) n"
    )
    page = await alex.open("/events")
    assert "60 events" in page.text
    earlier = next(a for a in page.find("a") if a.text == "Earlier")
    rest = await alex.browser.open(page.resolve(earlier.attributes["href"]))
    assert len(list(rest.find("td", **{"data-label": "Came"}))) == 10
    for nonsense in ("after=made-up", "state=made-up", "after=2026-01-01T00:00:00~"):
        assert (await alex.open(f"/events?{nonsense}")).status == 200


async def test_what_stripe_told_of_a_reader_stands_in_their_story_on_the_page_and_in_the_api(
    shop: Shop, sit: Sit
) -> None:
    robin, ada = await sit("agent@example.com"), shop.person("ada")
    await shop.subscribes(ada)
    seen = await shop.overview(ada)
    said = {one["words"].partition(": ")[2] for one in seen["timeline"] if one["kind"] == "told"}
    assert {"Stripe told us: the subscription was made", "Stripe told us: an invoice was paid"} <= said
    await shop.does("UPDATE events SET state = 'dead', last_error = 'Boom <b>' WHERE type = 'invoice.paid'")
    page = await robin.open(f"/readers/{seen['id']}")
    assert "the subscription was made" in page.text.lower()  # under the line that says who told, or after it
    assert "an invoice was paid (invoice.paid), and it was given up: Boom <b>" in page.text


async def test_the_audit_log_is_shown_by_who_what_and_about_whom(shop: Shop, sit: Sit) -> None:
    alex = await sit("admin@example.com")
    await shop.does(
        "INSERT INTO audit_log (actor, action, object_id, subscriber_id, reason, after)"
        " SELECT 'staff:robin', 'refund.requested', 'rfd_' || n, 'rdr_1', '<script>', '{\"amount\": 1}'"
        " FROM generate_series(1, 60) n"
    )

    async def count(query: str) -> int:
        return len(list((await alex.open(f"/audit?{query}")).find("td", **{"data-label": "Who"})))

    assert await count("actor=staff:robin") == 50
    page = await alex.open("/audit?actor=staff:robin")
    assert "<script>" in page.text
    earlier = next(a for a in page.find("a") if a.text == "Earlier")
    assert (
        len(
            list(
                (await alex.browser.open(page.resolve(earlier.attributes["href"]))).find("td", **{"data-label": "Who"})
            )
        )
        == 10
    )
    assert await count("about=rfd_7") == 1
    assert await count("since=2000-01-01&until=2000-01-02") == 0
    assert await count("since=2020-01-01&actor=staff:robin") == 50
    assert "“made-up” is no day" in (await alex.open("/audit?since=made-up")).text
    assert await count("about=rdr_1&action=refund") == 50
    for nothing in ("actor=staff:nobody", "action=%25", "about=%27", "before=0", "action=" + "x" * 10_000):
        assert await count(nothing) == 0
    assert await count("before=made-up") > 0
