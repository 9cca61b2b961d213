"""Form fields and CSRF protection, shared by both sites of the demo."""

import secrets

from starlette.datastructures import FormData
from starlette.requests import Request


def csrf_token(request: Request) -> str:
    """Return the CSRF token of this browser's session, creating it on first use."""
    token = request.session.get("csrf")
    if not isinstance(token, str):
        token = request.session["csrf"] = secrets.token_urlsafe(24)
    return token


def has_valid_csrf_token(request: Request, form: FormData) -> bool:
    """Return whether the form carries the CSRF token of this browser's session."""
    expected = request.session.get("csrf")
    return isinstance(expected, str) and secrets.compare_digest(expected.encode(), text_field(form, "csrf").encode())


def text_field(form: FormData, name: str) -> str:
    """Return a form field, trimmed; empty if it is missing or a file."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def money_field(form: FormData) -> dict[str, object]:
    """Return the amount that the page showed, in minor units with its currency; an invalid amount becomes 0."""
    amount = text_field(form, "amount")
    return {"amount": int(amount) if amount.isdecimal() else 0, "currency": text_field(form, "currency")}
