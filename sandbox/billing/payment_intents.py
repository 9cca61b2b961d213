"""The payment intents of invoices."""

from sandbox.http.parameters import shipping
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id


def make_intent(account: Account, invoice: JsonObject, *, now: int) -> JsonObject:
    """Create the payment intent of an invoice, and the invoice payment that links them."""
    intent_id = new_id("pi")
    customer = account.get("customer", invoice["customer"])
    intent = account.add(
        {
            "id": intent_id,
            "object": "payment_intent",
            "amount": invoice["amount_due"],
            "amount_capturable": 0,
            "amount_details": {"tip": {}},
            "amount_received": 0,
            "capture_method": "automatic",
            "client_secret": f"{intent_id}_secret_{new_id('x')[2:]}",
            "confirmation_method": "automatic",
            "created": now,
            "currency": invoice["currency"],
            "customer": invoice["customer"],
            "description": "Subscription creation"
            if invoice["billing_reason"] == "subscription_create"
            else "Subscription update",
            "livemode": False,
            "metadata": {},
            "payment_method_types": ["card"],
            "setup_future_usage": "off_session" if invoice["billing_reason"] == "subscription_create" else None,
            "shipping": shipping(customer["shipping"]),
            "status": "requires_payment_method",
            "_invoice": invoice["id"],
        }
    )
    invoice["_payment_intent"] = intent_id
    payment = account.add(
        {
            "id": new_id("inpay"),
            "object": "invoice_payment",
            "amount_requested": invoice["amount_due"],
            "created": now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent_id, "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )
    invoice["_payments"].append(payment["id"])
    account.emit("payment_intent.created", intent)
    return intent
