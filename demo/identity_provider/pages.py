"""The pages: sign in, sign up and sign out."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from authlib.oauth2 import OAuth2Error
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from demo.forms import csrf_token, has_valid_csrf_token, text_field
from demo.identity_provider.authorization_server import CodeGrant, IdentityProvider, ProtocolRequest
from demo.identity_provider.back_channel import end_session
from demo.identity_provider.sign_ins import PASSWORD, PASSWORD_AGAIN
from demo.identity_provider.users import DEMO_PASSWORD, DEMO_USERS, MIN_PASSWORD_LENGTH, EmailTaken, User

FORM_EXPIRED = "This form has expired. Please submit it again."
WRONG_CREDENTIALS = "Incorrect email address or password."
EMAIL_TAKEN = "An account with this email address already exists. Sign in instead?"


class Pages:
    """
    The pages of one authorization request.

    Every page carries the authorization request in its query string, so nothing is stored between pages and two
    browser tabs can't interfere. The request is validated on every page.
    """

    def __init__(self, provider: IdentityProvider) -> None:
        self._provider = provider
        self._templates = Jinja2Templates(directory=Path(__file__).parent / "templates")

    def routes(self) -> list[Route]:
        """Return the routes of the pages."""
        return [
            Route("/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/sign-up", self.sign_up, methods=["GET", "POST"]),
            Route("/logout", self.logout),
        ]

    async def authorize(self, request: Request) -> Response:
        """Redirect a signed-in user back with a code; show everyone else the sign-in form first."""
        signed_in = self._signed_in_user(request)
        protocol_request, grant = self._validate(request, signed_in)
        if isinstance(grant, Response):
            return grant
        if request.method == "GET":
            if signed_in is not None and grant.prompt is None and _is_recent_enough(request, signed_in):
                return self._redirect_with_code(protocol_request, grant, signed_in)
            return self._page(request, "sign_in.html")
        form = await request.form()
        if not has_valid_csrf_token(request, form):
            return self._page(request, "sign_in.html", form, problem=FORM_EXPIRED, status=403)
        user = await run_in_threadpool(self._provider.users.authenticate, text_field(form, "email"), _password(form))
        if user is None:
            return self._page(request, "sign_in.html", form, problem=WRONG_CREDENTIALS, status=401)
        return self._redirect_with_code(protocol_request, grant, self._sign_in(request, user))

    async def sign_up(self, request: Request) -> Response:
        """Create a reader's account and sign in."""
        protocol_request, grant = self._validate(request, None)
        if isinstance(grant, Response):
            return grant
        if request.method == "GET":
            return self._page(request, "sign_up.html")
        form = await request.form()
        problem = _form_error(form) if has_valid_csrf_token(request, form) else FORM_EXPIRED
        if problem:
            return self._page(request, "sign_up.html", form, problem=problem, status=422)
        try:
            user = await run_in_threadpool(
                self._provider.users.sign_up,
                email=text_field(form, "email"), name=text_field(form, "name"), password=_password(form),
            )  # fmt: skip
        except EmailTaken:
            return self._page(request, "sign_up.html", form, problem=EMAIL_TAKEN, status=409)
        return self._redirect_with_code(protocol_request, grant, self._sign_in(request, user))

    async def logout(self, request: Request) -> Response:
        """Sign out everywhere, and redirect to the client's site if it asked for that and is registered."""
        session = self._provider.sign_ins.find(request.session.get("sid"))
        request.session.clear()
        if session is not None:
            await end_session(self._provider, session)
        uri, client_id = request.query_params.get("post_logout_redirect_uri"), request.query_params.get("client_id")
        client = self._provider.query_client(client_id or "")
        if uri and client and client.check_logout_uri(uri):
            return RedirectResponse(uri, status_code=303)
        return self._page(request, "signed_out.html")

    def _signed_in_user(self, request: Request) -> User | None:
        session = self._provider.sign_ins.find(request.session.get("sid"))
        user = self._provider.users.find(session.sub) if session else None
        return replace(user, session=session) if user else None

    def _sign_in(self, request: Request, user: User) -> User:
        """Start or renew the browser's session, after the password was entered."""
        acr = PASSWORD_AGAIN if PASSWORD_AGAIN in _acr_values(request) else PASSWORD
        session = self._provider.sign_ins.start(user.sub, sid=request.session.get("sid"), acr=acr)
        request.session["sid"] = session.sid
        return replace(user, session=session)

    def _validate(self, request: Request, user: User | None) -> tuple[ProtocolRequest, CodeGrant | Response]:
        """Validate the authorization request in the query string. Return an error response in place of a grant."""
        parameters = request.query_params.multi_items()
        protocol_request = ProtocolRequest("GET", f"{self._provider.url}/authorize", request.headers, parameters)
        try:
            return protocol_request, self._provider.get_consent_grant(protocol_request, user)
        except OAuth2Error as error:
            if error.redirect_uri:  # a registered URI: the client gets the error
                return protocol_request, self._provider.handle_error_response(protocol_request, error)
            reason = error.description or error.error
            return protocol_request, self._page(request, "error.html", problem=reason, status=400)

    def _redirect_with_code(self, protocol_request: ProtocolRequest, grant: CodeGrant, user: User) -> Response:
        response: Response = self._provider.create_authorization_response(
            protocol_request, grant_user=user, grant=grant
        )
        return response

    def _page(
        self, request: Request, name: str, form: FormData | None = None, *, problem: str = "", status: int = 200
    ) -> Response:
        context: dict[str, Any] = {
            "problem": problem,
            "query": urlencode(request.query_params.multi_items()),
            "csrf": csrf_token(request),
            "values": {name: text_field(form, name) for name in ("email", "name")} if form else {},
            "users": DEMO_USERS,
            "demo_password": DEMO_PASSWORD,
            "min_password_length": MIN_PASSWORD_LENGTH,
        }
        return self._templates.TemplateResponse(request, name, context, status_code=status)


def _acr_values(request: Request) -> list[str]:
    return request.query_params.get("acr_values", "").split()


def _is_recent_enough(request: Request, user: User) -> bool:
    """
    Return whether the sign-in is as recent as the client asks (OpenID Connect Core 1.0, section 3.1.2.1).

    With the class ``password-again``, the password is always asked for.
    """
    max_age = request.query_params.get("max_age", "")
    if PASSWORD_AGAIN in _acr_values(request) or user.session is None:
        return False
    return not max_age.isdecimal() or time.time() - user.session.auth_time <= int(max_age)


def _password(form: FormData) -> str:
    value = form.get("password")
    return value if isinstance(value, str) else ""


def _form_error(form: FormData) -> str:
    """Return what is wrong with a sign-up form, or an empty string."""
    name, email, password = text_field(form, "name"), text_field(form, "email"), _password(form)
    if not name or len(name) > 100:
        return "Please enter your name (at most 100 characters)."
    if "@" not in email.strip("@") or len(email) > 200 or any(c.isspace() for c in email):
        return "Please enter a valid email address."
    if len(password) < MIN_PASSWORD_LENGTH:
        return f"Your password must have at least {MIN_PASSWORD_LENGTH} characters."
    return ""
