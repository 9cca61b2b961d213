"""The issuer put together: what machines read, what people see, and the back door for tests."""

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from demo.forms import CarefulHeaders
from demo.identity_provider import control_api
from demo.identity_provider.authorization_server import Issuer, IssuerRequest
from demo.identity_provider.clients import SCOPES, Client
from demo.identity_provider.keys import KeyRing
from demo.identity_provider.pages import Pages
from demo.identity_provider.users import People

# The service's console, wherever on this machine it is. The secret is public by design: see the package's docstring.
CONSOLE, CONSOLE_SECRET = "newsstand-console", "a-public-secret-of-the-demo"
CONSOLE_REDIRECTS = ("http://127.0.0.1:8000/console/signed-in", "http://localhost:8000/console/signed-in")


def metadata(url: str) -> dict[str, Any]:
    """Return the discovery document (OpenID Connect Discovery 1.0, section 3)."""
    return {
        "issuer": url,
        "authorization_endpoint": f"{url}/authorize",
        "token_endpoint": f"{url}/token",
        "jwks_uri": f"{url}/jwks",
        "end_session_endpoint": f"{url}/logout",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["sub", "email", "name", "roles"],
    }


def build(*, url: str, audience: str, redirect_uris: Iterable[str]) -> Starlette:
    """
    Build the issuer.

    :param url: what it calls itself in tokens; no slash at the end.
    :param audience: the API its access tokens are for.
    :param redirect_uris: where the client `magazine` may be sent back to.
    """
    magazine = Client(client_id="magazine", redirect_uris=tuple(redirect_uris))
    console = Client(client_id=CONSOLE, redirect_uris=CONSOLE_REDIRECTS, secret=CONSOLE_SECRET)
    issuer = Issuer(url=url, audience=audience, clients=[magazine, console], keys=KeyRing(), people=People())

    async def discovery(request: Request) -> Response:
        return JSONResponse(metadata(url))

    async def jwks(request: Request) -> Response:
        return JSONResponse(issuer.keys.published())

    async def token(request: Request) -> Response:
        form = await request.form()
        pairs = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        asked = IssuerRequest("POST", f"{url}/token", request.headers, pairs)
        response: Response = issuer.create_token_response(asked)
        return response

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", discovery),
            Route("/jwks", jwks),
            Route("/token", token, methods=["POST"]),
            *Pages(issuer).routes(),
            *control_api.routes(issuer),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ],
        middleware=[
            Middleware(CarefulHeaders),
            # Its own cookie name: browsers share cookies among all ports of a host. The key lives as long as the
            # process, like everything here.
            Middleware(
                SessionMiddleware, secret_key=secrets.token_urlsafe(32), session_cookie="issuer_session", max_age=None
            ),
        ],
    )
