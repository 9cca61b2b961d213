"""
The dependencies of endpoints: the context, the time and the caller.

Nothing here opens a transaction or commits: services do, so that the commit precedes the answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Header, Query, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from pydantic import AfterValidator
from starlette.requests import HTTPConnection

from app.api.auth import CALLER, Authenticator
from app.context import Context
from app.domain.caller_limits import Limit
from app.domain.callers import ApiScope, InvalidSignature, Reader, Role, ServerKey
from app.domain.reader_views import Place, Viewer
from app.localization import Localization, parse_locale
from app.services import notifications, staff_sessions
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
    scrape: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while the metrics are read from the database


LOCALE = "^[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8}){0,3}$"
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


async def _localization(
    ctx: Ctx,
    locale: Annotated[
        str | None,
        Query(
            max_length=35,
            pattern=LOCALE,
            description="Locale of `formatted` amounts, such as `en_GB` or `de`. Default: the publisher's.",
        ),
        AfterValidator(lambda name: name if name is None else str(parse_locale(name))),
    ] = None,
) -> Localization:
    return ctx.localization if locale is None else replace(ctx.localization, locale=parse_locale(locale))


Prices = Annotated[Localization, Depends(_localization)]  # how amounts are written for the caller

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

_SIGNATURE = APIKeyHeader(
    name="webhook-signature",
    scheme_name="signature",
    description="Signature of the body by your email provider, as Standard Webhooks prescribes, with the headers"
    " `webhook-id` and `webhook-timestamp`.",
    auto_error=False,
)


async def _current_reader(request: Request, api: Api, _: Annotated[object, Depends(_PERSON)]) -> Reader:
    return await api.authenticator.reader(request)


CurrentReader = Annotated[Reader, Depends(_current_reader)]


RECENT_SIGN_IN_REQUIRED: set[object] = set()  # dependencies, for the OpenAPI document


def person_with(role: str, *others: str) -> Callable[..., Awaitable[Reader]]:
    """
    Return a dependency that gives the authenticated member of staff, who has a role or one of others.

    It raises NotAllowed without the role, and NotAuthenticated if the person was signed out after the token was issued.
    """

    async def person(reader: CurrentReader, ctx: Ctx) -> Reader:
        reader.require(role, *others)
        await staff_sessions.require_signed_in(ctx, reader)
        return reader

    return person


def person_signed_in_recently(role: str, *others: str) -> Callable[..., Awaitable[Reader]]:
    """Return a dependency as :func:`person_with` does, for what moves money or gives access."""
    known = person_with(role, *others)

    async def person(reader: Annotated[Reader, Depends(known)], ctx: Ctx, now: RealNow) -> Reader:
        staff_sessions.recent_sign_in(ctx.settings).check_token(reader, now=now)
        return reader

    RECENT_SIGN_IN_REQUIRED.add(person)
    return person


# The scopes only document, for OpenAPI, which role or API key scope an operation requires.
SupportAgent = Annotated[Reader, Security(person_with(Role.SUPPORT), scopes=[Role.SUPPORT])]
Supervisor = Annotated[Reader, Security(person_with(Role.SUPERVISOR), scopes=[Role.SUPERVISOR])]
Circulation = Annotated[Reader, Security(person_with(Role.CIRCULATION), scopes=[Role.CIRCULATION])]
Finance = Annotated[Reader, Security(person_with(Role.FINANCE), scopes=[Role.FINANCE])]
RecentFinance = Annotated[Reader, Security(person_signed_in_recently(Role.FINANCE), scopes=[Role.FINANCE])]
PrivacyOfficer = Annotated[Reader, Security(person_with(Role.PRIVACY), scopes=[Role.PRIVACY])]
Admin = Annotated[Reader, Security(person_with(Role.ADMIN), scopes=[Role.ADMIN])]
RecentSupportAgent = Annotated[Reader, Security(person_signed_in_recently(Role.SUPPORT), scopes=[Role.SUPPORT])]
_CLAIMS = (Role.SUPPORT, Role.CIRCULATION)
CopyAgent = Annotated[Reader, Security(person_with(*_CLAIMS), scopes=list(_CLAIMS))]
RecentCopyAgent = Annotated[Reader, Security(person_signed_in_recently(*_CLAIMS), scopes=list(_CLAIMS))]
RecentSupervisor = Annotated[Reader, Security(person_signed_in_recently(Role.SUPERVISOR), scopes=[Role.SUPERVISOR])]
RecentPrivacyOfficer = Annotated[Reader, Security(person_signed_in_recently(Role.PRIVACY), scopes=[Role.PRIVACY])]
RecentAdmin = Annotated[Reader, Security(person_signed_in_recently(Role.ADMIN), scopes=[Role.ADMIN])]


def seen_by(caller: Reader | ServerKey) -> Viewer:
    """Return who sees the readers in an answer."""
    return Viewer(actor=caller.actor, place=Place.API)


def limited(limit: Limit) -> Callable[[Reader, Context], Awaitable[None]]:
    """Return a dependency that counts a request of a person, and raises TooManyRequests above the limit."""

    async def take(reader: CurrentReader, ctx: Ctx) -> None:
        await ctx.caller_limits.take(limit, reader.sub)

    setattr(take, LIMITED, limit)
    return take


CALLS_STRIPE = Depends(limited(Limit.STRIPE))  # for each route that may call Stripe


def server_with(scope: str) -> Callable[..., Awaitable[ServerKey]]:
    """Return a dependency that gives the calling server's key, or raises NotAllowed without the scope."""

    async def server(request: Request, api: Api, _: Annotated[object, Depends(_SERVER)]) -> ServerKey:
        return await api.authenticator.server(request, scope)

    return server


def person_or_server(role: str, scope: str) -> Callable[..., Awaitable[Reader | ServerKey]]:
    """Return a dependency that gives the calling person with a role, or the calling server's key with a scope."""

    async def caller(
        request: Request,
        api: Api,
        _person: Annotated[object, Security(_PERSON, scopes=[role])],
        _server: Annotated[object, Security(_SERVER, scopes=[scope])],
    ) -> Reader | ServerKey:
        if api.authenticator.has_api_key(request):
            return await api.authenticator.server(request, scope)
        reader = await api.authenticator.reader(request)
        reader.require(role)
        await staff_sessions.require_signed_in(api.ctx, reader)
        return reader

    return caller


async def _report_viewer(
    request: Request,
    api: Api,
    _person: Annotated[object, Security(_PERSON, scopes=[Role.FINANCE])],
    _server: Annotated[object, Security(_SERVER, scopes=[ApiScope.READ_REPORTS])],
) -> Reader | ServerKey:
    if api.authenticator.has_api_key(request):
        return await api.authenticator.server(request, ApiScope.READ_REPORTS)
    reader = await api.authenticator.reader(request)
    reader.require_any((Role.FINANCE, Role.CIRCULATION))
    await staff_sessions.require_signed_in(api.ctx, reader)
    return reader


ReportViewer = Annotated[Reader | ServerKey, Depends(_report_viewer)]  # finance or circulation
SubscriberViewer = Annotated[Reader | ServerKey, Depends(person_or_server(Role.SUPPORT, ApiScope.READ_SUBSCRIBERS))]


async def _count_search(caller: SubscriberViewer, ctx: Ctx) -> None:
    await ctx.caller_limits.take(Limit.SEARCH, caller.sub if isinstance(caller, Reader) else caller.id)


setattr(_count_search, LIMITED, Limit.SEARCH)
SEARCHES = Depends(_count_search)
RefundViewer = Annotated[Reader | ServerKey, Depends(person_or_server(Role.SUPPORT, ApiScope.READ_REFUNDS))]
IssueViewer = Annotated[Reader | ServerKey, Depends(person_or_server(Role.CIRCULATION, ApiScope.READ_ISSUES))]
IssueEditor = Annotated[Reader | ServerKey, Depends(person_or_server(Role.CIRCULATION, ApiScope.WRITE_ISSUES))]
AuditViewer = Annotated[Reader | ServerKey, Depends(person_or_server(Role.ADMIN, ApiScope.READ_AUDIT))]
EntitlementReader = Annotated[
    ServerKey, Security(server_with(ApiScope.READ_ENTITLEMENTS), scopes=[ApiScope.READ_ENTITLEMENTS])
]


async def _bounce_reporter(
    request: Request,
    api: Api,
    now: RealNow,
    _server: Annotated[object, Security(_SERVER, scopes=[ApiScope.WRITE_BOUNCES])],
    _signed: Annotated[object, Security(_SIGNATURE)],
) -> str | None:
    """Return the ID of a signed report, or None if a server with an API key sent it."""
    signed = {name: request.headers.getlist(f"webhook-{name}") for name in ("id", "timestamp", "signature")}
    if not any(signed.values()):
        await api.authenticator.server(request, ApiScope.WRITE_BOUNCES)
        return None
    if any(len(values) != 1 for values in signed.values()):
        raise InvalidSignature(
            "A signed report has the headers webhook-id, webhook-timestamp and webhook-signature, each once"
        )
    message_id = signed["id"][0]
    notifications.check_signed_report(
        api.ctx,
        await request.body(),
        message_id=message_id,
        timestamp=signed["timestamp"][0],
        signatures=signed["signature"][0],
        real_now=now,
    )
    request.scope[CALLER] = "server"
    return message_id


SignedReportId = Annotated[str | None, Depends(_bounce_reporter)]  # of a report of an email that came back


async def _idempotency_key(
    key: Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)] = None,
) -> str:
    return check_key(key)


IdempotencyKey = Annotated[str, Depends(_idempotency_key)]
OptionalIdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)]
