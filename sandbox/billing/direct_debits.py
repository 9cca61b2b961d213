"""The results of direct debits: success or failure after days of processing, and failure after success."""

from sandbox.billing import charges, disputes, invoicing, payments, renewals
from sandbox.billing.test_bank_accounts import BankAccount
from sandbox.billing.test_cards import Decline
from sandbox.errors import invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.scheduler import job


@job("debit.result")
def _result(account: Account, intent_id: str, at: int) -> None:
    intent = account.find("payment_intent", intent_id)
    if intent is None or intent["status"] != "processing":
        return
    bank: BankAccount = account.get("payment_method", intent["payment_method"])["_bank"]
    finish(account, intent, at=at, failure_code=bank.failure_code if bank.result == "fails" else None)
    if bank.result == "disputed":
        return_debit(account, account.get("charge", intent["latest_charge"]), reason="debit_not_authorized", at=at)


def finish(account: Account, intent: JsonObject, *, at: int, failure_code: str | None) -> None:
    """
    Apply the result of a processing debit to its invoice, subscription and checkout session.

    :raises StripeError: 400 if the payment is not processing.
    """
    if intent["status"] != "processing":
        message = f"This payment is not processing: its status is {intent['status']}."
        raise invalid(message, code="payment_intent_unexpected_state")
    invoice = account.get("invoice", intent["_invoice"])
    subscription = account.find("subscription", invoice["_subscription"])
    if failure_code is None:
        charges.finish_debit(account, intent, None)
        charges.record_payment(account, invoice, at)
        if invoice["status"] != "paid":
            invoicing.mark_paid(account, invoice, now=at)
        if subscription:
            payments.activate_subscription(account, subscription, "paid")
    else:
        charges.finish_debit(account, intent, _decline(account, intent, failure_code))
        renewals.on_payment_failure(account, subscription, invoice, "processing", at)
    _finish_checkout(account, invoice, paid=failure_code is None)


def return_debit(account: Account, charge: JsonObject, *, reason: str, at: int) -> JsonObject:
    """
    Return a successful debit. As at Stripe, this is a dispute that is lost at once.

    :param reason: a dispute reason, such as `debit_not_authorized` or `insufficient_funds`.
    """
    bank: BankAccount | None = account.get("payment_method", charge["payment_method"]).get("_bank")
    if bank is None or charge["status"] != "succeeded":
        raise invalid("Only a successful direct debit can be returned.")
    dispute = disputes.create_dispute(account, charge, kind="chargeback", reason=reason, brand=None, now=at)
    disputes.change_status(account, dispute, "lost")
    return dispute


def _decline(account: Account, intent: JsonObject, failure_code: str) -> Decline:
    bank: BankAccount = account.get("payment_method", intent["payment_method"])["_bank"]
    if failure_code == bank.failure_code:
        return failure_code, None, bank.failure_message
    return failure_code, None, "The payment failed."


def _finish_checkout(account: Account, invoice: JsonObject, *, paid: bool) -> None:
    for session in account.all("checkout.session"):
        if session["invoice"] == invoice["id"] and session["payment_status"] == "unpaid":
            if paid:
                session["payment_status"] = "paid"
                account.emit("checkout.session.async_payment_succeeded", session)
            else:
                account.emit("checkout.session.async_payment_failed", session)
