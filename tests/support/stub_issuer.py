"""An identity provider in the test's event loop. The test sets its responses, and it counts requests."""

import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def new_key(algorithm: str) -> PrivateKey:
    """Return a new private key for an algorithm."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        return ec.generate_private_key(ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1())
    return rsa.generate_private_key(65537, 2048)


def public_jwk(key: PrivateKey, **members: str) -> dict[str, Any]:
    """Return the public key as a JWK."""
    match key:
        case rsa.RSAPrivateKey():
            made = RSAAlgorithm.to_jwk(key.public_key())
        case ec.EllipticCurvePrivateKey():
            made = ECAlgorithm.to_jwk(key.public_key())
        case _:
            made = OKPAlgorithm.to_jwk(key.public_key())
    return {**json.loads(made), **members}


class StubIssuer:
    """The published documents, and the number of requests."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[dict[str, Any]] = []
        self.discovery: dict[str, Any] = {}
        self.status = 200
        self.asked = 0

    async def serve_discovery(self, _: web.Request) -> web.Response:
        self.asked += 1
        document = {"issuer": self.url, "jwks_uri": f"{self.url}/keys", **self.discovery}
        return web.json_response(document, status=self.status)

    async def serve_keys(self, _: web.Request) -> web.Response:
        return web.json_response({"keys": self.keys}, status=self.status)

    def token(self, key: PrivateKey, algorithm: str, *, kid: str | None = None, **claims: Any) -> str:
        """Return a valid token with changed claims. A claim of None is omitted."""
        now = int(time.time())
        payload = {"iss": self.url, "aud": "newsstand", "sub": "user-1", "iat": now, "exp": now + 600} | claims
        headers = {"typ": "at+jwt"} | ({"kid": kid} if kid else {})
        return jwt.encode({k: v for k, v in payload.items() if v is not None}, key, algorithm, headers=headers)


@asynccontextmanager
async def stub_issuer() -> AsyncIterator[StubIssuer]:
    """Run a stub issuer on a free port."""
    provider = StubIssuer()
    made = web.Application()
    made.router.add_get("/.well-known/openid-configuration", provider.serve_discovery)
    made.router.add_get("/keys", provider.serve_keys)
    runner = web.AppRunner(made)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        provider.url = f"http://{host}:{port}"
        yield provider
    finally:
        await runner.cleanup()


def unsigned(token: str, **header: str) -> str:
    """Return a token with another header and the same signature."""
    _, claims, signature = token.split(".")
    encoded = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    return f"{encoded}.{claims}.{signature}"
