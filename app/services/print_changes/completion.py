"""The completion of a stored change, by the request or by a worker."""

from datetime import datetime

from app.context import Context
from app.db import anomalies, print_changes
from app.domain.anomalies import PRINT_CHANGE_REFUSED
from app.domain.errors import StripeRefused
from app.domain.print_changes import PrintChangeKind, PrintChangeStatus
from app.services.print_changes import additions, removals

_DROPPED = (PrintChangeKind.DROP, PrintChangeStatus.COMPLETED)


async def finish(ctx: Context, change_id: str, *, now: datetime) -> None:
    """
    Complete a change as far as possible. Its row says how it ended. The caller holds the lease of its work key.

    :raises StripeUnavailable: call again later.
    :raises StripeRefused: Stripe refuses a step that was promised. Staff are told; call again later.
    """
    async with ctx.sessions.begin() as session:
        change = await print_changes.by_id(session, change_id)
        is_dropped = change is not None and (change.kind, change.status) == _DROPPED
        if change is None or not (change.is_undecided or is_dropped):
            await print_changes.set_due(session, change_id)
            return
    complete = additions.complete if change.kind == PrintChangeKind.ADD else removals.complete
    try:
        if is_dropped:
            await removals.return_paid_later(ctx, change, now=now)
            return
        await complete(ctx, change, now=now)
    except StripeRefused as refusal:
        reason = f"Stripe refuses to {change.kind} the print edition, which is tried again: {refusal}"
        async with ctx.sessions.begin() as session:
            await anomalies.report(
                session, change_id, {PRINT_CHANGE_REFUSED: reason}, subscriber_id=change.subscriber_id
            )
        raise
