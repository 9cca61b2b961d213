"""
Entitlement tokens: ES256 JWTs that servers verify without a request, and the keys that sign them.

ES256 is faster to verify than EdDSA, and every edge runtime supports it. The keys are stored in the database, so that every
process signs with the same one. Each process reads them again at an interval that is much shorter than their lifetime.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import jwt
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from app.context import DatabaseContext
from app.db import signing_keys
from app.db.engine.session import QUERY_TIMEOUT, UNAVAILABLE, Sessions, with_timeout
from app.db.signing_keys import StoredKey
from app.domain.entitlements import Decision
from app.domain.signing_keys import LEAD, NoSigningKey, SigningKey, signer
from app.encryption import Cipher

ALGORITHM = "ES256"
TYPE = "entitlements+jwt"  # distinguishes it from an access token
REFRESH_INTERVAL = timedelta(seconds=30)
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A signed token, and when it expires, in real time."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Minting:
    """The claims that all tokens have in common, and their lifetime."""

    issuer: str
    audience: str
    life: timedelta


class Signer:
    """Signs tokens, and returns the public keys that verify them. One for each process."""

    def __init__(self, sessions: Sessions, cipher: Cipher, minting: Minting) -> None:
        self._sessions, self._cipher, self._minting = sessions, cipher, minting
        self._kept: Sequence[StoredKey] = ()
        self._refreshed_at: datetime | None = None
        self._opened: dict[str, ec.EllipticCurvePrivateKey | None] = {}

    async def mint(
        self, sub: str, features: dict[str, Decision], version: int, *, lasts: timedelta | None, now: datetime
    ) -> Token:
        """
        Sign a token for a reader.

        :param features: the features that the reader may use now.
        :param lasts: how long that is valid; None: without limit. The token expires no later.
        :param now: real time.
        :raises NoSigningKey: the database can't be reached, and no key is cached.
        """
        key, private = await self._signer(now)
        life = self._minting.life if lasts is None else min(lasts, self._minting.life)
        issued = int(now.timestamp())
        expires = max(issued + 1, int((now + life).timestamp()))
        # A feature without a known end lasts as long as the token.
        ends = {
            name: int(answer.until.timestamp()) if answer.until is not None else expires
            for name, answer in features.items()
        }
        claims = {
            "iss": self._minting.issuer,
            "aud": self._minting.audience,
            "sub": sub,
            "iat": issued,
            "nbf": issued,
            "exp": expires,
            "jti": secrets.token_urlsafe(12),
            "features": ends,
            "until": max(ends.values(), default=None),
            "version": version,
        }
        token = jwt.encode(claims, private, algorithm=ALGORITHM, headers={"kid": key.id, "typ": TYPE})
        return Token(token=token, expires_at=datetime.fromtimestamp(expires, now.tzinfo))

    async def published(self, *, now: datetime) -> list[dict[str, str]]:
        """Return every key that may have signed a valid token, as JWKs. There is always at least one."""
        await self._signer(now)
        return [dict(one.key.public) for one in self._kept if one.key.is_published(now)]

    async def _signer(self, now: datetime) -> tuple[SigningKey, ec.EllipticCurvePrivateKey]:
        if self._refreshed_at is None or not timedelta(0) <= now - self._refreshed_at < REFRESH_INTERVAL:
            await self._refresh(now)
        found = self._usable(now)
        if found is None:
            await self._make_first(now)
            found = self._usable(now)
        if found is None:
            raise NoSigningKey("No signing key is available")
        return found

    async def _refresh(self, now: datetime) -> None:
        try:
            self._kept = await with_timeout(QUERY_TIMEOUT, self._list_all())
            self._refreshed_at = now
        except UNAVAILABLE as failure:
            log.warning("signing_keys_not_refreshed", error=type(failure).__name__)

    async def _list_all(self) -> Sequence[StoredKey]:
        async with self._sessions.begin() as session:
            return await signing_keys.list_all(session)

    def _usable(self, now: datetime) -> tuple[SigningKey, ec.EllipticCurvePrivateKey] | None:
        """Return the key to sign with, among those that our secrets decrypt."""
        opened = {one.key.id: private for one in self._kept if (private := self._open(one)) is not None}
        key = signer((one.key for one in self._kept if one.key.id in opened), now=now)
        return (key, opened[key.id]) if key is not None else None

    def _open(self, kept: StoredKey) -> ec.EllipticCurvePrivateKey | None:
        if kept.key.id not in self._opened:
            text = self._cipher.decrypt(kept.private)
            if text is None:
                log.error(
                    "signing_key_unreadable", key=kept.key.id, why="not encrypted with any of NEWSSTAND_TOKEN_SECRETS"
                )
            self._opened[kept.key.id] = _private(text) if text is not None else None
        return self._opened[kept.key.id]

    async def _make_first(self, now: datetime) -> None:
        """Create a key that signs immediately, unless another process has just done so."""
        try:
            async with self._sessions.begin() as session:
                await signing_keys.lock(session)
                self._kept = await signing_keys.list_all(session)
                if self._usable(now) is None:
                    made = make(self._cipher, signs_from=now)
                    await signing_keys.add(session, made)
                    self._kept = [*self._kept, made]
            self._refreshed_at = now
        except UNAVAILABLE as failure:
            log.warning("signing_key_not_created", error=type(failure).__name__)


def make(cipher: Cipher, *, signs_from: datetime) -> StoredKey:
    """Create a key."""
    private = ec.generate_private_key(ec.SECP256R1())
    key_id = secrets.token_urlsafe(9)
    jwk: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(private.public_key()))
    public = {**{name: jwk[name] for name in ("kty", "crv", "x", "y")}, "kid": key_id, "alg": ALGORITHM, "use": "sig"}
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = SigningKey(id=key_id, public=public, signs_from=signs_from)
    return StoredKey(key=key, private=cipher.encrypt(pem.decode()))


def _private(pem: str) -> ec.EllipticCurvePrivateKey:
    loaded = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded


async def rotate(ctx: DatabaseContext, cipher: Cipher, *, now: datetime, compromised: bool = False) -> SigningKey:
    """
    Create a key that replaces all others. It is published now, and signs when every cache of the published keys has expired.

    :param compromised: the other private keys may be known. They are withdrawn, and the new key signs immediately.
    """
    made = make(cipher, signs_from=now if compromised else now + LEAD)
    async with ctx.sessions.begin() as session:
        await signing_keys.lock(session)
        stored = await signing_keys.list_all(session)
        if not any(one.key.signs(now) for one in stored):  # so there are no tokens yet
            made = StoredKey(key=replace(made.key, signs_from=now), private=made.private)
        await signing_keys.add(session, made)
        await signing_keys.retire_others(session, made.key.id, at=made.key.signs_from)
        if compromised:
            await signing_keys.withdraw_others(session, made.key.id, at=now)
    return made.key


async def list_all(ctx: DatabaseContext) -> list[SigningKey]:
    """Return all keys, the oldest first."""
    async with ctx.sessions.begin() as session:
        return [one.key for one in await signing_keys.list_all(session)]
