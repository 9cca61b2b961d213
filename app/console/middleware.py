"""What applies to every response: the session, the security headers, and error pages."""

from datetime import timedelta

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.console import role_checks, templating
from app.console.csrf import is_same_origin
from app.console.refusals import record_refusal
from app.console.request import console_of
from app.console.sessions import RENEW_AFTER, SCOPE_KEY, SessionCookie, StaffSession
from app.console.state import CONSOLE, SIGN_OUT
from app.console.templating import is_https
from app.pages import errors
from app.pages.oidc import ProviderUnavailable
from app.pages.security_headers import SECURITY_HEADERS
from app.services import staff_sessions

BACK_CHANNEL_LOGOUT = "/backchannel-logout"
PUBLIC_PAGES = frozenset({"/sign-in", "/signed-in", "/signed-out", BACK_CHANNEL_LOGOUT})  # they need no session

log = structlog.get_logger()


class ErrorMiddleware:
    """Answers 404 if the console is off, and renders a page for unexpected errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "http" and console_of(Request(scope)).sign_in is None:
            response = Response(
                "The console is off. To turn it on, set NEWSSTAND_OIDC_CLIENT_ID and NEWSSTAND_SESSION_KEY.\n",
                404,
                media_type="text/plain",
            )
            await response(scope, receive, send)
            return
        await errors.answer_errors(self._app, scope, receive, send, page=_error_page)


def _error_page(request: Request) -> Response:
    detail = "The error has been logged. Before you try again, check the reader's page: your change may be saved."
    return templating.error_page(request, status=500, title="Something went wrong", detail=detail)


class SessionMiddleware:
    """Loads and renews the session, refuses forms of other sites, and adds the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        staff: StaffSession | None = None

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if staff is not None:
                    _renew_session(request, staff, headers)
            await send(message)

        try:
            staff = scope[SCOPE_KEY] = await _load_session(request)
        except ProviderUnavailable as error:
            log.warning("console_session_not_confirmed", reason=str(error)[:300])
            detail = "The identity provider is not responding. Try again in a minute."
            page = templating.error_page(request, status=503, title="Sign-in is unavailable", detail=detail)
            await page(scope, receive, send_with_headers)
            return
        if request.method not in {"GET", "HEAD"} and not _is_from_provider(request) and not is_same_origin(request):
            if staff is not None:
                path = _route_template(request)
                await record_refusal(request, staff, "console.form_refused", "form of another site", path=path)
            detail = "This form was sent by another site, so nothing was changed."
            page = templating.error_page(request, status=403, title="Request refused", detail=detail)
            await page(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def _is_from_provider(request: Request) -> bool:
    """Tell whether the identity provider sends a request itself. Such a request proves its origin by a signature."""
    return request.url.path == CONSOLE + BACK_CHANNEL_LOGOUT


def _route_template(request: Request) -> str:
    """Return the template of the route that a request would take, because its path could have any content."""
    for route in request.app.routes:
        if isinstance(route, Route) and route.matches(request.scope)[0] != Match.NONE:
            return route.path
    return "/unmatched"


def session_cookie_name(request: Request) -> str:
    """Return the name of the session cookie. The prefix keeps pages that came over HTTP from setting it over HTTPS."""
    return ("__Secure-" if is_https(request) else "") + "newsstand_console"


def set_session_cookie(request: Request, response: Response, cookie: SessionCookie) -> None:
    """Store the session in the browser."""
    console = console_of(request)
    if console.sign_in is None:
        raise LookupError("the console is off")
    response.set_cookie(
        session_cookie_name(request),
        cookie.to_value(console.sign_in.session_cipher, now=console.ctx.clock.real()),
        path=CONSOLE,
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )


def expired_cookie(request: Request, *, max_age: timedelta | None = None) -> SessionCookie | None:
    """
    Return the content of a session cookie, even if its session has ended.

    :param max_age: since its last use; by default the length of a session.
    """
    return _read_cookie(request, idle=max_age or console_of(request).ctx.settings.session_lifetime)


def _read_cookie(request: Request, *, idle: timedelta) -> SessionCookie | None:
    console, value = console_of(request), request.cookies.get(session_cookie_name(request))
    if console.sign_in is None or not value:
        return None
    return SessionCookie.from_value(value, console.sign_in.session_cipher, idle=idle, now=console.ctx.clock.real())


async def _load_session(request: Request) -> StaffSession | None:
    """
    Return the open session of a request, with roles that the provider has confirmed. Public pages don't need it.

    The sign-out needs no role, so it also works while the provider is down.

    :raises ProviderUnavailable: if the roles must be confirmed and the provider doesn't answer.
    """
    console, path = console_of(request), request.url.path.removeprefix(CONSOLE)
    if path in PUBLIC_PAGES or path.startswith("/static/"):
        return None
    settings, now = console.ctx.settings, console.ctx.clock.real()
    cookie = _read_cookie(request, idle=settings.session_idle)
    if console.sign_in is None or cookie is None:
        return None
    stored = await staff_sessions.find(console.ctx, cookie.id, now=now)
    if stored is not None and path != SIGN_OUT:
        stored = await role_checks.confirm(console, console.sign_in, stored, now=now)
    return StaffSession.of(stored, cookie) if stored else None


def _renew_session(request: Request, staff: StaffSession, headers: MutableHeaders) -> None:
    """Update the session's time of last use, unless the response starts or ends a session itself."""
    ctx = console_of(request).ctx
    renew_after = min(RENEW_AFTER, ctx.settings.session_idle / 4)
    name = session_cookie_name(request)
    is_set = any(cookie.startswith(f"{name}=") for cookie in headers.getlist("set-cookie"))
    if is_set or ctx.clock.real() - staff.cookie.last_used_at < renew_after:
        return
    renewed = Response()
    set_session_cookie(request, renewed, staff.cookie)
    headers.append("set-cookie", renewed.headers["set-cookie"])
