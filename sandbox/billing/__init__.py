"""
What several resources share: invoices, payments and the life cycle of a subscription.

- `amounts`, `periods`: arithmetic of money and time.
- `discounts`: redeeming coupons and promotion codes.
- `invoice_lines`, `pending_items`, `invoicing`: the lines of an invoice, pending invoice items, and the invoice itself.
- `payment_intents`, `payments`, `test_cards`: charging an invoice, with the result that the test card stands for.
- `disputes`: disputes and early fraud warnings.
- `subscription_creation`, `trials`, `renewals`: how a subscription starts and renews.
- `subscription_updates`, `prorations`: changes of its items, and what they cost.
- `pausing`, `cancellation`: how it pauses and ends.
"""
