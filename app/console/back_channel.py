"""The identity provider ends sessions: OpenID Connect Back-Channel Logout 1.0."""

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from app.console.middleware import BACK_CHANNEL_LOGOUT
from app.console.request import console_of
from app.pages.logout_tokens import LONGEST_LOGOUT_TOKEN
from app.pages.oidc import ProviderUnavailable, SignInFailed
from app.services import staff_sessions

NO_STORE = {"Cache-Control": "no-store"}

log = structlog.get_logger()


async def log_out(request: Request) -> Response:
    """End the sessions that a logout token names. A token that was used before ends nothing."""
    console = console_of(request)
    if console.sign_in is None:
        raise LookupError("the console is off")  # the middleware has answered before
    async with request.form(max_files=0, max_fields=10) as form:
        token = form.get("logout_token")
    if not isinstance(token, str) or not 0 < len(token) <= LONGEST_LOGOUT_TOKEN:
        return _refused("logout_token is missing or too long")
    now = console.ctx.clock.real()
    try:
        claims = await console.sign_in.oidc.logout_claims(token, now=now)
    except ProviderUnavailable as error:
        log.warning("logout_token_not_verified", reason=str(error)[:300])
        return JSONResponse({"error": "temporarily_unavailable"}, 503, headers={**NO_STORE, "Retry-After": "2"})
    except SignInFailed as failure:
        return _refused(str(failure))
    ended = await staff_sessions.end_by_provider(
        console.ctx, jti=claims.jti, sub=claims.sub, sid=claims.sid, until=claims.expires_at, now=now
    )
    if not ended:
        return _refused("the token was used before")
    return Response(status_code=200, headers=NO_STORE)


def _refused(reason: str) -> Response:
    log.warning("logout_token_refused", reason=reason[:300])
    body = {"error": "invalid_request", "error_description": "The logout token is invalid"}
    return JSONResponse(body, 400, headers=NO_STORE)


ROUTES = [Route(BACK_CHANNEL_LOGOUT, log_out, methods=["POST"], name="backchannel_logout")]
