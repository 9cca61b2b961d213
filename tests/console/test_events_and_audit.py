"""Replaying failed events, and filtering the audit log."""

from urllib.parse import quote

from tests.console.conftest import OpenConsole
from tests.support.shop import Shop


async def test_failed_event_is_replayed_and_applied(shop: Shop, open_console: OpenConsole) -> None:
    alex = await open_console("admin@example.com")
    await shop.subscribe(shop.person("ada"))
    event = (await shop.rows("SELECT id FROM events WHERE state = 'applied' LIMIT 1"))[0]["id"]
    await shop.execute(f"UPDATE events SET state = 'dead', last_error = 'Boom <b>', attempts = 12 WHERE id = '{event}'")
    page = await alex.open("/events?state=dead")
    assert event in page.text
    assert "Boom <b>" in page.text
    assert event not in (await alex.open("/events?state=failed")).text
    done = await alex.submit(page, f"/{event}/replay")
    assert f"Replaying {event}." in done.text
    await shop.wait_until_idle()
    assert (await shop.rows("SELECT state FROM events WHERE id = $1", event))[0]["state"] == "applied"
    again = await alex.submit(page, f"/{event}/replay")
    assert f"{event} is no longer failed. Nothing to replay." in again.text
    log = await alex.open("/audit?action=event.replay")
    (entry,) = log.find("ol", class_="entries")
    assert f"Alex Brandt replayed the event {event}" in entry.text


async def test_replay_all_is_refused_if_the_number_of_events_has_changed(shop: Shop, open_console: OpenConsole) -> None:
    alex = await open_console("admin@example.com")
    await shop.subscribe(shop.person("ada"))
    await shop.execute("UPDATE events SET state = 'dead' WHERE type LIKE 'invoice.%'")
    await shop.execute("UPDATE events SET state = 'failed' WHERE type = 'customer.subscription.created'")
    many = (await shop.rows("SELECT count(*) AS n FROM events WHERE type LIKE 'invoice.%'"))[0]["n"]
    page = await alex.open("/events?type=invoice.")
    assert f"{many} events" in page.text or many == 1
    assert "customer.subscription.created" not in page.text
    await shop.execute(
        "UPDATE events SET state = 'dead' WHERE id IN (SELECT min(id) FROM events WHERE state = 'applied')"
    )
    stale = await alex.submit(await alex.open("/events"), "/events/replay", number=str(many))
    assert "The list has changed, so nothing was replayed." in stale.text
    assert "Replaying " in (await alex.submit(page, "/events/replay")).text
    await shop.wait_until_idle()
    left = await shop.rows("SELECT type, state FROM events WHERE state <> 'applied' AND type LIKE 'invoice.%'")
    assert left == []


async def test_failed_events_are_paginated(shop: Shop, open_console: OpenConsole) -> None:
    alex = await open_console("admin@example.com")
    await shop.execute(
        "INSERT INTO events (id, type, state, payload, work_key) SELECT 'evt_' || n, 'invoice.paid', 'dead', '{}', '-'"
        " FROM generate_series(1, 60) n"
    )
    page = await alex.open("/events")
    assert "60 events" in page.text
    older = next(a for a in page.find("a") if a.text == "Older")
    rest = await alex.browser.open(page.resolve(older.attributes["href"]))
    assert len(list(rest.find("td", **{"data-label": "Received"}))) == 10
    for nonsense in ("after=made-up", "state=made-up", "after=2026-01-01T00:00:00~"):
        assert (await alex.open(f"/events?{nonsense}")).status == 200


async def test_history_on_the_page_and_in_the_api_lists_stripe_events(shop: Shop, open_console: OpenConsole) -> None:
    robin, ada = await open_console("agent@example.com"), shop.person("ada")
    await shop.subscribe(ada)
    seen = await shop.overview(ada)
    descriptions = {one["words"].partition(": ")[2] for one in seen["timeline"] if one["kind"] == "told"}
    assert {"Stripe: the subscription was created", "Stripe: an invoice was paid"} <= descriptions
    await shop.execute("UPDATE events SET state = 'dead', last_error = 'Boom <b>' WHERE type = 'invoice.paid'")
    page = await robin.open(f"/readers/{seen['id']}")
    assert "the subscription was created" in page.text.lower()  # under the line that says who told, or after it
    assert "an invoice was paid (invoice.paid), failed permanently: Boom <b>" in page.text


async def test_audit_log_is_filtered_by_actor_action_object_and_date(shop: Shop, open_console: OpenConsole) -> None:
    alex = await open_console("admin@example.com")
    await shop.execute(
        "INSERT INTO audit_log (actor, action, object_id, subscriber_id, reason, after)"
        " SELECT 'staff:robin', 'refund.requested', 'rfd_' || n, 'rdr_1', '<script>', '{\"amount\": 1}'"
        " FROM generate_series(1, 60) n"
    )

    async def count(query: str) -> int:
        return len(list((await alex.open(f"/audit?{query}")).find("time")))

    assert await count("actor=staff:robin") == 50
    page = await alex.open("/audit?actor=staff:robin")
    assert "<script>" in page.text
    older = next(a for a in page.find("a") if a.text == "Older")
    rest = await alex.browser.open(page.resolve(older.attributes["href"]))
    assert len(list(rest.find("time"))) == 10
    assert await count("about=rfd_7") == 1
    assert await count("since=2000-01-01&until=2000-01-02") == 0
    assert await count("since=2020-01-01&actor=staff:robin") == 50
    assert "“made-up” isn’t a valid date" in (await alex.open("/audit?since=made-up")).text
    assert await count("about=rdr_1&action=refund") == 50
    for nothing in ("actor=staff:nobody", "action=%25", "about=%27", "before=0", "action=" + "x" * 10_000):
        assert await count(nothing) == 0
    assert await count("before=made-up") > 0


async def test_audit_log_is_searched_by_people_and_read_in_sentences(shop: Shop, open_console: OpenConsole) -> None:
    robin, alex = await open_console("agent@example.com"), await open_console("admin@example.com")
    ada, ben = shop.person("ada"), shop.person("ben")
    await shop.subscribe(ada)
    await shop.subscribe(ben)
    for payment in await shop.rows("SELECT id FROM payments"):
        form = await robin.open(f"/payments/{payment['id']}/refund")
        review = await robin.submit(form, "/refund/confirm", basis="goodwill", much="5")
        await robin.submit(review, "/refund")
    await shop.wait_until_idle()
    sentence = "Robin Vance requested a refund of $5 to Ada"
    found = {
        query: (await alex.open(f"/audit?action=refund.requested&{query}")).text
        for query in ("staff=vance&reader=ada@example.com", "reader=ada", "staff=staff-agent&reader=ada")
    }
    for query, text in found.items():
        assert sentence in text, query
        assert "to Ben" not in text, query
    assert "No matching entries." in (await alex.open("/audit?staff=iyer")).text
    answer = await shop.get(
        "/v1/support/audit",
        shop.person("boss", roles=("admin",)),
        staff="robin",
        reader="ben",
        action="refund.requested",
    )
    assert [row["actor"] for row in answer.json()["data"]] == ["staff:staff-agent"]


async def test_audit_log_finds_staff_by_email_name_and_id(shop: Shop, open_console: OpenConsole) -> None:
    robin, alex = await open_console("agent@example.com"), await open_console("admin@example.com")
    ada = shop.person("ada")
    await shop.subscribe(ada)
    (payment,) = await shop.rows("SELECT id FROM payments")
    form = await robin.open(f"/payments/{payment['id']}/refund")
    await robin.submit(await robin.submit(form, "/refund/confirm", basis="goodwill", much="5"), "/refund")
    await shop.wait_until_idle()
    for who in ("agent@example.com", "AGENT@Example.com", "agent@", "vance", "staff-agent", "staff:staff-agent"):
        page = await alex.open(f"/audit?action=refund.requested&staff={who}")
        assert "Robin Vance requested a refund of $5" in page.text, who
    assert "(agent@example.com)" in page.text  # under the details
    for nobody in ("gent@example.com", "agent@example.com.evil", "admin@example.com", "a:b"):
        assert "No matching entries." in (await alex.open(f"/audit?action=refund.requested&staff={nobody}")).text, (
            nobody
        )
    assert "agent@example.com" in (await alex.open("/staff")).text
    boss = shop.person("boss", roles=("admin",))
    answer = await shop.get("/v1/support/audit", boss, staff="agent@example.com", action="refund.requested")
    assert [row["actor"] for row in answer.json()["data"]] == ["staff:staff-agent"]
    listed = (await shop.get("/v1/support/staff-members", boss)).json()["data"]
    assert {"sub": "staff-agent", "name": "Robin Vance", "email": "agent@example.com"} in listed


async def test_staff_are_found_by_an_id_with_a_colon(shop: Shop, open_console: OpenConsole) -> None:
    alex = await open_console("admin@example.com")
    await shop.execute(
        "INSERT INTO audit_log (actor, action, object_id) VALUES ('staff:auth0|x:1', 'refund.requested', 'rfd_1')"
    )
    for who in ("auth0|x:1", "staff:auth0|x:1"):
        assert "refund.requested" in (await alex.open(f"/audit?action=refund.&staff={quote(who)}")).text


async def test_audit_log_says_that_a_name_matches_too_many_readers(shop: Shop, open_console: OpenConsole) -> None:
    alex, boss = await open_console("admin@example.com"), shop.person("boss", roles=("admin",))
    await shop.execute(
        "INSERT INTO subscribers (id, sub, name, indexed_name) SELECT 'rdr_m' || n, 'm' || n, 'Max Muster', 'Max Muster'"
        " FROM generate_series(1, 501) n"
    )
    await shop.execute(
        "INSERT INTO reader_name_parts (part, subscriber_id) SELECT 'muster', 'rdr_m' || n FROM generate_series(1, 500) n"
    )
    warning = "“muster” matches very many readers"
    assert warning not in (await alex.open("/audit?reader=muster")).text
    assert (await shop.get("/v1/support/audit", boss, reader="muster")).json()["truncated"] is False
    await shop.execute("INSERT INTO reader_name_parts (part, subscriber_id) VALUES ('muster', 'rdr_m501')")
    assert warning in (await alex.open("/audit?reader=muster")).text
    assert (await shop.get("/v1/support/audit", boss, reader="muster")).json()["truncated"] is True
