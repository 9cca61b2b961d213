"""
Who may see a page and submit a form.

Routes are made only by :func:`page_route` and :func:`form_route`, so no page can forget a check: the person is signed in and
has the role, and a form was sent by a page of the same session (see :mod:`app.console.csrf`). Refused forms are recorded.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.console.csrf import ForgedForm, has_form_token
from app.console.refusals import record_refusal
from app.console.request import ConsoleRequest, console_of
from app.console.sessions import StaffSession, session_of
from app.console.state import CONSOLE
from app.domain.caller_limits import Limit
from app.domain.callers import NotAllowed

ANY_ROLE = ""  # for pages that every member of staff may see
MAX_FORM_FIELDS = 100

Page = Callable[[ConsoleRequest], Awaitable[Response]]


def page_route(path: str, page: Page, *, role: str) -> Route:
    """Return the route of a page, which changes nothing."""

    async def endpoint(request: Request) -> Response:
        staff = session_of(request)
        if staff is None:
            return _redirect_to_sign_in(request)
        await _require_role(request, staff, role)
        ctx = console_of(request).ctx
        return await page(ConsoleRequest(http=request, ctx=ctx, staff=staff, now=await ctx.clock.policy()))

    return Route(path, endpoint, methods=["GET"], name=_route_name(role, page))


def form_route(path: str, page: Page, *, role: str) -> Route:
    """Return the route that a form is submitted to."""

    async def endpoint(request: Request) -> Response:
        staff = session_of(request)
        if staff is None:
            raise ForgedForm("Your session has expired, so nothing was changed. Sign in and try again.")
        await _require_role(request, staff, role)
        if role:  # everybody may always sign out
            await console_of(request).ctx.caller_limits.take(Limit.STRIPE, staff.sub)
        async with request.form(max_files=0, max_fields=MAX_FORM_FIELDS) as fields:
            form = {name: value for name, value in fields.items() if isinstance(value, str)}
            if not has_form_token(fields, staff):
                await record_refusal(request, staff, "console.form_refused", "form token of another session")
                raise ForgedForm(
                    "This form belongs to another session, so nothing was changed. Reload the page and try again."
                )
        ctx = console_of(request).ctx
        return await page(ConsoleRequest(http=request, ctx=ctx, staff=staff, now=await ctx.clock.policy(), form=form))

    return Route(path, endpoint, methods=["POST"], name=_route_name(role, page))


def _route_name(role: str, page: Page) -> str:
    return f"{role or 'any'}:{page.__name__}"


def _redirect_to_sign_in(request: Request) -> Response:
    """Redirect to the sign-in page, which returns to this page."""
    return_path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{CONSOLE}/sign-in?{urlencode({'next': return_path})}", 303)


async def _require_role(request: Request, staff: StaffSession, role: str) -> None:
    """
    Require a role. A refused form is recorded.

    :raises NotAllowed: if the person doesn't have the role.
    """
    if staff.has_role(role) if role else staff.roles:
        return
    if request.method != "GET":
        await record_refusal(request, staff, "console.refused", f"requires the {role or 'staff'} role")
    if not staff.roles:
        raise NotAllowed("Your account has no staff role. Ask an administrator for access.")
    raise NotAllowed(f"You need the {role} role to do this.", role=role)
