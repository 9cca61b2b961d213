"""A restored backup ends nothing and refunds nothing by itself, although what happened since is missing."""

from datetime import timedelta

from tests.support.reconciliation import reconcile
from tests.support.refunds import GOODWILL, decide_refund, payment_ids, request_refund
from tests.support.shop import START_TIME, Shop


async def test_refunds_since_a_backup_keep_their_basis_after_it_is_restored(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    asked = (await request_refund(shop, payment, GOODWILL, 49_00, key="goodwill")).json()
    given = await decide_refund(shop, asked["id"], "approve", shop.person("robin", roles=("supervisor",)))
    assert given.status_code == 201, given.text
    await shop.wait_until_idle()
    assert await shop.may_read(ada), "goodwill changes no access, even if it is the whole price"
    at_stripe = (await shop.stripe_get("/v1/refunds"))["data"]

    await shop.execute("DELETE FROM refunds")
    await shop.execute("DELETE FROM events")
    await shop.advance_to(START_TIME + timedelta(days=1))
    await reconcile(shop, back=timedelta(days=2))

    (held,) = (await shop.overview(ada))["subscriptions"]
    assert (held["status"], held["terms"][0]["refunded_as"]) == ("active", None)
    assert (await shop.stripe_get(f"/v1/subscriptions/{held['stripe_id']}"))["status"] == "active"
    assert await shop.may_read(ada)
    assert {(r["basis"], r["status"]) for r in (await shop.overview(ada))["refunds"]} == {("goodwill", "succeeded")}
    assert (await shop.stripe_get("/v1/refunds"))["data"] == at_stripe
    assert len((await shop.stripe_get("/v1/credit_notes"))["data"]) == 1


async def test_a_subscription_sold_since_a_backup_is_neither_ended_nor_refunded(shop: Shop) -> None:
    """Two checkouts were paid, and both they and their subscriptions are missing in the restored data."""
    ada = shop.person()
    await shop.subscribe(ada)
    (customer,) = await shop.stripe_customers()
    (first,) = (await shop.stripe_get("/v1/subscriptions", customer=customer["id"]))["data"]
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    price, card = first["items"]["data"][0]["price"]["id"], first["default_payment_method"]
    second = await shop.stripe_post(
        "/v1/subscriptions",
        customer=customer["id"],
        default_payment_method=card,
        **{"items[0][price]": price, "metadata[newsstand_checkout]": "chk_lost"},
    )
    for table in ("grants", "payments", "terms", "subscriptions", "checkouts", "events"):
        await shop.execute(f"DELETE FROM {table}")

    await reconcile(shop, back=timedelta(days=1))
    await reconcile(shop, back=timedelta(days=1))

    listed = (await shop.stripe_get("/v1/subscriptions", customer=customer["id"], status="all"))["data"]
    assert {one["id"]: one["status"] for one in listed} == {first["id"]: "active", second["id"]: "active"}
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    assert await shop.may_read(ada)
