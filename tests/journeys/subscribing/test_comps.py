"""Complimentary access, and the history of a reader's access."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

from tests.journeys.lifecycle.test_issues import circulation, two_years
from tests.support.shop import START_TIME, Person, Shop


async def give_comp(shop: Shop, to: str, **more: object) -> Any:
    """Give a comp as support."""
    body = {"subscriber": to, "plan": "annual", "reason": "a copy that never came", **more}
    return await shop.post("/v1/support/comps", shop.agent, body)


async def revoke_comp(shop: Shop, comp: str, by: Person) -> int:
    """Revoke a comp; return the status."""
    return (await shop.http.delete(f"/v1/support/comps/{comp}", headers=dict(by.headers))).status_code


async def test_revoking_a_comp_keeps_the_paid_access(shop: Shop) -> None:
    comp = await give_comp(shop, "ada", until="2026-06-01T05:00:00Z")
    assert comp.status_code == 201, comp.text
    ada = shop.person()
    assert await shop.check(ada) == {"allowed": True, "reason": "comp", "until": "2026-06-01T05:00:00Z"}
    assert (await shop.check(ada, "print_edition"))["reason"] == "not_included"
    await shop.subscribe(ada)
    second = (await give_comp(shop, "ada", until="2028-01-01T00:00:00Z")).json()
    assert (await shop.approve(second["id"])).status_code == 201
    held = (await shop.get("/v1/me/entitlements", ada)).json()
    assert held["features"]["archive"] == {
        "until": "2028-01-01T00:00:00Z",
        "reason": "comp",
        "grant": f"grt_{second['id']}",
    }

    assert await revoke_comp(shop, second["id"], ada) == 403
    assert await revoke_comp(shop, second["id"], shop.agent) == 200
    assert await revoke_comp(shop, second["id"], shop.agent) == 404
    assert await revoke_comp(shop, comp.json()["id"], shop.agent) == 200

    assert (await shop.check(ada))["reason"] == "paid_term"
    server = {"Authorization": f"Bearer {shop.server_key}"}
    feed = (await shop.http.get("/v1/revocations", headers=server)).json()["data"]
    assert [one["subscriber"] for one in feed] == []  # no access ended within the lifetime of a token
    seen = await shop.overview(ada)
    assert [comp["removed_by"] for comp in seen["comps"]] == ["staff:agent", "staff:agent"]
    assert [grant["source"] for grant in seen["grants"]] == ["paid_term"]
    entries = [one["words"] for one in seen["timeline"] if one["kind"] in {"paid", "comp"}]
    assert sorted(entries) == [  # the clock did not advance
        "March 1, 2026: complimentary access revoked by staff member agent",
        "March 1, 2026: complimentary access revoked by staff member agent",
        "March 1, 2026: complimentary access until December 31, 2027, given by staff member agent (a copy that never came)",
        "March 1, 2026: complimentary access until June 1, 2026, given by staff member agent (a copy that never came)",
        "March 1, 2026: paid $49 for 24 issues; access until March 1, 2027",
    ]


async def test_a_repeated_request_with_a_key_gives_one_comp(shop: Shop) -> None:
    wanted = {"subscriber": "ada", "plan": "annual", "reason": "a copy lost", "until": "2026-06-01T05:00:00Z"}

    async def give(key: str, **changed: object) -> Any:
        headers = {**shop.agent.headers, "Idempotency-Key": key}
        return await shop.http.post("/v1/support/comps", json=wanted | changed, headers=headers)

    first, again = await asyncio.gather(give("one"), give("one"))
    assert {first.status_code, again.status_code} <= {201, 409}
    third = await give("one")
    assert third.json()["id"] in {one.json().get("id") for one in (first, again)}
    assert (await give("one", reason="other")).json()["code"] == "idempotency_key_reused"
    assert (await give("one two")).json()["code"] == "idempotency_key_invalid"
    assert await shop.rows("SELECT count(*) AS comps FROM comps") == [{"comps": 1}]

    awaiting = [await give("two", until="2029-01-01T00:00:00Z") for _ in range(2)]
    assert [one.status_code for one in awaiting] == [202, 202]
    assert awaiting[0].json() == awaiting[1].json()


async def test_revoking_a_readers_only_comp_is_reported_to_edges(shop: Shop) -> None:
    comp = (await give_comp(shop, "bob", until="2027-01-01T00:00:00Z")).json()
    assert (await shop.approve(comp["id"])).status_code == 201

    assert await revoke_comp(shop, comp["id"], shop.agent) == 200

    assert (await shop.check(shop.person("bob")))["reason"] == "ended"
    feed = await shop.http.get("/v1/revocations", headers={"Authorization": f"Bearer {shop.server_key}"})
    assert [(one["subscriber"], one["version"]) for one in feed.json()["data"]] == [("bob", 2)]


async def test_a_comp_can_end_in_the_most_distant_future(shop: Shop) -> None:
    for until in ("9999-12-31T23:59:59-12:00", "9999-12-31T23:59:59Z", "9999-12-31T00:00:00+14:00"):
        answer = await give_comp(shop, "ada", until=until)
        assert (answer.status_code, answer.json()["until"]) == (202, "9999-12-31T00:00:00Z"), (
            "it waits for a second person"
        )


async def test_an_invalid_comp_is_rejected(shop: Shop) -> None:
    for body, status, code in (
        ({"until": "2026-02-01T00:00:00Z"}, 409, "comp_is_over"),
        ({"issues": 3}, 409, "calendar_too_short"),
        ({}, 422, "validation_failed"),
        ({"until": "2027-01-01T00:00:00Z", "issues": 3}, 422, "validation_failed"),
        ({"until": "2027-01-01T00:00:00"}, 422, "validation_failed"),
        ({"until": "2027-01-01T00:00:00Z", "plan": "lifelong"}, 422, "unknown_plan"),
        ({"until": "2027-01-01T00:00:00Z", "reason": ""}, 422, "validation_failed"),
    ):
        answer = await give_comp(shop, "ada", **body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), body
    assert await shop.rows("SELECT 1 FROM subscribers") == []


async def test_the_history_of_a_refunded_reader_is_in_plain_words(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    payment = (await shop.overview(ada))["payments"][0]["id"]
    assert (await shop.request_refund(payment)).status_code == 201
    await shop.wait_until_idle()

    entries = [one["words"] for one in (await shop.overview(ada))["timeline"] if one["kind"] not in {"noted", "told"}]

    assert entries == [
        "March 1, 2026: paid $49 for 24 issues; access until March 1, 2027",
        "March 1, 2026: the subscription and access ended (guarantee), by staff member agent",
        "March 1, 2026: refunded $49 (guarantee), requested by staff member agent",
    ]


async def test_a_comp_of_a_number_of_issues_ends_when_the_last_one_is_mailed(shop: Shop) -> None:
    await two_years(shop)
    comp = await give_comp(shop, "ada", issues=3)
    assert comp.status_code == 201, comp.text
    ada, mailed = shop.person(), {}
    for number in (5, 6, 7):  # issue 5 is the first after March 1
        issue = await shop.get(f"/v1/issues/{number}", circulation(shop))
        mailed[number] = datetime.fromisoformat(f"{issue.json()['planned_mail_date']}T00:00:00").replace(
            tzinfo=shop.settings.zone
        )
    assert mailed[5] > START_TIME
    ends = datetime.fromisoformat(comp.json()["until"])
    assert (comp.json()["issues"], ends) == (3, mailed[7])
    assert await shop.check(ada) == {"allowed": True, "reason": "comp", "until": comp.json()["until"]}
    await shop.advance_to(ends - timedelta(seconds=1))
    assert await shop.may_read(ada)
    await shop.advance_to(ends)
    assert (await shop.check(ada))["reason"] == "ended"

    too_many = await give_comp(shop, "ada", issues=100)
    assert (too_many.status_code, too_many.json()["code"]) == (409, "calendar_too_short")
    assert too_many.json()["planned"] == 48 - 6
    admin = shop.person("root", roles=("admin",))
    written = (await shop.get("/v1/support/audit", admin, object=comp.json()["id"])).json()["data"]
    assert [(row["action"], row["actor"], row["after"]["issues"]) for row in written] == [
        ("comp.given", "staff:agent", 3)
    ]


async def test_the_history_and_the_audit_log_name_the_staff_and_reason_of_a_comp(shop: Shop) -> None:
    await shop.open_checkout(shop.person("ada"))  # so that support finds her by email
    first = (await give_comp(shop, "ada", until="2026-06-01T05:00:00Z")).json()["id"]
    path = f"/v1/support/comps/{first}"
    gone = await shop.http.delete(path, params={"reason": "given by mistake"}, headers=dict(shop.agent.headers))
    assert gone.status_code == 200, gone.text

    entries = [one["words"] for one in (await shop.overview(shop.person("ada")))["timeline"] if one["kind"] == "comp"]
    assert entries == [
        "March 1, 2026: complimentary access until June 1, 2026, given by staff member agent (a copy that never came)",
        "March 1, 2026: complimentary access revoked by staff member agent",
    ]
    admin = shop.person("root", roles=("admin",))
    written = (await shop.get("/v1/support/audit", admin, object=first)).json()["data"]
    assert sorted((row["action"], row["actor"], row["note"]) for row in written) == [
        ("comp.given", "staff:agent", "a copy that never came"),
        ("comp.taken_back", "staff:agent", "given by mistake"),
    ]
    for who, status in ((shop.person("ada"), 403), (shop.person("calla", roles=("circulation",)), 403)):
        body = {"subscriber": "bob", "plan": "annual", "reason": "because", "until": "2026-06-01T05:00:00Z"}
        assert (await shop.post("/v1/support/comps", who, body)).status_code == status
        assert await revoke_comp(shop, first, who) == status
    assert await revoke_comp(shop, "cmp_nobody", shop.agent) == 404
