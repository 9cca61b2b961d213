"""Renders templates with what all pages share, and flash messages: shown once, on the page after a form."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.console import labels, stripe_links
from app.console.sessions import StaffSession, session_of
from app.console.state import CONSOLE, ConsoleState
from app.domain.callers import Role
from app.domain.work_queue import ItemKind, bounded
from app.pages import formatting
from app.pages.cookies import CookieCipher

FOLDER = Path(__file__).parent
FLASH_COOKIE = "newsstand_notice"
FLASH_MAX_AGE = timedelta(minutes=1)

NAVIGATION = (  # title, path, role
    ("Queue", "/", ""),
    ("Readers", "/readers", Role.SUPPORT),
    ("Disputes", "/disputes", Role.SUPPORT),
    ("Approvals", "/approvals", Role.SUPERVISOR),
    ("Issues", "/issues", Role.CIRCULATION),
    ("Email", "/notifications", Role.SUPPORT),
    ("Liability", "/liability", Role.FINANCE),
    ("Prices", "/price-migrations", Role.ADMIN),
    ("Events", "/events", Role.ADMIN),
    ("Audit log", "/audit", Role.ADMIN),
    ("Views", "/views", Role.PRIVACY),
    ("Staff", "/staff", Role.ADMIN),
    ("API keys", "/api-keys", Role.ADMIN),
    ("Webhooks", "/webhook-endpoints", Role.ADMIN),
)

environment = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,  # names, notes and searches are text, even if they contain HTML
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.filters |= formatting.FILTERS | {
    "label": labels.label,
    "reason": labels.reason,
    "actor": labels.actor,
    "bounded": bounded,
    "feature": labels.feature,
}
environment.globals |= {"console": CONSOLE, "navigation": NAVIGATION}


def render(
    request: Request,
    template: str,
    *,
    status: int = 200,
    staff_names: Mapping[str, str] = MappingProxyType({}),
    queue_counts: Mapping[ItemKind, int] = MappingProxyType({}),
    **context: Any,
) -> Response:
    """
    Render a template as an HTML response.

    :param staff_names: the names of staff by their ``sub``, for the filter ``actor``.
    :param queue_counts: the number of items of the work queue, for the navigation.
    """
    console, staff = cast("ConsoleState", request.app.state.console), session_of(request)
    ctx = console.ctx
    context = {
        "zone": ctx.settings.zone,
        "localization": ctx.localization,
        "publisher": ctx.rules.catalogue.publisher,
        "livemode": ctx.settings.livemode,
        "staff": staff,
        "staff_names": staff_names,
        "stripe_url": partial(stripe_links.url_of, ctx.settings),
        "filled": {},
        "errors": {},
        "queue_counts": queue_counts,
        "badges": _badges(queue_counts),
        "form_token": partial(_form_token, staff),
        "current_path": request.url.path,
        "flash": _flash(request, console),
    } | context
    response = HTMLResponse(environment.get_template(template).render(context), status)
    if context["flash"]:
        response.delete_cookie(FLASH_COOKIE, path=CONSOLE)
    return response


def _badges(counts: Mapping[ItemKind, int]) -> Mapping[str, str]:
    """Return the counts in the navigation by the path of the page. A page without work has none."""
    found = {
        "/": sum(counts.values()),
        "/disputes": counts.get(ItemKind.DISPUTE, 0),
        "/approvals": counts.get(ItemKind.APPROVAL, 0),
        "/events": counts.get(ItemKind.EVENT, 0),
    }
    return {path: bounded(count) for path, count in found.items() if count}


def error_page(
    request: Request, *, status: int, title: str, detail: str, link: tuple[str, str] | None = None
) -> Response:
    """
    Render the error page.

    :param link: the path within the console of a page that helps, and the text of the link to it.
    """
    return render(request, "error.html", status=status, title=title, detail=detail, link=link)


def _form_token(staff: StaffSession | None) -> Markup:
    """Return the hidden field that proves that a page of this session sent a form."""
    return Markup('<input type="hidden" name="form_token" value="{}">').format(staff.form_token if staff else "")


def set_flash(request: Request, response: Response, message: str) -> None:
    """Show a message on the next page."""
    console = cast("ConsoleState", request.app.state.console)
    cipher = _flash_cipher(console)
    if cipher is not None:
        response.set_cookie(
            FLASH_COOKIE,
            cipher.encrypt({"say": message[:500]}, now=console.ctx.clock.real()),
            path=CONSOLE,
            max_age=int(FLASH_MAX_AGE.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=is_https(request),
        )


def is_https(request: Request) -> bool:
    """Tell whether the browser uses HTTPS, by the console's URL if it is set, else by the request."""
    console = cast("ConsoleState", request.app.state.console)
    return (console.ctx.settings.console_url or str(request.url)).startswith("https://")


def _flash(request: Request, console: ConsoleState) -> str | None:
    cipher = _flash_cipher(console)
    if cipher is None or FLASH_COOKIE not in request.cookies:
        return None
    content = cipher.decrypt(request.cookies[FLASH_COOKIE], max_age=FLASH_MAX_AGE, now=console.ctx.clock.real())
    return str(content["say"]) if content else None


def _flash_cipher(console: ConsoleState) -> CookieCipher | None:
    return console.sign_in.flash_cipher if console.sign_in else None
