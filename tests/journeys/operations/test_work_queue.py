"""The work queue: each role sees what it may act on, and items are assigned, snoozed, noted and waken up."""

import asyncio
from datetime import timedelta
from typing import Any

from tests.journeys.disputes.test_disputes import open_dispute, subscribe
from tests.support.shop import Person, Shop

EVENT = (
    "INSERT INTO events (id, type, state, payload, work_key, attempts, last_error, received_at)"
    " VALUES ('{id}', 'invoice.paid', 'dead', '{{}}', '-', 9, '{error}', now() - interval '{days} days')"
)
ANOMALY = (
    "INSERT INTO anomalies (id, object_id, code, reason) VALUES ('ano_1', 'sub_x', 'quantity', 'The quantity is 40.')"
)


async def queue(shop: Shop, by: Person, **query: str) -> list[dict[str, Any]]:
    """Return all pages of the queue, two items at a time."""
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        answer = await shop.get("/v1/support/queue", by, limit="2", **query, **after)
        assert answer.status_code == 200, answer.text
        found += answer.json()["data"]
        if answer.json()["next"] is None:
            return found
        after = {"after": answer.json()["next"]}


async def change(shop: Shop, item: dict[str, Any], action: str, by: Person, **body: object) -> Any:
    """Change an item at the version that was read."""
    return await shop.post(f"/v1/support/queue/{item['id']}/{action}", by, {"version": item["version"], **body})


async def test_each_role_sees_what_it_may_act_on_in_order(shop: Shop) -> None:
    boss = shop.person("boss", roles=("admin",))
    first, second = await subscribe(shop, shop.person()), await subscribe(shop, shop.person("ben"))
    later, sooner = await open_dispute(shop, first), await open_dispute(shop, second)
    await shop.execute(f"UPDATE disputes SET due_by = NULL WHERE id = '{later}'")
    await shop.execute(ANOMALY)
    for number in range(3):
        await shop.execute(EVENT.format(id=f"evt_{number}", error="x", days=9 - number))
    comp = {"subscriber": "ben", "plan": "digital", "until": "2030-01-01T00:00:00Z", "reason": "press"}
    subscriber = (await shop.rows("SELECT id FROM subscribers WHERE sub = 'ben'"))[0]["id"]
    plans = (await shop.http.get("/v1/plans")).json()["data"]
    comp |= {"subscriber": subscriber, "plan": plans[0]["code"]}
    asked = await shop.post("/v1/support/comps", shop.agent, comp, **{"Idempotency-Key": "comp"})
    assert asked.status_code == 202, asked.text

    everything = [item["id"] for item in await queue(shop, boss)]

    assert everything == [sooner, later, asked.json()["id"], "evt_0", "evt_1", "evt_2", "ano_1"]
    assert [item["id"] for item in await queue(shop, shop.agent)] == [sooner, later, "ano_1"]
    assert [item["kind"] for item in await queue(shop, shop.supervisor, kind="approval")] == ["approval"]
    assert await queue(shop, shop.agent, kind="event") == []
    assert (await shop.get("/v1/support/queue/evt_0", shop.agent)).status_code == 403
    assert (await shop.get("/v1/support/queue/evt_9", boss)).status_code == 404
    assert (await shop.get("/v1/support/queue", boss, after="event~x~evt_1")).status_code == 422
    assert (await shop.get("/v1/support/queue", shop.person())).status_code == 403
    counted = {row["kind"]: row["count"] for row in (await shop.get("/v1/support/queue/counts", boss)).json()["data"]}
    assert {kind: count for kind, count in counted.items() if count} == {
        "dispute": 2, "approval": 1, "event": 3, "anomaly": 1,
    }  # fmt: skip


async def test_an_item_sleeps_until_it_changes(shop: Shop) -> None:
    payment = await subscribe(shop, shop.person())
    dispute = await open_dispute(shop, payment)
    (item,) = await queue(shop, shop.agent)
    due_by = (await shop.rows("SELECT due_by FROM disputes"))[0]["due_by"]

    late = await change(shop, item, "snooze", shop.agent, until=(due_by + timedelta(days=1)).isoformat())
    past = await change(shop, item, "snooze", shop.agent, until=(due_by - timedelta(days=90)).isoformat())
    assert (late.status_code, late.json()["code"]) == (409, "snooze_after_deadline")
    assert (past.status_code, past.json()["code"]) == (422, "invalid_snooze")

    snoozed = await change(shop, item, "snooze", shop.agent, until=(due_by - timedelta(hours=1)).isoformat())
    assert snoozed.status_code == 200, snoozed.text
    assert await queue(shop, shop.agent) == []
    assert [one["id"] for one in await queue(shop, shop.agent, state="snoozed")] == [dispute]

    await shop.stripe_post(f"/v1/disputes/{dispute}", **{"evidence[uncategorized_text]": "x", "submit": "true"})
    await shop.wait_until_idle()

    (awake,) = await queue(shop, shop.agent)
    assert (awake["code"], awake["snoozed_until"]) == ("under_review", None)
    actions = await shop.rows("SELECT action, actor FROM audit_log WHERE object_id = $1", dispute)
    assert [row["action"] for row in actions] == ["work_item.snoozed"]


async def test_an_event_that_fails_again_wakes_up(shop: Shop) -> None:
    boss = shop.person("boss", roles=("admin",))
    await shop.execute(EVENT.format(id="evt_1", error="the same", days=1))
    (item,) = await queue(shop, boss)
    assert (await change(shop, item, "snooze", boss, until="2026-03-20T00:00:00Z")).status_code == 200
    assert await queue(shop, boss) == []

    await shop.execute("UPDATE events SET state = 'failed', work_key = 'poison', attempts = 99, due_at = now()")
    await shop.wait_until("SELECT state = 'dead' FROM events WHERE id = 'evt_1'")

    assert [one["id"] for one in await queue(shop, boss)] == ["evt_1"]


async def test_of_two_agents_at_once_one_gets_the_item(shop: Shop) -> None:
    await shop.execute(ANOMALY)
    robin, sam = shop.agent, shop.supervisor
    (item,) = await queue(shop, robin)

    answers = await asyncio.gather(*(change(shop, item, "assign", by, to="me") for by in (robin, sam)))

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert {answer.json().get("code") for answer in answers} >= {"work_item_changed"}
    owner = robin if answers[0].status_code == 200 else sam
    (mine,) = await queue(shop, owner, assigned_to="me")
    assert mine["assigned_to"]["sub"] == owner.sub
    assert await queue(shop, robin, assigned_to="nobody") == []
    again = await change(shop, item, "assign", owner, to="me")
    assert again.status_code == 200, "a repeated request has no further effect"
    assert len(await shop.rows("SELECT id FROM audit_log WHERE action = 'work_item.assigned'")) == 1


async def test_an_item_is_assigned_only_to_staff_who_may_act_on_it(shop: Shop) -> None:
    await shop.execute(ANOMALY)
    await shop.execute(
        "INSERT INTO staff_members (sub, name, roles, seen_at) VALUES"
        " ('lou', 'Lou Petit', '{circulation}', now()), ('kim', 'Kim Sol', '{support}', now())"
    )
    (item,) = await queue(shop, shop.agent)

    stranger = await change(shop, item, "assign", shop.agent, to="ada")
    powerless = await change(shop, item, "assign", shop.agent, to="lou")
    helped = await change(shop, item, "assign", shop.agent, to="kim")
    noted = await change(shop, helped.json(), "note", shop.agent, note="asked the bank")
    freed = await change(shop, noted.json(), "assign", shop.agent, to=None)

    assert (stranger.status_code, stranger.json()["code"]) == (422, "unknown_assignee")
    assert (powerless.status_code, powerless.json()["code"]) == (409, "assignee_lacks_role")
    assert helped.json()["assigned_to"] == {"sub": "kim", "name": "Kim Sol"}
    assert (freed.json()["assigned_to"], freed.json()["note"], freed.json()["version"]) == (None, "asked the bank", 3)
    notes = await shop.rows("SELECT words FROM audit_notes")
    assert [row["words"] for row in notes] == ["asked the bank"]
    staff = (await shop.get("/v1/support/staff-members", shop.agent)).json()["data"]
    assert [one["name"] for one in staff] == ["Kim Sol", "Lou Petit"]
