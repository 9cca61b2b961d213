"""Actions of the audit log and types of events, as they occur in practice."""

ACTIONS = (
    "refund.requested", "refund.confirmed", "refund.failed", "refund.withdrawn", "comp.given", "comp.taken_back",
    "console.signed_in", "console.signed_out", "payment.credited", "subscription.extend", "subscription.duplicate",
    "subscriber.contact_changed", "subscriber.claimed", "access.suspended", "attention.dismissed", "dispute.lost",
    "checkout.duplicate_allowed", "customer.deleted", "event.replay", "fraud_warning.acted", "subscribers.imported",
    "subscription.subscribe_again", "subscription.cancel",
)  # fmt: skip
EVENT_TYPES = (
    "checkout.session.completed", "checkout.session.expired", "customer.updated", "customer.subscription.created",
    "customer.subscription.updated", "customer.subscription.deleted", "invoice.created", "invoice.finalized",
    "invoice.paid", "invoice.payment_failed", "invoice.upcoming", "invoice.updated", "invoice.voided",
    "invoice_payment.paid", "charge.refunded", "charge.dispute.created", "refund.created", "refund.updated",
    "credit_note.created",
)  # fmt: skip
