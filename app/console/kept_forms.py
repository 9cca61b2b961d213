"""
Forms that were submitted when the person had to sign in again. They are kept in the browser, encrypted, and filled in again.

Only a form with the right form token is kept, so no other site can prepare one.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from app.console import templating
from app.console.request import ConsoleRequest, console_of
from app.console.state import CONSOLE
from app.console.templating import is_https
from app.pages.kept_forms import MAX_AGE, MAX_COOKIE, KeptForm

COOKIE = "newsstand_form"
CONTINUE = "/continue"


def sign_in_and_continue(
    request: Request, sub: str, fields: Mapping[str, str], *, shown_at: str, url: str
) -> Response | None:
    """
    Keep a form, and show a page with a link to sign-in. None: the form is too large to be kept.

    It is a link because the content security policy does not let forms redirect to the identity provider.

    :param sub: who submitted the form. Nobody else can continue it.
    :param shown_at: the path of the page that has the form, with parameters that are in the request's path or fields.
    :param url: of the sign-in.
    """
    console = console_of(request)
    if console.sign_in is None:
        return None
    values = {name: quote(str(value), safe="") for name, value in {**fields, **request.path_params}.items()}
    path = re.sub(r"\{(\w+)\}", lambda found: values.get(found[1], "-"), shown_at)
    kept = KeptForm(sub=sub, path=path, fields=fields)
    value = console.sign_in.form_cipher.encrypt(kept.pack(), now=console.ctx.clock.real())
    if len(value) > MAX_COOKIE:
        return None
    response = templating.render(request, "sign_in_again.html", status=403, sign_in_url=url)
    response.set_cookie(
        COOKIE,
        value,
        path=CONSOLE,
        max_age=int(MAX_AGE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_https(request),
    )
    return response


def kept_form(request: Request) -> KeptForm | None:
    """Return the form that was kept in this browser, if any."""
    console = console_of(request)
    if console.sign_in is None or COOKIE not in request.cookies:
        return None
    content = console.sign_in.form_cipher.decrypt(
        request.cookies[COOKIE], max_age=MAX_AGE, now=console.ctx.clock.real()
    )
    return KeptForm.unpack(content) if content is not None else None


def restore(request: ConsoleRequest) -> Response:
    """Open the page of the kept form, filled in. The form is kept for one time, and for the person who sent it."""
    kept = kept_form(request.http)
    if kept is None or kept.sub != request.staff.sub:
        return request.redirect("/")
    restored = replace(request, form=kept.fields)
    response = restored.continue_at(
        kept.path, flash="You’re signed in again. Nothing was changed yet: check the form, then send it."
    )
    response.delete_cookie(COOKIE, path=CONSOLE, httponly=True, samesite="lax", secure=is_https(request.http))
    return response
