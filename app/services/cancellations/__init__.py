"""
Cancellations: scheduled, resumed, immediate (:mod:`.requests`), without a sign-in (:mod:`.declared`); and completed at
Stripe (:mod:`.closing`).

However a subscription was ended, a worker completes its end at Stripe in steps that can each be repeated:

1. Open and draft invoices are no longer collected, and the subscription is canceled. An invoice is voided only afterwards,
   because Stripe would otherwise consider a past-due subscription active again.
2. Its open invoices are voided and its pending items deleted.
3. What the customer's balance paid of refunded invoices goes back to the balance, and unspent proration credits are taken
   out of it (:mod:`.credits`).
4. Payments that bought nothing, and unspent credits, are refunded.
"""

from app.services.cancellations.closing import finish
from app.services.cancellations.declared import act, declare
from app.services.cancellations.requests import cancel_at_period_end, cancel_now, cancel_with_notice, resume

__all__ = ["act", "cancel_at_period_end", "cancel_now", "cancel_with_notice", "declare", "finish", "resume"]
