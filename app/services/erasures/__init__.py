"""
Erasing a reader: ordered in one transaction, and completed by a worker in steps that can each be repeated.

1. The order ends what is running, and makes the reader unknown here at once: nobody finds them by their ``sub`` anymore, so
   nothing new can begin for them.
2. An open checkout is expired. If it was paid just before, its subscription is ended and refunded in full.
3. The ends and the refunds are completed at Stripe, as after any cancellation. Then billing details and comments are emptied
   there, and the customer is deleted.
4. Here, every column of :mod:`app.db.personal_data` is emptied, replaced, deleted or kept, in one transaction.
5. Two hours later, when every token of the reader has expired, their ``sub`` is removed from the feed of revocations.

The first step is in :mod:`.orders`, the others are in :mod:`.finishing`. Which readers are erased because they left long ago
is in :mod:`.inactive_readers`.
"""

from app.services.erasures.finishing import find, finish, get
from app.services.erasures.inactive_readers import order_inactive
from app.services.erasures.orders import order, preview

__all__ = ["find", "finish", "get", "order", "order_inactive", "preview"]
