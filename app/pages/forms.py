"""Proof that a form was sent by a page of ours, against cross-site request forgery."""

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.requests import Request


def same_origin(request: Request, *, url: str | None) -> bool:
    """
    Tell whether a form was sent by a page of ours. Every browser sends ``Origin`` or ``Sec-Fetch-Site`` with it.

    Without ``url``, the host and port are compared, not the scheme: behind a proxy that terminates TLS, the request arrives
    over HTTP.

    :param url: the public URL of the pages, if it is known.
    """
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") == "same-origin"
    if url:
        parts = urlsplit(url)
        return origin == f"{parts.scheme}://{parts.netloc}"
    return origin.partition("://")[2] == request.headers.get("host")


EARLIER_SESSIONS = 3  # of the same person in a browser, whose pages may still sign out


def has_form_token(form: Mapping[str, object], form_token: str, *, earlier: str = "") -> bool:
    """
    Tell whether a form has the token of a session.

    :param earlier: the tokens of earlier sessions that will do too; see :func:`earlier_tokens`.
    """
    token = form.get("form_token")
    if not isinstance(token, str):
        return False
    return any(secrets.compare_digest(token.encode(), one.encode()) for one in (form_token, *earlier.split()))


def earlier_tokens(token: str, before: str) -> str:
    """
    Return the form tokens of a session and of those before it, the newest first, separated by spaces.

    Their pages may still be open in other tabs, and may sign out.
    """
    return " ".join([token, *before.split()][:EARLIER_SESSIONS])
