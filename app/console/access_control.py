"""
What holds for every page: who may see it, which forms count, and what browsers are told.

Routes are made here, by :func:`shows` and :func:`does`, and in no other way, so none can forget any of it: signed in, with
the role, and for a form also sent by a page of ours (its ``Origin``, and the token that only this session's pages know).
What was refused and would have changed something is written down.
"""

import secrets
from collections.abc import Awaitable, Callable
from urllib.parse import urlencode

import structlog
from starlette.datastructures import FormData, MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.console import templating
from app.console.request import Visit, console_of
from app.console.sessions import FRESH_FOR, STAFF, Staff, staff_of, unsealed
from app.console.state import CONSOLE
from app.console.templating import is_https
from app.domain.callers import NotAllowed
from app.services import staff_sessions

ANYBODY = ""  # a role that everybody has who has any
FIELDS = 100  # in a form, at most

CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no referrer at all, browsers leave the Origin of forms out
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

log = structlog.get_logger()
Page = Callable[[Visit], Awaitable[Response]]


class NotOurForm(Exception):
    """A form that no page of ours sent, or one of a session that is over."""


def shows(path: str, page: Page, *, role: str) -> Route:
    """Return the route of a page that only shows something."""

    async def show(request: Request) -> Response:
        staff = staff_of(request)
        if staff is None:
            return to_sign_in(request)
        await _admit(request, staff, role)
        ctx = console_of(request).ctx
        return await page(Visit(request=request, ctx=ctx, staff=staff, now=await ctx.clock.policy()))

    return Route(path, show, methods=["GET"], name=f"{role or 'anybody'}:{page.__name__}")


def does(path: str, page: Page, *, role: str) -> Route:
    """Return the route of a form that changes something."""

    async def do(request: Request) -> Response:
        staff = staff_of(request)
        if staff is None:
            raise NotOurForm("Your sign-in has run out, so nothing was done. Sign in and try again.")
        await _admit(request, staff, role)
        async with request.form(max_files=0, max_fields=FIELDS) as sent:
            form = {name: value for name, value in sent.items() if isinstance(value, str)}
            if not _is_ours(sent, staff):
                await refused(request, staff, "console.form_refused", "the form's token is not of this session")
                raise NotOurForm(
                    "This form was not made for this session, so nothing was done. Reload it and try again."
                )
        ctx = console_of(request).ctx
        return await page(Visit(request=request, ctx=ctx, staff=staff, now=await ctx.clock.policy(), form=form))

    return Route(path, do, methods=["POST"], name=f"{role or 'anybody'}:{page.__name__}")


def to_sign_in(request: Request) -> Response:
    """Send the browser to sign in, and then back to this page."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"{CONSOLE}/sign-in?{urlencode({'next': wanted})}", 303)


async def check_reader(visit: Visit, subscriber_id: str) -> None:
    """
    Let a form pass whose page was of the reader whom it would change something for.

    An address with another id in it, put together by hand or by a mistake of ours, is not what somebody saw and meant.

    :raises NotOurForm: it was of another reader's.
    """
    if visit.form.get("reader") != subscriber_id:
        why = "the form is of another reader's page"
        await refused(visit.request, visit.staff, "console.form_refused", why, about=subscriber_id)
        raise NotOurForm(
            "This form is of another reader's page, so nothing was done. Open the reader's page and try again."
        )


async def refused(request: Request, staff: Staff, action: str, why: str, *, about: str | None = None) -> None:
    """Write down what was refused."""
    log.warning("console_refused", action=action, by=staff.actor, method=request.method, why=why)
    await staff_sessions.note(
        console_of(request).ctx,
        by=staff.actor,
        action=action,
        what=f"{request.method} {request.url.path}"[:300],
        reason=why,
        about=about,
    )


async def _admit(request: Request, staff: Staff, role: str) -> None:
    """
    Let somebody through who has the role.

    :raises NotAllowed: they have not; for what would have changed something, that is written down.
    """
    if staff.may(role) if role else staff.roles:
        return
    if request.method != "GET":
        await refused(request, staff, "console.refused", f"this needs the role {role or 'of staff'}")
    if not staff.roles:
        raise NotAllowed("you are signed in, and you are not of the staff: you have no role here")
    raise NotAllowed(f"this page needs the role {role}, and you have not got it", role=role)


def _is_ours(form: FormData, staff: Staff) -> bool:
    sent = form.get("form_token")
    return isinstance(sent, str) and secrets.compare_digest(sent.encode(), staff.form_token.encode())


def same_origin(request: Request) -> bool:
    """
    Tell whether a form was sent from a page of ours. Every browser says so of what it posts, in one way or the other.

    Compared by host and port: a proxy that ends TLS may leave us thinking that we are reached over HTTP.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        settings = console_of(request).ctx.settings
        ours = settings.console_url.removesuffix(CONSOLE) if settings.console_url else None
        return origin == ours if ours else origin.partition("://")[2] == request.headers.get("host")
    return request.headers.get("sec-fetch-site") == "same-origin"


class Guard:
    """Reads the session, refuses other sites' forms, and tells browsers what they may do with what they get."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        staff = scope[STAFF] = await _session(request)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                if staff is not None:
                    _keep_alive(request, staff, headers)
            await send(message)

        if request.method not in {"GET", "HEAD"} and not same_origin(request):
            if staff is not None:
                await refused(request, staff, "console.form_refused", "it came from another site")
            why = "That did not come from a page of the console, so nothing was done."
            await templating.page(request, "error.html", status=403, title="Not from here", why=why)(
                scope, receive, answer
            )
            return
        await self._app(scope, receive, answer)


def cookie_name(request: Request) -> str:
    """Return the name of the session's cookie: over HTTPS one that a page over HTTP cannot plant."""
    return ("__Secure-" if is_https(request) else "") + "newsstand_console"


def keep(request: Request, answer: Response, staff: Staff) -> None:
    """Give the browser its session."""
    console = console_of(request)
    if console.sign_in is None:
        raise LookupError("there is no console")
    answer.set_cookie(
        cookie_name(request),
        staff.sealed(console.sign_in.staff_seal, now=console.ctx.clock.real()),
        path=CONSOLE,
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )


async def _session(request: Request) -> Staff | None:
    """Return who has a session that holds. Our own style and script are for everybody, and ask nothing."""
    console = console_of(request)
    if request.url.path.startswith(f"{CONSOLE}/static/"):
        return None
    sealed = request.cookies.get(cookie_name(request))
    if console.sign_in is None or not sealed:
        return None
    settings = console.ctx.settings
    staff = unsealed(
        sealed,
        console.sign_in.staff_seal,
        lifetime=settings.session_lifetime,
        idle=settings.session_idle,
        now=console.ctx.clock.real(),
    )
    if staff is not None and await staff_sessions.has_ended(console.ctx, staff.sub, since=staff.since):
        return None
    return staff


def _keep_alive(request: Request, staff: Staff, headers: MutableHeaders) -> None:
    """Note that the session is in use, unless the answer begins or ends one itself."""
    console = console_of(request)
    often = min(FRESH_FOR, console.ctx.settings.session_idle / 4)
    name = cookie_name(request)
    if console.ctx.clock.real() - staff.seen < often or any(
        c.startswith(f"{name}=") for c in headers.getlist("set-cookie")
    ):
        return
    kept = Response()
    keep(request, kept, staff)
    headers.append("set-cookie", kept.headers["set-cookie"])
