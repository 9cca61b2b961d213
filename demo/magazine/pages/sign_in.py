"""Signing in and out, by the issuer."""

import logging

from newsstand_edge.edge import COOKIE
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from demo.magazine.context import Magazine, own_path, see_other
from demo.magazine.oidc import Attempt, SignInFailed

log = logging.getLogger(__name__)

# For a proxy before the site that asks the service by itself (deploy/gate): it has to find the reader's token somewhere.
GATE_COOKIE = "slow_ferry_token"
AGAIN = "Signing in did not work out. Please try once more."


class Signing:
    """The site's half of the sign-in."""

    def __init__(self, magazine: Magazine) -> None:
        self._magazine = magazine

    def routes(self) -> list[Route]:
        """Return the routes to sign in and out by."""
        return [
            Route("/sign-in", self.begin),
            Route("/signed-in", self.finish),
            Route("/sign-out", self.sign_out, methods=["POST"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Send the browser to the issuer."""
        attempt = Attempt(destination=own_path(request.query_params.get("next")))
        try:
            url = await self._magazine.identity.sign_in_url(attempt)
        except SignInFailed as error:
            raise HTTPException(503, "Signing in is not possible at the moment. Please try again soon.") from error
        self._magazine.sessions.begin(request, attempt)
        return see_other(url)

    async def finish(self, request: Request) -> Response:
        """Take the browser back from the issuer, and lead it on to where it was going."""
        attempt = self._magazine.sessions.returning(request, request.query_params.get("state", ""))
        code = request.query_params.get("code")
        if attempt is None or not code:
            raise HTTPException(400, AGAIN)
        try:
            reader = await self._magazine.identity.redeem(attempt, code)
        except SignInFailed as error:
            log.warning("sign-in failed: %s", error)
            raise HTTPException(400, AGAIN) from error
        self._magazine.sessions.sign_in(request, reader)
        page = see_other(attempt.destination)
        secure = self._magazine.settings.url.startswith("https://")
        page.set_cookie(GATE_COOKIE, reader.token, httponly=True, samesite="lax", secure=secure)
        return page

    async def sign_out(self, request: Request) -> Response:
        """Forget the reader here, and at the issuer if it can be reached."""
        await self._magazine.form(request)
        self._magazine.sessions.sign_out(request)
        try:
            page = see_other(await self._magazine.identity.sign_out_url(f"{self._magazine.settings.url}/"))
        except SignInFailed:
            page = see_other("/")
        for cookie in (GATE_COOKIE, COOKIE):
            page.delete_cookie(cookie)
        return page
