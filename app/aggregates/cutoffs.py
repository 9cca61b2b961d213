"""
The time that a request counts from when it has waited over a label cut-off.

A request takes its time when it begins. Until it stores something, it may wait for Stripe and for locks, and the label run
may be frozen meanwhile. What it stores then would count from before the cut-off, although the copy is sent: a refund would
pay for it, and a hold would move it. So each such request settles its time in the transaction that stores it.

Only requests that began before the cut-off share a lock with the freeze, so only those in progress at that moment can wait
for it. A later request waits neither for a freeze nor for a client that sleeps while it holds the lock.
"""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from app.db import editions, issues
from app.db.engine.session import Session

LONGEST_WAIT = timedelta(hours=1)  # of a request or job; no time-out is as long


async def settle(session: Session, zone: ZoneInfo, *, now: datetime) -> datetime:
    """
    Return when what this transaction stores counts from: ``now``, or the cut-off of labels that were frozen since.

    A freeze that begins later waits for this transaction, and so finds what it stored. Call it before rows are locked that a
    freeze changes: those of terms. The caller may hold the subscriber's lock.
    """
    if (await issues.calendar(session, zone)).closes_within(now, LONGEST_WAIT):
        await editions.share_cutoffs(session)
    return (await issues.calendar(session, zone)).counted_from(now)
