"""Webhook endpoints, and the log of their deliveries. A new secret is shown once, on the page after the form."""

from datetime import UTC, datetime, time, timedelta

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.request import ConsoleRequest, console_of
from app.console.state import CONSOLE
from app.console.templating import is_https
from app.domain.callers import Role
from app.domain.outbox import OutboxType
from app.domain.webhook_deliveries import TEST_TYPE, DeliveryStatus, Replay
from app.domain.webhook_endpoints import (
    DEFAULT_OVERLAP,
    LONGEST_NAME,
    LONGEST_OVERLAP,
    LONGEST_URL,
    InvalidEndpointUrl,
    InvalidSecret,
)
from app.pages.formatting import counted
from app.services import webhook_deliveries, webhook_endpoints
from app.services.webhook_endpoints import NewSecret

COOKIE = "newsstand_new_webhook_secret"
PATH = "/webhook-endpoints"
NEW_SECRET_PATH = f"{CONSOLE}{PATH}/new"
MAX_AGE = timedelta(minutes=1)
PAGE_SIZE = 50
TYPES = [one for one in OutboxType if one != TEST_TYPE]
HOUR = timedelta(hours=1)


async def show(request: ConsoleRequest) -> Response:
    """Show all endpoints and the form for a new one."""
    endpoints = await webhook_endpoints.list_all(request.ctx)
    return request.render(
        "webhook_endpoints.html", endpoints=endpoints, types=TYPES, max_name=LONGEST_NAME, max_url=LONGEST_URL
    )


async def create(request: ConsoleRequest) -> Response:
    """Add a webhook endpoint and show its secret."""
    types = [one for one in TYPES if f"type:{one}" in request.form]
    with request.fields() as fields:
        name = fields.text("name", max_length=LONGEST_NAME)
        if not name:
            fields.refuse("name", "Enter a name that tells people what it is.")
        url = fields.text("url", max_length=LONGEST_URL)
        secret = fields.text("secret", max_length=200) or None
        if not fields.errors:
            try:
                made = await webhook_endpoints.add(
                    request.ctx, name=name, url=url, types=types, secret=secret, by=request.staff.actor
                )
            except InvalidEndpointUrl as refusal:
                fields.refuse("url", f"{refusal}.")
            except InvalidSecret as refusal:
                fields.refuse("secret", f"{refusal}.")
    return _show_once(request, made)


async def rotate(request: ConsoleRequest) -> Response:
    """Replace the secret of a webhook endpoint and show the new one."""
    with request.fields() as fields:
        hours = fields.integer("overlap", minimum=0, maximum=LONGEST_OVERLAP // HOUR)
    made = await webhook_endpoints.rotate(
        request.ctx, request.path_param("endpoint"), by=request.staff.actor, overlap=timedelta(hours=hours)
    )
    return _show_once(request, made)


def _show_once(request: ConsoleRequest, made: NewSecret) -> Response:
    """Redirect to the page that shows a new secret. It is in an encrypted cookie until then, so reloading makes no other."""
    console = console_of(request.http)
    if console.sign_in is None:
        raise LookupError("the console is off")
    until = made.endpoint.previous_secret_expires_at
    content = {
        "secret": made.secret,
        "name": made.endpoint.name,
        "endpoint": made.endpoint.id,
        "previous_secret_expires_at": until.isoformat() if until else None,
    }
    response = request.redirect(f"{PATH}/new")
    response.set_cookie(
        COOKIE,
        console.sign_in.new_key_cipher.encrypt(content, now=request.ctx.clock.real()),
        path=NEW_SECRET_PATH,
        max_age=int(MAX_AGE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=is_https(request.http),
    )
    return response


async def show_new(request: ConsoleRequest) -> Response:
    """Show a new secret, once."""
    console, cookie = console_of(request.http), request.http.cookies.get(COOKIE, "")
    content = None
    if console.sign_in is not None and cookie:
        content = console.sign_in.new_key_cipher.decrypt(cookie, max_age=MAX_AGE, now=request.ctx.clock.real())
    if content is None:
        return request.redirect(PATH)
    until = (
        datetime.fromisoformat(content["previous_secret_expires_at"]) if content["previous_secret_expires_at"] else None
    )
    response = request.render("new_webhook_secret.html", **{**content, "previous_secret_expires_at": until})
    response.delete_cookie(COOKIE, path=NEW_SECRET_PATH, httponly=True, samesite="lax", secure=is_https(request.http))
    return response


async def show_one(request: ConsoleRequest) -> Response:
    """Show an endpoint with the log of its deliveries."""
    endpoint = await webhook_endpoints.get(request.ctx, request.path_param("endpoint"))
    wanted, after = request.query("status"), request.query("after")
    page = await webhook_deliveries.page(
        request.ctx,
        endpoint.id,
        status=wanted if wanted in set(DeliveryStatus) else None,
        after=int(after) if after.isascii() and after.isdigit() and len(after) < 16 else None,
        limit=PAGE_SIZE,
    )
    return request.render(
        "webhook_endpoint.html",
        endpoint=endpoint,
        page=page,
        wanted=wanted,
        statuses=list(DeliveryStatus),
        types=endpoint.types or TYPES,
        overlap=DEFAULT_OVERLAP // HOUR,
    )


async def disable(request: ConsoleRequest) -> Response:
    """Stop sending events to a webhook endpoint."""
    endpoint = await webhook_endpoints.disable(request.ctx, request.path_param("endpoint"), by=request.staff.actor)
    return request.redirect(f"{PATH}/{endpoint.id}", flash="The endpoint is disabled.")


async def enable(request: ConsoleRequest) -> Response:
    """Send events to a webhook endpoint again."""
    endpoint = await webhook_endpoints.enable(request.ctx, request.path_param("endpoint"), by=request.staff.actor)
    return request.redirect(
        f"{PATH}/{endpoint.id}", flash="The endpoint is enabled. You can replay the events that it missed."
    )


async def send_test(request: ConsoleRequest) -> Response:
    """Send a test event to a webhook endpoint."""
    endpoint_id = request.path_param("endpoint")
    event_id = await webhook_deliveries.send_test(request.ctx, endpoint_id, by=request.staff.actor)
    return request.redirect(f"{PATH}/{endpoint_id}", flash=f"Sending the test {event_id}.")


async def replay(request: ConsoleRequest) -> Response:
    """Send events to a webhook endpoint again: one, or those of a period."""
    endpoint_id = request.path_param("endpoint")
    event = request.text("event", max_length=100)
    if event:
        wanted = Replay(event_id=event)
    else:
        with request.fields() as fields:
            day = fields.day("since")
            type_ = fields.choice("type", dict.fromkeys(["", *TYPES]))
        zone = request.ctx.settings.zone
        since = datetime.combine(day, time(), zone).astimezone(UTC) if day is not None else None
        wanted = Replay(
            since=since, types=(type_,) if type_ else (), only_undelivered="delivered_too" not in request.form
        )
    queued = await webhook_deliveries.replay(request.ctx, endpoint_id, wanted, by=request.staff.actor)
    return request.redirect(f"{PATH}/{endpoint_id}", flash=f"Sending {counted(queued, 'event')} again.")


async def confirm_removal(request: ConsoleRequest) -> Response:
    """Show what deleting a webhook endpoint does, for confirmation."""
    endpoint = await webhook_endpoints.get(request.ctx, request.path_param("endpoint"))
    return request.render(
        "confirm.html",
        question=f"Delete the webhook endpoint “{endpoint.name}”?",
        effects=[
            f"{endpoint.url} gets no more events.",
            "Its secret is deleted, and events that wait for it are not sent.",
        ],
        path=f"{PATH}/{endpoint.id}/delete",
        hidden={},
        button="Delete the endpoint",
        back=f"{PATH}/{endpoint.id}",
    )


async def remove(request: ConsoleRequest) -> Response:
    """Delete a webhook endpoint."""
    await webhook_endpoints.remove(request.ctx, request.path_param("endpoint"), by=request.staff.actor)
    return request.redirect(PATH, flash="The endpoint is deleted.")


ONE = f"{PATH}/{{endpoint}}"
ROUTES = [
    page_route(PATH, show, role=Role.ADMIN),
    page_route(f"{PATH}/new", show_new, role=Role.ADMIN),
    page_route(ONE, show_one, role=Role.ADMIN),
    form_route(PATH, create, role=Role.ADMIN, recent_sign_in=True, shown_by=show),
    form_route(f"{ONE}/rotate", rotate, role=Role.ADMIN, recent_sign_in=True, shown_by=show_one, shown_at=ONE),
    form_route(f"{ONE}/disable", disable, role=Role.ADMIN, shown_by=show_one, shown_at=ONE),
    form_route(f"{ONE}/enable", enable, role=Role.ADMIN, shown_by=show_one, shown_at=ONE),
    form_route(f"{ONE}/test", send_test, role=Role.ADMIN, shown_by=show_one, shown_at=ONE),
    form_route(f"{ONE}/replay", replay, role=Role.ADMIN, shown_by=show_one, shown_at=ONE),
    page_route(f"{ONE}/delete", confirm_removal, role=Role.ADMIN),
    form_route(f"{ONE}/delete", remove, role=Role.ADMIN, shown_by=confirm_removal),
]
