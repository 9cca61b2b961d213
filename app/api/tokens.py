"""
Verify access tokens: RFC 9068 JWTs, signed with the keys that the configured issuer publishes.

The keys are fetched with aiohttp, because PyJWT's own client blocks the event loop. The time is always passed in, because
only the clock reads it.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import structlog

from app.domain.callers import LONGEST_SUB, IssuerUnavailable, NotAuthenticated, Reader, with_implied_roles
from app.domain.text import is_showable

# Asymmetric algorithms only: with HS*, everyone who can verify a token can sign one. Never "none".
ALGORITHMS = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "ES384": "EC", "EdDSA": "OKP"}
TYPES = frozenset({"at+jwt", "application/at+jwt"})  # an ID token is not an access token
_LANGUAGE_TAG = re.compile(r"(?=.{2,35}$)[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*")
LEEWAY = timedelta(seconds=30)  # between the issuer's clock and ours
LONGEST_TOKEN = 8192  # bytes
FRESH_FOR = timedelta(minutes=5)  # then the keys are fetched again in the background, so that withdrawn keys disappear
USABLE_FOR = timedelta(hours=24)  # while the issuer is unreachable
RETRY = timedelta(seconds=1)  # between attempts while there are no keys
MAX_CACHED_FOR = timedelta(hours=24)  # a token that lives longer is verified again after a day
MAX_DOCUMENT = 1_000_000  # bytes
Claims = Mapping[str, Any]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Published:
    """The issuer's exact name and its signing keys, as published."""

    issuer: str
    keys: tuple[Mapping[str, Any], ...]
    fetched_at: datetime


class IssuerKeys:
    """
    The issuer's keys, found by OpenID Connect discovery.

    An unknown key ID triggers a new fetch, but at most one per ``cooldown``, however many invented IDs arrive. While the
    issuer is unreachable, the fetched keys stay usable.
    """

    def __init__(self, issuer: str, *, cooldown: timedelta, timeout: timedelta = timedelta(seconds=5)) -> None:
        self._url, self._cooldown = issuer.rstrip("/"), cooldown
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._published: _Published | None = None
        self._parsed: dict[tuple[str, str], jwt.PyJWK] = {}
        self._tried_at: datetime | None = None
        self._failed = False
        self._fetch_lock = asyncio.Lock()
        self._refresh: asyncio.Task[None] | None = None
        self.generation = 0  # incremented when a key is withdrawn: its tokens must be verified again

    async def find(self, kid: str | None, algorithm: str, *, now: datetime) -> tuple[str, jwt.PyJWK]:
        """
        Return the issuer's exact name, and its key with an ID for an algorithm.

        :param kid: the key ID; None for the only key of the algorithm.
        :raises IssuerUnavailable: if the keys can't be fetched.
        :raises NotAuthenticated: if the issuer has no such key.
        """
        if (
            self._published is None
            or now - self._published.fetched_at > USABLE_FOR
            or self._key(kid, algorithm) is None
        ):
            await self._fetch_for(kid, algorithm, now)
        if self._published is None or now - self._published.fetched_at > USABLE_FOR:
            raise IssuerUnavailable
        key = self._key(kid, algorithm)
        if key is None:
            raise IssuerUnavailable if self._failed else NotAuthenticated("The token is signed with an unknown key")
        return self._published.issuer, key

    def keep_fresh(self, *, now: datetime) -> None:
        """Fetch the keys again in the background if they are no longer fresh."""
        if self._published is None or now - self._published.fetched_at <= FRESH_FOR or not self._may_refetch(now):
            return
        if self._refresh is None or self._refresh.done():
            self._tried_at = now
            self._refresh = asyncio.create_task(self._fetch(now))

    async def close(self) -> None:
        """Cancel the background fetch."""
        if self._refresh is not None:
            self._refresh.cancel()
            await asyncio.gather(self._refresh, return_exceptions=True)

    def _may_refetch(self, now: datetime) -> bool:
        pause = RETRY if self._published is None else self._cooldown
        return self._tried_at is None or not timedelta(0) <= now - self._tried_at < pause

    def _key(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        published = self._published.keys if self._published else ()
        fitting = [key for key in published if _fits(key, algorithm) and (kid is None or key.get("kid") == kid)]
        if not fitting or (kid is None and len(fitting) > 1):
            return None
        known = (str(fitting[0].get("kid")), algorithm)
        if known not in self._parsed:
            try:
                self._parsed[known] = jwt.PyJWK(dict(fitting[0]), algorithm)
            except (jwt.PyJWTError, KeyError, ValueError, TypeError) as error:
                log.warning("issuer_key_unusable", kid=known[0], error=type(error).__name__)
                return None
        return self._parsed[known]

    async def _fetch_for(self, kid: str | None, algorithm: str, now: datetime) -> None:
        """Fetch the keys once for all callers that wait, unless they were fetched in the meantime."""
        if self._refresh is not None and not self._refresh.done():
            await asyncio.wait([self._refresh])
        before = self._tried_at
        async with self._fetch_lock:
            if (
                self._tried_at == before
                and self._may_refetch(now)
                and (not self._published or not self._key(kid, algorithm))
            ):
                self._tried_at = now
                await self._fetch(now)

    async def _fetch(self, now: datetime) -> None:
        try:
            published = await self._download(now)
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            self._failed = True
            log.warning("issuer_unavailable", error=type(error).__name__, reason=str(error)[:200])
            return
        self._failed = False
        before = self._published
        if before is not None and any(key not in published.keys for key in before.keys):
            self.generation += 1
        self._published = published
        self._parsed = {}

    async def _download(self, now: datetime) -> _Published:
        """
        Fetch the issuer's name and keys.

        :raises ValueError: if its name differs from the settings, or the URL of its keys is less secure than its own.
        """
        async with aiohttp.ClientSession(timeout=self._timeout) as session:
            metadata = await _document(session, f"{self._url}/.well-known/openid-configuration")
            issuer, jwks_uri = str(metadata["issuer"]), str(metadata["jwks_uri"])
            if issuer.rstrip("/") != self._url:
                raise ValueError("the issuer in the discovery document differs from the setting")
            schemes = {"https"} if urlsplit(self._url).scheme == "https" else {"http", "https"}
            if urlsplit(jwks_uri).scheme not in schemes:
                raise ValueError("the issuer's jwks_uri is not HTTPS")
            keys = (await _document(session, jwks_uri))["keys"]
        usable = tuple(key for key in keys if isinstance(key, dict) and key.get("use", "sig") == "sig")
        if not usable:
            raise ValueError("the issuer publishes no signing key")
        return _Published(issuer, usable, now)


async def _document(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Download a JSON object, without following redirects."""
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"the issuer answered {response.status}")
        body = b""
        async for part in response.content.iter_chunked(65536):
            body += part
            if len(body) > MAX_DOCUMENT:
                raise ValueError("the issuer's response is too large")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("the issuer's response is not a JSON object")
    return found


def _fits(key: Mapping[str, Any], algorithm: str) -> bool:
    return key.get("kty") == ALGORITHMS[algorithm] and key.get("alg", algorithm) == algorithm


async def verify(
    token: str, keys: IssuerKeys, *, audience: str, roles_claim: str, now: datetime
) -> tuple[Reader, datetime]:
    """
    Verify a token, and return its person and its expiry.

    :raises NotAuthenticated: if the token is invalid; the detail says why.
    :raises IssuerUnavailable: if the issuer's keys can't be fetched.
    """
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise NotAuthenticated("The token is not a JWT") from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if str(header.get("typ", "")).lower() not in TYPES:
        raise NotAuthenticated("The token is not an access token (its typ is not at+jwt)")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise NotAuthenticated("The token's signature algorithm is not accepted")
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
                "verify_exp": False,  # _check_times does, with the time that is passed in
                "verify_iat": False,
                "verify_nbf": False,
                "enforce_minimum_key_length": True,
            },
        )
    except jwt.InvalidIssuerError:
        raise NotAuthenticated("The token has another issuer") from None
    except jwt.InvalidAudienceError:
        raise NotAuthenticated("The token has another audience") from None
    except jwt.MissingRequiredClaimError as missing:
        raise NotAuthenticated(f"The token lacks the claim {missing.claim}") from None
    except jwt.InvalidSignatureError:
        raise NotAuthenticated("The token's signature is invalid") from None
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise NotAuthenticated("The token is malformed") from None


def _check_times(claims: Claims, now: datetime) -> datetime:
    """Return the time at which the token expires, including leeway."""
    seconds, leeway = now.timestamp(), LEEWAY.total_seconds()
    for name in ("exp", "iat", "nbf"):
        value = claims.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**40) < value < 2**40:
            raise NotAuthenticated(f"The token's {name} is not a time")
    if seconds >= claims["exp"] + leeway:
        raise NotAuthenticated("The token has expired")
    if max(claims["iat"], claims.get("nbf", 0)) > seconds + leeway:
        raise NotAuthenticated("The token is not valid yet")
    left = timedelta(seconds=min(claims["exp"] + leeway - seconds, MAX_CACHED_FOR.total_seconds()))
    return now + left


def _reader(claims: Claims, roles_claim: str) -> Reader:
    sub = claims["sub"]
    if not sub or len(sub) > LONGEST_SUB or not sub.isprintable():
        raise NotAuthenticated("The token's sub is empty, too long or not printable")
    return Reader(
        sub=sub,
        email=_text(claims.get("email")),
        name=_name(claims.get("name")),
        email_verified=claims.get("email_verified") is True,
        locale=_locale(claims.get("locale")),
        roles=with_implied_roles(_roles(claims, roles_claim)),
        issued_at=datetime.fromtimestamp(claims["iat"], UTC),
        signed_in_at=_time(claims.get("auth_time")),
        acr=_text(claims.get("acr")),
    )


def _locale(value: object) -> str | None:
    """Return a language tag (OpenID Connect Core 1.0, section 5.1), or None if it is none."""
    return value if isinstance(value, str) and _LANGUAGE_TAG.fullmatch(value) else None


def _time(value: object) -> datetime | None:
    """Return the time of an optional claim, or None if it is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**36:
        return None
    return datetime.fromtimestamp(value, UTC)


def _text(value: object) -> str | None:
    """Return a text that can be stored and shown, or None: an unusable name is no reason to refuse the token."""
    return value if isinstance(value, str) and 0 < len(value) <= 320 and value.isprintable() else None


def _name(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 320 and is_showable(value) else None


def _roles(claims: Claims, name: str) -> Sequence[str]:
    """Return the roles: a list or a space-separated string, in the claim of that name or of that dotted path."""
    found: object = claims.get(name)
    if name not in claims:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return found.split()
    return [role for role in found if isinstance(role, str)] if isinstance(found, list) else []
