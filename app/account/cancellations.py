"""Canceling: what each way would do, and then the cancellation itself."""

from starlette.responses import Response

from app.account import labels
from app.account.access_control import form_route, page_route
from app.account.request import AccountRequest
from app.domain.errors import StripeRefused, StripeUnavailable
from app.domain.subscriptions import AlreadyEnded, NoSubscription
from app.services import cancel_previews, cancellations, subscriptions

PERIOD_END, NOW, NOTICE = "period_end", "now", "notice"
WHEN = (PERIOD_END, NOW, NOTICE)
LONGEST_COMMENT = 1000  # characters
CANCELED = "Your subscription is canceled. You won’t be charged again. Your acknowledgment is below."
ENDED = "Your subscription has ended. You won’t be charged again. Your acknowledgment is below."
NOTHING = "There is no subscription to cancel."


async def preview(request: AccountRequest) -> Response:
    """Show what canceling would do, with the form. Nothing is changed."""
    try:
        details = await subscriptions.current(request.ctx, request.sub, now=request.now)
        effects = await cancel_previews.preview(request.ctx, details.subscription, now=request.now)
    except (NoSubscription, AlreadyEnded):
        return request.redirect("/", flash=NOTHING)
    return request.render(
        "cancel.html",
        details=details,
        effects=effects,
        # Whether the issues of a disputed term will be served is unknown until the dispute is settled.
        left=details.ledger.unserved if details.ledger is not None and not details.on_hold else None,
        guarantee=details.guarantee if details.guarantee is not None and details.guarantee.allowed else None,
        when=request.form.get("when", PERIOD_END),
        reason=request.form.get("reason", ""),
        comment=request.form.get("comment", ""),
        reasons=labels.CANCEL_REASONS,
        longest=LONGEST_COMMENT,
    )


async def cancel(request: AccountRequest) -> Response:
    """Cancel the subscription. One that has ended stays as it is."""
    when = request.choice("when", dict.fromkeys(WHEN), message="Choose when your subscription should end.")
    reason = request.choice("reason", {"": "", **labels.CANCEL_REASONS}, message="Choose a reason from the list.")
    comment = request.text("comment", max_length=LONGEST_COMMENT)
    ctx, sub, now = request.ctx, request.sub, request.now
    try:
        if when == NOW:
            await cancellations.cancel_now(ctx, sub, reason=_joined(reason, comment), now=now)
        elif when == NOTICE:
            await cancellations.cancel_with_notice(ctx, sub, reason=_joined(reason, comment), now=now)
        else:
            await cancellations.cancel_at_period_end(ctx, sub, reason=reason or None, comment=comment or None, now=now)
    except AlreadyEnded:
        pass
    except StripeRefused as refusal:
        raise StripeUnavailable("Stripe declined the cancellation; try again") from refusal
    return request.redirect("/", flash=ENDED if when == NOW else CANCELED)


def _joined(reason: str, comment: str) -> str | None:
    return ": ".join(part for part in (reason, comment) if part) or None


ROUTES = [
    page_route("/cancel", preview, calls_stripe=True),
    form_route("/cancel", cancel, shown_by=preview),
]
