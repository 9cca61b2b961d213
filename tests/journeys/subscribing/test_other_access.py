"""Readers with complimentary access are told about it, and previews say what it keeps open."""

from datetime import timedelta

from tests.journeys.subscribing.test_comps import give_comp, revoke_comp
from tests.support.shop import START_TIME, Shop

UNTIL = "2026-03-20T05:00:00Z"  # short enough for one person to give


async def test_a_reader_with_complimentary_access_sees_it(shop: Shop) -> None:
    ada = shop.person()
    nothing = await shop.get("/v1/me/subscription", ada)
    assert (nothing.status_code, nothing.json()["code"]) == (404, "no_subscription")
    assert "other_access" not in nothing.json()

    comp = (await give_comp(shop, "ada", until=UNTIL)).json()
    told = (await shop.get("/v1/me/subscription", ada)).json()

    assert (told["code"], told["detail"]) == (
        "no_subscription",
        "You have complimentary access without a subscription",
    )
    assert (told["other_access"]["until"], told["other_access"]["reason"]) == (UNTIL.replace("Z", "+00:00"), "comp")
    assert "archive" in told["other_access"]["features"]

    assert await revoke_comp(shop, comp["id"], shop.agent) == 200
    assert "other_access" not in (await shop.get("/v1/me/subscription", ada)).json()


async def test_previews_say_what_complimentary_access_keeps_open(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = [one["id"] for one in (await shop.overview(ada))["payments"]]
    assert (await shop.quote(payment))["other_access"] is None
    assert (await give_comp(shop, "ada", until=UNTIL)).status_code == 201

    preview = (await shop.get("/v1/me/subscription/cancel-preview", ada)).json()
    mine = (await shop.get("/v1/me/refund-quote", ada)).json()
    for shown in (preview, mine, await shop.quote(payment), (await shop.get("/v1/me/subscription", ada)).json()):
        assert (shown["other_access"]["until"], shown["other_access"]["reason"]) == (UNTIL, "comp")
    assert mine["effect"] == "The subscription is canceled. Complimentary access continues."

    assert (await shop.request_refund(payment)).status_code == 201
    await shop.wait_until_idle()
    told = (await shop.get("/v1/me/subscription", ada)).json()
    assert (told["status"], told["other_access"]["until"]) == ("canceled", UNTIL)
    assert await shop.check(ada) == {"allowed": True, "reason": "comp", "until": UNTIL}


async def test_a_guarantee_that_was_used_is_not_offered_again(shop: Shop) -> None:
    ada, bea = shop.person(), shop.person("bea")
    (offered,) = (await shop.get("/v1/me/plans", ada)).json()["data"]
    (anyones,) = (await shop.http.get("/v1/plans")).json()["data"]
    assert offered == anyones
    await shop.subscribe(ada)
    (payment,) = [one["id"] for one in (await shop.overview(ada))["payments"]]
    assert (await shop.request_refund(payment)).status_code == 201
    await shop.wait_until_idle()

    (offered,) = (await shop.get("/v1/me/plans", ada)).json()["data"]
    assert offered["guarantee"]["available"] is False
    assert offered["offer"] == [line for line in anyones["offer"] if line != anyones["guarantee"]["title"]]
    (others,) = (await shop.get("/v1/me/plans", bea)).json()["data"]
    assert others == anyones
    await shop.advance_to(START_TIME + timedelta(days=1))
    opened = (await shop.open_checkout(ada)).json()
    assert (opened["guaranteed"], (await shop.open_checkout(bea)).json()["guaranteed"]) == (False, True)
    await shop.pay_checkout(opened["url"])
    await shop.wait_until_idle()

    none = {"eligible": False, "until": None, "amount": None, "reason": "guarantee_used"}
    assert (await shop.get("/v1/me/subscription", ada)).json()["guarantee"] == none
    assert (await shop.get("/v1/me/subscription/cancel-preview", ada)).json()["refund"] == none
