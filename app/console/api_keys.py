"""API keys of servers: created, rotated and revoked. A new key is shown once, on the page after the form."""

from datetime import datetime, timedelta

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.request import ConsoleRequest, console_of
from app.console.state import CONSOLE
from app.console.templating import is_https
from app.domain.api_keys import DEFAULT_LIFE, DEFAULT_OVERLAP, LONGEST_LIFE, LONGEST_NAME, LONGEST_OVERLAP, ApiKey
from app.domain.callers import ApiScope, Role
from app.domain.errors import NotFound
from app.services import api_keys
from app.services.api_keys import NewKey

COOKIE = "newsstand_new_key"
NEW_KEY_PATH = f"{CONSOLE}/api-keys/new"
MAX_AGE = timedelta(minutes=1)
SCOPES = {
    ApiScope.READ_ENTITLEMENTS: "Check what readers may use",
    ApiScope.READ_SUBSCRIBERS: "Read everything about readers",
    ApiScope.READ_REFUNDS: "Read refunds",
    ApiScope.READ_ISSUES: "Read the issue calendar",
    ApiScope.WRITE_ISSUES: "Change the issue calendar",
    ApiScope.READ_AUDIT: "Read the audit log",
    ApiScope.READ_REPORTS: "Read reports",
    ApiScope.WRITE_BOUNCES: "Report emails that bounced",
}


async def show(request: ConsoleRequest) -> Response:
    """Show all keys and the form for a new one."""
    now = request.ctx.clock.real()
    keys = await api_keys.list_all(request.ctx)
    return request.render(
        "api_keys.html",
        keys=[(key, key.state(now=now)) for key in reversed(keys)],
        scopes=SCOPES,
        days=DEFAULT_LIFE.days,
        max_days=LONGEST_LIFE.days,
        max_name=LONGEST_NAME,
        overlap=DEFAULT_OVERLAP.days,
        max_overlap=LONGEST_OVERLAP.days,
    )


async def create(request: ConsoleRequest) -> Response:
    """Create a key and show it."""
    with request.fields() as fields:
        name = fields.text("name", max_length=LONGEST_NAME)
        if not name:
            fields.refuse("name", "Enter a name that tells people who uses the key.")
        days = fields.integer("days", minimum=1, maximum=LONGEST_LIFE.days)
        scopes = [scope for scope in SCOPES if f"scope:{scope}" in request.form]
        if not scopes:
            fields.refuse("permissions", "Choose at least one permission.")
    made = await api_keys.create(
        request.ctx,
        name,
        scopes,
        by=request.staff.actor,
        now=request.ctx.clock.real(),
        life=timedelta(days=days),
    )
    return _show_once(request, made, name=name)


async def rotate(request: ConsoleRequest) -> Response:
    """Replace a key, which stays valid for the overlap, and show the new one."""
    key_id = request.path_param("key")
    field = f"overlap-{key_id}"  # there is one for each key on the page
    with request.fields() as fields:
        days = fields.integer(field, minimum=0, maximum=LONGEST_OVERLAP.days)
    made = await api_keys.rotate(
        request.ctx, key_id, by=request.staff.actor, now=request.ctx.clock.real(), overlap=timedelta(days=days)
    )
    by_id = {key.id: key for key in await api_keys.list_all(request.ctx)}
    return _show_once(request, made, name=by_id[key_id].name, old=by_id[key_id])


def _show_once(request: ConsoleRequest, made: NewKey, *, name: str, old: ApiKey | None = None) -> Response:
    """Redirect to the page that shows a new key. It is in an encrypted cookie until then, so reloading makes no key."""
    console = console_of(request.http)
    if console.sign_in is None:
        raise LookupError("the console is off")
    content = {
        "key": made.key,
        "name": name,
        "expires_at": made.expires_at.isoformat() if made.expires_at else None,
        "old": old.id if old else None,
        "old_expires_at": old.expires_at.isoformat() if old and old.expires_at else None,
    }
    response = request.redirect("/api-keys/new")
    response.set_cookie(
        COOKIE,
        console.sign_in.new_key_cipher.encrypt(content, now=request.ctx.clock.real()),
        path=NEW_KEY_PATH,
        max_age=int(MAX_AGE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_https(request.http),
    )
    return response


async def show_new(request: ConsoleRequest) -> Response:
    """Show a new key, once."""
    console, cookie = console_of(request.http), request.http.cookies.get(COOKIE, "")
    content = None
    if console.sign_in is not None and cookie:
        content = console.sign_in.new_key_cipher.decrypt(cookie, max_age=MAX_AGE, now=request.ctx.clock.real())
    if content is None:
        return request.redirect("/api-keys")
    times = {
        name: datetime.fromisoformat(content[name]) if content[name] else None
        for name in ("expires_at", "old_expires_at")
    }
    response = request.render("new_api_key.html", **{**content, **times})
    response.delete_cookie(COOKIE, path=NEW_KEY_PATH, httponly=True, samesite="lax", secure=is_https(request.http))
    return response


async def confirm_revocation(request: ConsoleRequest) -> Response:
    """Show what revoking a key does, for confirmation."""
    key_id = request.path_param("key")
    key = next((one for one in await api_keys.list_all(request.ctx) if one.id == key_id), None)
    if key is None:
        raise NotFound(f"No such API key: {key_id}")
    used = request.ctx.localization.date(key.last_used_at) if key.last_used_at else "never"
    return request.render(
        "confirm.html",
        question=f"Revoke the API key “{key.name}”?",
        effects=["Servers that use it are refused at once.", f"It was last used: {used}."],
        path=f"/api-keys/{key.id}/revoke",
        hidden={},
        button="Revoke the key",
        back="/api-keys",
    )


async def revoke(request: ConsoleRequest) -> Response:
    """Revoke a key immediately."""
    key_id = request.path_param("key")
    await api_keys.revoke(request.ctx, key_id, by=request.staff.actor)
    return request.redirect("/api-keys", flash=f"{key_id} is revoked.")


ROUTES = [
    page_route("/api-keys", show, role=Role.ADMIN),
    page_route("/api-keys/new", show_new, role=Role.ADMIN),
    form_route("/api-keys", create, role=Role.ADMIN, recent_sign_in=True, shown_by=show),
    form_route(
        "/api-keys/{key}/rotate", rotate, role=Role.ADMIN, recent_sign_in=True, shown_by=show, shown_at="/api-keys"
    ),
    page_route("/api-keys/{key}/revoke", confirm_revocation, role=Role.ADMIN, recent_sign_in=True),
    form_route("/api-keys/{key}/revoke", revoke, role=Role.ADMIN, recent_sign_in=True, shown_by=confirm_revocation),
]
