"""
Entitlement tokens: ES256 JWTs that a server at the edge checks by itself, and the keys that sign them.

ES256 is quicker to check than EdDSA, and known to every edge. The keys stand in the database, so that every process signs
with the same one; each process looks at them anew once in a while, which is far more often than they change.
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
TYPE = "entitlements+jwt"  # so that nothing takes it for an access token, nor an access token for it
LOOKED_AT_FOR = timedelta(seconds=30)  # then the keys are looked at again
log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A signed token, and the end of its life in real time."""

    token: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Minting:
    """What is the same in every token."""

    issuer: str
    audience: str
    life: timedelta


class Signer:
    """Signs tokens, and tells the keys by which they are checked. One for each process."""

    def __init__(self, sessions: Sessions, cipher: Cipher, minting: Minting) -> None:
        self._sessions, self._cipher, self._minting = sessions, cipher, minting
        self._kept: Sequence[StoredKey] = ()
        self._looked_at: datetime | None = None
        self._opened: dict[str, ec.EllipticCurvePrivateKey | None] = {}

    async def mint(
        self, sub: str, features: dict[str, Decision], version: int, *, lasts: timedelta | None, now: datetime
    ) -> Token:
        """
        Sign what a reader may use.

        :param features: what may be used now.
        :param lasts: for how long that stands by itself; None: for ever. No token outlives what it says.
        :param now: real time.
        :raises NoSigningKey: the database is away, and no key was seen before.
        """
        key, private = await self._signer(now)
        life = self._minting.life if lasts is None else min(lasts, self._minting.life)
        issued = int(now.timestamp())
        expires = max(issued + 1, int((now + life).timestamp()))
        ends = {name: int(answer.until.timestamp()) for name, answer in features.items() if answer.until is not None}
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
        """Return every key by which a living token may have to be checked, as JWKs. There is always one."""
        await self._signer(now)
        return [dict(one.key.public) for one in self._kept if one.key.is_published(now)]

    async def _signer(self, now: datetime) -> tuple[SigningKey, ec.EllipticCurvePrivateKey]:
        if self._looked_at is None or not timedelta(0) <= now - self._looked_at < LOOKED_AT_FOR:
            await self._look(now)
        found = self._usable(now)
        if found is None:
            await self._make_first(now)
            found = self._usable(now)
        if found is None:
            raise NoSigningKey("there is no key to sign with just now")
        return found

    async def _look(self, now: datetime) -> None:
        try:
            self._kept = await with_timeout(QUERY_TIMEOUT, self._every())
            self._looked_at = now
        except UNAVAILABLE as failure:
            log.warning("signing_keys_not_looked_at", error=type(failure).__name__)

    async def _every(self) -> Sequence[StoredKey]:
        async with self._sessions.begin() as session:
            return await signing_keys.list_all(session)

    def _usable(self, now: datetime) -> tuple[SigningKey, ec.EllipticCurvePrivateKey] | None:
        """Return the key to sign with, of those that our secrets open."""
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
        """Make a key that signs at once, unless another process just did."""
        try:
            async with self._sessions.begin() as session:
                await signing_keys.lock(session)
                self._kept = await signing_keys.list_all(session)
                if self._usable(now) is None:
                    made = make(self._cipher, signs_from=now)
                    await signing_keys.add(session, made)
                    self._kept = [*self._kept, made]
            self._looked_at = now
        except UNAVAILABLE as failure:
            log.warning("no_signing_key", error=type(failure).__name__)


def make(cipher: Cipher, *, signs_from: datetime) -> StoredKey:
    """Return a new key."""
    private = ec.generate_private_key(ec.SECP256R1())
    key_id = secrets.token_urlsafe(9)
    told: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(private.public_key()))
    public = {**{name: told[name] for name in ("kty", "crv", "x", "y")}, "kid": key_id, "alg": ALGORITHM, "use": "sig"}
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
    Make a key that follows all others: published now, and signing once everybody who caches keys has seen it.

    :param compromised: the others' secrets may be known. They count no more, and the new one signs at once.
    """
    made = make(cipher, signs_from=now if compromised else now + LEAD)
    async with ctx.sessions.begin() as session:
        await signing_keys.lock(session)
        held = await signing_keys.list_all(session)
        if not any(one.key.signs(now) for one in held):  # nobody has a token yet
            made = StoredKey(key=replace(made.key, signs_from=now), private=made.private)
        await signing_keys.add(session, made)
        await signing_keys.retire_others(session, made.key.id, at=made.key.signs_from)
        if compromised:
            await signing_keys.withdraw_others(session, made.key.id, at=now)
    return made.key


async def every(ctx: DatabaseContext) -> list[SigningKey]:
    """Return all keys, the oldest first."""
    async with ctx.sessions.begin() as session:
        return [one.key for one in await signing_keys.list_all(session)]
