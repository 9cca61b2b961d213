"""The state of the console, built once for each process in the composition root."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.console.cookies import Seal
from app.console.oidc import Identity
from app.context import Context
from app.domain.callers import Reader
from app.settings import CONSOLE, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleState:
    """What the console works with: the context, and what only the console has."""

    ctx: Context
    authenticate: Callable[[str], Awaitable[Reader]]  # returns the person that an access token was issued to
    sign_in: "SignIn | None"  # None: no OIDC client is configured, so there is no console


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    """How staff sign in, and how they stay so."""

    identity: Identity
    staff_seal: Seal
    attempt_seal: Seal
    notice_seal: Seal


def sign_in_of(settings: Settings) -> SignIn | None:
    """Return how staff sign in, if that is configured."""
    if settings.oidc_client_id is None or settings.session_key is None:
        return None
    key, secret = settings.session_key.get_secret_value(), settings.oidc_client_secret
    return SignIn(
        identity=Identity(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            audience=settings.oidc_audience,
        ),
        staff_seal=Seal(key, purpose="staff"),
        attempt_seal=Seal(key, purpose="attempt"),
        notice_seal=Seal(key, purpose="notice"),
    )


__all__ = ["CONSOLE", "ConsoleState", "SignIn", "sign_in_of"]
