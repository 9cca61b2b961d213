"""
Forms that were submitted when the person had to sign in again. They are kept in the browser, encrypted, and sent after that.

Only a form with the right form token is kept, so no other site can prepare one. What was entered is shown before it is sent.
"""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console import templating
from app.console.request import console_of
from app.console.state import CONSOLE
from app.console.templating import is_https
from app.pages.kept_forms import MAX_AGE, MAX_COOKIE, KeptForm

COOKIE = "newsstand_form"
CONTINUE = "/continue"


def sign_in_and_continue(request: Request, sub: str, fields: Mapping[str, str], *, url: str) -> Response | None:
    """
    Keep a form, and show a page with a link to sign-in. None: the form is too large to be kept.

    It is a link because the content security policy does not let forms redirect to the identity provider.

    :param sub: who submitted the form. Nobody else can continue it.
    """
    console = console_of(request)
    if console.sign_in is None:
        return None
    kept = KeptForm(sub=sub, path=request.url.path, fields=fields)
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
