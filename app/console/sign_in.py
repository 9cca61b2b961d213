"""Sign-in by OpenID Connect, and sign-out."""

from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.console import access_control, kept_forms, templating
from app.console.middleware import expired_cookie, session_cookie_name, set_session_cookie
from app.console.request import ConsoleRequest, console_of
from app.console.sessions import SessionCookie
from app.console.state import CONSOLE, SIGN_OUT, SignInConfig
from app.console.templating import is_https
from app.domain.caller_limits import Limit
from app.domain.callers import Reader
from app.pages import sign_in as pages_sign_in
from app.pages.oidc import ProviderUnavailable, SignInAttempt, SignInFailed
from app.pages.sign_in_attempts import AttemptCookies
from app.services import staff_sessions

ATTEMPT_COOKIE = "newsstand_sign_in"

log = structlog.get_logger()


async def start(request: Request) -> Response:
    """Redirect to the identity provider."""
    console, sign_in, now = console_of(request), _sign_in(request), console_of(request).ctx.clock.real()
    settings, step_up = console.ctx.settings, "step_up" in request.query_params
    attempt = SignInAttempt.start(
        pages_sign_in.return_path_of(request, below=CONSOLE),
        redirect_uri=_absolute_url(request, "/signed-in"),
        max_age=min(settings.recent_sign_in or settings.session_lifetime, settings.session_lifetime)
        if step_up
        else settings.session_lifetime,
        again=step_up or "again" in request.query_params,
        acr_values=settings.recent_sign_in_acr if step_up else (),
        now=now,
    )
    try:
        url = await sign_in.oidc.url_for(attempt)
    except SignInFailed as failure:
        return _sign_in_failed(request, failure)
    response = RedirectResponse(url, status_code=303)
    _attempts(request).save(request, response, attempt, now=now)
    return response


async def complete(request: Request) -> Response:
    """Handle the redirect back from the identity provider, and start the session."""
    console, sign_in = console_of(request), _sign_in(request)
    await console.ctx.caller_limits.take(Limit.SIGN_IN, request.client.host if request.client else "unknown")
    now = console.ctx.clock.real()
    found = _attempts(request).find(request, now=now)
    try:
        signed_in = await pages_sign_in.complete(request, found, sign_in.oidc, console.authenticate, now=now)
    except SignInFailed as failure:
        return _sign_in_failed(request, failure)
    attempt, tokens, person = signed_in.attempt, signed_in.tokens, signed_in.person
    if not person.roles:
        return await _refuse(request, person)
    if not attempt.again and await staff_sessions.signed_out_after(
        console.ctx, person.sub, tokens.signed_in_at, now=now
    ):
        # The provider still knew the person, but they have signed out here: it has to ask for their credentials.
        return RedirectResponse(f"{CONSOLE}/sign-in?{urlencode({'next': attempt.return_path, 'again': '1'})}", 303)
    encrypted = sign_in.refresh_token_cipher.encrypt(tokens.refresh_token) if tokens.refresh_token else None
    before = expired_cookie(request)
    stored = await staff_sessions.start(
        console.ctx,
        person,
        sid=tokens.sid,
        signed_in_at=tokens.signed_in_at,
        acr=tokens.acr,
        refresh_token=encrypted,
        now=now,
        replaces=before.id if before else None,
    )
    response = RedirectResponse(attempt.return_path, status_code=303)
    _attempts(request).delete(request, response)
    set_session_cookie(
        request,
        response,
        SessionCookie.start(stored, before=expired_cookie(request, max_age=access_control.OLDEST_SIGN_OUT)),
    )
    return response


async def _refuse(request: Request, person: Reader) -> Response:
    """Refuse a person without a role. They get no session, so they can't send any form."""
    await staff_sessions.record(
        console_of(request).ctx,
        by=person.actor,
        action="console.sign_in_refused",
        what="console",
        reason="no staff role",
    )
    response = templating.render(request, "no_role.html", status=403)
    _attempts(request).delete(request, response)
    return response


async def sign_out(request: ConsoleRequest) -> Response:
    """End all sessions of the person, in every browser: they may have lost control of one of them."""
    return await _sign_out(request.http, request.staff.cookie)


async def _sign_out_late(request: Request, cookie: SessionCookie) -> Response:
    """
    Sign out the person of a session that has expired: the provider may still know them.

    A session that somebody ended only loses its cookie. Otherwise, a copy of it could end the person's later sessions.
    """
    ctx = console_of(request).ctx
    await ctx.caller_limits.take(Limit.SIGN_IN, request.client.host if request.client else "unknown")
    if await staff_sessions.was_ended(ctx, cookie.id, sub=cookie.sub, last_used_at=cookie.last_used_at):
        log.warning("console_sign_out_of_ended_session", session=cookie.id, sub=cookie.sub)
        return _without_cookie(request)
    return await _sign_out(request, cookie)


async def _sign_out(request: Request, cookie: SessionCookie) -> Response:
    ctx = console_of(request).ctx
    await staff_sessions.sign_out(ctx, cookie.sub, session_id=cookie.id, by=f"staff:{cookie.sub}", now=ctx.clock.real())
    return _without_cookie(request)


def _without_cookie(request: Request) -> Response:
    response = RedirectResponse(f"{CONSOLE}/signed-out", status_code=303)
    response.delete_cookie(
        session_cookie_name(request), path=CONSOLE, httponly=True, samesite="lax", secure=is_https(request)
    )
    return response


async def signed_out(request: Request) -> Response:
    """
    Confirm the sign-out, and link to the provider's own sign-out.

    It is a link because the content security policy does not let forms redirect to another site.
    """
    provider_url = await _sign_in(request).oidc.sign_out_url(_absolute_url(request, "/signed-out"))
    return templating.render(request, "signed_out.html", provider_url=provider_url)


def _sign_in(request: Request) -> SignInConfig:
    sign_in = console_of(request).sign_in
    if sign_in is None:
        raise LookupError("the console is off")  # the middleware has answered before
    return sign_in


def _attempts(request: Request) -> AttemptCookies:
    cipher = _sign_in(request).attempt_cipher
    return AttemptCookies(
        name=ATTEMPT_COOKIE,
        path=CONSOLE,
        redirect_uri=_absolute_url(request, "/signed-in"),
        cipher=cipher,
        secure=is_https(request),
    )


def _absolute_url(request: Request, path: str) -> str:
    """Return the absolute URL of a page, as registered with the identity provider."""
    configured = console_of(request).ctx.settings.console_url
    return (configured or f"{request.url.scheme}://{request.url.netloc}{CONSOLE}") + path


def _sign_in_failed(request: Request, failure: Exception) -> Response:
    """Log the reason, and render an error page."""
    log.warning("console_sign_in_failed", error=type(failure).__name__, reason=str(failure)[:300])
    if isinstance(failure, ProviderUnavailable):
        detail = "The identity provider is not responding. Try again in a minute."
        return templating.error_page(request, status=503, title="Sign-in is unavailable", detail=detail)
    detail = "Try again. If the problem continues, contact your administrator."
    return templating.error_page(request, status=400, title="Sign-in failed", detail=detail)


ROUTES = [
    Route("/sign-in", start, methods=["GET"], name="sign_in"),
    Route("/signed-in", complete, methods=["GET"]),
    Route("/signed-out", signed_out, methods=["GET"]),
    access_control.page_route(kept_forms.CONTINUE, access_control.show_kept_form, role=access_control.ANY_ROLE),
    access_control.form_route(
        SIGN_OUT, sign_out, role=access_control.ANY_ROLE, shown_at="/", after_session=_sign_out_late
    ),
]
