"""A restored backup ends nothing and refunds nothing by itself, although what happened since is missing."""

from datetime import timedelta

from tests.support.reconciliation import reconcile
from tests.support.refunds import (
    GOODWILL,
    GUARANTEE,
    check_books,
    decide_refund,
    get_quotes,
    payment_ids,
    request_refund,
)
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


LOST = ("refunds", "intents", "idempotent_requests", "events")


async def lose(shop: Shop, *tables: str) -> None:
    """Delete all rows of tables, as if a backup had been restored that lacks them."""
    for table in tables:
        await shop.execute(f"DELETE FROM {table}")


async def refunded(shop: Shop, payment: str) -> int:
    """Return the amount that was refunded, if our records have the same refunds as Stripe, each with a credit note."""
    there = (await shop.stripe_get("/v1/refunds", payment_intent=payment))["data"]
    here = await shop.rows("SELECT * FROM refunds WHERE status <> 'failed'")
    assert {(one["id"], one["amount"]) for one in there} == {(one["stripe_refund_id"], one["amount"]) for one in here}
    notes = {one["id"] for one in (await shop.stripe_get("/v1/credit_notes"))["data"]}
    assert notes == {one["credit_note_id"] for one in here}
    return sum(int(one["amount"]) for one in there)


async def test_a_used_guarantee_is_restored_with_its_id_and_stays_used(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    refund = (await request_refund(shop, payment, GUARANTEE, 49_00, key="guarantee")).json()["id"]
    await shop.wait_until_idle()

    await lose(shop, *LOST)
    await reconcile(shop, back=timedelta(days=1))

    (restored,) = await shop.rows("SELECT id, basis, status FROM refunds")
    assert restored == {"id": refund, "basis": "guarantee", "status": "succeeded"}
    assert not await shop.may_read(ada)
    await shop.subscribe(ada)
    second = next(one for one in await payment_ids(shop, ada) if one != payment)
    quote = (await get_quotes(shop, second))[GUARANTEE]
    assert quote["reason"] == "guarantee_used"


async def test_a_repeated_request_after_a_restore_pays_no_goodwill_again(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    first = (await request_refund(shop, payment, GOODWILL, 5_00, key="sorry")).json()
    await shop.wait_until_idle()

    await lose(shop, *LOST)
    again = await request_refund(shop, payment, GOODWILL, 5_00, key="sorry")
    await shop.wait_until_idle()

    assert again.status_code == 201, again.text
    assert await check_books(shop, payment) == 5_00

    await lose(shop, *LOST)
    await reconcile(shop, back=timedelta(days=1))
    restored = await request_refund(shop, payment, GOODWILL, 5_00, key="sorry")
    await shop.wait_until_idle()

    assert (restored.status_code, restored.json()["id"]) == (201, first["id"])
    assert [one["amount"] for one in (await shop.stripe_get("/v1/refunds"))["data"]] == [5_00]


async def test_a_refund_approved_since_a_backup_is_not_paid_again(shop: Shop) -> None:
    ada, robin = shop.person(), shop.person("robin", roles=("supervisor",))
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    asked = (await request_refund(shop, payment, GOODWILL, 26_00, key="much")).json()["id"]
    assert (await decide_refund(shop, asked, "approve", robin)).status_code == 201
    await shop.wait_until_idle()

    await lose(shop, "intents", "idempotent_requests", "events")
    await shop.execute(
        "UPDATE refunds SET status = 'awaiting_approval', stripe_refund_id = NULL, credit_note_id = NULL,"
        " decided_by = NULL, decided_at = NULL, made_at = NULL, recorded_at = NULL"
    )
    await reconcile(shop, back=timedelta(days=1))

    assert [(one["id"], one["status"]) for one in await shop.rows("SELECT * FROM refunds")] == [(asked, "succeeded")]
    assert (await decide_refund(shop, asked, "approve", robin, key="again")).json()["code"] == "not_awaiting_approval"
    assert await refunded(shop, payment) == 26_00


async def test_no_refund_is_paid_while_an_earlier_one_is_missing_here(shop: Shop) -> None:
    """The quote would be too high. The missing refund is added, and a new quote considers it."""
    ada = shop.person()
    await shop.subscribe(ada)
    (payment,) = await payment_ids(shop, ada)
    await request_refund(shop, payment, GOODWILL, 5_00, key="sorry")
    await shop.wait_until_idle()

    for basis, amount in ((GUARANTEE, 49_00), (GOODWILL, 6_00)):
        await lose(shop, *LOST)
        refused = await request_refund(shop, payment, basis, amount, key=f"another-{amount}")
        assert (refused.status_code, refused.json()["code"]) == (409, "refunds_missing")
        await shop.wait_until_idle()
    assert (await get_quotes(shop, payment))[GUARANTEE]["amount"]["amount"] == 44_00
    assert (await request_refund(shop, payment, GUARANTEE, 44_00, key="rest")).status_code == 201
    await shop.wait_until_idle()
    assert await refunded(shop, payment) == 49_00
