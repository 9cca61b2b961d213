"""SEPA, ACH and Bacs direct debits: payments that are processing for days."""

from typing import Any

import pytest
import stripe

from sandbox.billing import test_bank_accounts
from tests.sandbox.client import DAY, HOUR, OPENING, YEAR, SandboxAccount

CURRENCY = {"sepa_debit": "eur", "us_bank_account": "usd", "bacs_debit": "gbp"}


async def intent_of(account: SandboxAccount, invoice: str) -> Any:
    """Return the payment intent of an invoice in any status."""
    payments = await account.v1.invoice_payments.list_async({"invoice": invoice})
    return await account.v1.payment_intents.retrieve_async(payments.data[0].payment.payment_intent)


async def simulate(account: SandboxAccount, intent: str, **result: str) -> int:
    """Simulate the result of a debit and return the status code."""
    return (await account.control.post(f"/_sandbox/payment_intents/{intent}/debit", json=result)).status_code


async def debit_subscription(account: SandboxAccount, method: str, currency: str = "eur") -> tuple[Any, Any]:
    """Return a clock and a new subscription on it that is paid by direct debit."""
    clock = await account.clock()
    customer = await account.customer(method=method, test_clock=clock.id)
    price = await account.price(currency=currency)
    return clock, await account.subscribe(customer=customer, price=price)


async def debit_checkout(account: SandboxAccount, number: str) -> Any:
    """Complete a checkout session by SEPA Direct Debit and return it."""
    await account.settings(payment_methods=["card", "sepa_debit"], debit_seconds=6 * DAY)
    session = await account.checkout(price=await account.price(currency="eur"))
    assert session.payment_method_types == ["card", "sepa_debit"]
    form = {"email": "ada@example.com", "payment_method": "sepa_debit", "account_name": "Ada Invented", "iban": number}
    answer = await account.browser.post(session.url, data=form)
    assert answer.status_code == 303, answer.text
    return await account.v1.checkout.sessions.retrieve_async(session.id, {"expand": ["subscription", "invoice"]})


@pytest.mark.parametrize(
    ("method", "currency"),
    [
        pytest.param("pm_success_at", "eur", id="SEPA"),
        pytest.param("pm_usBankAccount_success", "usd", id="ACH"),
        pytest.param("pm_bacsDebit_success", "gbp", id="Bacs"),
    ],
)
async def test_a_first_debit_is_processing_and_then_paid(account: SandboxAccount, method: str, currency: str) -> None:
    await account.settings(debit_seconds=6 * DAY)
    clock, subscription = await debit_subscription(account, method, currency)
    invoice = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    intent = await intent_of(account, invoice.id)
    assert (subscription.status, invoice.status, invoice.attempt_count) == ("active", "open", 1)
    assert intent.status == "processing"
    charge = await account.v1.charges.retrieve_async(intent.latest_charge)
    assert (charge.status, charge.paid, charge.payment_method_details.type) == (
        "pending",
        False,
        intent.payment_method_types[0],
    )
    await account.advance(clock, OPENING + 6 * DAY)
    invoice = await account.v1.invoices.retrieve_async(invoice.id)
    assert (invoice.status, invoice.status_transitions.paid_at) == ("paid", OPENING + 6 * DAY)
    types = await account.types()
    order = ["charge.pending", "payment_intent.processing", "charge.succeeded", "invoice_payment.paid", "invoice.paid"]
    assert [kind for kind in types if kind in order] == order


async def test_a_renewal_is_open_while_its_debit_is_processing(account: SandboxAccount) -> None:
    await account.settings(debit_seconds=6 * DAY)
    clock, subscription = await debit_subscription(account, "pm_success_at")
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    subscription = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    renewal = subscription.latest_invoice
    assert (subscription.status, renewal.status, renewal.next_payment_attempt) == ("active", "open", None)
    assert (await intent_of(account, renewal.id)).status == "processing"
    await account.advance(clock, OPENING + YEAR + 7 * DAY)
    assert (await account.v1.invoices.retrieve_async(renewal.id)).status == "paid"


async def test_a_failed_debit_is_past_due_and_retried(account: SandboxAccount) -> None:
    await account.settings(debit_seconds=6 * DAY)
    clock, subscription = await debit_subscription(account, "pm_insufficientFunds_at")
    await account.advance(clock, OPENING + 6 * DAY + HOUR)
    subscription = await account.v1.subscriptions.retrieve_async(subscription.id, {"expand": ["latest_invoice"]})
    invoice = subscription.latest_invoice
    assert (subscription.status, invoice.status, invoice.attempt_count) == ("past_due", "open", 1)
    assert invoice.next_payment_attempt == OPENING + 9 * DAY
    intent = await intent_of(account, invoice.id)
    assert (intent.status, intent.last_payment_error.code) == ("requires_payment_method", "insufficient_funds")
    await account.advance(clock, OPENING + 10 * DAY)
    assert (await intent_of(account, invoice.id)).status == "processing"


async def test_delayed_accounts_take_three_minutes_longer(account: SandboxAccount) -> None:
    clock, subscription = await debit_subscription(account, "pm_bacsDebit_successDelayed", "gbp")
    await account.advance(clock, OPENING + 60)
    assert (await account.v1.invoices.retrieve_async(subscription.latest_invoice)).status == "open"
    await account.advance(clock, OPENING + 240)
    assert (await account.v1.invoices.retrieve_async(subscription.latest_invoice)).status == "paid"


async def test_a_checkout_by_debit_completes_unpaid_and_succeeds_later(account: SandboxAccount) -> None:
    session = await debit_checkout(account, "AT61 1904 3002 3457 3201")
    assert (session.status, session.payment_status) == ("complete", "unpaid")
    assert (session.subscription.status, session.invoice.status) == ("active", "open")
    assert await simulate(account, (await intent_of(account, session.invoice.id)).id, result="succeed") == 200
    event = await account.event("checkout.session.async_payment_succeeded")
    assert (event.data.object.id, event.data.object.payment_status) == (session.id, "paid")


async def test_a_checkout_by_debit_can_fail_later(account: SandboxAccount) -> None:
    session = await debit_checkout(account, "AT861904300235473202")
    assert await simulate(account, (await intent_of(account, session.invoice.id)).id, result="fail") == 200
    event = await account.event("checkout.session.async_payment_failed")
    assert (event.data.object.id, event.data.object.payment_status) == (session.id, "unpaid")
    assert (await account.v1.subscriptions.retrieve_async(session.subscription.id)).status == "past_due"


async def test_a_returned_debit_is_a_lost_dispute(account: SandboxAccount) -> None:
    await account.settings(debit_seconds=0)
    clock, subscription = await debit_subscription(account, "pm_disputed_at")
    await account.advance(clock, OPENING + 1)
    intent = await intent_of(account, subscription.latest_invoice)
    dispute = (await account.v1.disputes.list_async({"payment_intent": intent.id})).data[0]
    assert (dispute.status, dispute.is_charge_refundable) == ("lost", False)
    assert (await account.v1.invoices.retrieve_async(subscription.latest_invoice)).status == "paid"


async def test_a_test_can_return_a_debit_that_succeeded(account: SandboxAccount) -> None:
    await account.settings(debit_seconds=0)
    clock, subscription = await debit_subscription(account, "pm_usBankAccount_success", "usd")
    await account.advance(clock, OPENING + 1)
    intent = await intent_of(account, subscription.latest_invoice)
    assert await simulate(account, intent.id, result="return", reason="insufficient_funds") == 200
    assert (await account.event("charge.dispute.closed")).data.object.reason == "insufficient_funds"
    assert await simulate(account, intent.id, result="succeed") == 400
    assert await simulate(account, intent.id, result="nonsense") == 400


async def test_a_processing_invoice_cannot_be_voided_or_paid_again(account: SandboxAccount) -> None:
    _, subscription = await debit_subscription(account, "pm_usBankAccount_processing", "usd")
    with pytest.raises(stripe.InvalidRequestError, match="processing"):
        await account.v1.invoices.void_invoice_async(subscription.latest_invoice)
    with pytest.raises(stripe.InvalidRequestError, match="processing"):
        await account.v1.invoices.pay_async(subscription.latest_invoice)


async def test_a_debit_requires_its_own_currency(account: SandboxAccount) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="currency"):
        await debit_subscription(account, "pm_success_at", "usd")


async def test_a_refund_of_a_debit_is_a_bank_transfer(account: SandboxAccount) -> None:
    await account.settings(debit_seconds=0)
    clock, subscription = await debit_subscription(account, "pm_success_at")
    await account.advance(clock, OPENING + 1)
    intent = await intent_of(account, subscription.latest_invoice)
    refund = await account.v1.refunds.create_async({"payment_intent": intent.id})
    assert (refund.status, refund.destination_details.type) == ("succeeded", "eu_bank_transfer")


@pytest.mark.parametrize("method", test_bank_accounts.methods())
async def test_each_test_bank_account_can_be_attached(account: SandboxAccount, method: str) -> None:
    customer = await account.customer(method=None)
    attached = await account.v1.payment_methods.attach_async(method, {"customer": customer.id})
    assert attached.type in CURRENCY
    assert attached[attached.type]["last4"]


async def test_a_bank_account_can_be_created_by_its_number(account: SandboxAccount) -> None:
    details = {"name": "Ada", "email": "ada@example.com"}
    method = await account.v1.payment_methods.create_async(
        {"type": "sepa_debit", "sepa_debit": {"iban": "DE89370400440532013000"}, "billing_details": details}
    )
    assert (method.sepa_debit.country, method.sepa_debit.last4) == ("DE", "3000")
    with pytest.raises(stripe.InvalidRequestError, match="test numbers"):
        await account.v1.payment_methods.create_async(
            {"type": "sepa_debit", "sepa_debit": {"iban": "DE02120300000000202051"}, "billing_details": details}
        )


async def test_checkout_offers_debits_only_in_their_currency(account: SandboxAccount) -> None:
    await account.settings(payment_methods=["card", "sepa_debit", "us_bank_account", "bacs_debit"])
    session = await account.checkout(excluded_payment_method_types=["card"])
    assert session.payment_method_types == ["us_bank_account"]
    page = (await account.browser.get(session.url)).text
    assert "Account number" in page
    assert "Card number" not in page


@pytest.mark.parametrize(
    ("form", "error"),
    [
        pytest.param({"iban": "AT61"}, "The IBAN you entered is invalid.", id="malformed"),
        pytest.param({"iban": "DE02120300000000202051"}, "Use a test bank account in test mode.", id="a real account"),
        pytest.param({"iban": "", "account_name": "Ada"}, "Enter your IBAN.", id="empty"),
    ],
)
async def test_an_invalid_bank_account_shows_its_error(
    account: SandboxAccount, form: dict[str, str], error: str
) -> None:
    await account.settings(payment_methods=["sepa_debit"])
    session = await account.checkout(price=await account.price(currency="eur"))
    answer = await account.browser.post(session.url, data={"email": "ada@example.com", "account_name": "Ada", **form})
    assert answer.status_code == 422
    assert error in answer.text
