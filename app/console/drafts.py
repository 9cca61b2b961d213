"""
Forms that are filled in and not sent yet: their fields are in the URL of the page that shows them, encrypted.

Pages between two steps can so be reloaded, and the browser's Back works. Logs and histories get nothing to read. A draft
belongs to one person and one page.
"""

from collections.abc import Mapping
from typing import cast
from urllib.parse import urlencode

from starlette.requests import Request

from app.console.form_fields import InvalidForm
from app.console.state import ConsoleState
from app.pages.kept_forms import KeptForm

PARAMETER = "draft"
MAX_LENGTH = 6000  # characters: proxies accept request lines of 8,000


def query(request: Request, sub: str, path: str, fields: Mapping[str, str]) -> str:
    """
    Return the query of the page that shows a draft.

    :param sub: who filled in the form.
    :param path: of that page.
    :raises InvalidForm: if the fields are too long for a URL.
    """
    console = cast("ConsoleState", request.app.state.console)
    if console.sign_in is None:
        raise LookupError("the console is off")
    packed = KeptForm(sub=sub, path=path, fields=fields).pack()
    token = console.sign_in.draft_cipher.encrypt(packed, now=console.ctx.clock.real())
    if len(token) > MAX_LENGTH:
        raise InvalidForm("Use a shorter note.", field="note")
    return f"?{urlencode({PARAMETER: token})}"


def fields_of(request: Request, sub: str) -> dict[str, str]:
    """Return the fields of the draft in the URL; none if it has expired, or belongs to another person or page."""
    console, token = cast("ConsoleState", request.app.state.console), request.query_params.get(PARAMETER, "")
    if console.sign_in is None or not token:
        return {}
    content = console.sign_in.draft_cipher.decrypt(
        token, max_age=console.ctx.settings.session_lifetime, now=console.ctx.clock.real()
    )
    draft = KeptForm.unpack(content) if content is not None else None
    if draft is None or (draft.sub, draft.path) != (sub, request.url.path):
        return {}
    return dict(draft.fields)
