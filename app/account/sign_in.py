"""Sign-in by OpenID Connect, and sign-out: by the reader, and by the identity provider."""

from urllib.parse import urlencode

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.account import cookies, sessions, templating
from app.account.access_control import OLDEST_SIGN_OUT, form_route
from app.account.middleware import BACK_CHANNEL_LOGOUT
from app.account.request import AccountRequest
from app.account.sessions import ReaderSession
from app.account.state import ACCOUNT, absolute_url, account_of, is_https
from app.account.subscriptions import show
from app.domain.caller_limits import Limit
from app.pages import sign_in as pages_sign_in
from app.pages.logout_tokens import LONGEST_LOGOUT_TOKEN
from app.pages.oidc import ProviderUnavailable, SignInAttempt, SignInFailed
from app.pages.sign_in_attempts import AttemptCookies
from app.services import reader_sessions

ATTEMPT = "sign_in"
NO_STORE = {"Cache-Control": "no-store"}

log = structlog.get_logger()


async def start(request: Request) -> Response:
    """Redirect to the identity provider."""
    account, now = account_of(request), account_of(request).ctx.clock.real()
    attempt = SignInAttempt.start(
        pages_sign_in.return_path_of(request, below=ACCOUNT),
        redirect_uri=absolute_url(request, "/signed-in"),
        max_age=account.ctx.settings.session_lifetime,
        again="again" in request.query_params,
        acr_values=(),
        now=now,
    )
    try:
        url = await account.oidc.url_for(attempt)
    except SignInFailed as failure:
        return _failed(request, failure)
    response = RedirectResponse(url, status_code=303)
    _attempts(request).save(request, response, attempt, now=now)
    return response


async def complete(request: Request) -> Response:
    """Handle the redirect back from the identity provider, and start the session."""
    account = account_of(request)
    await account.ctx.caller_limits.take(Limit.SIGN_IN, request.client.host if request.client else "unknown")
    now = account.ctx.clock.real()
    found = _attempts(request).find(request, now=now)
    try:
        signed_in = await pages_sign_in.complete(request, found, account.oidc, account.authenticate, now=now)
    except SignInFailed as failure:
        return _failed(request, failure)
    attempt, tokens, person = signed_in.attempt, signed_in.tokens, signed_in.person
    if not attempt.again and await reader_sessions.must_sign_in_again(
        account.ctx, person.sub, tokens.signed_in_at, now=now
    ):
        # The provider still knew the person, but they have signed out here: it has to ask for their credentials.
        again = urlencode({"next": attempt.return_path, "again": "1"})
        return RedirectResponse(f"{ACCOUNT}/sign-in?{again}", 303)
    response = RedirectResponse(attempt.return_path, status_code=303)
    _attempts(request).delete(request, response)
    sessions.save(
        request,
        response,
        ReaderSession.start(person, now=now, before=sessions.expired(request, max_age=OLDEST_SIGN_OUT)),
    )
    return response


async def sign_out(request: AccountRequest) -> Response:
    """End all sessions of the reader, in every browser: they may have lost control of one of them."""
    return await _sign_out(request.http, request.session)


async def _sign_out_late(request: Request, session: ReaderSession) -> Response:
    """
    Sign out the reader of a session that has expired: the provider may still know them.

    A session that a sign-out ended only loses its cookie. Otherwise, a copy of it could end the reader's later sessions.
    """
    ctx = account_of(request).ctx
    await ctx.caller_limits.take(Limit.SIGN_IN, request.client.host if request.client else "unknown")
    if await reader_sessions.is_signed_out(ctx, session.sub, since=session.started_at):
        log.warning("account_sign_out_of_ended_session", sub=session.sub, started_at=session.started_at.isoformat())
        return _without_cookies(request)
    return await _sign_out(request, session)


async def _sign_out(request: Request, session: ReaderSession) -> Response:
    ctx = account_of(request).ctx
    await reader_sessions.sign_out(ctx, session.sub, now=ctx.clock.real())
    return _without_cookies(request)


def _without_cookies(request: Request) -> Response:
    response = RedirectResponse(f"{ACCOUNT}/signed-out", 303)
    for name in (sessions.COOKIE, templating.FLASH):
        cookies.delete(request, response, name)
    return response


async def signed_out(request: Request) -> Response:
    """
    Confirm the sign-out, and link to the provider's own sign-out.

    It is a link because the content security policy does not let forms redirect to another site.
    """
    provider_url = await account_of(request).oidc.sign_out_url(absolute_url(request, "/signed-out"))
    return templating.render(request, "signed_out.html", provider_url=provider_url)


async def log_out(request: Request) -> Response:
    """End the sessions of the person that a logout token names. A token that was used before ends nothing."""
    account = account_of(request)
    async with request.form(max_files=0, max_fields=10) as form:
        token = form.get("logout_token")
    if not isinstance(token, str) or not 0 < len(token) <= LONGEST_LOGOUT_TOKEN:
        return _logout_refused("logout_token is missing or too long")
    now = account.ctx.clock.real()
    try:
        claims = await account.oidc.logout_claims(token, now=now)
    except ProviderUnavailable as error:
        log.warning("logout_token_not_verified", reason=str(error)[:300])
        return JSONResponse({"error": "temporarily_unavailable"}, 503, headers={**NO_STORE, "Retry-After": "2"})
    except SignInFailed as failure:
        return _logout_refused(str(failure))
    if claims.sub is None:  # a session here doesn't know the provider's session
        return _logout_refused("the token lacks sub")
    ended = await reader_sessions.end_by_provider(
        account.ctx, jti=claims.jti, sub=claims.sub, until=claims.expires_at, now=now
    )
    return Response(status_code=200, headers=NO_STORE) if ended else _logout_refused("the token was used before")


def _attempts(request: Request) -> AttemptCookies:
    cipher = account_of(request).attempt_cipher
    return AttemptCookies(
        name=cookies.name_of(request, ATTEMPT),
        path=ACCOUNT,
        redirect_uri=absolute_url(request, "/signed-in"),
        cipher=cipher,
        secure=is_https(request),
    )


def _logout_refused(reason: str) -> Response:
    log.warning("logout_token_refused", reason=reason[:300])
    body = {"error": "invalid_request", "error_description": "The logout token is invalid"}
    return JSONResponse(body, 400, headers=NO_STORE)


def _failed(request: Request, failure: Exception) -> Response:
    """Log the reason, and render an error page."""
    log.warning("account_sign_in_failed", error=type(failure).__name__, reason=str(failure)[:300])
    if isinstance(failure, ProviderUnavailable):
        detail = "Sign-in isn’t responding right now. Please try again in a minute."
        return templating.error_page(request, status=503, title="Sign-in is unavailable", detail=detail)
    return templating.error_page(request, status=400, title="Sign-in failed", detail="Please try again.")


ROUTES = [
    Route("/sign-in", start, methods=["GET"], name="sign_in"),
    Route("/signed-in", complete, methods=["GET"]),
    Route("/signed-out", signed_out, methods=["GET"]),
    Route(BACK_CHANNEL_LOGOUT, log_out, methods=["POST"]),
    form_route("/sign-out", sign_out, shown_by=show, calls_stripe=False, after_session=_sign_out_late),
]
