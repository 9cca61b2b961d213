"""The state of the hosted account, built once for each process in the composition root."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from app.context import Context
from app.domain.callers import Reader
from app.pages.cookies import CookieCipher
from app.pages.oidc import OIDCClient
from app.settings import ACCOUNT, Settings

SCOPE = "openid profile email"  # no refresh token: nothing is asked of the provider after the sign-in


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """The context, the OIDC client and the keys of the account's cookies."""

    ctx: Context
    authenticate: Callable[[str], Awaitable[Reader]]  # returns the person that an access token was issued to
    oidc: OIDCClient
    session_cipher: CookieCipher
    attempt_cipher: CookieCipher
    flash_cipher: CookieCipher
    form_cipher: CookieCipher
    leaving_cipher: CookieCipher


def account_state(ctx: Context, authenticate: Callable[[str], Awaitable[Reader]]) -> AccountState:
    """
    Return the state of the hosted account.

    :raises LookupError: the settings of its sign-in are missing. They are checked before the service starts.
    """
    settings = ctx.settings
    own = settings.account_oidc_client_id is not None
    client_id = settings.account_oidc_client_id or settings.oidc_client_id
    secret = settings.account_oidc_client_secret if own else settings.oidc_client_secret
    if client_id is None or settings.session_key is None:
        raise LookupError("the hosted account needs an OIDC client and a session key")
    key = settings.session_key.get_secret_value()
    return AccountState(
        ctx=ctx,
        authenticate=authenticate,
        oidc=OIDCClient(
            issuer=settings.oidc_issuer,
            client_id=client_id,
            client_secret=secret.get_secret_value() if secret else None,
            audience=settings.oidc_audience,
            scope=SCOPE,
        ),
        session_cipher=CookieCipher(key, purpose="account: session"),
        attempt_cipher=CookieCipher(key, purpose="account: attempt"),
        flash_cipher=CookieCipher(key, purpose="account: notice"),
        form_cipher=CookieCipher(key, purpose="account: kept form"),
        leaving_cipher=CookieCipher(key, purpose="account: leaving"),
    )


def account_of(request: Request) -> AccountState:
    """Return the state of the hosted account."""
    return cast("AccountState", request.app.state.account)


def absolute_url(request: Request, path: str = "") -> str:
    """Return the absolute URL of a page, as the reader's browser knows it."""
    settings: Settings = account_of(request).ctx.settings
    return (settings.account_url or f"{request.url.scheme}://{request.url.netloc}{ACCOUNT}") + path


def is_https(request: Request) -> bool:
    """Tell whether the browser uses HTTPS."""
    return absolute_url(request).startswith("https://")


__all__ = ["ACCOUNT", "AccountState", "absolute_url", "account_of", "account_state", "is_https"]
