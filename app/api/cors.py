"""
Cross-origin requests (CORS): the front ends that may call the API from a browser.

Only the routes for readers allow them, and only with a bearer token: cookies are never accepted. The headers are added by
:class:`~app.api.middleware.RequestContext`, so that refusals of any kind have them too, and a preflight is answered there,
without a token. Starlette's own middleware leaves ``Vary: Origin`` out of responses to requests without an origin, which a
cache could then give to a front end that can't read them.
"""

from collections.abc import Collection
from dataclasses import dataclass

from starlette.types import Scope

PREFIXES = ("/v1/plans", "/v1/features", "/v1/checkout-sessions", "/v1/me", "/v1/cancellations")
BELOW = tuple(f"{prefix}/" for prefix in PREFIXES)
PREFLIGHT = "preflight"  # in the log and in the metrics
METHODS = b"GET, POST, PUT, DELETE"
REQUEST_HEADERS = b"Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Request-Id"
EXPOSED = b"ETag, Retry-After, WWW-Authenticate, X-Request-Id"
MAX_AGE = b"7200"  # seconds: no browser remembers a preflight for longer
Headers = list[tuple[bytes, bytes]]
VARY = (b"vary", b"Origin")


@dataclass(frozen=True, slots=True)
class PreflightRoute:
    """What the log and the metrics name instead of a route."""

    path: str = PREFLIGHT


@dataclass(frozen=True, slots=True)
class CrossOrigin:
    """The origins that are allowed. None: CORS is off."""

    origins: Collection[bytes] = ()

    def covers(self, path: str) -> bool:
        """Return whether a path is for readers, and so for front ends."""
        return bool(self.origins) and (path in PREFIXES or path.startswith(BELOW))

    def headers(self, origin: bytes) -> Headers:
        """Return the headers of a response to a request with this origin; it is empty if there is none."""
        if origin not in self.origins:
            return [VARY]
        return [VARY, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", EXPOSED)]

    def preflight_headers(self, origin: bytes) -> Headers:
        """Return the additional headers of the answer to a preflight. Without them, the browser sends no request."""
        if origin not in self.origins:
            return []
        return [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", REQUEST_HEADERS),
            (b"access-control-max-age", MAX_AGE),
        ]


def is_preflight(scope: Scope) -> bool:
    """Return whether a browser asks whether it may send a request."""
    if scope["method"] != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names
