"""
Entitlement tokens: verified once, remembered until they die.

The signature is nearly all of the cost, so a token that was seen is a look in a table. Nothing here fetches anything or
reads the time: both are handed in.
"""

import base64
import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt

ALGORITHM = "ES256"  # and no other: never "none", nor one with which who verifies could sign
TYPE = "entitlements+jwt"  # an access token is none
LONGEST = 8192  # characters
_ES256 = jwt.PyJWS(algorithms=[ALGORITHM])


class Refused(Exception):
    """The token opens nothing. ``reason`` says why, as a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Entitled:
    """What a token says. Times are seconds since 1970; ``features`` are those that may be used, and until when."""

    subscriber: str
    version: int
    issued_at: float
    expires_at: float
    not_before: float
    features: Mapping[str, float]


class Tokens:
    """Verifies tokens against the issuer's keys. ``remember`` bounds how many are kept."""

    def __init__(self, *, issuer: str, audience: str, leeway: float, remember: int = 10_000) -> None:
        self._issuer, self._audience, self._leeway, self._remember = issuer, audience, leeway, remember
        self._keys: dict[str, jwt.PyJWK] = {}
        self._headers: dict[str, jwt.PyJWK] = {}  # a key signs every token with the same header, to the letter
        self._seen: OrderedDict[str, Entitled] = OrderedDict()

    def set_keys(self, published: Mapping[str, Any]) -> None:
        """
        Trust the keys of a JWKS document and no others. What was verified with one that is gone is forgotten.

        :raises ValueError: if it is not such a document.
        """
        keys = published.get("keys")
        if not isinstance(keys, list):
            raise ValueError("the keys are not a JWKS document")
        found = {}
        for key in keys:
            if isinstance(key, dict) and (key.get("kty"), key.get("crv")) == ("EC", "P-256") and key.get("kid"):
                found[str(key["kid"])] = jwt.PyJWK(key, ALGORITHM)
        if self._keys.keys() - found.keys():
            self._seen.clear()
        self._keys = found
        self._headers = {}

    def knows(self) -> bool:
        """Tell whether there is any key to verify with."""
        return bool(self._keys)

    def read(self, token: str, *, now: float) -> Entitled:
        """
        Return what a genuine token says.

        :raises Refused: ``token_invalid``, ``token_unknown_key``, ``token_expired`` or ``token_not_yet_valid``.
        """
        found = self._seen.get(token)
        if found is None:
            found = self._verify(token)
            self._seen[token] = found
            if len(self._seen) > self._remember:
                self._seen.popitem(last=False)
        if now >= found.expires_at + self._leeway:
            self._seen.pop(token, None)
            raise Refused("token_expired")
        if now < found.not_before - self._leeway:
            raise Refused("token_not_yet_valid")
        return found

    def _verify(self, token: str) -> Entitled:
        if len(token) > LONGEST or token.count(".") != 2:
            raise Refused("token_invalid")
        header = token[: token.index(".")]
        key = self._headers.get(header) or self._key_of(header)
        try:
            claims = json.loads(_ES256.decode_complete(token, key, algorithms=[ALGORITHM])["payload"])
            entitled = _entitled(claims)
        except (jwt.PyJWTError, ValueError, KeyError, TypeError, RecursionError):
            raise Refused("token_invalid") from None
        audience = claims.get("aud")
        if claims.get("iss") != self._issuer or self._audience not in (
            audience if isinstance(audience, list) else [audience]
        ):
            raise Refused("token_invalid")
        return entitled

    def _key_of(self, header: str) -> jwt.PyJWK:
        try:
            said = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
            kind, algorithm, kid = said["typ"], said["alg"], said["kid"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise Refused("token_invalid") from None
        if (kind, algorithm) != (TYPE, ALGORITHM):
            raise Refused("token_invalid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise Refused("token_unknown_key")
        if len(self._headers) < len(self._keys) * 4:  # a few spellings of each: never a table that strangers fill
            self._headers[header] = key
        return key


def _entitled(claims: Mapping[str, Any]) -> Entitled:
    features = claims["features"]
    issued = float(claims["iat"])
    return Entitled(
        subscriber=str(claims["sub"]),
        version=int(claims["version"]),
        issued_at=issued,
        expires_at=float(claims["exp"]),
        not_before=float(claims.get("nbf", issued)),
        features={str(name): float(until) for name, until in features.items()},
    )
