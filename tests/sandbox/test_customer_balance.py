"""Customer balance: credit and debt that are applied when an invoice is finalized."""

from typing import Any

import pytest
import stripe

from tests.sandbox.client import HOUR, OPENING, YEAR, SandboxAccount


async def add_credit(account: SandboxAccount, customer: str, amount: int, currency: str = "usd") -> Any:
    """Add credit to a balance and return the transaction."""
    return await account.v1.customers.balance_transactions.create_async(
        customer, {"amount": -amount, "currency": currency}
    )


async def transactions(account: SandboxAccount, customer: str) -> list[tuple[str, int, int]]:
    """Return type, amount and ending balance of each transaction, oldest first."""
    listed = await account.v1.customers.balance_transactions.list_async(customer)
    return [(each.type, each.amount, each.ending_balance) for each in reversed(listed.data)]


async def test_credit_reduces_the_next_invoice(account: SandboxAccount) -> None:
    customer = await account.customer()
    await add_credit(account, customer.id, 1000)
    subscription = await account.subscribe(customer=customer)
    invoice = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    assert (invoice.total, invoice.amount_due, invoice.amount_paid) == (4900, 3900, 3900)
    assert (invoice.starting_balance, invoice.ending_balance) == (-1000, 0)
    assert await transactions(account, customer.id) == [("adjustment", -1000, -1000), ("applied_to_invoice", 1000, 0)]


async def test_an_invoice_covered_by_credit_is_paid_at_finalization(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    await add_credit(account, customer.id, 6000)
    await account.advance(clock, OPENING + YEAR + 2 * HOUR)
    renewal = (await account.v1.invoices.list_async({"subscription": subscription.id})).data[0]
    assert (renewal.status, renewal.amount_due, renewal.ending_balance) == ("paid", 0, -1100)
    assert (await account.v1.invoice_payments.list_async({"invoice": renewal.id})).data == []
    assert (await account.v1.customers.retrieve_async(customer.id)).balance == -1100


async def test_a_draft_covered_by_credit_is_paid_when_it_is_finalized_by_hand(account: SandboxAccount) -> None:
    clock = await account.clock()
    customer = await account.customer(test_clock=clock.id)
    subscription = await account.subscribe(customer=customer)
    await add_credit(account, customer.id, 4900)
    await account.advance(clock, OPENING + YEAR)
    draft = (await account.v1.invoices.list_async({"subscription": subscription.id})).data[0]
    final = await account.v1.invoices.finalize_invoice_async(draft.id, {"auto_advance": False})
    assert (draft.status, final.status) == ("draft", "paid")
    with pytest.raises(stripe.InvalidRequestError):
        await account.v1.invoices.void_invoice_async(draft.id)


async def test_voiding_an_invoice_returns_its_credit(account: SandboxAccount) -> None:
    customer = await account.customer(method="pm_card_chargeCustomerFail")
    await add_credit(account, customer.id, 1000)
    subscription = await account.subscribe(customer=customer, payment_behavior="default_incomplete")
    await account.v1.invoices.void_invoice_async(subscription.latest_invoice)
    assert (await account.v1.customers.retrieve_async(customer.id)).balance == -1000
    assert (await transactions(account, customer.id))[-1] == ("unapplied_from_invoice", -1000, -1000)


async def test_debt_is_added_to_the_next_invoice(account: SandboxAccount) -> None:
    customer = await account.v1.customers.create_async({"balance": 500})
    method = await account.v1.payment_methods.attach_async("pm_card_visa", {"customer": customer.id})
    subscription = await account.subscribe(customer=customer, default_payment_method=method.id)
    invoice = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    assert (invoice.total, invoice.amount_paid, invoice.ending_balance) == (4900, 5400, 0)
    assert (await transactions(account, customer.id))[0] == ("initial", 500, 500)


async def test_an_invoice_below_the_minimum_is_carried_to_the_next(account: SandboxAccount) -> None:
    customer = await account.customer()
    await add_credit(account, customer.id, 4860)
    subscription = await account.subscribe(customer=customer)
    invoice = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    assert (invoice.status, invoice.amount_due, invoice.ending_balance) == ("paid", 0, 40)
    assert (await transactions(account, customer.id))[-1] == ("invoice_too_small", 4900, 40)


async def test_balances_are_separate_for_each_currency(account: SandboxAccount) -> None:
    customer = await account.customer()
    await add_credit(account, customer.id, 1000, "eur")
    await add_credit(account, customer.id, 300)
    found = await account.v1.customers.retrieve_async(customer.id, {"expand": ["invoice_credit_balance"]})
    assert found.invoice_credit_balance.to_dict() == {"eur": 1000, "usd": 300}
    assert found.balance == -1000
    subscription = await account.subscribe(customer=customer)
    assert (await account.v1.invoices.retrieve_async(subscription.latest_invoice)).amount_due == 4600


async def test_a_credit_note_can_credit_the_balance(account: SandboxAccount) -> None:
    customer = await account.customer()
    subscription = await account.subscribe(customer=customer)
    note = await account.v1.credit_notes.create_async(
        {
            "invoice": subscription.latest_invoice,
            "amount": 4900,
            "credit_amount": 2000,
            "out_of_band_amount": 900,
            "refund_amount": 2000,
        }
    )
    assert (note.post_payment_amount, note.out_of_band_amount, note.refunds[0].amount_refunded) == (4900, 900, 2000)
    transaction = await account.v1.customers.balance_transactions.retrieve_async(
        customer.id, note.customer_balance_transaction
    )
    assert (transaction.type, transaction.amount, transaction.credit_note) == ("credit_note", -2000, note.id)


async def test_the_destinations_of_a_credit_note_must_add_up(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    with pytest.raises(stripe.InvalidRequestError, match="must equal"):
        await account.v1.credit_notes.create_async(
            {"invoice": subscription.latest_invoice, "amount": 4900, "credit_amount": 4000}
        )


async def test_a_credit_note_can_link_several_refunds(account: SandboxAccount) -> None:
    subscription = await account.subscribe()
    intent = await account.payment_intent_of(subscription.latest_invoice)
    refunds = [await account.v1.refunds.create_async({"payment_intent": intent.id, "amount": 1000}) for _ in range(2)]
    note = await account.v1.credit_notes.create_async(
        {
            "invoice": subscription.latest_invoice,
            "amount": 2500,
            "refunds": [{"refund": refund.id} for refund in refunds],
            "out_of_band_amount": 500,
        }
    )
    assert [link.refund for link in note.refunds] == [refund.id for refund in refunds]


async def test_a_credit_note_over_the_whole_open_invoice_pays_it(account: SandboxAccount) -> None:
    subscription = await account.subscribe(payment_behavior="default_incomplete")
    await account.v1.credit_notes.create_async({"invoice": subscription.latest_invoice, "amount": 4900})
    invoice = await account.v1.invoices.retrieve_async(subscription.latest_invoice)
    assert (invoice.status, invoice.amount_due, invoice.amount_paid) == ("paid", 0, 0)
    assert (await account.v1.subscriptions.retrieve_async(subscription.id)).status == "active"


async def test_a_balance_transaction_belongs_to_its_customer(account: SandboxAccount) -> None:
    customer, other = await account.customer(), await account.customer()
    transaction = await add_credit(account, customer.id, 100)
    with pytest.raises(stripe.InvalidRequestError, match="No such"):
        await account.v1.customers.balance_transactions.retrieve_async(other.id, transaction.id)
    updated = await account.v1.customers.balance_transactions.update_async(
        customer.id, transaction.id, {"description": "Apology"}
    )
    assert updated.description == "Apology"
