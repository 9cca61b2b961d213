"""An OpenID Connect client for tests, and a helper to submit forms."""

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2

from demo.browser import Page


async def submit(browser: httpx2.AsyncClient, response: httpx2.Response, **fields: str) -> httpx2.Response:
    """Fill in and submit the first form of a page."""
    page = Page(response)
    form = page.form()
    return await browser.post(page.resolve(form.attributes["action"]), data=form.values() | fields)


class SignInRequest:
    """An authorization request of the client `magazine` with its PKCE verifier."""

    def __init__(self, issuer: str, redirect_uri: str = "http://127.0.0.1:5555/signed-in") -> None:
        self.issuer, self.redirect_uri = issuer, redirect_uri
        self.verifier, self.state, self.nonce = secrets.token_urlsafe(32), secrets.token_hex(8), secrets.token_hex(8)

    def url(self, **changes: str | None) -> str:
        """Return the URL of the authorization request, without the parameters that are changed to None."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        parameters: dict[str, str | None] = {
            "response_type": "code",
            "client_id": "magazine",
            "redirect_uri": self.redirect_uri,
            "scope": "openid profile email",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return f"{self.issuer}/authorize?" + urlencode(
            {k: v for k, v in (parameters | changes).items() if v is not None}
        )

    async def redeem(self, browser: httpx2.AsyncClient, code: str, **changes: str) -> httpx2.Response:
        """Exchange a code for tokens."""
        parameters = {
            "grant_type": "authorization_code",
            "client_id": "magazine",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }
        return await browser.post(f"{self.issuer}/token", data=parameters | changes)


def redirect_parameters(response: httpx2.Response) -> dict[str, str]:
    """Return the query parameters of a redirect to the client."""
    assert response.status_code == 303, response.text
    return {name: values[0] for name, values in parse_qs(urlsplit(response.headers["location"]).query).items()}
