"""Invalid entitlement tokens, made from a valid one."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _encode(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _decode(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def forged_tokens(valid: str, jwks: Mapping[str, Any], access_token: str) -> dict[str, tuple[str, str]]:
    """Return invalid tokens by what is wrong with them, each with the expected reason."""
    head, payload, signature = valid.split(".")
    header, claims = _decode(head), _decode(payload)
    another_key = ec.generate_private_key(ec.SECP256R1())
    public_key = jwt.PyJWK(next(key for key in jwks["keys"] if key["kid"] == header["kid"])).key
    pem = public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    hs256 = f"{_encode(header | {'alg': 'HS256'})}.{payload}"
    mac = base64.urlsafe_b64encode(hmac.new(pem, hs256.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    extended = _encode(claims | {"features": claims["features"] | {"print_edition": claims["exp"] + 10**6}})
    return {
        "signed with another key": (jwt.encode(claims, another_key, "ES256", header), "token_invalid"),
        "signed with an unknown key": (
            jwt.encode(claims, another_key, "ES256", header | {"kid": "made-up"}),
            "token_unknown_key",
        ),
        "without a signature": (f"{_encode(header | {'alg': 'none'})}.{payload}.", "token_invalid"),
        "signed with the public key as a shared secret": (f"{hs256}.{mac}", "token_invalid"),
        "that is an access token": (access_token, "token_invalid"),
        "with modified claims": (f"{head}.{extended}.{signature}", "token_invalid"),
        "truncated": (valid[:-8], "token_invalid"),
        "with two parts": (f"{head}.{payload}", "token_invalid"),
        "of 100 KB": (valid + "A" * 100_000, "token_invalid"),
        "that is not a JWT": ("ceci n'est pas un jeton", "token_invalid"),
        "without a header": (f".{payload}.{signature}", "token_invalid"),
        "with a non-ASCII signature": (f"{head}.{payload}.\u00e9", "token_invalid"),
    }
