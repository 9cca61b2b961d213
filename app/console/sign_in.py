"""Signing in and out."""

from datetime import timedelta
from urllib.parse import urlsplit

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.console import access_control, templating
from app.console.oidc import Attempt, ProviderAway, SignInFailed
from app.console.request import Visit, console_of
from app.console.sessions import Staff
from app.console.state import CONSOLE, SignIn
from app.console.templating import is_https
from app.domain.callers import IssuerUnavailable, NotAuthenticated
from app.domain.return_urls import ReturnUrlNotAllowed
from app.observability import REFUSALS
from app.services import staff_sessions

ATTEMPT = "newsstand_sign_in"  # the cookie of a sign-in on its way
ATTEMPT_LIVES = timedelta(minutes=10)

log = structlog.get_logger()


async def begin(request: Request) -> Response:
    """Send the browser to the identity provider."""
    console, sign_in = console_of(request), _sign_in(request)
    wanted = request.query_params.get("next", "")
    destination = own_path(wanted)
    if wanted and destination != wanted:  # the front page instead; whoever minds the service sees that it is tried
        REFUSALS.labels(ReturnUrlNotAllowed.code).inc()
        log.warning("return_path_refused", next=wanted[:200])
    attempt = Attempt.to(destination, back=_address(request, "/signed-in"))
    try:
        url = await sign_in.identity.url_for(attempt)
    except SignInFailed as failure:
        return _failed(request, failure)
    answer = RedirectResponse(url, status_code=303)
    answer.set_cookie(
        ATTEMPT,
        sign_in.attempt_seal.close(attempt.kept(), now=console.ctx.clock.real()),
        path=CONSOLE,
        max_age=int(ATTEMPT_LIVES.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )
    return answer


async def finish(request: Request) -> Response:
    """Take the browser back from the provider, and lead it on to where it was going."""
    console, sign_in = console_of(request), _sign_in(request)
    now = console.ctx.clock.real()
    kept = sign_in.attempt_seal.open(request.cookies.get(ATTEMPT, ""), within=ATTEMPT_LIVES, now=now)
    attempt = Attempt(**kept) if kept else None
    code = request.query_params.get("code")
    if attempt is None or not code or request.query_params.get("state") != attempt.state:
        return _failed(request, SignInFailed(request.query_params.get("error", "no sign-in of this browser")[:100]))
    try:
        sub, token = await sign_in.identity.redeem(attempt, code, now=now)
        reader = await console.authenticate(token)
        if reader.sub != sub:
            raise SignInFailed("the two tokens are of two people")
    except IssuerUnavailable as away:
        return _failed(request, ProviderAway(str(away)))
    except (SignInFailed, NotAuthenticated) as failure:
        return _failed(request, failure)
    staff = Staff.of(reader, now=now)
    await staff_sessions.note(
        console.ctx,
        by=staff.actor,
        action="console.signed_in" if staff.roles else "console.sign_in_refused",
        what="console",
        reason=None if staff.roles else "no role of staff",
    )
    answer = RedirectResponse(attempt.destination, status_code=303)
    answer.delete_cookie(ATTEMPT, path=CONSOLE)
    access_control.keep(request, answer, staff)
    return answer


async def sign_out(visit: Visit) -> Response:
    """End the session, and all others of theirs: whoever signs out of one browser may have lost another."""
    await staff_sessions.sign_out(visit.ctx, visit.staff.sub, by=visit.staff.actor, now=visit.ctx.clock.real())
    answer = RedirectResponse(f"{CONSOLE}/signed-out", status_code=303)
    answer.delete_cookie(
        access_control.cookie_name(visit.request),
        path=CONSOLE,
        httponly=True,
        samesite="lax",
        secure=is_https(visit.request),
    )
    return answer


async def signed_out(request: Request) -> Response:
    """Say so, and offer to sign out of the provider too. (A form may not lead there: our policy keeps forms here.)"""
    sign_in = _sign_in(request)
    elsewhere = await sign_in.identity.sign_out_url(_address(request, "/signed-out"))
    return templating.page(request, "signed_out.html", elsewhere=elsewhere)


def own_path(wanted: str) -> str:
    """Return where to go after signing in: a page of the console, and nothing that leads away from it."""
    parts = urlsplit(wanted)
    inside = parts.path == CONSOLE or parts.path.startswith(f"{CONSOLE}/")
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted and ".." not in wanted
    if parts.scheme or parts.netloc or not inside or not plain or len(wanted) > 1000:
        return f"{CONSOLE}/"
    return wanted


def _sign_in(request: Request) -> SignIn:
    sign_in = console_of(request).sign_in
    if sign_in is None:
        raise LookupError("there is no console")  # the guard has answered before
    return sign_in


def _address(request: Request, path: str) -> str:
    """Return the whole address of a page, as the provider knows it."""
    configured = console_of(request).ctx.settings.console_url
    return (configured or f"{request.url.scheme}://{request.url.netloc}{CONSOLE}") + path


def _failed(request: Request, failure: Exception) -> Response:
    """Say that it did not work out, and to the log why."""
    log.warning("console_sign_in_failed", error=type(failure).__name__, why=str(failure)[:300])
    if isinstance(failure, ProviderAway):
        why = "The sign-in service does not answer at the moment. Nothing is lost: try again in a minute."
        return templating.page(request, "error.html", status=503, title="Signing in is not possible now", why=why)
    why = "Signing in did not work out. Please try once more; if it keeps happening, tell whoever runs Newsstand."
    return templating.page(request, "error.html", status=400, title="Not signed in", why=why)


ROUTES = [
    Route("/sign-in", begin, methods=["GET"], name="sign_in"),
    Route("/signed-in", finish, methods=["GET"]),
    Route("/signed-out", signed_out, methods=["GET"]),
    access_control.does("/sign-out", sign_out, role=access_control.ANYBODY),
]
