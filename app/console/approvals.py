"""What a second person must approve, and refunds that need attention."""

from starlette.responses import Response

from app.console import refunds as refund_pages
from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.request import ConsoleRequest
from app.domain.approvals import ApprovalKind
from app.domain.callers import Role
from app.domain.refunds import QuoteChanged
from app.services import approvals, back_issues, claims, comps, issues, refunds, support

PAGE_SIZE = 50


async def show(request: ConsoleRequest) -> Response:
    """Show what awaits approval, and refunds that need attention."""
    ctx = request.ctx
    pending = await approvals.pending(ctx, after=request.query("after", max_length=100) or None, limit=PAGE_SIZE)
    attention = await refunds.page(ctx, status=None, attention=True, after=None, limit=PAGE_SIZE)
    shown = [one.subscriber_id for one in pending.items] + [refund.subscriber_id for refund in attention.items]
    readers = await support.subscribers_by_id(ctx, shown, viewer=request.viewer)
    return request.render("approvals.html", pending=pending, attention=attention.items, readers=readers)


async def show_request(request: ConsoleRequest) -> Response:
    """Show a request other than a refund, and the decision about it."""
    ctx = request.ctx
    wanted = await approvals.get(ctx, request.path_param("request"))
    is_claim, is_order = wanted.kind == ApprovalKind.CLAIM, wanted.kind == ApprovalKind.BACK_ISSUE
    return request.render(
        "approval_request.html",
        wanted=wanted,
        claim=await claims.get(ctx, wanted.id, viewer=request.viewer) if is_claim else None,
        order=await back_issues.get(ctx, wanted.id, viewer=request.viewer) if is_order else None,
        reader=await support.reader(ctx, wanted.subscriber_id, viewer=request.viewer),
        plan=next((one.title for one in ctx.rules.catalogue.plans.values() if one.code == wanted.plan), wanted.plan),
        requested_by_me=wanted.requested_by == request.staff.actor,
    )


async def approve_request(request: ConsoleRequest) -> Response:
    """Give the complimentary access, the issues, the claimed copy or the back issue that another person requested."""
    ctx, request_id = request.ctx, request.path_param("request")
    wanted = await approvals.get(ctx, request_id)
    await check_reader(request, wanted.subscriber_id)
    if wanted.kind == ApprovalKind.COMP:
        await comps.approve(ctx, request_id, by=request.staff.actor, now=request.now)
        message = "Approved. The complimentary access has started."
    elif wanted.kind == ApprovalKind.CLAIM:
        await claims.approve(ctx, request_id, by=request.staff.actor, now=request.now)
        message = "Approved. The claim is granted."
    elif wanted.kind == ApprovalKind.BACK_ISSUE:
        await back_issues.approve(ctx, request_id, by=request.staff.actor, now=request.now)
        message = "Approved. The issue goes out with its next supplement."
    else:
        await issues.approve_extension(ctx, request_id, by=request.staff.actor, now=request.now)
        message = "Approved. The issues were added."
    return request.redirect(f"/readers/{wanted.subscriber_id}", flash=message)


async def reject_request(request: ConsoleRequest) -> Response:
    """Reject a request other than a refund."""
    ctx, request_id, note = request.ctx, request.path_param("request"), request.text("note") or None
    await check_reader(request, (await approvals.get(ctx, request_id)).subscriber_id)
    await approvals.reject(ctx, request_id, by=request.staff.actor, note=note, now=request.now)
    return request.redirect(f"/approvals/{request_id}", flash="Request rejected. Nothing was given.")


async def approve(request: ConsoleRequest) -> Response:
    """Approve a refund that another person requested, and pay it."""
    ctx, refund_id = request.ctx, request.path_param("refund")
    await check_reader(request, (await support.refund(ctx, refund_id, viewer=request.viewer)).subscriber.id)
    try:
        await refunds.approve(ctx, refund_id, by=request.staff.actor, now=request.now)
    except QuoteChanged:
        message = "Not approved: the refundable amount is now lower than the request. Reject this request."
        return request.redirect(f"/refunds/{refund_id}", flash=message)
    return request.redirect(f"/refunds/{refund_id}")


async def reject(request: ConsoleRequest) -> Response:
    """Reject a refund that another person requested."""
    ctx, refund_id, note = request.ctx, request.path_param("refund"), request.text("note") or None
    await check_reader(request, (await support.refund(ctx, refund_id, viewer=request.viewer)).subscriber.id)
    await refunds.reject(ctx, refund_id, by=request.staff.actor, note=note, now=request.now)
    return request.redirect(f"/refunds/{refund_id}", flash="Refund rejected. Nothing was paid.")


REQUEST, REFUND = "/approvals/{request}", "/refunds/{refund}"
ROUTES = [
    page_route("/approvals", show, role=Role.SUPERVISOR),
    page_route(REQUEST, show_request, role=Role.SUPPORT),
    form_route(f"{REQUEST}/approve", approve_request, role=Role.SUPERVISOR, recent_sign_in=True, shown_at=REQUEST),
    form_route(f"{REQUEST}/reject", reject_request, role=Role.SUPERVISOR, shown_by=show_request, shown_at=REQUEST),
    form_route(f"{REFUND}/approve", approve, role=Role.SUPERVISOR, recent_sign_in=True, shown_at=REFUND),
    form_route(f"{REFUND}/reject", reject, role=Role.SUPERVISOR, shown_by=refund_pages.show, shown_at=REFUND),
]
