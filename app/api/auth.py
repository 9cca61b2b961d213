"""
Authenticate callers: a person with an access token of the identity provider, or a server with one of our API keys.

It works in FastAPI dependencies and in plain ASGI endpoints. A verified token is cached until it expires, because verifying
the signature is expensive. An API key is cached for a second, so that a revoked key is refused everywhere within a second.
While the database is unreachable, keys that were valid before stay valid for the outage allowance, so that servers can
still check entitlements.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from cachetools import LRUCache
from starlette.requests import HTTPConnection
from starlette.types import Scope

from app.api.tokens import LONGEST_TOKEN, IssuerKeys, verify
from app.clock import Clock
from app.context import Context
from app.db.caller_limits import CallerLimits
from app.db.engine.session import PATIENCE, QUERY_TIMEOUT, is_unreachable, with_timeout
from app.domain.api_keys import PREFIX, USE_RECORDED_EVERY, is_well_formed
from app.domain.caller_limits import Limit
from app.domain.callers import NotAuthenticated, Reader, ServerKey
from app.domain.errors import DatabaseUnavailable
from app.services import api_keys

TOKEN_CACHE_SIZE = 20_000  # about 20 MB
KEY_CACHE_SIZE = 1_000
KEY_CACHED_FOR = timedelta(seconds=1)
COOLDOWN = timedelta(seconds=10)  # between fetches of the issuer's keys because of unknown key IDs
CALLER = "caller"  # key in the ASGI scope: the kind of caller, for the log

T = TypeVar("T")


class ExpiringCache(Generic[T]):
    """An LRU cache whose entries have an expiry time of their own."""

    def __init__(self, size: int) -> None:
        self._entries: LRUCache[str | bytes, tuple[T, datetime, datetime]] = LRUCache(maxsize=size)

    def get(self, key: str | bytes, *, now: datetime) -> T | None:
        """Return a value, unless it expired. If the clock was set back behind the entry's start, it is dropped too."""
        try:
            value, since, until = self._entries[key]
        except KeyError:
            return None
        if since <= now < until:
            return value
        del self._entries[key]
        return None

    def put(self, key: str | bytes, value: T, *, now: datetime, until: datetime) -> None:
        """Add a value that expires at ``until``."""
        self._entries[key] = (value, now, until)

    def drop(self, key: str | bytes) -> None:
        """Remove an entry."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()


class Authenticator:
    """Authenticates callers. There is one in each process, and it is closed with it."""

    def __init__(
        self,
        ctx: Context,
        clock: Clock,
        *,
        cooldown: timedelta = COOLDOWN,
        cache_size: int = TOKEN_CACHE_SIZE,
        on_sign_in: Callable[[Reader], Awaitable[None]] | None = None,
        limits: CallerLimits | None = None,
    ) -> None:
        """
        Accept the access tokens of the configured issuer.

        :param cooldown: the least time between two fetches of the issuer's keys because of unknown key IDs.
        :param limits: how many wrong API keys are accepted; None: no limit.
        :param on_sign_in: called with the reader of each token that is seen for the first time.
        """
        self._on_sign_in, self._limits = on_sign_in, limits
        self._ctx, self._clock, self._settings = ctx, clock, ctx.settings
        self._issuer_keys = IssuerKeys(ctx.settings.oidc_issuer, cooldown=cooldown)
        self._generation = 0
        self._readers: ExpiringCache[Reader] = ExpiringCache(cache_size)
        self._servers: ExpiringCache[ServerKey] = ExpiringCache(KEY_CACHE_SIZE)
        self._last_known_servers: ExpiringCache[ServerKey] = ExpiringCache(KEY_CACHE_SIZE)
        self._is_silent = False  # whether the last lookup was not answered: then the next one need not be waited for
        self._lookups: dict[str, tuple[asyncio.Task[ServerKey], datetime]] = {}
        self._use_recorded_at: LRUCache[str, datetime] = LRUCache(maxsize=KEY_CACHE_SIZE)
        self._recordings: set[asyncio.Task[None]] = set()

    async def reader(self, request: HTTPConnection, *, cookie: str | None = None) -> Reader:
        """
        Return the person whose bearer token the request carries.

        :param cookie: the name of a cookie that may contain the token if the Authorization header does not.
        :raises NotAuthenticated: if there is no token, or it is invalid.
        :raises IssuerUnavailable: if the issuer's keys can't be fetched.
        """
        reader = await self.reader_of(_bearer(request.scope["headers"], cookie))
        request.scope[CALLER] = "staff" if reader.roles else "reader"
        return reader

    async def reader_of(self, token: str) -> Reader:
        """Return the person of an access token; raises as :meth:`reader`."""
        if len(token) > LONGEST_TOKEN:
            raise NotAuthenticated("The token is too long")
        if token.startswith(PREFIX):
            raise NotAuthenticated("An access token is required, not an API key")
        now = self._clock.real()
        self._issuer_keys.keep_fresh(now=now)
        if self._generation != self._issuer_keys.generation:
            self._generation = self._issuer_keys.generation
            self._readers.clear()
        cache_key = _hash(token)
        known = self._readers.get(cache_key, now=now)
        if known is not None:
            return known
        reader, until = await verify(
            token,
            self._issuer_keys,
            audience=self._settings.oidc_audience,
            roles_claim=self._settings.roles_claim,
            now=now,
        )
        if self._on_sign_in is not None:
            await self._on_sign_in(reader)
        self._readers.put(cache_key, reader, now=now, until=until)
        return reader

    async def server(self, request: HTTPConnection, scope: str) -> ServerKey:
        """
        Return the server whose API key the request carries.

        :raises NotAuthenticated: if there is no key, or it is invalid.
        :raises NotAllowed: if the key lacks the scope.
        :raises DatabaseUnavailable: if the database is unreachable and the key was not used shortly before.
        """
        key = _bearer(request.scope["headers"])
        if not is_well_formed(key):
            raise NotAuthenticated("An API key is required (nsk_…)")
        now, digest = self._clock.real(), api_keys.digest(key)
        server = self._servers.get(digest, now=now)
        if server is None:
            server, now = await self._look_up_within_limit(digest, now, address_of(request.scope))
            self._servers.put(digest, server, now=now, until=_no_later(now + KEY_CACHED_FOR, server.expires_at))
        request.scope[CALLER] = "server"
        server.require(scope)
        return server

    async def _look_up_within_limit(self, digest: str, now: datetime, address: str) -> tuple[ServerKey, datetime]:
        """
        Look up a key, unless its address has sent too many wrong ones and this one is not known to be right.

        :raises TooManyRequests: it has.
        """
        if self._limits is not None and self._last_known_servers.get(digest, now=now) is None:
            self._limits.check(Limit.API_KEY, address)
        try:
            return await self._look_up_once(digest, now)
        except NotAuthenticated:
            if self._limits is not None:
                await self._limits.take(Limit.API_KEY, address)
            raise

    async def _look_up_once(self, digest: str, now: datetime) -> tuple[ServerKey, datetime]:
        """Look up a key, or wait for a lookup that is under way. Return the start of the lookup too."""
        if digest not in self._lookups:
            lookup = asyncio.create_task(self._look_up(digest, now))
            lookup.add_done_callback(lambda ended: self._on_lookup(digest, ended))
            self._lookups[digest] = lookup, now
        lookup, started_at = self._lookups[digest]
        last_known = self._last_known_servers.get(digest, now=now)
        if last_known is not None:
            left = 0.0 if self._is_silent else PATIENCE - (now - started_at).total_seconds()
            if left > 0:
                await asyncio.wait({lookup}, timeout=left)
            if not lookup.done():
                return last_known, now
        return await asyncio.shield(lookup), started_at  # a caller that is canceled does not cancel it for the others

    def _on_lookup(self, digest: str, ended: "asyncio.Task[ServerKey]") -> None:
        self._lookups.pop(digest, None)
        if not ended.cancelled():
            ended.exception()  # marks it as retrieved: every caller may have used the last known key

    async def _look_up(self, digest: str, now: datetime) -> ServerKey:
        try:
            found = await with_timeout(QUERY_TIMEOUT, api_keys.find(self._ctx, digest))
        except Exception as error:
            if not is_unreachable(error):
                raise
            self._is_silent = True
            last_known = self._last_known_servers.get(digest, now=now)
            if last_known is None:
                raise DatabaseUnavailable("The database does not answer") from error
            return last_known
        self._is_silent = False
        if found is None:
            self._last_known_servers.drop(digest)
            raise NotAuthenticated("This API key is invalid or revoked")
        self._last_known_servers.put(
            digest, found, now=now, until=_no_later(now + self._settings.outage_allowance, found.expires_at)
        )
        self._record_use(found, now)
        return found

    def _record_use(self, server: ServerKey, now: datetime) -> None:
        """Store in the background that a key is used: at most every few minutes, all processes together."""
        tried_at = self._use_recorded_at.get(server.id, server.last_used_at)
        if tried_at is not None and timedelta(0) <= now - tried_at < USE_RECORDED_EVERY:
            return
        self._use_recorded_at[server.id] = now
        recording = asyncio.create_task(api_keys.record_use(self._ctx, server.id))
        self._recordings.add(recording)
        recording.add_done_callback(self._recordings.discard)

    @staticmethod
    def has_api_key(request: HTTPConnection) -> bool:
        """Return whether the request carries an API key, valid or not, rather than an access token."""
        return any(
            name == b"authorization" and value[7:].strip().startswith(PREFIX.encode())
            for name, value in request.scope["headers"]
        )

    def cached_reader(self, headers: Sequence[tuple[bytes, bytes]], cookie: str | None) -> Reader | None:
        """Return the person of a token that was verified before, or None."""
        try:
            token = _bearer(headers, cookie)
        except NotAuthenticated:
            return None
        if len(token) > LONGEST_TOKEN or self._generation != self._issuer_keys.generation:
            return None
        now = self._clock.real()
        self._issuer_keys.keep_fresh(now=now)
        return self._readers.get(_hash(token), now=now)

    def cached_server(self, headers: Sequence[tuple[bytes, bytes]], scope: str) -> ServerKey | None:
        """Return the server of an API key that was looked up within the last second and has a scope, or None."""
        try:
            key = _bearer(headers)
        except NotAuthenticated:
            return None
        server = self._servers.get(api_keys.digest(key), now=self._clock.real())
        return server if server is not None and scope in server.scopes else None

    async def close(self) -> None:
        """Finish or cancel background tasks."""
        await asyncio.gather(*self._recordings, return_exceptions=True)
        await self._issuer_keys.close()


def address_of(scope: Scope) -> str:
    """Return the address of a caller: the browser's if a trusted proxy named it."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def _no_later(until: datetime, expires_at: datetime | None) -> datetime:
    return until if expires_at is None else min(until, expires_at)


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _bearer(headers: Sequence[tuple[bytes, bytes]], cookie: str | None = None) -> str:
    """Return the bearer token of the Authorization header (RFC 6750, section 2.1), or else of the cookie."""
    found = [value for name, value in headers if name == b"authorization"]
    if cookie is not None and not any(value[:7].lower() == b"bearer " for value in found):
        value = cookie_value(headers, cookie.encode())
        if value is not None:
            return value.decode("latin-1")
    if not found:
        raise NotAuthenticated("The Authorization header is missing")
    scheme, _, token = found[0].decode("latin-1").partition(" ")
    token = token.strip()
    if len(found) > 1 or scheme.lower() != "bearer" or not token or not token.isascii():
        raise NotAuthenticated("Malformed Authorization header")
    return token


def cookie_value(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the value of the first cookie with a name."""
    for header, value in headers:
        if header == b"cookie":
            for pair in value.split(b";"):
                found, _, cookie = pair.strip().partition(b"=")
                if found == name and cookie:
                    return cookie.strip(b'"')
    return None
