"""
Who is calling: a person with their identity provider's token, or a server with a key of ours.

Usable from FastAPI dependencies and plain Starlette routes alike. A verified token is remembered until it dies, for its
signature is what costs; a key is remembered for a second, so that a revoked one is refused everywhere within that. While
the database does not answer, keys that were good just before still are, for the outage allowance: readers who are let in
meanwhile are asked about by servers.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from starlette.requests import HTTPConnection

from app.api.tokens import LONGEST_TOKEN, IssuerKeys, verify
from app.clock import Clock
from app.context import DatabaseContext
from app.db.engine.session import QUERY_TIMEOUT, is_unreachable, with_timeout
from app.domain.callers import NotAuthenticated, Reader, ServerKey
from app.domain.errors import DatabaseUnavailable
from app.services import api_keys as server_keys

REMEMBERED = 20_000  # tokens; about 20 MB at most
KEY_REMEMBERED_FOR = timedelta(seconds=1)
COOLDOWN = timedelta(seconds=10)  # between fetches of the issuer's keys because of ids that nobody knows
CALLER = "caller"  # in the ASGI scope: which kind of caller it was, for the log

T = TypeVar("T")


class Memory(Generic[T]):
    """The last ``most`` answers, each until its time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str | bytes, tuple[T, datetime, datetime]] = OrderedDict()

    def get(self, key: str | bytes, *, now: datetime) -> T | None:
        """Return what is remembered. A clock that was set back makes it forget."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        value, since, until = kept
        if not since <= now < until:
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return value

    def put(self, key: str | bytes, value: T, *, now: datetime, until: datetime) -> None:
        """Remember an answer, and forget the one that was not asked for the longest."""
        self._kept[key] = (value, now, until)
        self._kept.move_to_end(key)
        if len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def drop(self, key: str | bytes) -> None:
        """Forget one."""
        self._kept.pop(key, None)

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()


class Authenticator:
    """Tells who is calling. Built once for each process, and closed with it."""

    def __init__(
        self,
        ctx: DatabaseContext,
        clock: Clock,
        *,
        cooldown: timedelta = COOLDOWN,
        remembered: int = REMEMBERED,
        on_sign_in: Callable[[Reader], Awaitable[None]] | None = None,
    ) -> None:
        """
        Listen to one issuer.

        :param on_sign_in: called with each reader whose token is new to this process.
        """
        self._on_sign_in = on_sign_in
        self._ctx, self._clock, self._settings = ctx, clock, ctx.settings
        self._issuer_keys = IssuerKeys(ctx.settings.oidc_issuer, cooldown=cooldown)
        self._generation = 0
        self._readers: Memory[Reader] = Memory(remembered)
        self._servers: Memory[ServerKey] = Memory(1_000)
        self._looking: dict[str, tuple[asyncio.Task[ServerKey], datetime]] = {}
        self._servers_before: Memory[ServerKey] = Memory(1_000)
        self._servers_at_hand: Memory[ServerKey] = Memory(1_000)  # by the header as it came: nothing is quicker

    async def reader(self, request: HTTPConnection) -> Reader:
        """
        Return which person the request's bearer token speaks for.

        :raises NotAuthenticated: nobody's, or not a good one.
        :raises IssuerUnavailable: nobody can tell just now.
        """
        return await self.reader_at(request, None)

    async def reader_at(self, request: HTTPConnection, cookie: str | None) -> Reader:
        """As :meth:`reader`; a token in the cookie of that name will do when the header has none."""
        reader = await self.reader_of(_bearer(request.scope["headers"], cookie))
        request.scope[CALLER] = "staff" if reader.roles else "reader"
        return reader

    async def reader_of(self, token: str) -> Reader:
        """Return which person a token speaks for; as :meth:`reader`, wherever the token was found."""
        if len(token) > LONGEST_TOKEN:
            raise NotAuthenticated("the token is too long")
        if token.startswith(server_keys.PREFIX):
            raise NotAuthenticated("a person's token is needed here, and this is a server's key")
        now = self._clock.real()
        self._issuer_keys.keep_fresh(now=now)
        if self._generation != self._issuer_keys.generation:
            self._generation = self._issuer_keys.generation
            self._readers.clear()
        known_by = _hash(token)
        known = self._readers.get(known_by, now=now)
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
        self._readers.put(known_by, reader, now=now, until=until)
        return reader

    async def server(self, request: HTTPConnection, scope: str) -> ServerKey:
        """
        Return which server is calling, if its key is for that.

        :raises NotAuthenticated: there is no key, or not one that is valid.
        :raises NotAllowed: the key has not that scope.
        :raises DatabaseUnavailable: the database is away, and the key was not seen shortly before.
        """
        key = _bearer(request.scope["headers"])
        if not server_keys.is_well_formed(key):
            raise NotAuthenticated("an API key is needed here (nsk_…)")
        now, hashed = self._clock.real(), server_keys.digest(key)
        server = self._servers.get(hashed, now=now)
        if server is None:
            server, now = await self._looked_up_once(hashed, now)
            self._servers.put(hashed, server, now=now, until=now + KEY_REMEMBERED_FOR)
            sent = _only_authorization(request.scope["headers"])
            if sent is not None:
                self._servers_at_hand.put(sent, server, now=now, until=now + KEY_REMEMBERED_FOR)
        request.scope[CALLER] = "server"
        server.require(scope)
        return server

    async def _looked_up_once(self, hashed: str, now: datetime) -> tuple[ServerKey, datetime]:
        """
        Look a key up, or wait for whoever does so already: all that ask in one moment are one question.

        Returns when that look began, too: the answer is as old as that.
        """
        if hashed not in self._looking:
            look = asyncio.create_task(self._looked_up(hashed, now))
            look.add_done_callback(lambda _: self._looking.pop(hashed, None))
            self._looking[hashed] = look, now
        look, begun = self._looking[hashed]
        return await asyncio.shield(look), begun  # whoever goes away meanwhile does not take the answer from the others

    async def _looked_up(self, hashed: str, now: datetime) -> ServerKey:
        try:
            found = await with_timeout(QUERY_TIMEOUT, server_keys.find(self._ctx, hashed))
        except Exception as failure:
            if not is_unreachable(failure):
                raise
            before = self._servers_before.get(hashed, now=now)
            if before is None:
                raise DatabaseUnavailable("the database is not responding") from failure
            return before
        if found is None:
            self._servers_before.drop(hashed)
            raise NotAuthenticated("the API key is not known, or it was revoked")
        self._servers_before.put(hashed, found, now=now, until=now + self._settings.outage_allowance)
        return found

    def reader_at_hand(self, headers: Sequence[tuple[bytes, bytes]], cookie: str | None) -> Reader | None:
        """Return whose token it is, if it was verified before and is still good; None tells nothing."""
        try:
            token = _bearer(headers, cookie)
        except NotAuthenticated:
            return None
        if len(token) > LONGEST_TOKEN or self._generation != self._issuer_keys.generation:
            return None
        now = self._clock.real()
        self._issuer_keys.keep_fresh(now=now)
        return self._readers.get(_hash(token), now=now)

    def server_at_hand(self, headers: Sequence[tuple[bytes, bytes]], scope: str) -> ServerKey | None:
        """Return whose key it is, if it was looked up within the last second, for that scope; None tells nothing."""
        sent = _only_authorization(headers)
        server = self._servers_at_hand.get(sent, now=self._clock.real()) if sent is not None else None
        return server if server is not None and scope in server.scopes else None

    async def close(self) -> None:
        """Give up what runs in the background."""
        await self._issuer_keys.close()


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _only_authorization(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """Return the one Authorization header, as it was sent; None: there is none, or another one."""
    sent = None
    for name, value in headers:
        if name == b"authorization":
            if sent is not None:
                return None
            sent = value
    return sent


def _bearer(headers: Sequence[tuple[bytes, bytes]], cookie: str | None = None) -> str:
    """Return the bearer token of the one Authorization header (RFC 6750, section 2.1), or else of the cookie."""
    found = [value for name, value in headers if name == b"authorization"]
    if cookie is not None and not any(value[:7].lower() == b"bearer " for value in found):
        kept = in_cookie(headers, cookie.encode())
        if kept is not None:
            return kept.decode("latin-1")
    if not found:
        raise NotAuthenticated("there is no Authorization header")
    scheme, _, token = found[0].decode("latin-1").partition(" ")
    token = token.strip()
    if len(found) > 1 or scheme.lower() != "bearer" or not token or not token.isascii():
        raise NotAuthenticated("the Authorization header is not one bearer token")
    return token


def in_cookie(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """Return the value of the first cookie of that name."""
    for header, value in headers:
        if header == b"cookie":
            for pair in value.split(b";"):
                found, _, kept = pair.strip().partition(b"=")
                if found == name and kept:
                    return kept.strip(b'"')
    return None
