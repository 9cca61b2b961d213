"""The data of one person: exported, and erased."""

import json

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.form_fields import InvalidForm
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.exports import readable_page
from app.services import erasures, exports, support


async def show(request: ConsoleRequest) -> Response:
    """Show what an erasure would end, what can be refunded before, and what blocks it."""
    reader = await support.reader(request.ctx, request.path_param("reader"), viewer=request.viewer)
    erasure = await erasures.find(request.ctx, reader.id)
    if erasure is not None:
        return request.redirect(f"/erasures/{erasure.id}")
    preview = await erasures.preview(request.ctx, reader.id, now=request.now)
    return request.render("personal_data.html", reader=reader, preview=preview)


async def export(request: ConsoleRequest) -> Response:
    """Return everything about a reader as a page to read, or as JSON to download."""
    reader_id = request.path_param("reader")
    found = await exports.export(request.ctx, reader_id, by=request.staff.actor, now=request.ctx.clock.real())
    as_json = request.query("format") == "json"
    content = json.dumps(found.as_json(), indent=2, ensure_ascii=False) if as_json else readable_page(found)
    name = f"{found.subscriber_id}.{'json' if as_json else 'html'}"
    return Response(
        content,
        media_type="application/json" if as_json else "text/html",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


async def erase(request: ConsoleRequest) -> Response:
    """Erase a reader. A form that is sent twice counts once."""
    reader_id = request.path_param("reader")
    await check_reader(request, reader_id)
    if request.text("confirmation", max_length=100) != reader_id:
        raise InvalidForm("Enter the reader's ID to confirm.", field="confirmation")
    ordered = await erasures.order(
        request.ctx,
        reader_id,
        without_refund=request.form.get("without_refund") == "yes",
        by=request.staff.actor,
        now=request.now,
    )
    return request.redirect(f"/erasures/{ordered.id}", flash="Erasure requested.")


async def show_erasure(request: ConsoleRequest) -> Response:
    """Show whether an erasure is complete, and what was kept and why."""
    erasure = await erasures.get(request.ctx, request.path_param("erasure"))
    return request.render("erasure.html", erasure=erasure)


ROUTES = [
    page_route("/readers/{reader}/personal-data", show, role=Role.PRIVACY, recent_sign_in=True),
    page_route("/readers/{reader}/export", export, role=Role.PRIVACY, recent_sign_in=True),
    form_route(
        "/readers/{reader}/erase",
        erase,
        role=Role.PRIVACY,
        recent_sign_in=True,
        shown_by=show,
        shown_at="/readers/{reader}/personal-data",
    ),
    page_route("/erasures/{erasure}", show_erasure, role=Role.PRIVACY),
]
