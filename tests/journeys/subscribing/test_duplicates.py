"""A reader pays in two tabs: one subscription stays, and the other one is refunded once."""

from datetime import timedelta
from typing import Any

from tests.support.reconciliation import reconcile
from tests.support.second_checkouts import open_second_checkout
from tests.support.shop import START_TIME, Person, Shop


async def open_another_tab(shop: Shop, customer: str, held: str) -> dict[str, Any]:
    """Open a second checkout of the same customer, as in a forgotten tab."""
    items = (await shop.stripe_get(f"/v1/subscriptions/{held}"))["items"]["data"]
    return await shop.stripe_post(
        "/v1/checkout/sessions",
        mode="subscription",
        customer=customer,
        success_url="http://127.0.0.1:8080/welcome",
        **{"line_items[0][price]": items[0]["price"]["id"], "line_items[0][quantity]": "1"},
    )


async def pay_in_another_tab(shop: Shop, customer: str, held: str) -> str:
    """Pay the second checkout; return its subscription."""
    session = await open_another_tab(shop, customer, held)
    paid = await shop.pay_checkout(session["url"])
    assert paid.status_code == 303, paid.text
    return str((await shop.stripe_get(f"/v1/checkout/sessions/{session['id']}"))["subscription"])


async def by_stripe_id(shop: Shop, reader: Person) -> dict[str, Any]:
    """Return the support view of a reader's subscriptions, by Stripe ID."""
    return {one["stripe_id"]: one for one in (await shop.overview(reader))["subscriptions"]}


async def test_one_of_two_subscriptions_paid_in_two_tabs_is_refunded(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (first,) = await by_stripe_id(shop, ada)
    (customer,) = await shop.stripe_customers()
    await shop.advance_to(START_TIME + timedelta(minutes=5))

    second = await pay_in_another_tab(shop, customer["id"], first)
    await shop.wait_until_idle()

    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 49_00
    assert (await shop.stripe_get(f"/v1/subscriptions/{first}"))["status"] == "active"
    assert (await shop.stripe_get(f"/v1/subscriptions/{second}"))["status"] == "canceled"
    assert (await shop.check(ada))["reason"] == "paid_term"
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert (mine["status"], mine["guarantee"]["eligible"]) == ("active", True), (
        "a duplicate does not use up the guarantee"
    )
    told = await shop.rows("SELECT actor, reason, after FROM audit_log WHERE action = 'subscription.duplicate'")
    assert [(row["actor"], row["reason"]) for row in told] == [("policy", "duplicate")]
    (ours,) = (await shop.overview(ada))["refunds"]
    assert (ours["basis"], ours["status"]) == ("duplicate", "succeeded")


async def test_the_earlier_duplicate_is_kept_even_if_its_event_arrives_last(shop: Shop) -> None:
    ada = shop.person()
    opened = (await shop.open_checkout(ada)).json()
    (customer,) = await shop.stripe_customers()
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.pay_checkout(opened["url"])
    (first,) = (await shop.stripe_get("/v1/subscriptions", customer=customer["id"]))["data"]
    await shop.advance_to(START_TIME + timedelta(minutes=5))
    second = await pay_in_another_tab(shop, customer["id"], first["id"])
    events = (await shop.stripe_get("/v1/events", type="customer.subscription.created", limit="100"))["data"]
    (late,) = [one["id"] for one in events if one["data"]["object"]["id"] == second]
    (early,) = [one["id"] for one in events if one["data"]["object"]["id"] == first["id"]]

    await shop.stripe.post(f"/_sandbox/events/{late}/deliver")
    await shop.wait_until_idle()
    assert await shop.may_read(ada)
    await shop.stripe.post(f"/_sandbox/events/{early}/deliver")
    await shop.wait_until_idle()

    assert (await shop.stripe_get(f"/v1/subscriptions/{first['id']}"))["status"] == "active"
    assert (await shop.stripe_get(f"/v1/subscriptions/{second}"))["status"] == "canceled"
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 49_00
    assert await shop.may_read(ada)


async def test_a_subscription_beside_one_that_ended_at_stripe_is_no_duplicate(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (first,) = await by_stripe_id(shop, ada)
    (customer,) = await shop.stripe_customers()
    await shop.stripe.put("/_sandbox/settings", json={"deliver": False})
    await shop.stripe.delete(f"/v1/subscriptions/{first}")
    await shop.advance_to(START_TIME + timedelta(minutes=5))
    second = await pay_in_another_tab(shop, customer["id"], first)
    events = (await shop.stripe_get("/v1/events", type="customer.subscription.created", limit="100"))["data"]
    (told,) = [one["id"] for one in events if one["data"]["object"]["id"] == second]

    await shop.stripe.post(f"/_sandbox/events/{told}/deliver")
    await shop.wait_until_idle()

    assert (await shop.stripe_get(f"/v1/subscriptions/{second}"))["status"] == "active"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    assert await shop.may_read(ada)


async def test_a_paid_subscription_replaces_one_whose_renewal_failed(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (first,) = await by_stripe_id(shop, ada)
    (customer,) = await shop.stripe_customers()
    card = await shop.stripe_post("/v1/payment_methods/pm_card_chargeCustomerFail/attach", customer=customer["id"])
    await shop.stripe_post(f"/v1/subscriptions/{first}", default_payment_method=card["id"])
    await shop.advance_to(START_TIME.replace(year=2027) + timedelta(days=1))
    assert (await shop.stripe_get(f"/v1/subscriptions/{first}"))["status"] == "past_due"

    second = await pay_in_another_tab(shop, customer["id"], first)
    await shop.wait_until_idle()

    assert (await shop.stripe_get(f"/v1/subscriptions/{first}"))["status"] == "canceled"
    assert (await shop.stripe_get(f"/v1/subscriptions/{second}"))["status"] == "active"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    owed = (await shop.stripe_get("/v1/invoices", subscription=first))["data"]
    assert [one["status"] for one in owed] == ["void", "paid"]
    assert (await shop.check(ada))["reason"] == "paid_term"


async def test_two_checkouts_whose_events_were_lost_are_resolved_by_reconciliation(shop: Shop) -> None:
    ada = shop.person()
    opened = (await shop.open_checkout(ada)).json()
    (customer,) = await shop.stripe_customers()
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    await shop.pay_checkout(opened["url"])
    (first,) = (await shop.stripe_get("/v1/subscriptions", customer=customer["id"]))["data"]
    await shop.advance_to(START_TIME + timedelta(minutes=5))
    session = await open_second_checkout(shop, customer["id"], first["items"]["data"][0]["price"]["id"])
    assert session is not None
    await shop.pay_checkout(session["url"])
    second = (await shop.stripe_get(f"/v1/checkout/sessions/{session['id']}"))["subscription"]

    await reconcile(shop)
    await reconcile(shop)

    assert (await shop.stripe_get(f"/v1/subscriptions/{first['id']}"))["status"] == "active"
    assert (await shop.stripe_get(f"/v1/subscriptions/{second}"))["status"] == "canceled"
    (refund,) = (await shop.stripe_get("/v1/refunds"))["data"]
    assert refund["amount"] == 49_00
    assert await shop.may_read(ada)


async def test_reconciliation_leaves_a_subscription_that_staff_created_at_stripe(shop: Shop) -> None:
    ada = shop.person()
    await shop.subscribe(ada)
    (first,) = await by_stripe_id(shop, ada)
    (customer,) = await shop.stripe_customers()
    await shop.stripe.put("/_sandbox/settings", json={"loss": 1.0})
    await shop.advance_to(START_TIME + timedelta(minutes=5))
    second = await pay_in_another_tab(shop, customer["id"], first)

    await reconcile(shop)
    await reconcile(shop)
    replayed = await shop.rows("UPDATE events SET state = 'received', due_at = now() RETURNING id")
    await shop.wait_until_idle()

    assert replayed
    assert {one["status"] for one in (await by_stripe_id(shop, ada)).values()} == {"active"}
    assert set(await by_stripe_id(shop, ada)) == {first, second}
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    found = (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"]
    assert [(one["object"], one["code"]) for one in found] == [(customer["id"], "several_subscriptions")]
