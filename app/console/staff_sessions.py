"""Who is signed in to the console, and ending a person's sessions."""

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.form_fields import InvalidForm
from app.console.request import ConsoleRequest
from app.domain.callers import LONGEST_SUB, Role
from app.pages.formatting import counted
from app.services import staff_members, staff_sessions


async def show(request: ConsoleRequest) -> Response:
    """Show the open sessions, the newest first."""
    sessions = await staff_sessions.list_open(request.ctx, now=request.ctx.clock.real())
    emails = await staff_members.emails(request.ctx)
    return request.render("staff_sessions.html", sessions=sessions, emails=emails, own=request.staff.cookie.id)


async def confirm_end(request: ConsoleRequest) -> Response:
    """Show whose sessions end, for confirmation."""
    sub = (request.form.get("sub") or request.query("sub", max_length=LONGEST_SUB)).strip()
    if not sub or not sub.isprintable() or len(sub) > LONGEST_SUB:
        return request.redirect("/staff", flash="Enter the person’s ID at the identity provider.")
    name = request.staff_names.get(sub, sub)
    return request.render(
        "confirm.html",
        question=f"End all sessions of {name}?",
        effects=["They are signed out of the console in every browser.", "Their access tokens are refused in the API."],
        path=END,
        hidden={"sub": sub},
        button="End all sessions",
        back="/staff",
    )


async def end(request: ConsoleRequest) -> Response:
    """End all sessions of a person. They must enter their credentials to sign in again."""
    sub = request.text("sub", max_length=LONGEST_SUB)
    if not sub or not sub.isprintable():
        raise InvalidForm("Enter the person's ID at the identity provider.", field="sub")
    ended = await staff_sessions.end_all(request.ctx, sub, by=request.staff.actor, now=request.ctx.clock.real())
    return request.redirect("/staff", flash=f"{counted(ended, 'session')} of {sub} ended.")


END = "/staff/end-sessions"
ROUTES = [
    page_route("/staff", show, role=Role.ADMIN),
    page_route(END, confirm_end, role=Role.ADMIN),
    form_route(END, end, role=Role.ADMIN),
]
