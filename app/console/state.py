"""The state of the console, built once for each process in the composition root."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from app.context import Context
from app.domain.callers import Reader
from app.encryption import Cipher
from app.pages.cookies import CookieCipher
from app.pages.oidc import OIDCClient
from app.settings import CONSOLE, Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleState:
    """The context, and the parts that only the console has."""

    ctx: Context
    authenticate: Callable[[str], Awaitable[Reader]]  # returns the person that an access token was issued to
    sign_in: "SignInConfig | None"  # None: no OIDC client is configured, so there is no console


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInConfig:
    """The OIDC client and the keys of the console's cookies."""

    oidc: OIDCClient
    session_cipher: CookieCipher
    attempt_cipher: CookieCipher
    flash_cipher: CookieCipher
    form_cipher: CookieCipher
    draft_cipher: CookieCipher
    new_key_cipher: CookieCipher
    refresh_token_cipher: Cipher


def sign_in_config(settings: Settings) -> SignInConfig | None:
    """Return the configuration of sign-in. None: the console is off."""
    if settings.oidc_client_id is None or settings.session_key is None:
        return None
    key, secret = settings.session_key.get_secret_value(), settings.oidc_client_secret
    return SignInConfig(
        oidc=OIDCClient(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=secret.get_secret_value() if secret else None,
            audience=settings.oidc_audience,
            scope=settings.oidc_scope,
        ),
        session_cipher=CookieCipher(key, purpose="console: session"),
        attempt_cipher=CookieCipher(key, purpose="console: attempt"),
        flash_cipher=CookieCipher(key, purpose="console: notice"),
        form_cipher=CookieCipher(key, purpose="console: kept form"),
        draft_cipher=CookieCipher(key, purpose="console: draft"),
        new_key_cipher=CookieCipher(key, purpose="console: new API key"),
        refresh_token_cipher=Cipher(lambda: [key], purpose="newsstand console: refresh tokens"),
    )


SIGN_OUT = "/sign-out"  # the form, within the console

__all__ = ["CONSOLE", "SIGN_OUT", "ConsoleState", "SignInConfig", "sign_in_config"]
