"""
Access tokens of the configured issuer: RFC 9068 JWTs, verified here with the keys that the issuer publishes.

The keys are fetched with aiohttp and kept as a ``jwt.PyJWK`` each: PyJWT's own client blocks the event loop while it
fetches, and reads the time by itself. Every time is passed in, so that nothing but the clock tells it.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import structlog

from app.domain.callers import LONGEST_SUB, IssuerUnavailable, NotAuthenticated, Reader, with_implied_roles

# Signatures that only the issuer can make. Never "none", nor HS*, where who verifies can sign.
ALGORITHMS = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "ES384": "EC", "EdDSA": "OKP"}
TYPES = frozenset({"at+jwt", "application/at+jwt"})  # an ID token is not for us
LEEWAY = timedelta(seconds=30)  # between the issuer's clock and ours
LONGEST_TOKEN = 8192  # bytes
FRESH_FOR = timedelta(minutes=5)  # then the keys are asked for again, beside the requests, so that a withdrawn one goes
KEPT_FOR = timedelta(hours=24)  # how long they go on working while the issuer is down
RETRY = timedelta(seconds=1)  # between attempts while there is no key at all
LONGEST_MEMORY = timedelta(hours=24)  # however long a token lives, it is verified again after a day
LARGEST_DOCUMENT = 1_000_000  # bytes
Claims = Mapping[str, Any]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Published:
    """What the issuer says of itself: its exact name, and its signing keys as they were published."""

    issuer: str
    keys: tuple[Mapping[str, Any], ...]
    at: datetime


class IssuerKeys:
    """
    The issuer's keys, found by discovery.

    A key id that is not known has them fetched again, but never more often than once in ``cooldown``, however many
    made-up ids arrive. While the issuer is down, what was fetched goes on working.
    """

    def __init__(self, issuer: str, *, cooldown: timedelta, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._address, self._cooldown = issuer.rstrip("/"), cooldown
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._published: _Published | None = None
        self._made: dict[tuple[str, str], jwt.PyJWK] = {}
        self._tried_at: datetime | None = None
        self._failed = False
        self._one_at_a_time = asyncio.Lock()
        self._refresh: asyncio.Task[None] | None = None
        self.generation = 0  # raised when a key is gone: what was verified with it has to be verified again

    async def find(self, kid: str | None, algorithm: str, *, now: datetime) -> tuple[str, jwt.PyJWK]:
        """
        Return the issuer's exact name and the key of that id for that algorithm.

        :param kid: None: the only key there is for the algorithm.
        :raises IssuerUnavailable: the keys cannot be fetched, so nothing can be said of the token.
        :raises NotAuthenticated: the issuer has no such key.
        """
        if self._published is None or now - self._published.at > KEPT_FOR or self._key(kid, algorithm) is None:
            await self._fetch_for(kid, algorithm, now)
        if self._published is None or now - self._published.at > KEPT_FOR:
            raise IssuerUnavailable
        key = self._key(kid, algorithm)
        if key is None:
            raise IssuerUnavailable if self._failed else NotAuthenticated("the token is signed with an unknown key")
        return self._published.issuer, key

    def keep_fresh(self, *, now: datetime) -> None:
        """Have the keys fetched again, in the background, when they are no longer fresh. Costs next to nothing."""
        if self._published is None or now - self._published.at <= FRESH_FOR or not self._may_try(now):
            return
        if self._refresh is None or self._refresh.done():
            self._tried_at = now
            self._refresh = asyncio.create_task(self._fetch(now))

    async def close(self) -> None:
        """Give up what runs in the background."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)

    def _may_try(self, now: datetime) -> bool:
        pause = RETRY if self._published is None else self._cooldown
        return self._tried_at is None or not timedelta(0) <= now - self._tried_at < pause

    def _key(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        published = self._published.keys if self._published else ()
        fitting = [key for key in published if _fits(key, algorithm) and (kid is None or key.get("kid") == kid)]
        if not fitting or (kid is None and len(fitting) > 1):
            return None
        known = (str(fitting[0].get("kid")), algorithm)
        if known not in self._made:
            try:
                self._made[known] = jwt.PyJWK(dict(fitting[0]), algorithm)
            except (jwt.PyJWTError, KeyError, ValueError, TypeError) as broken:
                log.warning("issuer_key_unusable", kid=known[0], error=type(broken).__name__)
                return None
        return self._made[known]

    async def _fetch_for(self, kid: str | None, algorithm: str, now: datetime) -> None:
        """Fetch once for all who wait for it, unless it was done just now."""
        if self._refresh is not None and not self._refresh.done():
            await asyncio.wait([self._refresh])
        before = self._tried_at
        async with self._one_at_a_time:
            if (
                self._tried_at == before
                and self._may_try(now)
                and (not self._published or not self._key(kid, algorithm))
            ):
                self._tried_at = now
                await self._fetch(now)

    async def _fetch(self, now: datetime) -> None:
        try:
            published = await self._ask(now)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as failure:
            self._failed = True
            log.warning("issuer_unavailable", error=type(failure).__name__, why=str(failure)[:200])
            return
        self._failed = False
        before = self._published
        if before is not None and any(key not in published.keys for key in before.keys):
            self.generation += 1
        self._published = published
        self._made = {}

    async def _ask(self, now: datetime) -> _Published:
        """
        Ask the issuer for its name and keys.

        :raises ValueError: it calls itself something else, or publishes its keys in the clear though it uses TLS.
        """
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            said = await _document(session, f"{self._address}/.well-known/openid-configuration")
            issuer, place = str(said["issuer"]), str(said["jwks_uri"])
            if issuer.rstrip("/") != self._address:
                raise ValueError("the issuer of the discovery document is another than the one in the settings")
            schemes = {"https"} if urlsplit(self._address).scheme == "https" else {"http", "https"}
            if urlsplit(place).scheme not in schemes:
                raise ValueError("the issuer's jwks_uri is not one that can be trusted")
            keys = (await _document(session, place))["keys"]
        usable = tuple(key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig")
        if not usable:
            raise ValueError("the issuer publishes no signing key")
        return _Published(issuer, usable, now)


async def _document(session: aiohttp.ClientSession, address: str) -> dict[str, Any]:
    """Return a JSON object. Redirects are not followed: the address was given to us by who answers for it."""
    async with session.get(address, allow_redirects=False) as reply:
        if reply.status != 200:
            raise ValueError(f"the issuer answered {reply.status}")
        body = b""
        async for part in reply.content.iter_chunked(65536):
            body += part
            if len(body) > LARGEST_DOCUMENT:
                raise ValueError("the issuer's answer is too large")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("the issuer's answer is not an object")
    return found


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    return key.get("kty") == ALGORITHMS[algorithm] and key.get("alg", algorithm) == algorithm


async def verify(
    token: str, keys: IssuerKeys, *, audience: str, roles_claim: str, now: datetime
) -> tuple[Reader, datetime]:
    """
    Return who a token speaks for, and until when.

    :raises NotAuthenticated: it is not a good token of the issuer for us; the detail says why, and no more.
    :raises IssuerUnavailable: the issuer's keys cannot be had.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise NotAuthenticated("the token is not a JWT") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if str(header.get("typ", "")).lower() not in TYPES:
        raise NotAuthenticated("the token is not an access token (its typ is not at+jwt)")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise NotAuthenticated("the token is signed with an algorithm that is not accepted")
    issuer, key = await keys.find(kid, algorithm, now=now)
    claims = _claims(token, key, algorithm, issuer=issuer, audience=audience)
    expires_at = _check_times(claims, now)
    return _reader(claims, roles_claim), expires_at


def _claims(token: str, key: jwt.PyJWK, algorithm: str, *, issuer: str, audience: str) -> Claims:
    try:
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer,
            audience=audience,
            options={
                "require": ["iss", "aud", "sub", "exp", "iat"],
                "verify_exp": False,  # the three times are checked below, by the time that is passed in
                "verify_iat": False,
                "verify_nbf": False,
                "enforce_minimum_key_length": True,
            },
        )
    except jwt.InvalidIssuerError:
        raise NotAuthenticated("the token is of another issuer") from None
    except jwt.InvalidAudienceError:
        raise NotAuthenticated("the token is for another audience") from None
    except jwt.MissingRequiredClaimError as missing:
        raise NotAuthenticated(f"the token has no {missing.claim}") from None
    except jwt.InvalidSignatureError:
        raise NotAuthenticated("the token's signature is wrong") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise NotAuthenticated("the token is malformed") from None


def _check_times(claims: Claims, now: datetime) -> datetime:
    """Return until when the token may be taken as good, leeway included."""
    seconds, leeway = now.timestamp(), LEEWAY.total_seconds()
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**40) < value < 2**40:
            raise NotAuthenticated(f"the token's {name} is not a time")
    if seconds >= claims["exp"] + leeway:
        raise NotAuthenticated("the token has expired")
    if max(claims["iat"], claims.get("nbf", 0)) > seconds + leeway:
        raise NotAuthenticated("the token is not valid yet")
    left = timedelta(seconds=min(claims["exp"] + leeway - seconds, LONGEST_MEMORY.total_seconds()))
    return now + left


def _reader(claims: Claims, roles_claim: str) -> Reader:
    sub = claims["sub"]
    if not sub or len(sub) > LONGEST_SUB or not sub.isprintable():
        raise NotAuthenticated("the token's sub is not usable")
    return Reader(
        sub=sub,
        email=_text(claims.get("email")),
        name=_text(claims.get("name")),
        email_verified=claims.get("email_verified") is True,
        roles=with_implied_roles(_roles(claims, roles_claim)),
    )


def _text(value: object) -> str | None:
    """Return what can be kept and shown, or nothing: an odd name is no reason to send its owner away."""
    return value if isinstance(value, str) and 0 < len(value) <= 320 and value.isprintable() else None


def _roles(claims: Claims, name: str) -> Sequence[str]:
    """Return the roles: a list or a spaced string, under that very name or along its dots."""
    found: object = claims.get(name)
    if name not in claims:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return found.split()
    return [role for role in found if isinstance(role, str)] if isinstance(found, list) else []
