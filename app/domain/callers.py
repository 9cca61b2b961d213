"""Callers and their permissions. The API authenticates them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.errors import Forbidden, Invalid, Unauthenticated, Unavailable


class Role(StrEnum):
    """A role of staff, from the identity provider's claim."""

    SUPPORT = "support"
    SUPERVISOR = "supervisor"
    CIRCULATION = "circulation"
    FINANCE = "finance"
    PRIVACY = "privacy"
    ADMIN = "admin"


IMPLIED_ROLES: Mapping[str, frozenset[str]] = {  # each role with those that it includes
    Role.SUPPORT: frozenset({Role.SUPPORT}),
    Role.SUPERVISOR: frozenset({Role.SUPERVISOR, Role.SUPPORT}),
    Role.CIRCULATION: frozenset({Role.CIRCULATION}),
    Role.FINANCE: frozenset({Role.FINANCE}),
    Role.PRIVACY: frozenset({Role.PRIVACY}),
    Role.ADMIN: frozenset(Role),
}


class ApiScope(StrEnum):
    """What an API key allows. No key moves money or gives access: that takes a person."""

    READ_ENTITLEMENTS = "entitlements:read"
    READ_SUBSCRIBERS = "subscribers:read"
    READ_REFUNDS = "refunds:read"
    READ_ISSUES = "issues:read"
    WRITE_ISSUES = "issues:write"
    READ_AUDIT = "audit:read"
    READ_REPORTS = "reports:read"
    WRITE_BOUNCES = "bounces:write"


LONGEST_SUB = 255  # characters: OpenID Connect Core 1.0, section 2


class NotAuthenticated(Unauthenticated):
    """A valid access token or API key is required."""

    code = "not_authenticated"
    title = "Authentication required"


class InvalidSignature(Unauthenticated):
    """The signature of the request matches none of the configured secrets, or is too old."""

    code = "invalid_signature"
    title = "Invalid signature"


class NotAllowed(Forbidden):
    """A role or scope is missing."""

    code = "not_allowed"
    title = "You don't have permission to do this"


class IssuerUnavailable(Unavailable):
    """The identity provider's keys could not be fetched, so the token can't be verified. Try again."""

    code = "issuer_unavailable"
    title = "Identity provider unavailable"


class UnknownScope(Invalid):
    """The scope does not exist."""

    code = "unknown_scope"
    title = "Unknown scope"


def with_implied_roles(roles: Iterable[str]) -> frozenset[str]:
    """Return the known roles, with the roles that they imply."""
    return frozenset().union(*(IMPLIED_ROLES.get(role, frozenset()) for role in roles))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A person signed in at the identity provider: a reader, or staff if they have a role."""

    sub: str
    email: str | None = None
    name: str | None = None
    email_verified: bool = False  # according to the identity provider
    locale: str | None = None  # a BCP 47 language tag, such as de-AT; None: unknown
    roles: frozenset[str] = frozenset()  # including implied ones
    issued_at: datetime | None = None  # of the token; None: unknown
    signed_in_at: datetime | None = None  # when the person entered their credentials (`auth_time`); None: unknown
    acr: str | None = None  # how they did, as a class of the identity provider's

    @property
    def actor(self) -> str:
        """The actor in the audit log."""
        return f"{'staff' if self.roles else 'reader'}:{self.sub}"

    def require(self, role: str, *others: str) -> None:
        """
        Check that the caller has a role, or one of several.

        :raises NotAllowed: they don't.
        """
        if self.roles.isdisjoint((role, *others)):
            raise NotAllowed(f"This requires the role {' or '.join((role, *others))}", role=role)

    def require_any(self, roles: Sequence[str]) -> None:
        """
        Check that the caller has one of the roles.

        :raises NotAllowed: they have none.
        """
        if self.roles.isdisjoint(roles):
            raise NotAllowed(f"This requires one of the roles {', '.join(roles)}", roles=list(roles))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerKey:
    """A server, identified by its API key."""

    id: str
    scopes: frozenset[str] = frozenset()
    expires_at: datetime | None = None  # None: never
    last_used_at: datetime | None = None  # to within minutes

    @property
    def actor(self) -> str:
        """The actor in the audit log."""
        return f"key:{self.id}"

    def require(self, scope: str) -> None:
        """
        Check that the key has a scope.

        :raises NotAllowed: it doesn't.
        """
        if scope not in self.scopes:
            raise NotAllowed(f"This requires an API key with the scope {scope}", scope=scope)


def known_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """
    Return the scopes in order, without duplicates.

    :raises UnknownScope: a scope does not exist, or none is given.
    """
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in set(ApiScope)]
    if unknown or not wanted:
        known = ", ".join(sorted(ApiScope))
        problem = f"Unknown scope {unknown[0]!r}" if unknown else "At least one scope is required"
        raise UnknownScope(f"{problem}. The scopes are: {known}")
    return tuple(wanted)
