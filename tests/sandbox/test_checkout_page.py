"""The hosted checkout, as a reader meets it."""

import asyncio
import re
import time
from typing import Any

import pytest

from tests.sandbox.shop import ADDRESS, OPENING, VISA, Shop

DECLINED, INSUFFICIENT, WANTS_3DS, ATTACHES_ONLY = (
    "4000000000000002",
    "4000000000009995",
    "4000002760003184",
    "4000000000000341",
)
SHIPPED = {"shipping_address_collection": {"allowed_countries": ["US", "DE"]}}


async def still_open(shop: Shop, session: Any) -> bool:
    seen = await shop.v1.checkout.sessions.retrieve_async(session.id)
    nothing_sold = not (await shop.v1.subscriptions.list_async({"status": "all"})).data
    return seen.status == "open" and seen.payment_status == "unpaid" and nothing_sold


async def test_the_page_says_what_is_bought_and_needs_no_javascript(shop: Shop) -> None:
    session = await shop.checkout(allow_promotion_codes=True, **SHIPPED)
    page = await shop.browser.get(session.url)
    assert page.status_code == 200
    for text in ("Magazine", "$49.00", "https://shop.example/plans", "United States", "Germany", "4242 4242 4242 4242"):
        assert text in page.text
    names = {"email", "card_number", "card_expiry", "card_cvc", "card_name", "promotion_code", *ADDRESS}
    assert set(re.findall(r'name="(\w+)"', page.text)) >= names
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_each_field_has_a_label(shop: Shop) -> None:
    page = (await shop.browser.get((await shop.checkout(**SHIPPED)).url)).text
    labelled = set(re.findall(r'<label for="(\w+)"', page))
    assert set(re.findall(r'<(?:input|select) id="(\w+)"', page)) == labelled


async def test_a_paid_session_has_made_all_that_stripe_makes(shop: Shop) -> None:
    session = await shop.checkout(
        metadata={"reader": "r1"}, subscription_data={"metadata": {"plan": "annual"}}, client_reference_id="r1"
    )
    paid = await shop.pay(session)
    assert paid.status_code == 303
    assert paid.headers["location"] == f"https://shop.example/done?session={session.id}"
    done = await shop.bought(session)
    assert (done.status, done.payment_status, done.amount_total, done.url) == ("complete", "paid", 4900, None)
    subscription, invoice = done.subscription, done.subscription.latest_invoice
    assert (subscription.status, subscription.metadata.to_dict()) == ("active", {"plan": "annual"})
    assert subscription["items"].data[0].current_period_end > subscription.start_date
    assert (invoice.status, invoice.billing_reason, invoice.amount_paid) == ("paid", "subscription_create", 4900)
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert done.invoice == invoice.id
    intent = await shop.payment_intent_of(invoice.id)
    assert (intent.status, intent.amount_received) == ("succeeded", 4900)
    charge = await shop.v1.charges.retrieve_async(intent.latest_charge)
    assert (charge.paid, charge.payment_method_details.card.last4) == (True, "4242")
    assert done.customer.email == "ada@example.com"
    assert set(await shop.types()) >= {
        "customer.created",
        "payment_method.attached",
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "invoice.paid",
        "invoice_payment.paid",
        "payment_intent.succeeded",
        "charge.succeeded",
        "checkout.session.completed",
    }


@pytest.mark.parametrize(
    ("card", "told"),
    [
        pytest.param(DECLINED, "Your card was declined.", id="declined"),
        pytest.param(INSUFFICIENT, "Your card has insufficient funds.", id="insufficient funds"),
        pytest.param(ATTACHES_ONLY, "Your card was declined.", id="attaches only"),
        pytest.param("4111111111111111", "used a non test card", id="not a test card"),
    ],
)
async def test_a_declined_card_buys_nothing_and_another_can_be_tried(shop: Shop, card: str, told: str) -> None:
    session = await shop.checkout()
    declined = await shop.pay(session, card=card)
    assert declined.status_code == 402
    assert told in declined.text
    assert card not in declined.text
    assert await still_open(shop, session)
    assert (await shop.pay(session)).status_code == 303


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        pytest.param("card_number", "4242424242424241", "Your card number is invalid.", id="a typo in the number"),
        pytest.param("card_number", "", "Your card number is incomplete.", id="no number"),
        pytest.param("card_expiry", "13 / 34", "Your card&#39;s expiration date is incomplete.", id="no such month"),
        pytest.param("card_expiry", "12 / 20", "Your card&#39;s expiration date is in the past.", id="expired"),
        pytest.param("card_cvc", "12", "Your card&#39;s security code is incomplete.", id="a short CVC"),
        pytest.param("email", "ada", "Your email address is not valid.", id="no email address"),
        pytest.param("shipping_line1", "", "Enter an address.", id="no address"),
        pytest.param("shipping_state", "", "Enter a state or province.", id="no state, in the US"),
        pytest.param("shipping_country", "FR", "Choose a country.", id="a country that is not allowed"),
    ],
)
async def test_a_wrong_field_is_told_beside_it(shop: Shop, field: str, value: str, told: str) -> None:
    session = await shop.checkout(**SHIPPED)
    answer = await shop.pay(session, **{"card_number": VISA, **ADDRESS, field: value})
    assert answer.status_code == 422
    assert f'<p class="error" id="{field}-error">{told}</p>' in answer.text
    assert f'aria-describedby="{field}-error"' in answer.text
    assert await still_open(shop, session)


async def test_the_address_is_kept_on_the_session_and_on_a_known_customer(shop: Shop) -> None:
    customer = await shop.customer(method=None)
    session = await shop.checkout(customer=customer.id, customer_update={"shipping": "auto"}, **SHIPPED)
    assert (await shop.pay(session, **ADDRESS)).status_code == 303
    done = await shop.bought(session)
    details = done.collected_information.shipping_details
    assert (details.name, details.address.line1, details.address.country) == ("Ada Invented", "1 Lantern Street", "US")
    assert done.customer.shipping.address.postal_code == "62701"


async def test_a_known_customers_address_is_left_alone_unless_asked(shop: Shop) -> None:
    customer = await shop.customer(method=None)
    session = await shop.checkout(customer=customer.id, **SHIPPED)
    await shop.pay(session, **ADDRESS)
    assert (await shop.v1.customers.retrieve_async(customer.id)).shipping is None


async def test_a_known_customers_email_cannot_be_changed_on_the_page(shop: Shop) -> None:
    session = await shop.checkout(customer=(await shop.customer(method=None)).id)
    assert 'name="email"' not in (await shop.browser.get(session.url)).text
    await shop.pay(session, email="mallory@example.com")
    assert (await shop.bought(session)).customer_details.email == "ada@example.com"


async def test_3d_secure_completed_pays(shop: Shop) -> None:
    session = await shop.checkout()
    asked = await shop.pay(session, card=WANTS_3DS)
    assert (asked.status_code, asked.headers["location"]) == (303, f"/c/pay/{session.id}/authenticate")
    assert await still_open(shop, session)
    bank = f"{session.url}/authenticate"
    page = (await shop.browser.get(bank)).text
    assert "Complete authentication" in page
    assert "$49.00" in page
    done = await shop.browser.post(bank, data={"result": "complete"})
    assert done.headers["location"].startswith("https://shop.example/done")
    assert (await shop.bought(session)).payment_status == "paid"


async def test_3d_secure_failed_buys_nothing_and_another_card_can_be_tried(shop: Shop) -> None:
    session = await shop.checkout()
    await shop.pay(session, card=WANTS_3DS)
    failed = await shop.browser.post(f"{session.url}/authenticate", data={"result": "fail"})
    assert failed.status_code == 402
    assert "unable to authenticate" in failed.text
    assert await still_open(shop, session)
    again = await shop.browser.post(f"{session.url}/authenticate", data={"result": "complete"})
    assert again.headers["location"] == f"/c/pay/{session.id}"
    assert (await shop.pay(session)).status_code == 303


async def test_a_promotion_code_is_shown_when_applied_and_taken_off_when_paid(shop: Shop) -> None:
    coupon = await shop.v1.coupons.create_async({"percent_off": 20, "duration": "once"})
    code = await shop.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "WELCOME"}
    )
    session = await shop.checkout(allow_promotion_codes=True)
    applied = await shop.browser.post(session.url, data={"action": "apply", "promotion_code": "welcome"})
    assert applied.status_code == 200
    assert "−$9.80" in applied.text
    assert "Subscribe and pay $39.20" in applied.text
    await shop.pay(session, promotion_code="welcome")
    done = await shop.bought(session)
    assert (done.amount_total, done.total_details.amount_discount) == (3920, 980)
    assert done.discounts[0].promotion_code == code.id
    assert done.subscription.latest_invoice.amount_paid == 3920
    assert (await shop.v1.promotion_codes.retrieve_async(code.id)).times_redeemed == 1


async def test_a_wrong_promotion_code_is_told(shop: Shop) -> None:
    session = await shop.checkout(allow_promotion_codes=True)
    answer = await shop.pay(session, promotion_code="NONE")
    assert answer.status_code == 422
    assert "This code is invalid." in answer.text


@pytest.mark.parametrize("collection", ["always", "if_required"])
async def test_a_promotion_of_everything_needs_no_payment(shop: Shop, collection: str) -> None:
    coupon = await shop.v1.coupons.create_async({"percent_off": 100, "duration": "once"})
    session = await shop.checkout(discounts=[{"coupon": coupon.id}], payment_method_collection=collection)
    assert ('name="card_number"' in (await shop.browser.get(session.url)).text) == (collection == "always")
    assert (await shop.pay(session)).status_code == 303
    done = await shop.bought(session)
    assert (done.payment_status, done.amount_total) == ("no_payment_required", 0)
    assert (done.subscription.status, done.subscription.latest_invoice.status) == ("active", "paid")
    assert done.subscription.latest_invoice.payments.data == []
    assert (await shop.v1.payment_intents.list_async()).data == []


async def test_a_session_is_paid_once_however_often_the_button_is_pressed(shop: Shop) -> None:
    session = await shop.checkout()
    answers = await asyncio.gather(*(shop.pay(session) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [303, 409, 409, 409]
    assert len((await shop.v1.subscriptions.list_async()).data) == 1
    page = await shop.browser.get(session.url)
    assert page.status_code == 200
    assert f"https://shop.example/done?session={session.id}" in page.text


async def test_an_expired_session_cannot_be_paid(shop: Shop) -> None:
    session = await shop.checkout()
    await shop.v1.checkout.sessions.expire_async(session.id)
    for answer in (await shop.browser.get(session.url), await shop.pay(session)):
        assert answer.status_code == 410
        assert "has expired" in answer.text
    assert (await shop.v1.subscriptions.list_async({"status": "all"})).data == []


async def test_an_unknown_session_is_a_clear_404(shop: Shop) -> None:
    for method in ("GET", "POST"):
        answer = await shop.browser.request(method, f"{shop.url}/c/pay/cs_test_none")
        assert answer.status_code == 404
        assert "no such checkout" in answer.text


async def test_what_was_typed_and_named_is_escaped(shop: Shop) -> None:
    product = await shop.v1.products.create_async({"name": "<script>alert(1)</script>"})
    price = await shop.price(product=product.id)
    session = await shop.checkout(price=price)
    answer = await shop.pay(session, email='"><script>x', card_name="<b>")
    assert answer.status_code == 422
    assert "<script>" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


async def test_a_session_expires_by_its_clock(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(method=None, test_clock=clock.id)
    session = await shop.checkout(customer=customer.id, expires_at=OPENING + 3600)
    await shop.wind(clock, OPENING + 3599)
    assert (await shop.v1.checkout.sessions.retrieve_async(session.id)).status == "open"
    await shop.wind(clock, OPENING + 3600)
    assert (await shop.v1.checkout.sessions.retrieve_async(session.id)).status == "expired"
    assert "checkout.session.expired" in await shop.types()


async def test_a_subscription_bought_on_a_test_clock_begins_at_its_time(shop: Shop) -> None:
    clock = await shop.clock()
    customer = await shop.customer(method=None, test_clock=clock.id)
    session = await shop.checkout(customer=customer.id)
    await shop.pay(session)
    assert (await shop.bought(session)).subscription.start_date == OPENING
    assert abs((await shop.v1.checkout.sessions.list_async()).data[0].created - OPENING) == 0
    assert (await shop.v1.products.list_async()).data[0].created >= int(time.time()) - 60
