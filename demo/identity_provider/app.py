"""Build the identity provider: protocol endpoints, sign-in pages, and the control API for tests."""

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

from demo.identity_provider import control_api
from demo.identity_provider.authorization_server import IdentityProvider, ProtocolRequest
from demo.identity_provider.clients import (
    ACCOUNT_CLIENT_ID,
    ACCOUNT_CLIENT_SECRET,
    CONSOLE_CLIENT_ID,
    CONSOLE_CLIENT_SECRET,
    SCOPES,
    Client,
)
from demo.identity_provider.keys import KeyRing
from demo.identity_provider.pages import Pages
from demo.identity_provider.sign_ins import SUPPORTED_ACR
from demo.identity_provider.users import Users
from demo.security_headers import SecurityHeaders

SERVICE = ("http://127.0.0.1:8000", "http://localhost:8000")


def discovery_document(url: str) -> dict[str, Any]:
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
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "acr_values_supported": list(SUPPORTED_ACR),
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["none", "client_secret_basic"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["sub", "email", "email_verified", "name", "roles", "auth_time", "acr", "sid"],
    }


def build(*, url: str, audience: str, redirect_uris: Iterable[str]) -> Starlette:
    """
    Build the identity provider.

    :param url: the issuer URL in tokens, without a trailing slash.
    :param audience: the audience of access tokens.
    :param redirect_uris: the allowed redirect URIs of the client `magazine`.
    """
    magazine = Client(client_id="magazine", redirect_uris=tuple(redirect_uris))
    console, account = (
        Client(
            client_id=client_id,
            redirect_uris=tuple(f"{origin}{path}/signed-in" for origin in SERVICE),
            secret=secret,
            backchannel_logout_path=f"{path}/backchannel-logout",
        )
        for client_id, secret, path in (
            (CONSOLE_CLIENT_ID, CONSOLE_CLIENT_SECRET, "/console"),
            (ACCOUNT_CLIENT_ID, ACCOUNT_CLIENT_SECRET, "/account"),
        )
    )
    clients = [magazine, console, account]
    provider = IdentityProvider(url=url, audience=audience, clients=clients, keys=KeyRing(), users=Users())

    async def discovery(request: Request) -> Response:
        return JSONResponse(discovery_document(url))

    async def jwks(request: Request) -> Response:
        return JSONResponse(provider.keys.public_jwks())

    async def token(request: Request) -> Response:
        form = await request.form()
        parameters = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]
        token_request = ProtocolRequest("POST", f"{url}/token", request.headers, parameters)
        response: Response = provider.create_token_response(token_request)
        return response

    return Starlette(
        routes=[
            Route("/.well-known/openid-configuration", discovery),
            Route("/jwks", jwks),
            Route("/token", token, methods=["POST"]),
            *Pages(provider).routes(),
            *control_api.routes(provider),
            Mount("/static", StaticFiles(directory=Path(__file__).parent / "static")),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            # Browsers share cookies between all ports of a host, so the name must differ from the magazine's. The key
            # lives as long as the process, like everything else here.
            Middleware(
                SessionMiddleware, secret_key=secrets.token_urlsafe(32), session_cookie="issuer_session", max_age=None
            ),
        ],
    )
