"""What applies to every response: the session, the security headers, and error pages."""

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.console import templating
from app.console.csrf import same_origin
from app.console.refusals import record_refusal
from app.console.request import console_of
from app.console.sessions import RENEW_AFTER, SCOPE_KEY, StaffSession
from app.console.state import CONSOLE
from app.console.templating import is_https
from app.services import staff_sessions

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers would send forms without their Origin
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

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
        response_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal response_started
            response_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception as error:
            if response_started or scope["type"] != "http":
                raise
            log.error("unexpected_error", error=type(error).__name__, exc_info=error)
            detail = (
                "The error has been logged. Before you try again, check the reader's page: your change may be saved."
            )
            page = templating.error_page(Request(scope), status=500, title="Something went wrong", detail=detail)
            await page(scope, receive, send)


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
        staff = scope[SCOPE_KEY] = await _load_session(request)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if staff is not None:
                    _renew_session(request, staff, headers)
            await send(message)

        if request.method not in {"GET", "HEAD"} and not same_origin(request):
            if staff is not None:
                await record_refusal(request, staff, "console.form_refused", "form of another site")
            detail = "This form was sent by another site, so nothing was changed."
            page = templating.error_page(request, status=403, title="Request refused", detail=detail)
            await page(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def session_cookie_name(request: Request) -> str:
    """Return the name of the session cookie. The prefix keeps pages that came over HTTP from setting it over HTTPS."""
    return ("__Secure-" if is_https(request) else "") + "newsstand_console"


def set_session_cookie(request: Request, response: Response, staff: StaffSession) -> None:
    """Store the session in the browser."""
    console = console_of(request)
    if console.sign_in is None:
        raise LookupError("the console is off")
    response.set_cookie(
        session_cookie_name(request),
        staff.to_cookie(console.sign_in.session_cipher, now=console.ctx.clock.real()),
        path=CONSOLE,
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )


async def _load_session(request: Request) -> StaffSession | None:
    """Return the valid session of a request. Static files are public, so they don't need the query."""
    console = console_of(request)
    if request.url.path.startswith(f"{CONSOLE}/static/"):
        return None
    cookie = request.cookies.get(session_cookie_name(request))
    if console.sign_in is None or not cookie:
        return None
    settings = console.ctx.settings
    staff = StaffSession.from_cookie(
        cookie,
        console.sign_in.session_cipher,
        lifetime=settings.session_lifetime,
        idle=settings.session_idle,
        now=console.ctx.clock.real(),
    )
    if staff is not None and await staff_sessions.has_ended(console.ctx, staff.sub, since=staff.started_at):
        return None
    return staff


def _renew_session(request: Request, staff: StaffSession, headers: MutableHeaders) -> None:
    """Update the session's time of last use, unless the response starts or ends a session itself."""
    ctx = console_of(request).ctx
    renew_after = min(RENEW_AFTER, ctx.settings.session_idle / 4)
    name = session_cookie_name(request)
    is_set = any(cookie.startswith(f"{name}=") for cookie in headers.getlist("set-cookie"))
    if is_set or ctx.clock.real() - staff.last_used_at < renew_after:
        return
    renewed = Response()
    set_session_cookie(request, renewed, staff)
    headers.append("set-cookie", renewed.headers["set-cookie"])
