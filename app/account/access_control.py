"""
The checks of every page and form: the reader is signed in, within the rate limit, and sent the form from their own session.

Routes are made only by :func:`page_route` and :func:`form_route`, so no page can forget a check. A form that is refused
shows its page again, with what was entered and the reason. A form whose session has ended is kept in the browser, and its
page is filled in with it after the sign-in.
"""

import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from app.account import cookies, labels, sessions, templating
from app.account.request import AccountRequest, Fault, InvalidForm
from app.account.sessions import ReaderSession, session_of
from app.account.state import ACCOUNT, account_of
from app.domain.caller_limits import Limit
from app.domain.errors import Conflict, DomainError, Invalid, MalformedRequest, NotFound, TooManyRequests, Unavailable
from app.pages.forms import has_form_token
from app.pages.kept_forms import MAX_AGE, KeptForm
from app.services import reader_sessions
from app.services.idempotency import KeyInvalid, KeyRequired, KeyReused

MAX_FORM_FIELDS = 30
KEPT = "form"  # the cookie of a form that was submitted when its session had ended
OTHER_SESSION = (
    "You have signed in again since this page was opened, so nothing was changed. Check the form, then send it again."
)
EXPIRED = "Your session has expired, so nothing was changed. Please sign in and try again."

OLDEST_SIGN_OUT = timedelta(days=30)  # since the sign-in: a computer may sleep with the account open

Page = Callable[[AccountRequest], Awaitable[Response]]
EndedSessionForm = Callable[[Request, ReaderSession], Awaitable[Response]]


class ForgedForm(Exception):
    """The form was not sent by a page of this session. ``str()`` is the message for the reader."""


class NamedRoute(Route):
    """A route that tells the tests whether it is limited, because it calls Stripe."""

    def __init__(self, path: str, endpoint: Any, *, page: Page, method: str, calls_stripe: bool) -> None:
        super().__init__(path, endpoint, methods=[method], name=page.__name__)
        self.calls_stripe = calls_stripe


def page_route(path: str, page: Page, *, calls_stripe: bool = False) -> Route:
    """Return the route of a page, which changes nothing."""

    async def endpoint(request: Request) -> Response:
        session = await _open_session(request)
        if session is None:
            return RedirectResponse(sign_in_url(_path_of(request)), 303)
        if calls_stripe:
            await account_of(request).ctx.caller_limits.take(Limit.STRIPE, session.sub)
        kept = _kept(request, session)
        response = await page(await _request(request, session, kept or {}))
        if kept is not None:
            cookies.delete(request, response, KEPT)
        return response

    return NamedRoute(path, endpoint, page=page, method="GET", calls_stripe=calls_stripe)


def form_route(
    path: str,
    submit: Page,
    *,
    shown_by: Page,
    calls_stripe: bool = True,
    after_session: EndedSessionForm | None = None,
) -> Route:
    """
    Return the route that a form is submitted to.

    :param shown_by: the page with the form. It is shown again, with the reason, if the form is refused.
    :param after_session: handles the form if its session has ended, instead of a sign-in.
    """

    async def endpoint(request: Request) -> Response:
        session = await _open_session(request)
        async with request.form(max_files=0, max_fields=MAX_FORM_FIELDS) as fields:
            form = {name: value for name, value in fields.items() if isinstance(value, str)}
        if session is None and after_session is not None:
            return await after_session(request, _ended_session(request, form, max_age=OLDEST_SIGN_OUT))
        if session is None:
            return _keep(request, _ended_session(request, form), form)
        if calls_stripe:
            await account_of(request).ctx.caller_limits.take(Limit.STRIPE, session.sub)
        received = await _request(request, session, form)
        earlier = session.earlier if after_session is not None else ""  # only a sign-out may come from an earlier page
        if not has_form_token(form, session.form_token, earlier=earlier):
            return await shown_by(replace(received, fault=Fault(message=OTHER_SESSION, status=403)))
        try:
            return await submit(received)
        except (DomainError, InvalidForm) as refusal:
            if isinstance(refusal, (KeyReused, KeyRequired, KeyInvalid)):  # the page makes a new one
                received = replace(received, form={name: value for name, value in form.items() if name != "key"})
            response = await shown_by(replace(received, fault=fault_of(refusal)))
            return with_retry_after(response, refusal)

    return NamedRoute(path, endpoint, page=submit, method="POST", calls_stripe=calls_stripe)


def fault_of(refusal: DomainError | InvalidForm) -> Fault:
    """Return what a page says about a refusal."""
    if isinstance(refusal, InvalidForm):
        return Fault(message=str(refusal), status=422, field=refusal.field, others=refusal.others)
    return Fault(message=labels.error(refusal), status=status_of(refusal), code=refusal.code)


def status_of(error: DomainError) -> int:
    """Return the HTTP status of a refusal."""
    match error:
        case NotFound():
            return 404
        case TooManyRequests():
            return 429
        case Unavailable():
            return 503
        case Conflict():
            return 409
        case Invalid():
            return 422
        case MalformedRequest():
            return 400
        case _:
            return 403


def with_retry_after(response: Response, refusal: Exception) -> Response:
    """Add when it is useful to try again, if it is known."""
    if isinstance(refusal, DomainError) and refusal.retry_after is not None:
        response.headers["Retry-After"] = str(math.ceil(refusal.retry_after.total_seconds()))
    return response


def sign_in_url(return_path: str) -> str:
    """Return the URL of the sign-in page, which returns to a page."""
    return f"{ACCOUNT}/sign-in?{urlencode({'next': return_path})}"


async def _request(request: Request, session: ReaderSession, form: dict[str, str]) -> AccountRequest:
    ctx = account_of(request).ctx
    return AccountRequest(http=request, ctx=ctx, session=session, now=await ctx.clock.policy(), form=form)


async def _open_session(request: Request) -> ReaderSession | None:
    """Return the session, unless a sign-out ended it."""
    session = session_of(request)
    ctx = account_of(request).ctx
    if session is None or await reader_sessions.is_signed_out(ctx, session.sub, since=session.started_at):
        request.scope[sessions.SCOPE_KEY] = None
        return None
    return session


def _ended_session(request: Request, form: dict[str, str], *, max_age: timedelta | None = None) -> ReaderSession:
    """
    Return the session that sent a form, though it has ended.

    :raises ForgedForm: if no page of that session sent it.
    """
    before = sessions.expired(request, max_age=max_age)
    if before is None or not has_form_token(form, before.form_token, earlier=before.earlier if max_age else ""):
        raise ForgedForm(EXPIRED)
    return before


def _keep(request: Request, before: ReaderSession, form: dict[str, str]) -> Response:
    """
    Keep the form of a session that has ended, and show a link to sign in.

    It is a link because the content security policy does not let forms redirect to the identity provider.
    """
    kept = KeptForm(sub=before.sub, path=request.url.path, fields=form)
    value = cookies.encrypted(request, account_of(request).form_cipher, kept.pack())
    response = templating.render(
        request, "sign_in_again.html", status=403, sign_in_url=sign_in_url(request.url.path), kept=value is not None
    )
    if value is not None:
        cookies.set_value(request, response, KEPT, value, max_age=MAX_AGE)
    return response


def _kept(request: Request, session: ReaderSession) -> dict[str, str] | None:
    """Return what the same person had entered on this page when their session ended."""
    content = cookies.read(request, KEPT, account_of(request).form_cipher, max_age=MAX_AGE)
    kept = KeptForm.unpack(content) if content is not None else None
    if kept is None or kept.sub != session.sub or kept.path != request.url.path:
        return None
    return {str(name): str(value) for name, value in kept.fields.items()}


def _path_of(request: Request) -> str:
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")
