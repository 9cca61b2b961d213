"""Renders templates with what all pages share, and flash messages: shown once, on the page after a form."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.account import cookies, labels
from app.account.sessions import ReaderSession, session_of
from app.account.state import ACCOUNT, account_of
from app.domain.branding import Brand
from app.pages import formatting

FOLDER = Path(__file__).parent
FLASH, FLASH_MAX_AGE = "notice", timedelta(minutes=1)
NAVIGATION = (("Subscription", "/"), ("Invoices", "/invoices"))

environment = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,  # names are text, even if they contain HTML
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters |= formatting.FILTERS | {
    "other_access": labels.other_access,
    "declared": labels.declared,
    "invoice_status": labels.invoice_status,
    "typographic": labels.typographic,
}
environment.globals |= {"account": ACCOUNT, "navigation": NAVIGATION}


def render(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """Render a template as an HTML response."""
    account, session = account_of(request), session_of(request)
    ctx = account.ctx
    shown = cookies.read(request, FLASH, account.flash_cipher, max_age=FLASH_MAX_AGE)
    context.setdefault("fault", None)
    context.setdefault("localization", ctx.localization)
    context |= {
        "zone": ctx.settings.zone,
        "publisher": ctx.catalogue.publisher,
        "brand": ctx.catalogue.brand,
        "site_url": ctx.settings.site_url,
        "livemode": ctx.settings.livemode,
        "session": session,
        "form_token": _form_token(session),
        "current_path": request.url.path,
        "flash": str(shown["say"]) if shown else None,
    }
    response = HTMLResponse(environment.get_template(template).render(context), status)
    if shown:
        cookies.delete(request, response, FLASH)
    return response


def error_page(request: Request, *, status: int, title: str, detail: str) -> Response:
    """Render the error page."""
    return render(request, "error.html", status=status, title=title, detail=detail)


def set_flash(request: Request, response: Response, message: str) -> None:
    """Show a message on the next page."""
    value = cookies.encrypted(request, account_of(request).flash_cipher, {"say": message[:500]})
    if value is not None:
        cookies.set_value(request, response, FLASH, value, max_age=FLASH_MAX_AGE)


def style_sheet(brand: Brand) -> str:
    """Return the style sheet with the publisher's colors and font."""

    def declarations(properties: dict[str, str]) -> str:
        return "".join(f"--{name}: {value}; " for name, value in properties.items())

    light = declarations(brand.light.properties() | {"font": brand.font_family})
    dark = declarations(brand.dark.properties())
    return f":root {{ {light}}}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}\n"


def _form_token(session: ReaderSession | None) -> Markup:
    """Return the hidden field that proves that a page of this session sent a form."""
    return Markup('<input type="hidden" name="form_token" value="{}">').format(session.form_token if session else "")
