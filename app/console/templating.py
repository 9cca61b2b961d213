"""Pages made of templates, with what all of them share."""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from app.console import labels
from app.console.cookies import Seal
from app.console.sessions import Staff, staff_of
from app.console.state import CONSOLE, ConsoleState
from app.domain.callers import ADMIN, SUPERVISOR, SUPPORT

FOLDER = Path(__file__).parent
NOTICE = "newsstand_notice"  # a cookie with one sentence for the next page
NOTICE_LIVES = timedelta(minutes=1)

NAVIGATION = (  # title, path, role
    ("Front page", "/", ""),
    ("Readers", "/readers", SUPPORT),
    ("Approvals", "/approvals", SUPERVISOR),
    ("Events", "/events", ADMIN),
    ("Audit", "/audit", ADMIN),
)

_environment = Environment(
    loader=FileSystemLoader(FOLDER / "templates"),
    autoescape=True,  # every name, note and search is text, whatever it looks like
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "money": labels.money,
    "clock": labels.clock,
    "day": labels.day,
    "last_day": labels.last_day,
    "moment": labels.moment,
    "word": labels.word,
    "lower_first": labels.lower_first,
    "sentence": labels.sentence,
    "untold": labels.untold,
    "counted": labels.counted,
    "ago": labels.ago,
}
_environment.globals |= {"console": CONSOLE, "navigation": NAVIGATION}


def page(request: Request, name: str, *, status: int = 200, **context: Any) -> Response:
    """Return a page of a template."""
    console, staff = cast("ConsoleState", request.app.state.console), staff_of(request)
    context |= {
        "zone": console.ctx.settings.zone,
        "publisher": console.ctx.rules.catalogue.publisher,
        "livemode": console.ctx.settings.livemode,
        "staff": staff,
        "form_token": partial(_form_token, staff),
        "here": request.url.path,
        "real_now": console.ctx.clock.real(),
        "notice": _notice(request, console),
    }
    answer = HTMLResponse(_environment.get_template(name).render(context), status)
    if context["notice"]:
        answer.delete_cookie(NOTICE, path=CONSOLE)
    return answer


def _form_token(staff: Staff | None) -> Markup:
    """Return the field by which a form shows that this session's pages sent it."""
    return Markup('<input type="hidden" name="form_token" value="{}">').format(staff.form_token if staff else "")


def leave_notice(request: Request, answer: Response, sentence: str) -> None:
    """Have the next page say something."""
    console = cast("ConsoleState", request.app.state.console)
    seal = _notice_seal(console)
    if seal is not None:
        answer.set_cookie(
            NOTICE,
            seal.close({"say": sentence[:500]}, now=console.ctx.clock.real()),
            path=CONSOLE,
            max_age=int(NOTICE_LIVES.total_seconds()),
            httponly=True,
            samesite="lax",
            secure=is_https(request),
        )


def is_https(request: Request) -> bool:
    """Tell whether the browser came over HTTPS, by the settings or else by the request."""
    console = cast("ConsoleState", request.app.state.console)
    return (console.ctx.settings.console_url or str(request.url)).startswith("https://")


def _notice(request: Request, console: ConsoleState) -> str | None:
    seal = _notice_seal(console)
    if seal is None or NOTICE not in request.cookies:
        return None
    said = seal.open(request.cookies[NOTICE], within=NOTICE_LIVES, now=console.ctx.clock.real())
    return str(said["say"]) if said else None


def _notice_seal(console: ConsoleState) -> Seal | None:
    return console.sign_in.notice_seal if console.sign_in else None
