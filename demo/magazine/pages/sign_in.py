"""Sign in and sign out through the identity provider."""

import logging

from newsstand_edge.edge import COOKIE
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.magazine.context import Context, local_path, see_other
from demo.magazine.oidc import SignInAttempt, SignInFailed

log = logging.getLogger(__name__)

# Holds the reader's access token for a proxy in front of the site that calls the service's gate (see deploy/gate).
GATE_COOKIE = "slow_ferry_token"

SIGN_IN_FAILED = "We couldn’t sign you in. Please try again."
SIGN_IN_UNAVAILABLE = "Sign-in is unavailable right now. Please try again in a minute."


class SignInPages:
    """The client's side of the code flow."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def routes(self) -> list[Route]:
        """Return the routes to sign in and out."""
        return [
            Route("/sign-in", self.start),
            Route("/signed-in", self.finish),
            Route("/sign-out", self.sign_out, methods=["POST"]),
        ]

    async def start(self, request: Request) -> Response:
        """Redirect to the identity provider."""
        query = request.query_params
        attempt = SignInAttempt(destination=local_path(query.get("next")), again="again" in query)
        try:
            url = await self._context.oidc.sign_in_url(attempt)
        except SignInFailed as error:
            raise HTTPException(503, SIGN_IN_UNAVAILABLE) from error
        self._context.sessions.add_attempt(request, attempt)
        return see_other(url)

    async def finish(self, request: Request) -> Response:
        """Redeem the authorization code and redirect to the destination."""
        attempt = self._context.sessions.take_attempt(request, request.query_params.get("state", ""))
        code = request.query_params.get("code")
        if attempt is None or not code:
            raise HTTPException(400, SIGN_IN_FAILED)
        try:
            reader = await self._context.oidc.redeem(attempt, code)
        except SignInFailed as error:
            log.warning("sign-in failed: %s", error)
            raise HTTPException(400, SIGN_IN_FAILED) from error
        self._context.sessions.sign_in(request, reader)
        response = see_other(attempt.destination)
        secure = self._context.settings.url.startswith("https://")
        response.set_cookie(GATE_COOKIE, reader.token, httponly=True, samesite="lax", secure=secure)
        return response

    async def sign_out(self, request: Request) -> Response:
        """Sign out here, and at the identity provider if it can be reached."""
        await self._context.form(request)
        self._context.sessions.sign_out(request)
        try:
            response = see_other(await self._context.oidc.sign_out_url(f"{self._context.settings.url}/"))
        except SignInFailed:
            response = see_other("/")
        for cookie in (GATE_COOKIE, COOKIE):
            response.delete_cookie(cookie)
        return response
