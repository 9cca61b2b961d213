"""
Forms that were submitted when the person had to sign in again. They are kept in the browser, encrypted, and sent after that.

Only a form with the right form token is kept, so no other site can prepare one. What was entered is shown before it is sent.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console import templating
from app.console.request import console_of
from app.console.state import CONSOLE
from app.console.templating import is_https
from app.localization import Localization

COOKIE = "newsstand_form"
CONTINUE = "/continue"
MAX_AGE = timedelta(minutes=15)
MAX_COOKIE = 3900  # characters: browsers keep 4,096, with name and attributes
HIDDEN = frozenset({"form_token", "key", "reader", "amount", "currency"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptForm:
    """A form that was not sent yet."""

    sub: str
    path: str
    fields: Mapping[str, str]

    def shown(self, localization: Localization) -> list[tuple[str, str]]:
        """Return what the person entered, with the names of the fields as a person reads them."""
        entered = [(name, value) for name, value in self.fields.items() if name not in HIDDEN and value]
        amount, currency = self.fields.get("amount", ""), self.fields.get("currency", "")
        if amount.isascii() and amount.isdecimal() and currency:
            entered.append(("amount", localization.money(int(amount[:18]), currency)))
        return entered


def sign_in_and_continue(request: Request, sub: str, fields: Mapping[str, str], *, url: str) -> Response | None:
    """
    Keep a form, and show a page with a link to sign-in. None: the form is too large to be kept.

    It is a link because the content security policy does not let forms redirect to the identity provider.

    :param sub: who submitted the form. Nobody else can continue it.
    """
    console = console_of(request)
    if console.sign_in is None:
        return None
    content = json.dumps(
        [sub, request.url.path, {name: value for name, value in fields.items() if name != "form_token"}]
    )
    packed = base64.b64encode(zlib.compress(content.encode())).decode()
    value = console.sign_in.form_cipher.encrypt({"form": packed}, now=console.ctx.clock.real())
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
    if content is None:
        return None
    try:
        sub, path, fields = json.loads(zlib.decompress(base64.b64decode(content["form"])))
    except (binascii.Error, zlib.error, ValueError, KeyError):  # of another release
        return None
    return KeptForm(sub=sub, path=path, fields=fields)


def forget(request: Request, response: Response) -> None:
    """Delete the kept form, after it was sent."""
    kept = kept_form(request)
    if kept is not None and kept.path == request.url.path:
        response.delete_cookie(COOKIE, path=CONSOLE, httponly=True, samesite="lax", secure=is_https(request))


def show(request: Request, sub: str) -> Response:
    """Show the kept form of a person, to be continued."""
    kept = kept_form(request)
    if kept is None or kept.sub != sub:
        return RedirectResponse(f"{CONSOLE}/", 303)
    return templating.render(request, "continue.html", kept=kept)
