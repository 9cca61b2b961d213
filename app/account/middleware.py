"""What applies to every response: the session, the security headers, and error pages."""

from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.account import sessions, templating
from app.account.state import ACCOUNT, absolute_url, account_of
from app.domain.branding import Brand
from app.pages import errors
from app.pages.forms import same_origin
from app.pages.security_headers import SECURITY_HEADERS

BACK_CHANNEL_LOGOUT = "/backchannel-logout"


def security_headers(brand: Brand) -> dict[str, str]:
    """Return the security headers of the pages, which run no scripts and may show the publisher's logo."""
    images = "'self'"
    if brand.logo is not None and brand.logo.url is not None:
        parts = urlsplit(brand.logo.url)
        images += f" {parts.scheme}://{parts.netloc}"
    policy = (
        f"default-src 'none'; style-src 'self'; img-src {images}; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    return SECURITY_HEADERS | {"Content-Security-Policy": policy}


class ErrorMiddleware:
    """Renders a page for unexpected errors."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        await errors.answer_errors(self._app, scope, receive, send, page=_error_page)


def _error_page(request: Request) -> Response:
    detail = "This is our fault. Before you try again, check your account: your change may be saved."
    page = templating.error_page(request, status=500, title="Something went wrong", detail=detail)
    page.headers.update(security_headers(account_of(request).ctx.catalogue.brand))
    return page


class SessionMiddleware:
    """Loads and renews the session, refuses forms of other sites, and adds the security headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        scope[sessions.SCOPE_KEY] = sessions.load(request)
        added = security_headers(account_of(request).ctx.catalogue.brand)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
                session = sessions.session_of(request)
                if session is not None:
                    sessions.renew(request, session, headers)
            await send(message)

        is_from_provider = request.url.path == ACCOUNT + BACK_CHANNEL_LOGOUT  # its signature proves its origin
        url = absolute_url(request) if account_of(request).ctx.settings.account_url else None
        if request.method not in {"GET", "HEAD"} and not is_from_provider and not same_origin(request, url=url):
            detail = "This form was sent by another site, so nothing was changed."
            page = templating.error_page(request, status=403, title="Request refused", detail=detail)
            await page(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)
