"""API keys of servers: created, rotated and revoked. A new key is shown once, on the page after the form."""

from datetime import timedelta

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.request import ConsoleRequest, InvalidForm
from app.domain.api_keys import DEFAULT_LIFE, DEFAULT_OVERLAP, LONGEST_LIFE, LONGEST_NAME, LONGEST_OVERLAP
from app.domain.callers import ApiScope, Role
from app.services import api_keys

SCOPES = {
    ApiScope.READ_ENTITLEMENTS: "Check what readers may use",
    ApiScope.READ_SUBSCRIBERS: "Read everything about readers",
    ApiScope.READ_REFUNDS: "Read refunds",
    ApiScope.READ_ISSUES: "Read the issue calendar",
    ApiScope.WRITE_ISSUES: "Change the issue calendar",
    ApiScope.READ_AUDIT: "Read the audit log",
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
    name = request.text("name", max_length=LONGEST_NAME)
    if not name:
        raise InvalidForm("Enter a name that tells people who uses the key.", field="name")
    scopes = [scope for scope in SCOPES if f"scope:{scope}" in request.form]
    if not scopes:
        raise InvalidForm("Choose at least one permission.", field="permissions")
    days = request.integer("days", minimum=1, maximum=LONGEST_LIFE.days)
    made = await api_keys.create(
        request.ctx,
        name,
        scopes,
        by=request.staff.actor,
        now=request.ctx.clock.real(),
        life=timedelta(days=days),
    )
    return request.render("new_api_key.html", status=201, made=made, name=name, old=None)


async def rotate(request: ConsoleRequest) -> Response:
    """Replace a key, which stays valid for the overlap, and show the new one."""
    key_id, days = request.path_param("key"), request.integer("days", minimum=0, maximum=LONGEST_OVERLAP.days)
    made = await api_keys.rotate(
        request.ctx, key_id, by=request.staff.actor, now=request.ctx.clock.real(), overlap=timedelta(days=days)
    )
    by_id = {key.id: key for key in await api_keys.list_all(request.ctx)}
    return request.render("new_api_key.html", status=201, made=made, name=by_id[key_id].name, old=by_id[key_id])


async def revoke(request: ConsoleRequest) -> Response:
    """Revoke a key immediately."""
    key_id = request.path_param("key")
    await api_keys.revoke(request.ctx, key_id, by=request.staff.actor)
    return request.redirect("/api-keys", flash=f"{key_id} is revoked.")


ROUTES = [
    page_route("/api-keys", show, role=Role.ADMIN),
    form_route("/api-keys", create, role=Role.ADMIN, recent_sign_in=True),
    form_route("/api-keys/{key}/rotate", rotate, role=Role.ADMIN, recent_sign_in=True),
    form_route("/api-keys/{key}/revoke", revoke, role=Role.ADMIN),
]
