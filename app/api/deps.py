"""
The dependencies of endpoints: the context, the time and the caller.

Nothing here opens a transaction or commits: services do, so that the commit precedes the answer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from app.api.auth import Authenticator
from app.context import Context
from app.domain.caller_limits import Limit
from app.domain.callers import ApiScope, Reader, Role, ServerKey
from app.domain.reader_views import Place, Viewer
from app.services.entitlements import Entitlements
from app.services.idempotency import check_key
from app.services.signing_keys import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiState:
    """The context, and the parts that only the API has. Set by the composition root on ``app.state.api``."""

    ctx: Context
    authenticator: Authenticator
    entitlements: Entitlements
    signer: Signer
    wait_for_revocations: Callable[[float], Callable[[], Awaitable[bool]]]
    end_long_polls: Callable[[], None]


LIMITED = "limited"  # attribute of the dependencies that limit callers


def api_state(request: HTTPConnection) -> ApiState:
    """Return the state of the application that received the request."""
    return cast("ApiState", request.app.state.api)


async def _api_state(request: HTTPConnection) -> ApiState:
    return api_state(request)


Api = Annotated[ApiState, Depends(_api_state)]


async def _context(api: Api) -> Context:
    return api.ctx


Ctx = Annotated[Context, Depends(_context)]


async def _policy_time(ctx: Ctx) -> datetime:
    return await ctx.clock.policy()


async def _real_time(ctx: Ctx) -> datetime:
    return ctx.clock.real()


Now = Annotated[datetime, Depends(_policy_time)]  # decides about terms, guarantees and access
RealNow = Annotated[datetime, Depends(_real_time)]  # for tokens, signatures and time-outs

# Only for the OpenAPI document: the authenticator reads the header itself.
_PERSON = HTTPBearer(
    scheme_name="person",
    bearerFormat="JWT",
    description="Access token (RFC 9068) of a reader or staff member, from the configured OIDC issuer.",
    auto_error=False,
)
_SERVER = HTTPBearer(
    scheme_name="server", bearerFormat="nsk_…", description="API key of a server, with its scopes.", auto_error=False
)


async def _current_reader(request: Request, api: Api, _: Annotated[object, Depends(_PERSON)]) -> Reader:
    return await api.authenticator.reader(request)


CurrentReader = Annotated[Reader, Depends(_current_reader)]


def person_with(role: str) -> Callable[[Reader], Awaitable[Reader]]:
    """Return a dependency that gives the authenticated person, or raises NotAllowed without the role."""

    async def person(reader: CurrentReader) -> Reader:
        reader.require(role)
        return reader

    return person


# The scopes only document, for OpenAPI, which role or API key scope an operation requires.
SupportAgent = Annotated[Reader, Security(person_with(Role.SUPPORT), scopes=[Role.SUPPORT])]
Supervisor = Annotated[Reader, Security(person_with(Role.SUPERVISOR), scopes=[Role.SUPERVISOR])]
Circulation = Annotated[Reader, Security(person_with(Role.CIRCULATION), scopes=[Role.CIRCULATION])]
PrivacyOfficer = Annotated[Reader, Security(person_with(Role.PRIVACY), scopes=[Role.PRIVACY])]
Admin = Annotated[Reader, Security(person_with(Role.ADMIN), scopes=[Role.ADMIN])]


def seen_by(person: Reader) -> Viewer:
    """Return who sees the readers in an answer."""
    return Viewer(actor=person.actor, place=Place.API)


def limited(limit: Limit) -> Callable[[Reader, Context], Awaitable[None]]:
    """Return a dependency that counts a request of a person, and raises TooManyRequests above the limit."""

    async def take(reader: CurrentReader, ctx: Ctx) -> None:
        await ctx.caller_limits.take(limit, reader.sub)

    setattr(take, LIMITED, limit)
    return take


CALLS_STRIPE = Depends(limited(Limit.STRIPE))  # for each route that may call Stripe
SEARCHES = Depends(limited(Limit.SEARCH))


def server_with(scope: str) -> Callable[..., Awaitable[ServerKey]]:
    """Return a dependency that gives the calling server's key, or raises NotAllowed without the scope."""

    async def server(request: Request, api: Api, _: Annotated[object, Depends(_SERVER)]) -> ServerKey:
        return await api.authenticator.server(request, scope)

    return server


EntitlementReader = Annotated[
    ServerKey, Security(server_with(ApiScope.READ_ENTITLEMENTS), scopes=[ApiScope.READ_ENTITLEMENTS])
]


async def _idempotency_key(
    key: Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)] = None,
) -> str:
    return check_key(key)


IdempotencyKey = Annotated[str, Depends(_idempotency_key)]
OptionalIdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]
