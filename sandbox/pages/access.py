"""Access to the dashboard: only from a browser on this machine, and only forms of the dashboard itself."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def denial(request: Request) -> Response | None:
    """
    Return a 403 response if a request is not allowed, or None.

    The Host header is checked as well as the client, because any DNS name can resolve to this machine.
    """
    client = request.client.host if request.client else ""
    if client not in _LOOPBACK or request.url.hostname not in _LOOPBACK:
        return _forbidden("The dashboard is only available on this machine.")
    if request.method == "POST" and not _from_the_page(request):
        return _forbidden("This form was not submitted from the dashboard.")
    return None


def _from_the_page(request: Request) -> bool:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return urlsplit(origin).netloc == request.headers.get("host")
    return site is not None


def _forbidden(why: str) -> Response:
    return PlainTextResponse(why, 403, {"Cache-Control": "no-store"})
