"""The account's cookies: encrypted, for its pages only, and not readable by scripts."""

from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from app.account.state import ACCOUNT, account_of, is_https
from app.pages.cookies import CookieCipher

LONGEST = 3900  # characters: browsers keep 4,096, with name and attributes


def name_of(request: Request, name: str) -> str:
    """Return the full name of a cookie. The prefix keeps pages that came over HTTP from setting it over HTTPS."""
    return ("__Secure-" if is_https(request) else "") + f"newsstand_account_{name}"


def set_value(request: Request, response: Response, name: str, value: str, *, max_age: timedelta | None = None) -> None:
    """Set a cookie. Without ``max_age``, it ends with the browser's session."""
    response.set_cookie(
        name_of(request, name),
        value,
        path=ACCOUNT,
        max_age=int(max_age.total_seconds()) if max_age is not None else None,
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )


def encrypted(request: Request, cipher: CookieCipher, content: dict[str, Any]) -> str | None:
    """Return the value of a cookie with this content. None: it is too long for a cookie."""
    value = cipher.encrypt(content, now=account_of(request).ctx.clock.real())
    return value if len(value) <= LONGEST else None


def read(request: Request, name: str, cipher: CookieCipher, *, max_age: timedelta) -> dict[str, Any] | None:
    """Return the content of a cookie. None: it is missing, invalid or too old."""
    value = request.cookies.get(name_of(request, name))
    return cipher.decrypt(value, max_age=max_age, now=account_of(request).ctx.clock.real()) if value else None


def delete(request: Request, response: Response, name: str) -> None:
    """Delete a cookie."""
    response.delete_cookie(
        name_of(request, name), path=ACCOUNT, httponly=True, samesite="lax", secure=is_https(request)
    )
