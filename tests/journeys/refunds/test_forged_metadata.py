"""Metadata with our IDs is trusted only where it can be true, because any user of the Dashboard can write it."""

from tests.support.refunds import GOODWILL, GUARANTEE, check_books, decide_refund, payment_ids, request_refund
from tests.support.shop import Shop

OURS = "metadata[newsstand_refund]"


async def test_a_manual_refund_naming_an_unsent_refund_stays_a_manual_refund(shop: Shop) -> None:
    ada, robin = shop.person(), shop.person("robin", roles=("supervisor",))
    await shop.subscribe(ada, print_edition=True)
    (payment,) = await payment_ids(shop, ada)
    waiting = (await request_refund(shop, payment, GOODWILL, 26_00, key="waits")).json()
    assert waiting["status"] == "awaiting_approval"

    by_hand = await shop.stripe_post("/v1/refunds", payment_intent=payment, amount="500", **{OURS: waiting["id"]})
    await shop.wait_until_idle()
    held = {one["id"]: one for one in await shop.rows("SELECT * FROM refunds")}
    assert held.pop(waiting["id"])["status"] == "awaiting_approval"
    (other,) = held.values()
    assert (other["basis"], other["amount"], other["stripe_refund_id"]) == ("dashboard", 5_00, by_hand["id"])

    await shop.stripe_post("/v1/refunds", payment_intent=payment, amount="2600", **{OURS: waiting["id"]})
    await shop.wait_until_idle()
    approved = await decide_refund(shop, waiting["id"], "approve", robin)
    await shop.wait_until_idle()
    assert approved.status_code == 201, approved.text
    assert await check_books(shop, payment) == 57_00


async def test_a_manual_refund_naming_another_payments_refund_affects_only_its_own(shop: Shop) -> None:
    ada, bob = shop.person(), shop.person("bob")
    await shop.subscribe(ada)
    await shop.subscribe(bob)
    (hers,), (his,) = await payment_ids(shop, ada), await payment_ids(shop, bob)
    refund_id = (await request_refund(shop, hers, GOODWILL, 5_00, key="given")).json()["id"]

    await shop.stripe_post("/v1/refunds", payment_intent=his, amount="500", **{OURS: refund_id})
    await shop.wait_until_idle()

    assert (await check_books(shop, hers), await check_books(shop, his)) == (5_00, 5_00)
    (his_own,) = await shop.rows("SELECT basis FROM refunds WHERE payment_id = $1", his)
    assert his_own["basis"] == "dashboard"
    back = await request_refund(shop, hers, GUARANTEE, 44_00, key="all")
    await shop.wait_until_idle()
    assert back.status_code == 201, back.text
    assert await shop.may_read(bob)
    assert not await shop.may_read(ada)


async def test_metadata_naming_another_reader_does_not_move_a_subscription(shop: Shop) -> None:
    ada, bob = shop.person(), shop.person("bob")
    await shop.subscribe(ada)
    await shop.subscribe(bob)
    her_id, his = (await shop.overview(ada))["id"], await shop.overview(bob)
    (held,) = his["subscriptions"]
    named = {"metadata[newsstand_subscriber]": her_id}

    at_stripe = await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}")
    await shop.stripe_post(f"/v1/customers/{at_stripe['customer']}", **named)
    await shop.stripe_post(f"/v1/subscriptions/{held['stripe_id']}", **named)
    await shop.stripe.delete(f"/v1/subscriptions/{held['stripe_id']}")
    await shop.wait_until_idle()

    assert len((await shop.overview(ada))["subscriptions"]) == 1
    assert [one["stripe_id"] for one in (await shop.overview(bob))["subscriptions"]] == [held["stripe_id"]]
    assert await shop.may_read(ada)
    assert not await shop.may_read(bob)
