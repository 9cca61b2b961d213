"""Balance transactions, failed finalization, test clock times, string limits and complete objects."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount


async def clock_subscription(account: SandboxAccount, **more: Any) -> tuple[Any, Any]:
    """Return a clock and a subscription on it."""
    clock = await account.clock()
    return clock, await account.subscribe(customer=await account.customer(test_clock=clock.id), **more)


async def test_charges_refunds_and_disputes_have_balance_transactions(account: SandboxAccount) -> None:
    customer = await account.customer(method="pm_card_createDispute")
    subscription = await account.subscribe(customer=customer)
    intent = await account.payment_intent_of(subscription.latest_invoice)
    charge = await account.v1.charges.retrieve_async(intent.latest_charge, {"expand": ["balance_transaction"]})
    paid = charge.balance_transaction
    assert (paid.type, paid.amount, paid.fee, paid.net) == ("charge", 4900, 172, 4728)
    dispute = (await account.v1.disputes.list_async({"charge": charge.id})).data[0]
    assert [(each.type, each.amount, each.net) for each in dispute.balance_transactions] == [
        ("adjustment", -4900, -6400)
    ]
    await account.control.post(f"/_sandbox/disputes/{dispute.id}", json={"status": "won"})
    refund = await account.v1.refunds.create_async({"charge": charge.id, "expand": ["balance_transaction"]})
    assert (refund.balance_transaction.type, refund.balance_transaction.net) == ("refund", -4900)
    listed = await account.v1.balance_transactions.list_async({"type": "adjustment"})
    assert sorted(each.amount for each in listed.data) == [-4900, 4900]


async def test_an_invoice_whose_tax_location_is_invalid_is_not_finalized(account: SandboxAccount) -> None:
    clock, subscription = await clock_subscription(account, automatic_tax={"enabled": True})
    path = f"/_sandbox/customers/{subscription.customer}/tax_location"
    assert (await account.control.post(path, json={"valid": False})).status_code == 200
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    draft = (await account.v1.invoices.list_async({"subscription": subscription.id})).data[0]
    assert (draft.status, draft.automatic_tax.status) == ("draft", "requires_location_inputs")
    assert draft.last_finalization_error.code == "customer_tax_location_invalid"
    assert (await account.event("invoice.finalization_failed")).data.object.id == draft.id
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "active"
    with pytest.raises(stripe.InvalidRequestError, match="location"):
        await account.v1.invoices.finalize_invoice_async(draft.id)
    await account.v1.customers.update_async(subscription.customer, {"address": {"country": "US"}})
    final = await account.v1.invoices.finalize_invoice_async(draft.id)
    assert (final.status, final.last_finalization_error) == ("open", None)


async def test_all_events_of_a_test_clock_have_its_time(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id, method="pm_card_createDispute")
    subscription = await account.subscribe(customer=customer)
    await account.advance(clock, OPENING + DAY)
    intent = await account.payment_intent_of(subscription.latest_invoice)
    dispute = (await account.v1.disputes.list_async({"payment_intent": intent.id})).data[0]
    await account.control.post(f"/_sandbox/disputes/{dispute.id}", json={"status": "won"})
    await account.v1.refunds.create_async({"payment_intent": intent.id})
    method = (await account.v1.payment_methods.list_async({"customer": customer.id})).data[0]
    await account.v1.payment_methods.detach_async(method.id)
    events = (await account.v1.events.list_async({"limit": 100})).data
    assert {event.created for event in events if not event.type.startswith("p") or "method" in event.type} >= {
        OPENING,
        OPENING + DAY,
    }
    off_clock = {event.type for event in events if event.created > OPENING + 2 * DAY}
    assert off_clock <= {"product.created", "price.created"}


@pytest.mark.parametrize(
    ("params", "limit"),
    [
        pytest.param({"name": "x" * 257}, 256, id="name"),
        pytest.param({"description": "x" * 351}, 350, id="description"),
        pytest.param({"phone": "1" * 21}, 20, id="phone"),
        pytest.param({"address": {"line1": "x" * 5001}}, 5000, id="any string"),
    ],
)
async def test_strings_that_are_too_long_are_rejected(account: SandboxAccount, params: Any, limit: int) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=f"at most {limit} characters"):
        await account.v1.customers.create_async(params)


@pytest.mark.parametrize("code", ["a b!", "", "SUMMER_25", "ÄPFEL"])
async def test_invalid_promotion_codes_are_rejected(account: SandboxAccount, code: str) -> None:
    coupon = await account.v1.coupons.create_async({"percent_off": 10})
    params = {"promotion": {"type": "coupon", "coupon": coupon.id}, "code": code}
    if code:
        with pytest.raises(stripe.InvalidRequestError, match="letters, digits and dashes"):
            await account.v1.promotion_codes.create_async(params)
    else:
        assert (await account.v1.promotion_codes.create_async(params)).code.isalnum()


async def test_invoice_settings_of_a_subscription_are_complete(account: SandboxAccount) -> None:
    settings = (await account.subscribe()).invoice_settings.to_dict()
    assert settings.keys() == {"account_tax_ids", "custom_fields", "description", "footer", "issuer"}


async def test_a_session_can_be_paid_after_3d_secure_failed(account: SandboxAccount) -> None:
    session = await account.checkout()
    asked = await account.pay(session, card="4000002760003184")
    authentication = f"{account.url}{asked.headers['location']}"
    failed = await account.browser.post(authentication, data={"result": "fail"})
    assert failed.status_code == 402
    assert "unable to authenticate" in failed.text
    assert f'action="/c/pay/{session.id}"' in failed.text
    assert (await account.pay(session)).status_code == 303
    assert (await account.completed_session(session)).payment_status == "paid"
