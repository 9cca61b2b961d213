"""Sessions of staff: when they end, when roles are checked again, and which actions need a recent sign-in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.callers import Reader
from app.domain.errors import Unauthenticated

CLOCK_TOLERANCE = timedelta(seconds=30)  # between the identity provider's clock and ours
SECOND = timedelta(seconds=1)  # the resolution of times in tokens, which are rounded down


class RecentSignInRequired(Unauthenticated):
    """This requires a recent sign-in. Sign in again, then repeat the request."""

    code = "recent_sign_in_required"
    title = "Recent sign-in required"


class AccessTokenTooOld(Unauthenticated):
    """This requires a newer access token. Refresh the token, then repeat the request."""

    code = "access_token_too_old"
    title = "Access token too old"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecentSignIn:
    """What is required of a sign-in with which staff move money or give access."""

    max_age: timedelta | None  # None: a sign-in of any age will do
    acr_values: Sequence[str] = ()  # one of these classes; empty: any class will do
    token_max_age: timedelta = timedelta(minutes=15)

    def accepts(self, signed_in_at: datetime | None, acr: str | None, *, now: datetime) -> bool:
        """
        Return whether a sign-in is recent and strong enough.

        :param signed_in_at: ``auth_time`` of the token; None, if the provider doesn't say, is never recent.
        """
        is_recent = self.max_age is None or (signed_in_at is not None and now - signed_in_at <= self.max_age)
        return is_recent and (not self.acr_values or acr in self.acr_values)

    def check_token(self, staff: Reader, *, now: datetime) -> None:
        """
        Check the access token of a member of staff.

        :raises AccessTokenTooOld: if it was issued too long ago, so the person's roles may have changed.
        :raises RecentSignInRequired: if the sign-in is too old or not strong enough (RFC 9470).
        """
        if staff.issued_at is None or now - staff.issued_at > self.token_max_age + CLOCK_TOLERANCE:
            raise AccessTokenTooOld(max_age=int(self.token_max_age.total_seconds()))
        if not self.accepts(staff.signed_in_at, staff.acr, now=now):
            max_age = int(self.max_age.total_seconds()) if self.max_age else 0
            if self.acr_values:
                raise RecentSignInRequired(max_age=max_age, acr_values=list(self.acr_values))
            raise RecentSignInRequired(max_age=max_age)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSession:
    """A console session as the database knows it."""

    id: str
    sub: str
    name: str
    roles: frozenset[str]  # includes implied roles; never empty
    sid: str | None  # the identity provider's ID of its own session
    started_at: datetime
    signed_in_at: datetime | None  # when the person entered their credentials; None: the provider doesn't say
    acr: str | None
    checked_at: datetime  # when the provider last confirmed the roles
    ended_at: datetime | None = None
    signed_out_at: datetime | None = None  # when the person last signed out anywhere, or was signed out

    @property
    def was_ended(self) -> bool:
        """Whether a sign-out, an administrator or the identity provider ended the session. One that expired was not."""
        return self.ended_at is not None or (self.signed_out_at is not None and self.started_at <= self.signed_out_at)

    def is_open(self, *, lifetime: timedelta, now: datetime) -> bool:
        """Return whether the session still gives access."""
        return not self.was_ended and self.started_at <= now < self.started_at + lifetime

    def needs_check(self, *, interval: timedelta, now: datetime) -> bool:
        """Return whether the provider must confirm the roles again."""
        return now - self.checked_at >= interval


def signed_out_since(signed_in_at: datetime, signed_out_at: datetime | None) -> bool:
    """Return whether a sign-in, whose time is rounded down to seconds, certainly precedes the person's last sign-out."""
    return signed_out_at is not None and signed_in_at + SECOND <= signed_out_at
