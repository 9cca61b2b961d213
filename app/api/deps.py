"""
What endpoints are handed: the container of the process, the time, and who is calling.

Nothing here opens a transaction or commits: services do, so that the commit precedes the answer.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Header, Request, Security
from fastapi.security import HTTPBearer
from starlette.requests import HTTPConnection

from app import settings
from app.api.auth import Authenticator
from app.clock import Clock
from app.db.engine import session as db
from app.db.engine.pool import Pool
from app.db.inbox_writer import InboxWriter
from app.domain.callers import ADMIN, CIRCULATION, READ_ENTITLEMENTS, SUPERVISOR, SUPPORT, Reader, ServerKey
from app.domain.plans import AccessPolicy, Catalogue
from app.domain.rules import Rules
from app.gateway.client import Gateway
from app.services.entitlements import Entitlements
from app.services.idempotency import check_key
from app.services.signing_keys import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """All that one process is made of. Built in the composition root, found on ``app.state.container``."""

    settings: settings.Settings
    clock: Clock
    sessions: db.Sessions
    gateway: Gateway
    catalogue: Catalogue
    authenticator: Authenticator
    pool: Pool  # bare asyncpg, where SQLAlchemy's cost counts
    arrivals: InboxWriter
    entitlements: Entitlements
    signer: Signer
    news: Callable[[float], Callable[[], Awaitable[bool]]]  # waits for revocations
    wake: Callable[[], None] = lambda: None  # has workers look at once
    rules: Rules = field(init=False)

    def __post_init__(self) -> None:
        """Make the rules of the offer and the policies."""
        access = AccessPolicy(
            renewal_allowance=self.settings.renewal_allowance,
            grace_period=self.settings.grace_period,
            zone=self.settings.zone,
        )
        rules = Rules(catalogue=self.catalogue, access=access, zone=self.settings.zone)
        object.__setattr__(self, "rules", rules)


def container(request: HTTPConnection) -> Container:
    """Return the container of the application that was called."""
    return cast("Container", request.app.state.container)


Parts = Annotated[Container, Depends(container)]


async def _settings(parts: Parts) -> settings.Settings:
    return parts.settings


async def _sessions(parts: Parts) -> db.Sessions:
    return parts.sessions


async def _gateway(parts: Parts) -> Gateway:
    return parts.gateway


async def _catalogue(parts: Parts) -> Catalogue:
    return parts.catalogue


async def _rules(parts: Parts) -> Rules:
    return parts.rules


async def _pool(parts: Parts) -> Pool:
    return parts.pool


async def _entitlements(parts: Parts) -> Entitlements:
    return parts.entitlements


async def _signer(parts: Parts) -> Signer:
    return parts.signer


async def _policy_time(parts: Parts) -> datetime:
    return await parts.clock.policy()


async def _real_time(parts: Parts) -> datetime:
    return parts.clock.real()


Settings = Annotated[settings.Settings, Depends(_settings)]
Sessions = Annotated[db.Sessions, Depends(_sessions)]
StripeGateway = Annotated[Gateway, Depends(_gateway)]
Shop = Annotated[Catalogue, Depends(_catalogue)]
ReadRules = Annotated[Rules, Depends(_rules)]
EntitlementPool = Annotated[Pool, Depends(_pool)]
Asking = Annotated[Entitlements, Depends(_entitlements)]
TokenSigner = Annotated[Signer, Depends(_signer)]
Now = Annotated[datetime, Depends(_policy_time)]  # by which terms, guarantees and access are judged
RealNow = Annotated[datetime, Depends(_real_time)]  # for tokens, signatures and time-outs

# Only said in the OpenAPI document: the authenticator reads the header itself.
_PERSON = HTTPBearer(
    scheme_name="person",
    bearerFormat="JWT",
    description="Of a reader or staff: an RFC 9068 access token of the configured OIDC issuer.",
    auto_error=False,
)
_SERVER = HTTPBearer(
    scheme_name="server", bearerFormat="nsk_…", description="Of a server, for its scopes.", auto_error=False
)


async def _current_reader(request: Request, parts: Parts, _: Annotated[object, Depends(_PERSON)]) -> Reader:
    return await parts.authenticator.reader(request)


CurrentReader = Annotated[Reader, Depends(_current_reader)]


def person_with(role: str) -> Callable[[Reader], Awaitable[Reader]]:
    """Return a dependency: the person who is calling, if they have the role; else NotAllowed is raised."""

    async def person(reader: CurrentReader) -> Reader:
        reader.require(role)
        return reader

    return person


# The scopes are only said in the OpenAPI document: there the roles, or what a key is for, are named by the operation.
SupportAgent = Annotated[Reader, Security(person_with(SUPPORT), scopes=[SUPPORT])]
Supervisor = Annotated[Reader, Security(person_with(SUPERVISOR), scopes=[SUPERVISOR])]
Circulation = Annotated[Reader, Security(person_with(CIRCULATION), scopes=[CIRCULATION])]
Admin = Annotated[Reader, Security(person_with(ADMIN), scopes=[ADMIN])]


def server_with(scope: str) -> Callable[..., Awaitable[ServerKey]]:
    """Return a dependency: the server that is calling, if its key has the scope; else NotAllowed is raised."""

    async def server(request: Request, parts: Parts, _: Annotated[object, Depends(_SERVER)]) -> ServerKey:
        return await parts.authenticator.server(request, scope)

    return server


EntitlementReader = Annotated[ServerKey, Security(server_with(READ_ENTITLEMENTS), scopes=[READ_ENTITLEMENTS])]


async def _idempotency_key(
    key: Annotated[str | None, Header(alias="Idempotency-Key", include_in_schema=False)] = None,
) -> str:
    return check_key(key)


IdempotencyKey = Annotated[str, Depends(_idempotency_key)]
