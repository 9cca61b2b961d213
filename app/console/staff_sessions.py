"""Who is signed in to the console, and ending a person's sessions."""

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.form_fields import InvalidForm
from app.console.request import ConsoleRequest
from app.domain.callers import LONGEST_SUB, Role
from app.pages.formatting import counted
from app.services import staff_sessions


async def show(request: ConsoleRequest) -> Response:
    """Show the open sessions, the newest first."""
    sessions = await staff_sessions.list_open(request.ctx, now=request.ctx.clock.real())
    return request.render("staff_sessions.html", sessions=sessions, own=request.staff.cookie.id)


async def end(request: ConsoleRequest) -> Response:
    """End all sessions of a person. They must enter their credentials to sign in again."""
    sub = request.text("sub", max_length=LONGEST_SUB)
    if not sub or not sub.isprintable():
        raise InvalidForm("Enter the person's ID at the identity provider.", field="sub")
    ended = await staff_sessions.end_all(request.ctx, sub, by=request.staff.actor, now=request.ctx.clock.real())
    return request.redirect("/staff", flash=f"{counted(ended, 'session')} of {sub} ended.")


ROUTES = [
    page_route("/staff", show, role=Role.ADMIN),
    form_route("/staff/end-sessions", end, role=Role.ADMIN, shown_at="/staff"),
]
