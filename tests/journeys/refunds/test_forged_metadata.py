"""What metadata says of our ids is believed only where it can be true: whoever uses the Dashboard may write it."""

from tests.support.refunding import GOODWILL, GUARANTEE, asks, balanced, decides, payments_of
from tests.support.shop import Shop

OURS = "metadata[newsstand_refund]"


async def test_a_refund_by_hand_that_names_one_of_ours_which_was_never_sent_is_a_refund_by_hand(shop: Shop) -> None:
    ada, robin = shop.person(), shop.person("robin", roles=("supervisor",))
    await shop.subscribes(ada, print_edition=True)
    (payment,) = await payments_of(shop, ada)
    waiting = (await asks(shop, payment, GOODWILL, 26_00, key="waits")).json()
    assert waiting["status"] == "awaiting_approval"

    by_hand = await shop.makes("/v1/refunds", payment_intent=payment, amount="500", **{OURS: waiting["id"]})
    await shop.settles()
    held = {one["id"]: one for one in await shop.rows("SELECT * FROM refunds")}
    assert held.pop(waiting["id"])["status"] == "awaiting_approval"
    (other,) = held.values()
    assert (other["basis"], other["amount"], other["stripe_refund_id"]) == ("dashboard", 5_00, by_hand["id"])

    await shop.makes("/v1/refunds", payment_intent=payment, amount="2600", **{OURS: waiting["id"]})
    await shop.settles()
    approved = await decides(shop, waiting["id"], "approve", robin)
    await shop.settles()
    assert approved.status_code == 201, approved.text
    assert await balanced(shop, payment) == 57_00


async def test_a_refund_by_hand_that_names_another_payments_refund_concerns_its_own_payment_alone(shop: Shop) -> None:
    ada, bob = shop.person(), shop.person("bob")
    await shop.subscribes(ada)
    await shop.subscribes(bob)
    (hers,), (his,) = await payments_of(shop, ada), await payments_of(shop, bob)
    given = (await asks(shop, hers, GOODWILL, 5_00, key="given")).json()["id"]

    await shop.makes("/v1/refunds", payment_intent=his, amount="500", **{OURS: given})
    await shop.settles()

    assert (await balanced(shop, hers), await balanced(shop, his)) == (5_00, 5_00)
    (his_own,) = await shop.rows("SELECT basis FROM refunds WHERE payment_id = $1", his)
    assert his_own["basis"] == "dashboard"
    back = await asks(shop, hers, GUARANTEE, 44_00, key="all")
    await shop.settles()
    assert back.status_code == 201, back.text
    assert await shop.may_read(bob)
    assert not await shop.may_read(ada)


async def test_a_customer_and_a_subscription_that_name_another_reader_stay_whose_they_are(shop: Shop) -> None:
    ada, bob = shop.person(), shop.person("bob")
    await shop.subscribes(ada)
    await shop.subscribes(bob)
    her_id, his = (await shop.overview(ada))["id"], await shop.overview(bob)
    (held,) = his["subscriptions"]
    named = {"metadata[newsstand_subscriber]": her_id}

    at_stripe = await shop.at_stripe(f"/v1/subscriptions/{held['stripe_id']}")
    await shop.makes(f"/v1/customers/{at_stripe['customer']}", **named)
    await shop.makes(f"/v1/subscriptions/{held['stripe_id']}", **named)
    await shop.stripe.delete(f"/v1/subscriptions/{held['stripe_id']}")
    await shop.settles()

    assert len((await shop.overview(ada))["subscriptions"]) == 1
    assert [one["stripe_id"] for one in (await shop.overview(bob))["subscriptions"]] == [held["stripe_id"]]
    assert await shop.may_read(ada)
    assert not await shop.may_read(bob)
