"""
Verification of entitlement tokens, with a cache of verified ones.

Nearly all of the cost is the signature, so a cached token costs one dictionary lookup. This module makes no requests and
doesn't read the clock: keys and time are arguments.
"""

import base64
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

ALGORITHM = "ES256"  # the only one: never "none" or a symmetric algorithm
TYPE = "entitlements+jwt"  # access tokens have another type
MAX_TOKEN_LENGTH = 8192  # characters
_ES256 = jwt.PyJWS(algorithms=[ALGORITHM])


class TokenRejected(Exception):
    """The token is not valid. ``reason`` is a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Claims:
    """The claims of a token. Times are in seconds since 1970; ``features`` maps each feature to its end time."""

    subscriber: str
    version: int
    issued_at: float
    expires_at: float
    not_before: float
    features: Mapping[str, float]


class TokenVerifier:
    """Verifies tokens with the issuer's keys, and caches up to ``remember`` of them."""

    def __init__(self, *, issuer: str, audience: str, leeway: float, remember: int = 10_000) -> None:
        self._issuer, self._audience, self._leeway, self._remember = issuer, audience, leeway, remember
        self._keys: dict[str, jwt.PyJWK] = {}
        self._keys_by_header: dict[str, jwt.PyJWK] = {}  # all tokens of a key have exactly the same header
        self._cache: OrderedDict[str, Claims] = OrderedDict()

    def set_keys(self, published: Mapping[str, Any]) -> None:
        """
        Replace the trusted keys by those of a JWKS document. If a key is gone, clear the cache.

        :raises ValueError: if it is not a JWKS document.
        """
        keys = published.get("keys")
        if not isinstance(keys, list):
            raise ValueError("not a JWKS document")
        found = {}
        for key in keys:
            if isinstance(key, dict) and (key.get("kty"), key.get("crv")) == ("EC", "P-256") and key.get("kid"):
                found[str(key["kid"])] = jwt.PyJWK(key, ALGORITHM)
        if self._keys.keys() - found.keys():
            self._cache.clear()
        self._keys = found
        self._keys_by_header = {}

    def verify(self, token: str, *, now: float) -> Claims:
        """
        Return the claims of a valid token.

        :raises TokenRejected: ``token_invalid``, ``token_unknown_key``, ``token_expired`` or ``token_not_yet_valid``.
        """
        found = self._cache.get(token)
        if found is None:
            found = self._decode(token)
            self._cache[token] = found
            if len(self._cache) > self._remember:
                self._cache.popitem(last=False)
        if now >= found.expires_at + self._leeway:
            self._cache.pop(token, None)
            raise TokenRejected("token_expired")
        if now < found.not_before - self._leeway:
            raise TokenRejected("token_not_yet_valid")
        return found

    def _decode(self, token: str) -> Claims:
        if len(token) > MAX_TOKEN_LENGTH or token.count(".") != 2:
            raise TokenRejected("token_invalid")
        header = token[: token.index(".")]
        key = self._keys_by_header.get(header) or self._find_key(header)
        try:
            payload = json.loads(_ES256.decode_complete(token, key, algorithms=[ALGORITHM])["payload"])
            claims = _parse(payload)
        except (jwt.PyJWTError, ValueError, KeyError, TypeError, RecursionError):
            raise TokenRejected("token_invalid") from None
        audience = payload.get("aud")
        if payload.get("iss") != self._issuer or self._audience not in (
            audience if isinstance(audience, list) else [audience]
        ):
            raise TokenRejected("token_invalid")
        return claims

    def _find_key(self, header: str) -> jwt.PyJWK:
        try:
            fields = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
            kind, algorithm, kid = fields["typ"], fields["alg"], fields["kid"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise TokenRejected("token_invalid") from None
        if (kind, algorithm) != (TYPE, ALGORITHM):
            raise TokenRejected("token_invalid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise TokenRejected("token_unknown_key")
        if len(self._keys_by_header) < len(self._keys) * 4:  # bounded, so that forged headers cannot fill it
            self._keys_by_header[header] = key
        return key


def _parse(payload: Mapping[str, Any]) -> Claims:
    features = payload["features"]
    issued_at = float(payload["iat"])
    return Claims(
        subscriber=str(payload["sub"]),
        version=int(payload["version"]),
        issued_at=issued_at,
        expires_at=float(payload["exp"]),
        not_before=float(payload.get("nbf", issued_at)),
        features={str(name): float(until) for name, until in features.items()},
    )
