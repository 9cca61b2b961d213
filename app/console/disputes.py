"""All disputes: the open ones by the deadline for evidence, and the closed ones."""

from starlette.responses import PlainTextResponse, Response

from app.console.access_control import page_route
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.evidence import evidence_text
from app.services import disputes, evidence, support

PAGE_SIZE = 50
VIEWS = {"": "Open", "closed": "Closed"}  # by the value of ``state``


async def show(request: ConsoleRequest) -> Response:
    """Show the open or the closed disputes."""
    ctx, state = request.ctx, request.query("state") if request.query("state") in VIEWS else ""
    after = request.query("after", max_length=100) or None
    page = await disputes.page(ctx, is_open=not state, after=after, limit=PAGE_SIZE)
    shown = [dispute.subscriber_id for dispute in page.items if dispute.subscriber_id]
    readers = await support.subscribers_by_id(ctx, shown, viewer=request.viewer)
    return request.render("disputes.html", page=page, readers=readers, state=state, views=VIEWS)


async def save_evidence(request: ConsoleRequest) -> Response:
    """Return the evidence about a reader as a text file."""
    reader_id = request.path_param("reader")
    found = await evidence.of_reader(request.ctx, reader_id, viewer=request.viewer, now=request.now)
    headers = {"Content-Disposition": f'attachment; filename="evidence-{found.subscriber_id}.txt"'}
    return PlainTextResponse(evidence_text(found, request.ctx.localization), headers=headers)


ROUTES = [
    page_route("/disputes", show, role=Role.SUPPORT),
    page_route("/readers/{reader}/evidence", save_evidence, role=Role.SUPPORT),
]
