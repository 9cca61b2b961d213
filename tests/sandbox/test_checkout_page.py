"""The hosted checkout page."""

import asyncio
import re
import time
from typing import Any

import pytest

from tests.sandbox.client import ADDRESS, OPENING, VISA, SandboxAccount

DECLINED, INSUFFICIENT, WANTS_3DS, ATTACHES_ONLY = (
    "4000000000000002",
    "4000000000009995",
    "4000002760003184",
    "4000000000000341",
)
SHIPPED = {"shipping_address_collection": {"allowed_countries": ["US", "DE"]}}


async def still_open(account: SandboxAccount, session: Any) -> bool:
    seen = await account.v1.checkout.sessions.retrieve_async(session.id)
    nothing_sold = not (await account.v1.subscriptions.list_async({"status": "all"})).data
    return seen.status == "open" and seen.payment_status == "unpaid" and nothing_sold


async def test_the_page_shows_the_order_without_javascript(account: SandboxAccount) -> None:
    session = await account.checkout(allow_promotion_codes=True, **SHIPPED)
    page = await account.browser.get(session.url)
    assert page.status_code == 200
    for text in ("Magazine", "$49.00", "https://shop.example/plans", "United States", "Germany", "4242 4242 4242 4242"):
        assert text in page.text
    names = {"email", "card_number", "card_expiry", "card_cvc", "card_name", "promotion_code", *ADDRESS}
    assert set(re.findall(r'name="(\w+)"', page.text)) >= names
    assert "<script" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_each_field_has_a_label(account: SandboxAccount) -> None:
    page = (await account.browser.get((await account.checkout(**SHIPPED)).url)).text
    labelled = set(re.findall(r'<label for="(\w+)"', page))
    assert set(re.findall(r'<(?:input|select) id="(\w+)"', page)) == labelled


async def test_a_paid_session_creates_the_same_objects_as_stripe(account: SandboxAccount) -> None:
    session = await account.checkout(
        metadata={"reader": "r1"}, subscription_data={"metadata": {"plan": "annual"}}, client_reference_id="r1"
    )
    paid = await account.pay(session)
    assert paid.status_code == 303
    assert paid.headers["location"] == f"https://shop.example/done?session={session.id}"
    done = await account.completed_session(session)
    assert (done.status, done.payment_status, done.amount_total, done.url) == ("complete", "paid", 4900, None)
    subscription, invoice = done.subscription, done.subscription.latest_invoice
    assert (subscription.status, subscription.metadata.to_dict()) == ("active", {"plan": "annual"})
    assert subscription["items"].data[0].current_period_end > subscription.start_date
    assert (invoice.status, invoice.billing_reason, invoice.amount_paid) == ("paid", "subscription_create", 4900)
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert done.invoice == invoice.id
    intent = await account.payment_intent_of(invoice.id)
    assert (intent.status, intent.amount_received) == ("succeeded", 4900)
    charge = await account.v1.charges.retrieve_async(intent.latest_charge)
    assert (charge.paid, charge.payment_method_details.card.last4) == (True, "4242")
    assert done.customer.email == "ada@example.com"
    assert set(await account.types()) >= {
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
    ("card", "expected"),
    [
        pytest.param(DECLINED, "Your card was declined.", id="declined"),
        pytest.param(INSUFFICIENT, "Your card has insufficient funds.", id="insufficient funds"),
        pytest.param(ATTACHES_ONLY, "Your card was declined.", id="attaches only"),
        pytest.param("4111111111111111", "used a non test card", id="not a test card"),
    ],
)
async def test_a_declined_card_creates_nothing_and_can_be_replaced(
    account: SandboxAccount, card: str, expected: str
) -> None:
    session = await account.checkout()
    declined = await account.pay(session, card=card)
    assert declined.status_code == 402
    assert expected in declined.text
    assert card not in declined.text
    assert await still_open(account, session)
    assert (await account.pay(session)).status_code == 303


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        pytest.param("card_number", "4242424242424241", "Your card number is invalid.", id="a typo in the number"),
        pytest.param("card_number", "", "Your card number is incomplete.", id="no number"),
        pytest.param("card_expiry", "13 / 34", "Your card&#39;s expiration date is incomplete.", id="no such month"),
        pytest.param("card_expiry", "12 / 20", "Your card&#39;s expiration date is in the past.", id="expired"),
        pytest.param("card_cvc", "12", "Your card&#39;s security code is incomplete.", id="a short CVC"),
        pytest.param("email", "ada", "Your email address is not valid.", id="no email address"),
        pytest.param("shipping_line1", "", "Enter an address.", id="no address"),
        pytest.param("shipping_state", "", "Enter a state or province.", id="no state, in the US"),
        pytest.param("shipping_country", "FR", "Select a country.", id="a country that is not allowed"),
    ],
)
async def test_an_invalid_field_shows_its_error(account: SandboxAccount, field: str, value: str, expected: str) -> None:
    session = await account.checkout(**SHIPPED)
    answer = await account.pay(session, **{"card_number": VISA, **ADDRESS, field: value})
    assert answer.status_code == 422
    assert f'<p class="error" id="{field}-error">{expected}</p>' in answer.text
    assert f'aria-describedby="{field}-error"' in answer.text
    assert await still_open(account, session)


async def test_the_shipping_address_is_saved_on_the_session_and_the_customer(account: SandboxAccount) -> None:
    customer = await account.customer(method=None)
    session = await account.checkout(customer=customer.id, customer_update={"shipping": "auto"}, **SHIPPED)
    assert (await account.pay(session, **ADDRESS)).status_code == 303
    done = await account.completed_session(session)
    details = done.collected_information.shipping_details
    assert (details.name, details.address.line1, details.address.country) == ("Ada Invented", "1 Lantern Street", "US")
    assert done.customer.shipping.address.postal_code == "62701"


async def test_the_customer_address_changes_only_with_customer_update(account: SandboxAccount) -> None:
    customer = await account.customer(method=None)
    session = await account.checkout(customer=customer.id, **SHIPPED)
    await account.pay(session, **ADDRESS)
    assert (await account.v1.customers.retrieve_async(customer.id)).shipping is None


async def test_the_email_of_an_existing_customer_cannot_be_changed_on_the_page(account: SandboxAccount) -> None:
    session = await account.checkout(customer=(await account.customer(method=None)).id)
    assert 'name="email"' not in (await account.browser.get(session.url)).text
    await account.pay(session, email="mallory@example.com")
    assert (await account.completed_session(session)).customer_details.email == "ada@example.com"


async def test_completing_3d_secure_pays_the_session(account: SandboxAccount) -> None:
    session = await account.checkout()
    asked = await account.pay(session, card=WANTS_3DS)
    assert (asked.status_code, asked.headers["location"]) == (303, f"/c/pay/{session.id}/authenticate")
    assert await still_open(account, session)
    bank = f"{session.url}/authenticate"
    page = (await account.browser.get(bank)).text
    assert "Complete authentication" in page
    assert "$49.00" in page
    done = await account.browser.post(bank, data={"result": "complete"})
    assert done.headers["location"].startswith("https://shop.example/done")
    assert (await account.completed_session(session)).payment_status == "paid"


async def test_failing_3d_secure_creates_nothing_and_another_card_can_be_used(account: SandboxAccount) -> None:
    session = await account.checkout()
    await account.pay(session, card=WANTS_3DS)
    failed = await account.browser.post(f"{session.url}/authenticate", data={"result": "fail"})
    assert failed.status_code == 402
    assert "unable to authenticate" in failed.text
    assert await still_open(account, session)
    again = await account.browser.post(f"{session.url}/authenticate", data={"result": "complete"})
    assert again.headers["location"] == f"/c/pay/{session.id}"
    assert (await account.pay(session)).status_code == 303


async def test_an_applied_promotion_code_reduces_the_price(account: SandboxAccount) -> None:
    coupon = await account.v1.coupons.create_async({"percent_off": 20, "duration": "once"})
    code = await account.v1.promotion_codes.create_async(
        {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": "WELCOME"}
    )
    session = await account.checkout(allow_promotion_codes=True)
    applied = await account.browser.post(session.url, data={"action": "apply", "promotion_code": "welcome"})
    assert applied.status_code == 200
    assert "−$9.80" in applied.text
    assert "Subscribe and pay $39.20" in applied.text
    await account.pay(session, promotion_code="welcome")
    done = await account.completed_session(session)
    assert (done.amount_total, done.total_details.amount_discount) == (3920, 980)
    assert done.discounts[0].promotion_code == code.id
    assert done.subscription.latest_invoice.amount_paid == 3920
    assert (await account.v1.promotion_codes.retrieve_async(code.id)).times_redeemed == 1


async def test_an_invalid_promotion_code_shows_an_error(account: SandboxAccount) -> None:
    session = await account.checkout(allow_promotion_codes=True)
    answer = await account.pay(session, promotion_code="NONE")
    assert answer.status_code == 422
    assert "This code is invalid." in answer.text


@pytest.mark.parametrize("collection", ["always", "if_required"])
async def test_a_100_percent_promotion_code_needs_no_payment(account: SandboxAccount, collection: str) -> None:
    coupon = await account.v1.coupons.create_async({"percent_off": 100, "duration": "once"})
    session = await account.checkout(discounts=[{"coupon": coupon.id}], payment_method_collection=collection)
    assert ('name="card_number"' in (await account.browser.get(session.url)).text) == (collection == "always")
    assert (await account.pay(session)).status_code == 303
    done = await account.completed_session(session)
    assert (done.payment_status, done.amount_total) == ("no_payment_required", 0)
    assert (done.subscription.status, done.subscription.latest_invoice.status) == ("active", "paid")
    assert done.subscription.latest_invoice.payments.data == []
    assert (await account.v1.payment_intents.list_async()).data == []


async def test_repeated_clicks_pay_a_session_once(account: SandboxAccount) -> None:
    session = await account.checkout()
    answers = await asyncio.gather(*(account.pay(session) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [303, 409, 409, 409]
    assert len((await account.v1.subscriptions.list_async()).data) == 1
    page = await account.browser.get(session.url)
    assert page.status_code == 200
    assert f"https://shop.example/done?session={session.id}" in page.text


async def test_an_expired_session_cannot_be_paid(account: SandboxAccount) -> None:
    session = await account.checkout()
    await account.v1.checkout.sessions.expire_async(session.id)
    for answer in (await account.browser.get(session.url), await account.pay(session)):
        assert answer.status_code == 410
        assert "has expired" in answer.text
    assert (await account.v1.subscriptions.list_async({"status": "all"})).data == []


async def test_an_unknown_session_returns_404(account: SandboxAccount) -> None:
    for method in ("GET", "POST"):
        answer = await account.browser.request(method, f"{account.url}/c/pay/cs_test_none")
        assert answer.status_code == 404
        assert "Checkout not found" in answer.text


async def test_user_input_is_escaped(account: SandboxAccount) -> None:
    product = await account.v1.products.create_async({"name": "<script>alert(1)</script>"})
    price = await account.price(product=product.id)
    session = await account.checkout(price=price)
    answer = await account.pay(session, email='"><script>x', card_name="<b>")
    assert answer.status_code == 422
    assert "<script>" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text


async def test_a_session_expires_by_its_test_clock(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(method=None, test_clock=clock.id)
    session = await account.checkout(customer=customer.id, expires_at=OPENING + 3600)
    await account.advance(clock, OPENING + 3599)
    assert (await account.v1.checkout.sessions.retrieve_async(session.id)).status == "open"
    await account.advance(clock, OPENING + 3600)
    assert (await account.v1.checkout.sessions.retrieve_async(session.id)).status == "expired"
    assert "checkout.session.expired" in await account.types()


async def test_a_checkout_on_a_test_clock_starts_the_subscription_at_its_time(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(method=None, test_clock=clock.id)
    session = await account.checkout(customer=customer.id)
    await account.pay(session)
    assert (await account.completed_session(session)).subscription.start_date == OPENING
    assert abs((await account.v1.checkout.sessions.list_async()).data[0].created - OPENING) == 0
    assert (await account.v1.products.list_async()).data[0].created >= int(time.time()) - 60
