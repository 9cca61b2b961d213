"""
One noun, one file: its routes, its rules, its shape.

Importing this package registers every handler, renderer and action. To widen a noun, change its file; to add one,
add a file and name it here.
"""

from sandbox.resources import (
    account,
    charges,
    checkout_sessions,
    coupons,
    credit_notes,
    customers,
    disputes,
    events,
    invoice_payments,
    invoices,
    payment_intents,
    payment_methods,
    prices,
    products,
    promotion_codes,
    refunds,
    subscription_items,
    subscriptions,
    tax_codes,
    test_clocks,
    webhook_endpoints,
)

__all__ = [
    "account",
    "charges",
    "checkout_sessions",
    "coupons",
    "credit_notes",
    "customers",
    "disputes",
    "events",
    "invoice_payments",
    "invoices",
    "payment_intents",
    "payment_methods",
    "prices",
    "products",
    "promotion_codes",
    "refunds",
    "subscription_items",
    "subscriptions",
    "tax_codes",
    "test_clocks",
    "webhook_endpoints",
]
