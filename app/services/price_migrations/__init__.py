"""
Price migrations: current subscribers of a plan move to a new price at a renewal, and are told before.

1. A migration is stored. A worker lists the subscriptions with the plan's other prices at Stripe and stores a change for
   each (:mod:`.planning`). They are listed once more a day later, because a checkout can be open that long.
2. As many days before the renewal as the policy for notices says, the renewal is quoted, and the notice is ordered in the
   transaction that stores the quote. Three days before it, the items get the new price at Stripe, if the notice was sent in
   time and the quote still holds (:mod:`.changes`).
3. After the renewal, its invoice is compared with the quote, and the change is completed.
4. A migration can be stopped. Stripe may have the new price all the same, and readers may have been told (:mod:`.stopped`).

Each step starts from the subscription's state at Stripe, so a step that was interrupted is repeated, and a cancellation, a
resumption or another renewal date is noticed by the next step.
"""

from app.services.price_migrations.changes import advance
from app.services.price_migrations.planning import list_subscriptions, preview, queue_due
from app.services.price_migrations.requests import Progress, changes, page, prepare, progress, start, stop

__all__ = [
    "Progress",
    "advance",
    "changes",
    "list_subscriptions",
    "page",
    "prepare",
    "preview",
    "progress",
    "queue_due",
    "start",
    "stop",
]
