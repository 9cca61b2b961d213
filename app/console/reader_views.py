"""Which member of staff saw which reader."""

from starlette.responses import Response

from app.console.access_control import page_route
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.services import reader_views

PAGE_SIZE = 50


async def show(request: ConsoleRequest) -> Response:
    """Show the views of a reader or by a member of staff, newest first."""
    filters = {name: request.query(name) for name in ("reader", "viewer")}
    before = request.query("before", max_length=18)
    page = await reader_views.page(
        request.ctx,
        subscriber_id=filters["reader"] or None,
        viewer=filters["viewer"] or None,
        since=None,
        until=None,
        after=int(before) if before.isascii() and before.isdecimal() else None,
        limit=PAGE_SIZE,
    )
    return request.render("reader_views.html", page=page, filters=filters)


ROUTES = [page_route("/views", show, role=Role.PRIVACY)]
