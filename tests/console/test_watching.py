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
    done = await alex.sends(page, "/replay")
    assert f"{event} is being looked at again" in done.text
    await shop.settles()
    assert (await shop.rows("SELECT state FROM events WHERE id = $1", event))[0]["state"] == "applied"
    again = await alex.sends(page, "/replay")
    assert again.status == 404
    assert "it may have been applied meanwhile" in again.text
    log = await alex.open("/audit?action=event.replay")
    assert [row.text for row in log.find("td", **{"data-label": "Who"})] == ["staff:staff-admin"]


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
    assert await count("about=rdr_1&action=refund") == 50
    for nothing in ("actor=staff:nobody", "action=%25", "about=%27", "before=0", "action=" + "x" * 10_000):
        assert await count(nothing) == 0
    assert await count("before=made-up") > 0
