"""Ordering an earlier issue for a reader: it goes out with the next supplement of that issue."""

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.form_fields import InvalidForm
from app.console.request import ConsoleRequest
from app.console.state import CONSOLE
from app.db.engine.session import new_id
from app.domain.back_issues import BackIssueStatus, IssueNotMailed
from app.domain.callers import Role
from app.domain.issues import LARGEST_NUMBER
from app.services import back_issues, idempotency, issues, support

LONGEST_NOTE = 500  # characters
PAGE_SIZE = 50
SHOWN = 20  # earlier orders, and issues that can be chosen from the list
STATUSES = {
    BackIssueStatus.AWAITING_APPROVAL: "Awaiting approval",
    BackIssueStatus.REJECTED: "Rejected",
    BackIssueStatus.ORDERED: "Ordered",
    BackIssueStatus.SENT: "Sent",
    BackIssueStatus.CANCELED: "Canceled: reader erased",
}


async def show(request: ConsoleRequest) -> Response:
    """Show the form, and what was ordered before."""
    found = await support.subscription(request.ctx, request.path_param("subscription"), viewer=request.viewer)
    ordered = await back_issues.page(
        request.ctx,
        subscriber_id=found.subscriber.id,
        issue_number=None,
        viewer=request.viewer,
        after=None,
        limit=SHOWN,
    )
    today = request.now.astimezone(request.ctx.rules.zone).date()
    mailed = [one for one in (await issues.calendar(request.ctx)).issues if one.mail_date <= today]
    return request.render(
        "back_issue.html",
        found=found,
        ordered=ordered.items,
        statuses=STATUSES,
        suggested=mailed[: -SHOWN - 1 : -1],
        longest=LONGEST_NOTE,
        key=request.idempotency_key(),
    )


async def show_all(request: ConsoleRequest) -> Response:
    """List the orders of all readers, or of an issue, the newest first."""
    filters = {"issue": request.query("issue", max_length=20)}
    number = request.ctx.localization.parse_number(filters["issue"])
    wanted = number if number is not None and 0 < number <= LARGEST_NUMBER else None
    page = await back_issues.page(
        request.ctx,
        subscriber_id=None,
        issue_number=wanted,
        viewer=request.viewer,
        after=request.query("after", max_length=100) or None,
        limit=PAGE_SIZE,
    )
    owners = sorted({one.subscriber_id for one in page.items})
    return request.render(
        "back_issues.html",
        page=page,
        readers=await support.subscribers_by_id(request.ctx, owners, viewer=request.viewer) if owners else {},
        filters=filters,
        is_filtered=wanted is not None,
        statuses=STATUSES,
    )


async def order(request: ConsoleRequest) -> Response:
    """Order an issue for a reader. A form that is sent twice counts once."""
    ctx = request.ctx
    found = await support.subscription(ctx, request.path_param("subscription"), viewer=request.viewer)
    await check_reader(request, found.subscriber.id)
    with request.fields() as fields:
        number = fields.integer("number", minimum=1, maximum=LARGEST_NUMBER)
        note = fields.text("note", max_length=LONGEST_NOTE)
    if not any(one.number == number for one in (await issues.calendar(ctx)).issues):
        raise InvalidForm(f"There is no issue {number}.", field="number")

    async def work(order_id: str) -> tuple[int, dict[str, str]]:
        made = await back_issues.order(
            ctx,
            found.subscription.id,
            number,
            order_id=order_id,
            note=note or None,
            by=request.staff.actor,
            now=request.now,
        )
        return 202 if made.status == BackIssueStatus.AWAITING_APPROVAL else 201, {"back_issue": made.id}

    try:
        answer = await idempotency.once(
            ctx,
            caller=request.staff.actor,
            route=f"POST {CONSOLE}/subscriptions/{found.subscription.id}/back-issue",
            key=idempotency.check_key(request.text("key", max_length=100)),
            body=f"{number} {note}".encode(),
            new_object_id=new_id("bki"),
            work=work,
        )
    except IssueNotMailed as refusal:
        raise InvalidForm(f"{refusal}.", field="number") from None
    if answer.status == 202:
        return request.redirect(f"/approvals/{answer.body['back_issue']}")
    flash = f"Issue {number} ordered. It goes out with the next supplement of that issue."
    return request.redirect(f"/readers/{found.subscriber.id}", flash=flash)


BACK_ISSUE = "/subscriptions/{subscription}/back-issue"
ROUTES = [
    page_route("/back-issues", show_all, role=Role.SUPPORT),
    page_route(BACK_ISSUE, show, role=Role.SUPPORT, recent_sign_in=True),
    form_route(BACK_ISSUE, order, role=Role.SUPPORT, recent_sign_in=True, shown_by=show),
]
