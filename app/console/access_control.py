"""
Who may see a page and submit a form.

Routes are made only by :func:`page_route` and :func:`form_route`, so no page can forget a check: the person is signed in and
has the role, recently where money moves or access is given, and a form was sent by a page of the same session (see
:mod:`app.console.csrf`). Refused forms are recorded.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.console import drafts, kept_forms, refused_forms
from app.console.csrf import ForgedForm
from app.console.form_fields import WHOLE_FORM
from app.console.middleware import expired_cookie
from app.console.refusals import record_refusal
from app.console.request import ConsoleRequest, console_of
from app.console.sessions import SessionCookie, StaffSession, session_of
from app.console.state import CONSOLE, SIGN_OUT
from app.context import Context
from app.domain.caller_limits import Limit
from app.domain.callers import NotAllowed
from app.pages.forms import has_form_token
from app.services import staff_sessions, work_queue

ANY_ROLE = ""  # for pages that every member of staff may see
MAX_FORM_FIELDS = 100
OLDEST_SIGN_OUT = timedelta(days=30)  # since the session's last use: a computer may sleep with the console open
OTHER_SESSION = "You have signed in again since this page was opened. Check the form, then send it again."

Page = Callable[[ConsoleRequest], Awaitable[Response]]
EndedSessionForm = Callable[[Request, SessionCookie], Awaitable[Response]]


class NamedRoute(Route):
    """A route that tells the tests which role it needs, and whether it needs a recent sign-in."""

    def __init__(self, path: str, endpoint: Any, *, page: Page, method: str, role: str, recent_sign_in: bool) -> None:
        super().__init__(path, endpoint, methods=[method], name=f"{role or 'any'}:{page.__name__}")
        self.recent_sign_in, self.page = recent_sign_in, page
        self.shown_at = path  # of the page that has the form


def page_route(path: str, page: Page, *, role: str, recent_sign_in: bool = False, is_fragment: bool = False) -> Route:
    """
    Return the route of a page, which changes nothing.

    :param recent_sign_in: whether the person signs in again first if they did so too long ago. For pages with forms that
        need it, so that no form is filled in vain.
    :param is_fragment: whether the response is an image or a part of a page, which names no staff.
    """

    async def endpoint(request: Request) -> Response:
        staff = session_of(request)
        if staff is None and "part" in request.query_params:
            return Response(status_code=401)  # the search's script asks, which can't sign in
        if staff is None:
            return RedirectResponse(_sign_in_url(_path_of(request)), 303)
        await _require_role(request, staff, role, path)
        if recent_sign_in and not _signed_in_recently(request, staff):
            return RedirectResponse(_sign_in_url(_path_of(request), step_up=True), 303)
        ctx = console_of(request).ctx
        now = await ctx.clock.policy()
        return await page(
            ConsoleRequest(
                http=request,
                ctx=ctx,
                staff=staff,
                now=now,
                form=drafts.fields_of(request, staff.sub),
                **({} if is_fragment else await _frame(ctx, staff, now)),
            )
        )

    return NamedRoute(path, endpoint, page=page, method="GET", role=role, recent_sign_in=recent_sign_in)


def form_route(
    path: str,
    page: Page,
    *,
    role: str,
    recent_sign_in: bool = False,
    shown_by: Page | None = None,
    shown_at: str | None = None,
    after_session: EndedSessionForm | None = None,
) -> Route:
    """
    Return the route that a form is submitted to.

    If the person has to sign in first, the form is kept in their browser and filled in again after that. If the form is
    refused, ``shown_by`` shows it again with what was entered and what is wrong.

    :param shown_by: the page that has the form. Without it, an error page is shown.
    :param shown_at: the path of that page, if it is another one. Its parameters are those of ``path``, or fields.
    :param after_session: handles the form if its session has ended, instead of a sign-in.
    """

    async def endpoint(request: Request) -> Response:
        staff = session_of(request)
        async with request.form(max_files=0, max_fields=MAX_FORM_FIELDS) as fields:
            form = {name: value for name, value in fields.items() if isinstance(value, str)}
        if staff is None and after_session is not None:
            return await after_session(request, _ended_session(request, form, max_age=OLDEST_SIGN_OUT))
        if staff is None:
            return _keep(request, _ended_session(request, form).sub, form, shown_at or path)
        await _require_role(request, staff, role, path)
        if role:  # everybody may always sign out
            await console_of(request).ctx.caller_limits.take(Limit.STRIPE, staff.sub)
        is_ours = has_form_token(form, staff.form_token, earlier=staff.cookie.earlier if path == SIGN_OUT else "")
        if not is_ours:
            await record_refusal(request, staff, "console.form_refused", "form token of another session", path=path)
        if is_ours and recent_sign_in and not _signed_in_recently(request, staff):
            return _keep(request, staff.sub, form, shown_at or path, step_up=True)
        ctx = console_of(request).ctx
        now = await ctx.clock.policy()
        received = ConsoleRequest(
            http=request,
            ctx=ctx,
            staff=staff,
            now=now,
            form=form,
            route=path,
            **await _frame(ctx, staff, now),
        )
        if is_ours:
            return await refused_forms.show_again(page, received, shown_by)
        if shown_by is not None and form.get("form_token"):
            return await shown_by(refused_forms.refused(received, 403, {WHOLE_FORM: OTHER_SESSION}))
        raise ForgedForm("This form belongs to another session, so nothing was changed. Reload the page and try again.")

    route = NamedRoute(path, endpoint, page=page, method="POST", role=role, recent_sign_in=recent_sign_in)
    route.shown_at = shown_at or path
    return route


async def _frame(ctx: Context, staff: StaffSession, now: datetime) -> dict[str, Any]:
    """Return what every page shows: the names of staff, and the counts in the navigation."""
    counts, names = await work_queue.counts_and_names(ctx, staff.roles, now=now)
    return {"staff_names": names, "queue_counts": counts}


async def show_kept_form(request: ConsoleRequest) -> Response:
    """Open the page of the form that was kept while the person signed in again."""
    return kept_forms.restore(request)


def _ended_session(request: Request, form: dict[str, str], *, max_age: timedelta | None = None) -> SessionCookie:
    """
    Return the session that sent a form, though it has ended.

    :raises ForgedForm: if no page of that session sent it.
    """
    cookie = expired_cookie(request, max_age=max_age)
    if cookie is None or not has_form_token(form, cookie.form_token, earlier=cookie.earlier if max_age else ""):
        raise ForgedForm("Your session has expired, so nothing was changed. Sign in and try again.")
    return cookie


def _keep(request: Request, sub: str, form: dict[str, str], shown_at: str, *, step_up: bool = False) -> Response:
    url = _sign_in_url(CONSOLE + kept_forms.CONTINUE, step_up=step_up)
    kept = kept_forms.sign_in_and_continue(request, sub, form, shown_at=shown_at, url=url)
    if kept is None:
        raise ForgedForm(
            "You need to sign in again, and this form is too long to be kept, so nothing was changed. Go back, copy your "
            "text, then sign in and try again."
        )
    return kept


def _signed_in_recently(request: Request, staff: StaffSession) -> bool:
    ctx = console_of(request).ctx
    required = staff_sessions.recent_sign_in(ctx.settings)
    return required.accepts(staff.signed_in_at, staff.acr, now=ctx.clock.real())


def _path_of(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def _sign_in_url(return_path: str, *, step_up: bool = False) -> str:
    """Return the URL of the sign-in page, which returns to a page."""
    return f"{CONSOLE}/sign-in?{urlencode({'next': return_path} | ({'step_up': '1'} if step_up else {}))}"


async def _require_role(request: Request, staff: StaffSession, role: str, path: str) -> None:
    """
    Require a role. A refused form is recorded.

    :raises NotAllowed: if the person doesn't have the role.
    """
    if not role or staff.has_role(role):
        return
    if request.method != "GET":
        await record_refusal(request, staff, "console.refused", f"requires the {role} role", path=path)
    raise NotAllowed(f"You need the {role} role to do this.", role=role)
