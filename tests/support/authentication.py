"""Requests and an authenticator, for tests of authentication."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from starlette.requests import HTTPConnection

from app.api.auth import Authenticator
from app.clock import SystemClock
from app.context import DatabaseContext
from app.db.engine.fast_reads import FastReads
from app.db.engine.pool import Pool
from app.db.engine.session import Sessions
from app.services import api_keys
from app.settings import Settings


class AdjustableClock(SystemClock):
    """The wall clock plus an offset that a test sets; or a clock that stands still but for that."""

    def __init__(self, *, stopped_at: datetime | None = None) -> None:
        self.ahead, self._stopped_at = timedelta(0), stopped_at

    def real(self) -> datetime:
        return (self._stopped_at or datetime.now(UTC)) + self.ahead


def make_authenticator(
    issuer: str, clock: AdjustableClock, sessions: Sessions | None = None, pool: Pool | None = None, **more: Any
) -> Authenticator:
    """Return an authenticator; ``more`` is its cool-down or settings. API keys need ``sessions`` and ``pool``."""
    settings = {"oidc_audience": "newsstand", "roles_claim": "roles"} | more
    cooldown = {"cooldown": settings.pop("cooldown")} if "cooldown" in settings else {}
    ctx = SimpleNamespace(
        settings=Settings(oidc_issuer=issuer, **settings),
        sessions=sessions,
        reads=FastReads(pool) if pool is not None else None,
    )
    return Authenticator(ctx, clock, **cooldown)  # type: ignore[arg-type]


def make_request(*authorization: str) -> HTTPConnection:
    headers = [(b"authorization", value.encode("latin-1")) for value in authorization]
    return HTTPConnection({"type": "http", "headers": headers})


async def create_api_key(ctx: DatabaseContext, *scopes: str, name: str = "the site", **more: Any) -> str:
    """Create an API key and return it; ``more`` is its life."""
    made = await api_keys.create(ctx, name, scopes, by="operator:test", now=datetime.now(UTC), **more)
    return made.key
