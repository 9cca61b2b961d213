"""What is done to a subscription for a reader. Each is asked once more in words, with a reason, before it happens."""

from starlette.responses import Response

from app.console.access_control import check_reader, does, shows
from app.console.request import Visit
from app.db.engine.session import new_id
from app.domain.audit import in_one
from app.domain.callers import SUPPORT
from app.domain.cancellations import CancelReason, ResumeReason
from app.domain.subscriptions import AlreadyEnded
from app.services import cancellations, idempotency, issues, support
from app.services.support import SubscriptionOf

EXTENSION_REASONS = {
    "copies_missing": "Copies did not come",
    "copies_damaged": "Copies came damaged",
    "technical_problem": "Something of ours did not work",
    "goodwill": "Goodwill",
    "other": "Something else, as the note says",
}

CANCEL_REASONS = {
    CancelReason.REQUESTED_BY_READER.value: "The reader asked for it",
    CancelReason.DISSATISFIED.value: "Not satisfied with the magazine",
    CancelReason.TOO_EXPENSIVE.value: "Too expensive",
    CancelReason.MOVED.value: "Moved away",
    CancelReason.BEREAVEMENT.value: "Bereavement",
    CancelReason.OTHER.value: "Something else, as the note says",
}
WHEN = {"period_end": "With what is paid", "now": "At once"}
RESUME_REASONS = {
    ResumeReason.REQUESTED_BY_READER.value: "The reader asked for it",
    ResumeReason.CANCELLED_BY_MISTAKE.value: "It was cancelled by mistake",
    ResumeReason.OTHER.value: "Something else, as the note says",
}


async def ask_cancel(visit: Visit) -> Response:
    """Ask when it shall end, and why."""
    found = await _live(visit)
    return visit.page("cancel_subscription.html", found=found, reasons=CANCEL_REASONS)


async def cancel(visit: Visit) -> Response:
    """End the subscription, with what is paid or at once. Told twice, it counts once."""
    ctx, found = visit.ctx, await _live(visit)
    await check_reader(visit, found.subscriber.id)
    when, why = visit.chosen("when", WHEN), in_one(*visit.why(CANCEL_REASONS))
    sub = found.subscriber.sub
    by, only = visit.staff.actor, found.subscription.id
    if when == "now":
        await cancellations.cancel_now(ctx, sub, reason=why, by=by, only=only, now=visit.now)
        return visit.go(f"/readers/{found.subscriber.id}", say="The subscription has ended. Nothing was given back.")
    await cancellations.cancel_at_period_end(ctx, sub, reason=why, comment=None, by=by, only=only, now=visit.now)
    return visit.go(f"/readers/{found.subscriber.id}", say="The subscription ends with what is paid.")


async def ask_resume(visit: Visit) -> Response:
    """Ask why it shall go on."""
    return visit.page("resume_subscription.html", found=await _live(visit), reasons=RESUME_REASONS)


async def resume(visit: Visit) -> Response:
    """Have a subscription go on that was to end."""
    ctx, found = visit.ctx, await _live(visit)
    await check_reader(visit, found.subscriber.id)
    why = in_one(*visit.why(RESUME_REASONS))
    sub = found.subscriber.sub
    await cancellations.resume(ctx, sub, reason=why, by=visit.staff.actor, only=found.subscription.id, now=visit.now)
    return visit.go(f"/readers/{found.subscriber.id}", say="The subscription goes on, and renews.")


async def _live(visit: Visit) -> SubscriptionOf:
    """
    Return the subscription, if it runs.

    :raises AlreadyEnded: it is over; another of the same reader's is not meant.
    """
    found = await support.subscription(visit.ctx, visit.path("subscription"))
    if not found.subscription.is_live:
        raise AlreadyEnded
    return found


async def ask_extend(visit: Visit) -> Response:
    """Ask by how many issues, and why."""
    found = await support.subscription(visit.ctx, visit.path("subscription"))
    most = visit.ctx.rules.catalogue.plan(found.subscription.plan).issues
    return visit.page(
        "extend_subscription.html", found=found, reasons=EXTENSION_REASONS, most=most, key=visit.fresh_key()
    )


async def extend(visit: Visit) -> Response:
    """Add issues to what the subscription owes. Sent twice, it is done once."""
    ctx, subscription_id = visit.ctx, visit.path("subscription")
    found = await support.subscription(ctx, subscription_id)
    await check_reader(visit, found.subscriber.id)
    most = ctx.rules.catalogue.plan(found.subscription.plan).issues
    more = visit.number("issues", least=1, most=most)
    reason, note = visit.why(EXTENSION_REASONS)

    async def work(adjustment_id: str) -> tuple[int, dict[str, int]]:
        made = await issues.extend(
            ctx,
            subscription_id,
            adjustment_id=adjustment_id,
            more=more,
            reason=reason,
            note=note,
            by=visit.staff.actor,
            now=visit.now,
        )
        return 201, {"unserved": made.ledger.unserved}

    answer = await idempotency.once(
        ctx,
        caller=visit.staff.actor,
        route=f"POST {visit.request.url.path}",
        key=idempotency.check_key(visit.text("key", most=100)),
        body=f"{more} {reason} {note}".encode(),
        new_object_id=new_id("adj"),
        work=work,
    )
    say = f"Extended by {more}: {answer.body['unserved']} issues are still to come."
    return visit.go(f"/readers/{found.subscriber.id}", say=say)


ROUTES = [
    shows("/subscriptions/{subscription}/cancel", ask_cancel, role=SUPPORT),
    does("/subscriptions/{subscription}/cancel", cancel, role=SUPPORT),
    shows("/subscriptions/{subscription}/resume", ask_resume, role=SUPPORT),
    does("/subscriptions/{subscription}/resume", resume, role=SUPPORT),
    shows("/subscriptions/{subscription}/extend", ask_extend, role=SUPPORT),
    does("/subscriptions/{subscription}/extend", extend, role=SUPPORT),
]
