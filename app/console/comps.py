"""Complimentary access: giving it for a reason and a limited time, and revoking it."""

from datetime import date, datetime, time, timedelta

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.labels import reason_labels
from app.console.request import ConsoleRequest, InvalidForm
from app.db.engine.session import new_id
from app.domain.approvals import ApprovalRequest
from app.domain.callers import Reader, Role
from app.domain.reasons import CompReason
from app.services import comps, idempotency, support

REASONS = reason_labels(*CompReason)
FOR_ISSUES, UNTIL_DAY = "issues", "day"
END_OPTIONS = {FOR_ISSUES: "For a number of issues", UNTIL_DAY: "Until a date"}
MAX_ISSUES = 48
MAX_DURATION = timedelta(days=3 * 366)


async def show_form(request: ConsoleRequest) -> Response:
    """Show the form: the plan, the end and the reason."""
    ctx = request.ctx
    reader = await support.reader(ctx, request.path_param("reader"), viewer=request.viewer)
    plans = {code: plan.title for code, plan in ctx.rules.catalogue.plans.items() if not plan.retired}
    today = request.now.astimezone(ctx.rules.zone).date()
    return request.render(
        "give_comp.html",
        reader=reader,
        plans=plans,
        reasons=REASONS,
        max_issues=MAX_ISSUES,
        first_day=today + timedelta(days=1),
        last_day=today + MAX_DURATION,
        key=request.new_idempotency_key(),
    )


async def give(request: ConsoleRequest) -> Response:
    """Give access for a number of issues or until the end of a day. A form that is sent twice counts once."""
    ctx = request.ctx
    reader = await support.reader(ctx, request.path_param("reader"), viewer=request.viewer)
    plan = request.choice("plan", ctx.rules.catalogue.plans)
    ends = request.choice("ends", END_OPTIONS)
    count = request.integer("issues", minimum=1, maximum=MAX_ISSUES) if ends == FOR_ISSUES else None
    until = _end_of_day(request) if ends == UNTIL_DAY else None
    reason, note = request.reason_and_note(REASONS)

    async def work(comp_id: str) -> tuple[int, dict[str, str]]:
        given = await comps.give(
            ctx,
            reader.sub,
            plan=plan,
            until=until,
            count=count,
            reason=f"{reason}: {note}"[:500] if note else reason,
            by=_agent(request),
            now=request.now,
            comp_id=comp_id,
        )
        if isinstance(given, ApprovalRequest):
            return 202, {"request": given.id}
        return 201, {"until": ctx.localization.date(given.until)}

    answer = await idempotency.once(
        ctx,
        caller=request.staff.actor,
        route=f"POST {request.http.url.path}",
        key=idempotency.check_key(request.text("key", max_length=100)),
        body=f"{plan} {count} {until} {reason} {note}".encode(),
        new_object_id=new_id("cmp"),
        work=work,
    )
    if "request" in answer.body:
        return request.redirect(f"/approvals/{answer.body['request']}")
    return request.redirect(f"/readers/{reader.id}", flash=f"Complimentary access until {answer.body['until']}.")


async def revoke(request: ConsoleRequest) -> Response:
    """Revoke complimentary access immediately."""
    ctx, comp_id, note = request.ctx, request.path_param("comp"), request.text("note", max_length=500)
    await check_reader(request, (await comps.get(ctx, comp_id)).subscriber_id)
    if not note:
        raise InvalidForm("Enter a reason for revoking the access.", field="reason")
    revoked = await comps.revoke(ctx, comp_id, reason=note, by=_agent(request), now=request.now)
    return request.redirect(f"/readers/{revoked.subscriber_id}", flash="Complimentary access revoked.")


def _end_of_day(request: ConsoleRequest) -> datetime:
    """
    Return the last second of the selected day in the publisher's time zone, so that pages show that day as the last.

    :raises InvalidForm: if the date is invalid, in the past or too far ahead.
    """
    zone = request.ctx.rules.zone
    today = request.now.astimezone(zone).date()
    try:
        day = date.fromisoformat(request.text("day", max_length=10))
    except ValueError:
        raise InvalidForm("Enter a date such as 2027-03-01.", field="date") from None
    if not today < day <= today + MAX_DURATION:
        raise InvalidForm("Choose a date after today and within three years.", field="date")
    return datetime.combine(day + timedelta(days=1), time(), zone) - timedelta(seconds=1)


def _agent(request: ConsoleRequest) -> Reader:
    return Reader(sub=request.staff.sub, roles=request.staff.roles)


ROUTES = [
    page_route("/readers/{reader}/comp", show_form, role=Role.SUPPORT, recent_sign_in=True),
    form_route("/readers/{reader}/comp", give, role=Role.SUPPORT, recent_sign_in=True),
    form_route("/comps/{comp}/take-back", revoke, role=Role.SUPPORT),
]
