"""What both sites of the demo need of a browser: forms that only our own pages can send, and careful headers."""

import secrets

from starlette.datastructures import FormData, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# No `form-action`: browsers apply it to redirects too, and our forms rightly end at the payment page or the site.
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


def csrf_token(request: Request) -> str:
    """Return the token of this browser's session, to be put into a form; made at the first asking."""
    token = request.session.get("csrf")
    if not isinstance(token, str):
        token = request.session["csrf"] = secrets.token_urlsafe(24)
    return token


def is_our_form(request: Request, form: FormData) -> bool:
    """Tell whether a form came from a page of ours, shown to this very browser."""
    kept = request.session.get("csrf")
    return isinstance(kept, str) and secrets.compare_digest(kept.encode(), text(form, "csrf").encode())


def text(form: FormData, name: str) -> str:
    """Return a field of a form, trimmed; empty where it is missing or a file."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def money(form: FormData) -> dict[str, object]:
    """Return the amount that a page showed and sent along, in minor units; nothing at all where it was tampered with."""
    amount = text(form, "amount")
    return {"amount": int(amount) if amount.isdecimal() else 0, "currency": text(form, "currency")}


class CarefulHeaders:
    """Middleware that tells browsers to run no scripts, sniff no types, and keep no page of a signed-in reader."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Content-Security-Policy", CONTENT_POLICY)
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "same-origin")
                if not scope["path"].startswith("/static/"):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)
