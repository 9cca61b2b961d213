"""Which member of staff saw which reader is recorded, and can be searched by reader."""

import asyncio

from app.services import reader_views
from tests.support.shop import Shop

VIEWS = "/v1/support/reader-views"


async def reader_id(shop: Shop) -> str:
    return str((await shop.rows("SELECT id FROM subscribers ORDER BY created_at LIMIT 1"))[0]["id"])


async def test_a_view_is_recorded_once_and_found_by_its_reader(shop: Shop) -> None:
    ada, bob, officer = shop.person(), shop.person("bob"), shop.person("officer", roles=("privacy",))
    await shop.subscribe(ada)
    await shop.subscribe(bob)
    reader = await reader_id(shop)
    path = f"/v1/support/subscribers/{reader}"

    assert (await shop.get(VIEWS, officer)).json() == {"data": [], "next": None}
    await asyncio.gather(*(shop.get(path, shop.agent) for _ in range(5)))
    await shop.get(path, shop.supervisor)
    await shop.get("/v1/support/subscribers", shop.agent, q="ada@")
    found = (await shop.get(VIEWS, officer, subscriber=reader)).json()["data"]

    assert sorted((view["viewer"], view["place"]) for view in found) == [
        ("staff:agent", "api"),
        ("staff:agent", "search"),
        ("staff:supervisor", "api"),
    ]
    assert {view["subscriber"] for view in found} == {reader}
    assert {view["subscriber"] for view in (await shop.get(VIEWS, officer)).json()["data"]} == {reader}
    by_agent = (await shop.get(VIEWS, officer, viewer="staff:agent", limit="1")).json()
    older = (await shop.get(VIEWS, officer, viewer="staff:agent", after=by_agent["next"])).json()
    assert {view["place"] for view in (*by_agent["data"], *older["data"])} == {"api", "search"}
    for nobody in (ada, shop.agent, shop.supervisor):
        assert (await shop.get(VIEWS, nobody)).status_code == 403


async def test_each_way_to_a_reader_is_recorded(shop: Shop) -> None:
    await shop.subscribe(shop.person())
    reader = await reader_id(shop)
    (subscription,) = await shop.rows("SELECT id FROM subscriptions")

    refused = await shop.get(f"/v1/support/subscribers/{reader}", shop.person())
    missing = await shop.get("/v1/support/subscribers/rdr_none", shop.agent)
    nothing_seen = await shop.rows("SELECT * FROM reader_views")
    body = {"when": "period_end", "reason": "other", "note": "asked"}
    await shop.post(f"/v1/support/subscriptions/{subscription['id']}/cancel", shop.agent, body)

    assert (refused.status_code, missing.status_code, nothing_seen) == (403, 404, [])
    assert [row["viewer"] for row in await shop.rows("SELECT viewer FROM reader_views")] == ["staff:agent"]


async def test_a_view_is_still_possible_while_the_database_is_read_only(shop: Shop) -> None:
    await shop.subscribe(shop.person())
    reader = await reader_id(shop)
    await shop.execute("DROP TABLE reader_views")  # nothing can be written to it

    assert (await shop.get(f"/v1/support/subscribers/{reader}", shop.agent)).status_code == 200


async def test_views_are_deleted_after_their_retention_period(shop: Shop) -> None:
    await shop.subscribe(shop.person())
    reader = await reader_id(shop)
    await shop.get(f"/v1/support/subscribers/{reader}", shop.agent)
    old = "SELECT subscriber_id, viewer, place, slot - n * interval '1 hour', at - interval '366 days'"
    await shop.execute(
        f"INSERT INTO reader_views (subscriber_id, viewer, place, slot, at) {old} FROM reader_views, generate_series(1, 5) n"
    )
    assert shop.app is not None

    await reader_views.prune(shop.app.state.api.ctx)

    assert len(await shop.rows("SELECT * FROM reader_views WHERE at > now() - interval '1 hour'")) == 1
