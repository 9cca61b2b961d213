"""The two steps of a sign-in that the console and the hosted account share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from starlette.requests import Request

from app.domain.callers import IssuerUnavailable, NotAuthenticated, Reader
from app.domain.return_urls import ReturnUrlNotAllowed
from app.observability import REFUSALS
from app.pages import return_paths
from app.pages.oidc import OIDCClient, ProviderUnavailable, SignInAttempt, SignInFailed, Tokens

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """A person whose sign-in is complete."""

    attempt: SignInAttempt
    tokens: Tokens
    person: Reader


def return_path_of(request: Request, *, below: str) -> str:
    """Return the page to open after the sign-in. A page of another site is refused, logged and counted in the metrics."""
    wanted = request.query_params.get("next", "")
    path = return_paths.safe(wanted, below=below)
    if wanted and path != wanted:
        REFUSALS.labels(ReturnUrlNotAllowed.code).inc()
        log.warning("return_path_refused", next=wanted[:200])
    return path


async def complete(
    request: Request,
    attempt: SignInAttempt | None,
    oidc: OIDCClient,
    authenticate: Callable[[str], Awaitable[Reader]],
    *,
    now: datetime,
) -> SignedIn:
    """
    Redeem the code with which the identity provider redirected the browser back.

    :param attempt: the one that the redirect belongs to; None if this browser has none.
    :param authenticate: returns the person that an access token was issued to.
    :raises ProviderUnavailable: the identity provider is not responding.
    :raises SignInFailed: the sign-in was refused, or this browser did not start it.
    """
    code = request.query_params.get("code")
    if attempt is None or not code:
        reason = request.query_params.get("error", "no sign-in in progress in this browser")
        raise SignInFailed(reason[:100])
    tokens = await oidc.redeem(attempt, code, now=now)
    try:
        person = await authenticate(tokens.access_token)
    except IssuerUnavailable as error:
        raise ProviderUnavailable(str(error)) from error
    except NotAuthenticated as error:
        raise SignInFailed(str(error)) from error
    if person.sub != tokens.sub:
        raise SignInFailed("the ID token and the access token belong to different people")
    return SignedIn(attempt=attempt, tokens=tokens, person=person)
