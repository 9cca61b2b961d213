"""What people see of the issuer: sign in, sign up, sign out."""

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

from demo.forms import csrf_token, is_our_form, text
from demo.identity_provider.authorization_server import CodeGrant, Issuer, IssuerRequest
from demo.identity_provider.users import DEMO_PASSWORD, MINIMUM_PASSWORD, SEEDED, EmailTaken, Person

STALE = "This form was too old. Please send it again."


class Pages:
    """
    The pages around one authorization request.

    The request itself lives in the query of each page's address, form included, so there is nothing to keep
    between pages and two tabs never mix; it is checked anew each time.
    """

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._templates = Jinja2Templates(directory=Path(__file__).parent / "templates")

    def routes(self) -> list[Route]:
        """Return the routes that people walk."""
        return [
            Route("/authorize", self.authorize, methods=["GET", "POST"]),
            Route("/sign-up", self.sign_up, methods=["GET", "POST"]),
            Route("/logout", self.logout),
        ]

    async def authorize(self, request: Request) -> Response:
        """Send who is signed in straight back with a code; anyone else gets the sign-in form, and then the same."""
        known = self._signed_in(request)
        oauth, grant = self._checked(request, known)
        if isinstance(grant, Response):
            return grant
        if request.method == "GET":
            if known is not None and grant.prompt is None:
                return self._send_back(oauth, grant, known)
            return self._page(request, "sign_in.html")
        form = await request.form()
        if not is_our_form(request, form):
            return self._page(request, "sign_in.html", form, problem=STALE, status=403)
        person = await run_in_threadpool(self._issuer.people.authenticate, text(form, "email"), _password(form))
        if person is None:
            problem = "There is nobody with this e-mail address and password."
            return self._page(request, "sign_in.html", form, problem=problem, status=401)
        request.session["sub"] = person.sub
        return self._send_back(oauth, grant, person)

    async def sign_up(self, request: Request) -> Response:
        """Make a new reader, and sign them in."""
        oauth, grant = self._checked(request, None)
        if isinstance(grant, Response):
            return grant
        if request.method == "GET":
            return self._page(request, "sign_up.html")
        form = await request.form()
        problem = STALE if not is_our_form(request, form) else _mistake(form)
        if problem:
            return self._page(request, "sign_up.html", form, problem=problem, status=422)
        try:
            person = await run_in_threadpool(
                self._issuer.people.sign_up,
                email=text(form, "email"), name=text(form, "name"), password=_password(form),
            )  # fmt: skip
        except EmailTaken:
            problem = "Somebody has already signed up with this e-mail address. Sign in instead?"
            return self._page(request, "sign_up.html", form, problem=problem, status=409)
        request.session["sub"] = person.sub
        return self._send_back(oauth, grant, person)

    async def logout(self, request: Request) -> Response:
        """End the session here; go back to the site that asked, if it is one of ours."""
        request.session.clear()
        uri, client_id = request.query_params.get("post_logout_redirect_uri"), request.query_params.get("client_id")
        client = self._issuer.query_client(client_id or "")
        if uri and client and client.check_logout_uri(uri):
            return RedirectResponse(uri, status_code=303)
        return self._page(request, "signed_out.html")

    def _signed_in(self, request: Request) -> Person | None:
        return self._issuer.people.find(str(request.session.get("sub")))

    def _checked(self, request: Request, person: Person | None) -> tuple[IssuerRequest, CodeGrant | Response]:
        """Check the authorization request in the query; in place of a grant, return how it is refused."""
        pairs = request.query_params.multi_items()
        oauth = IssuerRequest("GET", f"{self._issuer.url}/authorize", request.headers, pairs)
        try:
            return oauth, self._issuer.get_consent_grant(oauth, person)
        except OAuth2Error as error:
            if error.redirect_uri:  # an address we know: the client is told
                return oauth, self._issuer.handle_error_response(oauth, error)
            reason = error.description or error.error
            return oauth, self._page(request, "error.html", problem=reason, status=400)

    def _send_back(self, oauth: IssuerRequest, grant: CodeGrant, person: Person) -> Response:
        response: Response = self._issuer.create_authorization_response(oauth, grant_user=person, grant=grant)
        return response

    def _page(
        self, request: Request, name: str, form: FormData | None = None, *, problem: str = "", status: int = 200
    ) -> Response:
        context: dict[str, Any] = {
            "problem": problem,
            "query": urlencode(request.query_params.multi_items()),
            "csrf": csrf_token(request),
            "filled": {name: text(form, name) for name in ("email", "name")} if form else {},
            "people": SEEDED,
            "demo_password": DEMO_PASSWORD,
            "minimum_password": MINIMUM_PASSWORD,
        }
        return self._templates.TemplateResponse(request, name, context, status_code=status)


def _password(form: FormData) -> str:
    value = form.get("password")
    return value if isinstance(value, str) else ""


def _mistake(form: FormData) -> str:
    """Return what is wrong with a sign-up form, or nothing."""
    name, email, password = text(form, "name"), text(form, "email"), _password(form)
    if not name or len(name) > 100:
        return "Please tell us your name."
    if "@" not in email.strip("@") or len(email) > 200 or any(c.isspace() for c in email):
        return "This does not look like an e-mail address."
    if len(password) < MINIMUM_PASSWORD:
        return f"A password needs at least {MINIMUM_PASSWORD} characters."
    return ""
