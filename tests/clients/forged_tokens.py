"""Tokens that a client must not believe, made from one that it must."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _read(part: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def forged(genuine: str, published: Mapping[str, Any], access_token: str) -> dict[str, tuple[str, str]]:
    """Return tokens by what is wrong with them, each with the reason for which it is to be refused."""
    head, payload, signature = genuine.split(".")
    header, claims = _read(head), _read(payload)
    others = ec.generate_private_key(ec.SECP256R1())
    public = jwt.PyJWK(next(key for key in published["keys"] if key["kid"] == header["kid"])).key
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    symmetric = f"{_part(header | {'alg': 'HS256'})}.{payload}"
    mac = base64.urlsafe_b64encode(hmac.new(pem, symmetric.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    more = _part(claims | {"features": claims["features"] | {"print_edition": claims["exp"] + 10**6}})
    return {
        "signed with another key": (jwt.encode(claims, others, "ES256", header), "token_invalid"),
        "signed with a key nobody knows": (
            jwt.encode(claims, others, "ES256", header | {"kid": "made-up"}),
            "token_unknown_key",
        ),
        "not signed at all": (f"{_part(header | {'alg': 'none'})}.{payload}.", "token_invalid"),
        "signed with the public key as a secret": (f"{symmetric}.{mac}", "token_invalid"),
        "an access token": (access_token, "token_invalid"),
        "with more in it than was signed": (f"{head}.{more}.{signature}", "token_invalid"),
        "cut short": (genuine[:-8], "token_invalid"),
        "of two parts": (f"{head}.{payload}", "token_invalid"),
        "of 100 KB": (genuine + "A" * 100_000, "token_invalid"),
        "no token": ("ceci n'est pas un jeton", "token_invalid"),
        "without a header": (f".{payload}.{signature}", "token_invalid"),
        "with half a character": (f"{head}.{payload}.\u00e9", "token_invalid"),
    }
