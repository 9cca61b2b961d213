"""Staff cancel and resume a reader's subscription, with a reason that is recorded."""

from datetime import timedelta

from tests.support.shop import START_TIME, Shop

A_YEAR = START_TIME.replace(year=2027)
ASKED = {"reason": "requested_by_reader", "note": "by telephone"}


async def test_staff_schedule_a_cancellation_and_undo_it(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/support/subscriptions/{held['id']}"

    for _ in range(2):  # the second click changes nothing
        ends = await shop.post(f"{path}/cancel", shop.agent, {"when": "period_end", **ASKED})
        assert ends.status_code == 200, ends.text
        assert (ends.json()["status"], ends.json()["cancel_at"]) == ("active", "2027-03-01T18:00:00Z")
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["cancel_at_period_end"] is True
    assert await shop.may_read(ada)

    resumed = await shop.post(f"{path}/resume", shop.agent, {"reason": "cancelled_by_mistake"})
    assert resumed.json()["cancel_at"] is None, resumed.text
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["cancel_at_period_end"] is False
    written = await shop.rows(
        "SELECT actor, action, reason, words, before, after FROM audit_log"
        " LEFT JOIN audit_notes ON audit_id = audit_log.id ORDER BY audit_log.id"
    )
    assert [(row["actor"], row["action"], row["reason"], row["words"]) for row in written] == [
        ("staff:agent", "subscription.cancel_at_period_end", "requested_by_reader", "by telephone"),
        ("staff:agent", "subscription.resume", "cancelled_by_mistake", None),
    ]
    assert ('"ends_at": null' in written[0]["before"], "2027-03-01" in written[0]["after"]) == (True, True)
    assert ("2027-03-01" in written[1]["before"], '"ends_at": null' in written[1]["after"]) == (True, True)
    await shop.advance_to(A_YEAR + timedelta(hours=2))
    assert len((await shop.overview(ada))["payments"]) == 2


async def test_an_immediate_cancellation_by_staff_is_recorded_in_the_history(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    path = f"/v1/support/subscriptions/{held['id']}"

    ended = await shop.post(f"{path}/cancel", shop.agent, {"when": "now", "reason": "bereavement"})

    assert (ended.json()["status"], ended.json()["ended_by"]) == ("canceled", "cancel_now"), ended.text
    assert (await shop.check(ada))["reason"] == "ended"
    await shop.wait_until_idle()
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "canceled"
    overview = await shop.overview(ada)
    assert overview["refunds"] == []
    assert any("staff member agent" in one["words"] and "bereavement" in one["words"] for one in overview["timeline"])
    for step, body in (
        ("cancel", {"when": "period_end", **ASKED}),
        ("cancel", {"when": "now", **ASKED}),
        ("resume", ASKED),
    ):
        again = await shop.post(f"{path}/{step}", shop.agent, body)
        assert (again.status_code, again.json()["code"]) == (409, "already_ended")


async def test_an_unauthorized_or_invalid_cancellation_changes_nothing(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (held,) = (await shop.overview(ada))["subscriptions"]
    good = {"cancel": {"when": "now", **ASKED}, "resume": ASKED}
    for step, body in good.items():
        path = f"/v1/support/subscriptions/{held['id']}/{step}"
        assert (await shop.http.post(path, json=body)).status_code == 401
        assert (await shop.post(path, ada, body)).status_code == 403
        assert (await shop.post(path, shop.person("desk", roles=("circulation",)), body)).status_code == 403
        assert (await shop.post(path.replace(held["id"], "scr_none"), shop.agent, body)).status_code == 404
        for wrong in ({**body, "reason": "because"}, {**body, "more": 1}, {"note": "x"}, {**body, "note": "x" * 2001}):
            assert (await shop.post(path, shop.agent, wrong)).status_code == 422, wrong
    assert await shop.rows("SELECT FROM audit_log") == []
    assert await shop.may_read(ada)
