"""The page about a reader."""

from collections.abc import Sequence
from datetime import datetime

from starlette.responses import Response

from app.console import history
from app.console.access_control import page_route
from app.console.request import ConsoleRequest
from app.domain import reader_summary
from app.domain.callers import Role
from app.domain.current_subscription import current_subscription
from app.domain.entitlements import OPEN_ENDED, Grant
from app.domain.refunds import CONFIRMED, Refund
from app.domain.subscriptions import Subscription
from app.services import support
from app.services.support import Overview


async def show(request: ConsoleRequest) -> Response:
    """Show everything about a reader."""
    ctx = request.ctx
    overview = await support.overview(ctx, request.path_param("reader"), viewer=request.viewer, now=request.now)
    refunded = _refunded_amounts(overview.refunds)
    disputed = {dispute.payment_id for dispute in overview.disputes if not dispute.refundable}
    refundable = [
        one
        for one in overview.payments
        if one.amount > one.credited + refunded.get(one.id, 0) and one.id not in disputed
    ]
    return request.render(
        "reader.html",
        overview=overview,
        reader=overview.subscriber,
        summary=reader_summary.summary_of(
            overview.subscriptions,
            ledgers=overview.ledgers,
            guest_until=_comp_until(overview),
            policy=ctx.rules.access,
            now=request.now,
        ),
        extendable=_extendable(overview),
        cancelable=_cancelable(overview),
        now=request.now,
        plans={code: plan.title for code, plan in ctx.rules.catalogue.plans.items()},
        grants=[(grant, _grant_until(grant)) for grant in overview.grants],
        history=history.days(overview.timeline),
        refunded=refunded,
        refundable=refundable,
    )


def _refunded_amounts(refunds: Sequence[Refund]) -> dict[str, int]:
    """Return the refunded amount of each payment, in minor units."""
    amounts: dict[str, int] = {}
    for refund in refunds:
        if refund.status in CONFIRMED:
            amounts[refund.payment_id] = amounts.get(refund.payment_id, 0) + refund.amount
    return amounts


def _cancelable(overview: Overview) -> Subscription | None:
    """Return the current subscription, if it has not ended. It may be paused or unpaid."""
    chosen = current_subscription(overview.subscriptions)
    return chosen[0] if chosen is not None and chosen[0].can_be_canceled else None


def _extendable(overview: Overview) -> Subscription | None:
    """Return the subscription that can be extended: a live one, whose newest term still owes issues."""
    chosen = current_subscription(overview.subscriptions)
    if chosen is None or not chosen[1]:
        return None
    ledger = overview.ledgers.get(chosen[1][-1].invoice_id)
    return chosen[0] if ledger is not None and not ledger.cancelled and chosen[0].is_live else None


def _grant_until(grant: Grant) -> datetime | None:
    """Return when the last feature of a grant ends; None if no end is known."""
    until = max((period.until for periods in grant.features.values() for period in periods), default=None)
    return until if until != OPEN_ENDED else None


def _comp_until(overview: Overview) -> datetime | None:
    """Return when complimentary access ends."""
    return max((comp.until for comp in overview.comps if comp.removed_at is None), default=None)


ROUTES = [
    page_route("/readers/{reader}", show, role=Role.SUPPORT),
]
