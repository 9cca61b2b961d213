"""Manual changes in Stripe's Dashboard and portal have the effects in docs/concepts/subscription-states.md."""

from datetime import timedelta
from typing import Any

import pytest

from tests.support.refunds import request_refund
from tests.support.shop import START_TIME, Person, Shop

A_YEAR = START_TIME.replace(year=2027)
OURS = "newsstand_subscriber"


async def only_subscription(shop: Shop, reader: Person) -> dict[str, Any]:
    """Return a reader's only subscription in the support view."""
    (held,) = (await shop.overview(reader))["subscriptions"]
    return dict(held)


async def subscribe(shop: Shop, *names: str) -> list[tuple[Person, str]]:
    """Subscribe readers; return each with the ID of their subscription at Stripe."""
    found = []
    for name in names:
        reader = shop.person(name)
        await shop.subscribe(reader)
        found.append((reader, str((await only_subscription(shop, reader))["stripe_id"])))
    return found


async def anomalies(shop: Shop) -> dict[str, set[str]]:
    """Return the codes of the anomalies shown to staff, by Stripe ID. Each has a reason."""
    seen: dict[str, set[str]] = {}
    for one in (await shop.get("/v1/support/anomalies", shop.agent)).json()["data"]:
        assert len(one["reason"]) > 20
        seen.setdefault(one["object"], set()).add(one["code"])
    return seen


async def customer_of(shop: Shop, reader: Person) -> str:
    return str((await shop.overview(reader))["stripe_customer"])


async def create_price(shop: Shop, *, amount: int, currency: str = "usd", product: str | None = None) -> str:
    """Create a yearly price, of a new product unless one is given."""
    product = product or (await shop.stripe_post("/v1/products", name="Mugs"))["id"]
    every = {"recurring[interval]": "year"}
    return str(
        (await shop.stripe_post("/v1/prices", unit_amount=str(amount), currency=currency, product=product, **every))[
            "id"
        ]
    )


async def our_item(shop: Shop, stripe_id: str) -> dict[str, Any]:
    """Return the digital item of a subscription."""
    return dict((await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["items"]["data"][0])


async def create_customer(shop: Shop, email: str) -> tuple[str, str]:
    """Create a customer with a card at Stripe; return both IDs."""
    made = await shop.stripe_post("/v1/customers", email=email, test_clock=shop.clock)
    card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=made["id"])
    return made["id"], card["id"]


async def test_a_manual_refund_ends_access_only_if_it_is_full(shop: Shop) -> None:
    (ada, whole), (bob, part) = await subscribe(shop, "ada", "bob")
    paid = {name: (await shop.overview(shop.person(name)))["payments"][0]["id"] for name in ("ada", "bob")}

    await shop.stripe_post("/v1/refunds", payment_intent=paid["ada"])
    await shop.stripe_post("/v1/refunds", payment_intent=paid["bob"], amount="1000")
    await shop.wait_until_idle()

    assert (await shop.check(ada))["reason"] == "refunded"
    assert (await shop.stripe_get(f"/v1/subscriptions/{whole}"))["status"] == "canceled"
    assert (await only_subscription(shop, ada))["ended_by"] == "dashboard"
    assert (await shop.check(bob))["reason"] == "paid_term"
    assert (await shop.stripe_get(f"/v1/subscriptions/{part}"))["status"] == "active"
    (shown,) = (await shop.overview(bob))["refunds"]
    assert (shown["basis"], shown["amount"]["amount"], shown["requested_by"]) == ("dashboard", 10_00, "stripe")


@pytest.mark.parametrize("late", [False, True], ids=["in order", "late event of the manual refund"])
async def test_goodwill_can_refund_the_rest_after_a_manual_partial_refund(shop: Shop, *, late: bool) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    payment = (await shop.overview(ada))["payments"][0]["id"]

    await shop.stripe.put("/_sandbox/settings", json={"deliver": not late})
    await shop.stripe_post("/v1/refunds", payment_intent=payment, amount="4500")
    await shop.advance_to(START_TIME + timedelta(days=2))
    assert (await request_refund(shop, payment, "goodwill", 4_00, key="the-rest")).status_code == 201
    await shop.stripe.put("/_sandbox/settings", json={"deliver": True})
    await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"metadata[looked]": "again"})
    await shop.wait_until_idle()

    reported = {(r["basis"], r["status"], r["amount"]["amount"]) for r in (await shop.overview(ada))["refunds"]}
    assert reported == {("dashboard", "succeeded", 45_00), ("goodwill", "succeeded", 4_00)}
    assert (await shop.check(ada))["reason"] == "paid_term"
    assert (await shop.stripe_get(f"/v1/subscriptions/{stripe_id}"))["status"] == "active"


async def test_a_manual_refund_of_the_rest_after_goodwill_ends_access(shop: Shop) -> None:
    ((ada, _),) = await subscribe(shop, "ada")
    payment = (await shop.overview(ada))["payments"][0]["id"]
    assert (await request_refund(shop, payment, "goodwill", 4_00, key="a-part")).status_code == 201

    await shop.stripe_post("/v1/refunds", payment_intent=payment)
    await shop.wait_until_idle()

    assert ((await shop.check(ada))["reason"], (await only_subscription(shop, ada))["ended_by"]) == (
        "refunded",
        "dashboard",
    )


async def test_all_three_kinds_of_manual_cancellation_are_applied(shop: Shop) -> None:
    (ada, by_flag), (bob, by_date), (cyd, at_once) = await subscribe(shop, "ada", "bob", "cyd")
    day = START_TIME + timedelta(days=100)

    await shop.stripe_post(f"/v1/subscriptions/{by_flag}", cancel_at_period_end="true")
    await shop.stripe_post(
        f"/v1/subscriptions/{by_date}", cancel_at=str(int(day.timestamp())), proration_behavior="none"
    )
    await shop.stripe.delete(f"/v1/subscriptions/{at_once}")
    await shop.wait_until_idle()

    mine = [(await shop.get("/v1/me/subscription", who)).json() for who in (ada, bob, cyd)]
    assert [(one["status"], one["ends_at"]) for one in mine] == [
        ("active", "2027-03-01T18:00:00Z"),
        ("active", "2026-06-09T18:00:00Z"),
        ("canceled", "2026-03-01T18:00:00Z"),
    ]
    assert [await shop.may_read(who) for who in (ada, bob, cyd)] == [True, True, False]
    assert (await shop.overview(cyd))["refunds"] == [], "an immediate cancellation causes no refund"
    assert (await shop.post("/v1/me/subscription/resume", ada)).json()["ends_at"] is None
    await shop.advance_to(A_YEAR + timedelta(hours=2))
    assert [await shop.may_read(who) for who in (ada, bob, cyd)] == [True, False, False]
    assert [len((await shop.overview(who))["payments"]) for who in (ada, bob, cyd)] == [2, 1, 1]


async def test_manual_changes_of_price_and_print_apply_from_the_next_term(shop: Shop) -> None:
    (ada, dearer), (bob, foreign), (cyd, cheaper), (dee, free) = await subscribe(shop, "ada", "bob", "cyd", "dee")
    keep = {"proration_behavior": "none"}
    item = await our_item(shop, dearer)
    own = await create_price(shop, amount=59_00, product=item["price"]["product"])
    printed = (await shop.stripe_get("/v1/prices", **{"lookup_keys[0]": "newsstand_annual_print"}))["data"][0]["id"]
    await shop.stripe_post(
        f"/v1/subscriptions/{dearer}", **keep, **{"items[0][id]": item["id"], "items[0][price]": own}
    )
    await shop.stripe_post("/v1/subscription_items", subscription=dearer, price=printed, **keep)
    theirs, mug = await our_item(shop, foreign), await create_price(shop, amount=9_00)
    await shop.stripe_post(
        f"/v1/subscriptions/{foreign}", **keep, **{"items[0][id]": theirs["id"], "items[0][price]": mug}
    )
    for stripe_id, percent in ((cheaper, "50"), (free, "100")):
        coupon = await shop.stripe_post("/v1/coupons", percent_off=percent, duration="forever")
        await shop.stripe_post(f"/v1/subscriptions/{stripe_id}", **{"discounts[0][coupon]": coupon["id"]})
    await shop.wait_until_idle()

    assert await anomalies(shop) == {foreign: {"none_of_ours"}}
    assert all([await shop.may_read(who) for who in (ada, bob, cyd, dee)]), "the paid term stays"
    assert not await shop.may_read(ada, "print_edition")
    mine = (await shop.get("/v1/me/subscription", ada)).json()
    assert (mine["price"]["amount"], mine["editions"]) == (83_00, ["digital", "print"])

    await shop.advance_to(A_YEAR + timedelta(days=6))
    amounts = [[p["amount"]["amount"] for p in (await shop.overview(who))["payments"]] for who in (ada, bob, cyd, dee)]
    assert amounts == [[49_00, 83_00], [49_00, 9_00], [49_00, 24_50], [49_00]]
    assert [await shop.may_read(who) for who in (ada, bob, cyd, dee)] == [True, False, True, True]
    assert await shop.may_read(ada, "print_edition")
    assert [len((await only_subscription(shop, who))["terms"]) for who in (ada, bob, cyd, dee)] == [2, 1, 2, 2]


async def test_a_reader_can_subscribe_again_after_their_customer_was_deleted(shop: Shop) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    gone = await customer_of(shop, ada)

    await shop.stripe.delete(f"/v1/customers/{gone}")
    await shop.wait_until_idle()

    assert (await shop.check(ada))["reason"] == "ended"
    seen = await shop.overview(ada)
    assert (seen["stripe_customer"], seen["subscriptions"][0]["status"], seen["refunds"]) == (None, "canceled", [])
    assert any("Stripe deleted the customer" in one["words"] for one in seen["timeline"])
    written = await shop.rows("SELECT actor, object_id FROM audit_log WHERE action = 'customer.deleted'")
    assert [tuple(row.values()) for row in written] == [("stripe", gone)]
    (row,) = await shop.rows("SELECT closed_at IS NOT NULL AS closed, due_at FROM subscriptions")
    assert tuple(row.values()) == (True, None)
    payment = seen["payments"][0]["id"]
    assert (await shop.request_refund(payment)).status_code == 201, "their payment can still be refunded"
    await shop.subscribe(ada)
    assert await shop.may_read(ada)
    assert await customer_of(shop, ada) not in {gone, "None"}
    assert stripe_id in {one["stripe_id"] for one in (await shop.overview(ada))["subscriptions"]}


async def test_an_email_changed_at_stripe_is_shown_but_not_adopted(shop: Shop) -> None:
    ((ada, _),) = await subscribe(shop, "ada")
    theirs = await customer_of(shop, ada)

    await shop.stripe_post(f"/v1/customers/{theirs}", email="other@example.com", name="Someone Else")
    await shop.wait_until_idle()

    assert await anomalies(shop) == {theirs: {"address_differs"}}
    seen = await shop.overview(ada)
    assert (seen["email"], seen["name"]) == (ada.email, "Ada")
    assert [one["code"] for one in seen["anomalies"]] == ["address_differs"]
    assert await shop.may_read(ada)
    await shop.stripe_post(f"/v1/customers/{theirs}", email="ADA@example.com")
    await shop.wait_until_idle()
    assert await anomalies(shop) == {}


async def test_the_email_of_an_unclaimed_reader_follows_stripe(shop: Shop) -> None:
    made, _ = await create_customer(shop, "early@example.com")
    await shop.execute(
        "INSERT INTO subscribers (id, sub, email, stripe_customer_id)"
        f" VALUES ('rdr_early', 'unclaimed:{made}', 'early@example.com', '{made}')"
    )
    await shop.stripe_post(f"/v1/customers/{made}", email="moved@example.com", name="Early Bird")
    await shop.wait_until_idle()

    (row,) = await shop.rows("SELECT email, name FROM subscribers WHERE id = 'rdr_early'")
    assert tuple(row.values()) == ("moved@example.com", "Early Bird")


async def test_a_manual_subscription_belongs_to_its_customer(shop: Shop) -> None:
    ((ada, first),) = await subscribe(shop, "ada")
    digital = (await our_item(shop, first))["price"]["id"]
    bob, cyd = shop.person("bob"), shop.person("cyd")
    await shop.open_checkout(bob)  # creates his customer
    await shop.get("/v1/me/subscription", cyd)
    await shop.execute("INSERT INTO subscribers (id, sub, email) VALUES ('rdr_cyd', 'cyd', 'cyd@example.com')")

    async def subscribe_manually(customer_id: str, card: str, **more: str) -> str:
        wanted = {"customer": customer_id, "default_payment_method": card, "items[0][price]": digital, **more}
        return str((await shop.stripe_post("/v1/subscriptions", **wanted))["id"])

    his = (await shop.rows("SELECT stripe_customer_id FROM subscribers WHERE sub = 'bob'"))[0]["stripe_customer_id"]
    card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=his)
    await subscribe_manually(his, card["id"])
    known = await subscribe_manually(*await create_customer(shop, ada.email))
    unknown = await subscribe_manually(*await create_customer(shop, "nobody@example.com"))
    adopted = await subscribe_manually(
        *await create_customer(shop, "shared@example.com"), **{f"metadata[{OURS}]": "rdr_cyd"}
    )
    taken = await subscribe_manually(
        *await create_customer(shop, "thief@example.com"), **{f"metadata[{OURS}]": (await shop.overview(ada))["id"]}
    )
    await shop.wait_until_idle()

    assert (await shop.check(bob))["reason"] == "paid_term"
    assert (await shop.check(cyd))["reason"] == "paid_term"
    assert (await only_subscription(shop, cyd))["stripe_id"] == adopted
    assert await anomalies(shop) == {
        known: {"stranger"},
        unknown: {"stranger"},
        taken: {"stranger"},
        (await customer_of(shop, cyd)): {"address_differs"},
    }
    assert [one["stripe_id"] for one in (await shop.overview(ada))["subscriptions"]] == [first]
    assert (await shop.stripe_get("/v1/refunds"))["data"] == [], "no refund and no cancellation happens automatically"
    put_aside = await shop.rows(
        "SELECT DISTINCT reason FROM events WHERE state = 'ignored' AND reason LIKE '%not one of our subscribers%'"
    )
    assert len(put_aside) == 3


async def test_merging_customers_moves_access_to_the_remaining_one(shop: Shop) -> None:
    ((ada, first),) = await subscribe(shop, "ada")
    digital, old = (await our_item(shop, first))["price"]["id"], await customer_of(shop, ada)
    ours = (await shop.overview(ada))["id"]
    kept, card = await create_customer(shop, ada.email)

    await shop.stripe.delete(f"/v1/customers/{old}")
    await shop.wait_until_idle()
    merged = await shop.stripe_post(
        "/v1/subscriptions",
        customer=kept,
        default_payment_method=card,
        **{"items[0][price]": digital, f"metadata[{OURS}]": ours},
    )
    await shop.wait_until_idle()

    seen = await shop.overview(ada)
    assert {one["stripe_id"]: one["status"] for one in seen["subscriptions"]} == {
        first: "canceled",
        merged["id"]: "active",
    }
    assert (seen["stripe_customer"], await shop.may_read(ada), await anomalies(shop)) == (kept, True, {})


async def test_a_subscription_outside_the_catalogue_is_reported_with_a_reason(shop: Shop) -> None:
    names = ("ada", "bob", "cyd")
    (ada, mixed), (bob, many), (cyd, strange) = await subscribe(shop, *names)
    keep = {"proration_behavior": "none"}
    other = await shop.stripe_post("/v1/products", id="newsstand_monthly_digital", name="Another plan of ours")
    two = await create_price(shop, amount=5_00, product=other["id"])
    await shop.stripe_post("/v1/subscription_items", subscription=mixed, price=two, **keep)
    item = await our_item(shop, many)
    await shop.stripe_post(f"/v1/subscription_items/{item['id']}", quantity="40", **keep)
    product = (await our_item(shop, strange))["price"]["product"]
    euros = await create_price(shop, amount=45_00, currency="eur", product=product)
    await shop.open_checkout(shop.person("dee"))
    his = (await shop.rows("SELECT stripe_customer_id FROM subscribers WHERE sub = 'dee'"))[0]["stripe_customer_id"]
    card = await shop.stripe_post("/v1/payment_methods/pm_card_visa/attach", customer=his)
    paid = await shop.stripe_post(
        "/v1/subscriptions", customer=his, default_payment_method=card["id"], **{"items[0][price]": euros}
    )
    await shop.wait_until_idle()

    assert await anomalies(shop) == {mixed: {"two_plans"}, many: {"quantity"}, paid["id"]: {"other_currency"}}
    assert all([await shop.may_read(who) for who in (ada, bob, cyd)])
    (money,) = (await shop.overview(shop.person("dee")))["payments"]
    assert money["amount"] == {"amount": 45_00, "currency": "eur"}, "payments are unchanged"
    assert [len((await only_subscription(shop, shop.person(name)))["terms"]) for name in names] == [1, 1, 1]


async def test_an_unknown_status_or_event_type_is_stored_and_shown(shop: Shop) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    truth = await shop.stripe_get(f"/v1/subscriptions/{stripe_id}")
    path = f"/v1/subscriptions/{stripe_id}"

    fault = await shop.add_fault(
        method="GET", path=path, action="status", status=200, body={**truth, "status": "hibernating"}, times=None
    )
    await shop.stripe_post(path, **{"metadata[looked]": "once"})
    await shop.wait_until_idle()

    held = await only_subscription(shop, ada)
    assert (held["status"], held["standing"].partition(":")[0]) == ("hibernating", "Impossible state")
    assert await anomalies(shop) == {stripe_id: {"unknown_state"}}
    assert await shop.may_read(ada), "the paid term stays"
    assert (await shop.stripe_get("/v1/refunds"))["data"] == []
    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.stripe_post(path, **{"metadata[looked]": "twice"})
    await shop.wait_until_idle()
    assert ((await only_subscription(shop, ada))["status"], await anomalies(shop)) == ("active", {})


async def test_a_revived_subscription_is_reported_and_grants_only_paid_terms(shop: Shop) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    path = f"/v1/subscriptions/{stripe_id}"
    truth = await shop.stripe_get(path)
    over = {**truth, "status": "canceled", "ended_at": truth["created"]}
    fault = await shop.add_fault(method="GET", path=path, action="status", status=200, body=over, times=None)
    await shop.stripe_post(path, **{"metadata[looked]": "once"})
    await shop.wait_until_idle()
    assert not await shop.may_read(ada)

    await shop.stripe.delete(f"/_sandbox/faults/{fault}")
    await shop.stripe_post(path, **{"metadata[looked]": "twice"})
    await shop.wait_until_idle()

    assert await anomalies(shop) == {stripe_id: {"impossible_move"}}
    held = await only_subscription(shop, ada)
    assert (held["status"], held["standing"]) == (
        "active",
        "Impossible state: it was canceled before, and an ended subscription can't restart.",
    )
    answer = await shop.check(ada)
    assert (answer["reason"], answer["until"]) == ("paid_term", "2027-03-01T18:00:00Z")
    assert (await shop.stripe_get(path))["status"] == "active", "no end was ordered"
    await shop.stripe_post(path, **{"metadata[looked]": "thrice"})
    await shop.wait_until_idle()
    assert await anomalies(shop) == {stripe_id: {"impossible_move"}}, "while the subscription is active"


async def test_a_revived_subscription_that_we_ended_is_ended_again(shop: Shop) -> None:
    ((ada, stripe_id),) = await subscribe(shop, "ada")
    path = f"/v1/subscriptions/{stripe_id}"
    truth = await shop.stripe_get(path)
    await shop.post("/v1/me/subscription/cancel", ada, {"when": "now"})
    await shop.wait_until_idle()
    assert await anomalies(shop) == {}

    await shop.add_fault(method="GET", path=path, action="status", status=200, body=truth, times=1)
    await shop.stripe_post(path, **{"metadata[looked]": "once"})
    await shop.wait_until_idle()

    assert not await shop.may_read(ada)
    held = await only_subscription(shop, ada)
    assert (held["status"], await anomalies(shop)) == ("canceled", {})
    (row,) = await shop.rows("SELECT closed_at IS NOT NULL AS closed, due_at, came_from FROM subscriptions")
    assert tuple(row.values()) == (True, None, None)
