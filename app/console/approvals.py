"""Refunds that a second person must approve, and refunds that need attention."""

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.refunds import QuoteChanged, RefundStatus
from app.services import refunds, support

PAGE_SIZE = 50


async def show(request: ConsoleRequest) -> Response:
    """Show the refunds that await approval, and those that need attention."""
    ctx = request.ctx
    awaiting = await refunds.page(
        ctx, status=RefundStatus.AWAITING_APPROVAL, attention=False, after=None, limit=PAGE_SIZE
    )
    attention = await refunds.page(ctx, status=None, attention=True, after=None, limit=PAGE_SIZE)
    readers = await support.subscribers_by_id(
        ctx, [refund.subscriber_id for refund in (*awaiting.items, *attention.items)]
    )
    return request.render("approvals.html", awaiting=awaiting.items, attention=attention.items, readers=readers)


async def approve(request: ConsoleRequest) -> Response:
    """Approve a refund that another person requested, and pay it."""
    ctx, refund_id = request.ctx, request.path_param("refund")
    await check_reader(request, (await support.refund(ctx, refund_id)).subscriber.id)
    try:
        await refunds.approve(ctx, refund_id, by=request.staff.actor, now=request.now)
    except QuoteChanged:
        message = "Not approved: the refundable amount is now lower than the request. Reject this request."
        return request.redirect(f"/refunds/{refund_id}", flash=message)
    return request.redirect(f"/refunds/{refund_id}")


async def reject(request: ConsoleRequest) -> Response:
    """Reject a refund that another person requested."""
    ctx, refund_id, note = request.ctx, request.path_param("refund"), request.text("note") or None
    await check_reader(request, (await support.refund(ctx, refund_id)).subscriber.id)
    await refunds.reject(ctx, refund_id, by=request.staff.actor, note=note, now=request.now)
    return request.redirect(f"/refunds/{refund_id}", flash="Refund rejected. Nothing was paid.")


ROUTES = [
    page_route("/approvals", show, role=Role.SUPERVISOR),
    form_route("/refunds/{refund}/approve", approve, role=Role.SUPERVISOR),
    form_route("/refunds/{refund}/reject", reject, role=Role.SUPERVISOR),
]
