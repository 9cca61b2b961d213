"""Who may use the page: a browser on this machine, and forms from the page itself alone."""

from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def denial(request: Request) -> Response | None:
    """
    Return why a request is refused, or None.

    The Host is looked at as well as the client, for a name of somebody else's can be made to lead to this machine.
    """
    client = request.client.host if request.client else ""
    if client not in _LOOPBACK or request.url.hostname not in _LOOPBACK:
        return _forbidden("The sandbox's page is for this machine alone.")
    if request.method == "POST" and not _from_the_page(request):
        return _forbidden("This form did not come from the sandbox's own page.")
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
