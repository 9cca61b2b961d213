"""Protection against cross-site request forgery, and against forms that were rendered for another reader."""

import secrets
from collections.abc import Mapping

from starlette.requests import Request

from app.console.refusals import record_refusal
from app.console.request import ConsoleRequest, console_of
from app.console.state import CONSOLE


class ForgedForm(Exception):
    """The form was not sent by a page of this session. ``str()`` is the message for the agent."""


def same_origin(request: Request) -> bool:
    """
    Tell whether a form was sent by a page of the console. Every browser sends ``Origin`` or ``Sec-Fetch-Site`` with it.

    The host and port are compared, not the scheme: behind a proxy that terminates TLS, the request arrives over HTTP.
    """
    origin = request.headers.get("origin")
    if origin is not None:
        settings = console_of(request).ctx.settings
        expected = settings.console_url.removesuffix(CONSOLE) if settings.console_url else None
        return origin == expected if expected else origin.partition("://")[2] == request.headers.get("host")
    return request.headers.get("sec-fetch-site") == "same-origin"


def has_form_token(form: Mapping[str, object], form_token: str) -> bool:
    """Tell whether a form has the token of a session."""
    token = form.get("form_token")
    return isinstance(token, str) and secrets.compare_digest(token.encode(), form_token.encode())


async def check_reader(request: ConsoleRequest, subscriber_id: str) -> None:
    """
    Check that the form was rendered for this reader.

    If the ID in the URL belongs to another reader, the agent would change something that the page didn't show.

    :raises ForgedForm: if the form was rendered for another reader.
    """
    if request.form.get("reader") != subscriber_id:
        reason = "form of another reader's page"
        await record_refusal(
            request.http,
            request.staff,
            "console.form_refused",
            reason,
            path=request.route,
            subscriber_id=subscriber_id,
        )
        raise ForgedForm(
            "This form belongs to another reader's page, so nothing was changed. Open the reader's page and try again."
        )
