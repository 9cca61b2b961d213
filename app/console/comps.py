"""Complimentary access: giving it for a reason and a limited time, and revoking it."""

from dataclasses import dataclass
from datetime import datetime, time, timedelta

from starlette.responses import Response

from app.console import readers
from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.form_fields import FormFields, InvalidForm
from app.console.labels import reason_labels
from app.console.request import ConsoleRequest
from app.console.state import CONSOLE
from app.db.engine.session import new_id
from app.db.subscribers import Subscriber
from app.domain.approvals import ApprovalRequest
from app.domain.callers import LONGEST_SUB, Reader, Role
from app.domain.reasons import CompReason
from app.domain.subscriptions import NoSubscription
from app.domain.text import is_storable
from app.pages.formatting import counted
from app.services import comps, idempotency, subscriptions, support
from app.services.subscriptions import SubscriptionDetails

REASONS = reason_labels(*CompReason)
FOR_ISSUES, UNTIL_DAY = "issues", "day"
END_OPTIONS = {FOR_ISSUES: "For a number of issues", UNTIL_DAY: "Until a date"}
MAX_ISSUES = 48
LONGEST_REASON = 500  # characters, as in the API
MAX_NOTE = LONGEST_REASON - max(len(f"{reason}: ") for reason in REASONS)
MAX_DURATION = timedelta(days=3 * 366)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedComp:
    """What an agent entered."""

    plan: str
    count: int | None
    until: datetime | None
    reason: str
    note: str | None


async def show_form(request: ConsoleRequest) -> Response:
    """Show the form: the plan, the end and the reason."""
    return _form(request, await support.reader(request.ctx, request.path_param("reader"), viewer=request.viewer))


async def show_new_form(request: ConsoleRequest) -> Response:
    """Show the form for a person without a record here, which also asks for their ID at the identity provider."""
    return _form(request, None)


def _form(request: ConsoleRequest, reader: Subscriber | None) -> Response:
    today = request.now.astimezone(request.ctx.rules.zone).date()
    return request.render(
        "give_comp.html",
        reader=reader,
        plans=_plans(request),
        reasons=REASONS,
        first_day=today + timedelta(days=1),
        last_day=today + MAX_DURATION,
        key=request.idempotency_key(),
    )


async def check(request: ConsoleRequest) -> Response:
    """Give complimentary access. If the reader pays for access, ask first."""
    wanted = _wanted(request)
    reader = await support.reader(request.ctx, request.path_param("reader"), viewer=request.viewer)
    if await _paid_access(request, reader) is not None:
        return request.continue_at(f"/readers/{reader.id}/comp/confirm")
    return await _give(request, reader.sub, wanted, route=f"/readers/{reader.id}/comp")


async def check_new(request: ConsoleRequest) -> Response:
    """Check the form for a person without a record here, and ask whether the ID is right."""
    _wanted_for_new(request)
    return request.continue_at(CONFIRM_NEW)


async def confirm_new(request: ConsoleRequest) -> Response:
    """Show who would get the access. If there is a reader with the ID, their own form is shown instead."""
    if not request.form:
        return request.redirect(NEW)
    sub, wanted = _wanted_for_new(request)
    reader = await support.reader_by_sub(request.ctx, sub, viewer=request.viewer)
    if reader is not None and not request.errors:
        found = "There is already a reader with this ID. Check who it is, then send the form."
        return request.continue_at(f"/readers/{reader.id}/comp", flash=found)
    return request.render(
        "confirm_new_comp.html",
        sub=sub,
        plans=_plans(request),
        wanted=_end_of(request, wanted),
        key=request.idempotency_key(),
        back=request.form_url(NEW),
    )


async def give_new(request: ConsoleRequest) -> Response:
    """Give complimentary access to a person who has no record yet, by their ID at the identity provider."""
    sub, wanted = _wanted_for_new(request)
    return await _give(request, sub, wanted, route=NEW)


async def confirm(request: ConsoleRequest) -> Response:
    """Show what a paying reader has, before they are given complimentary access."""
    reader = await support.reader(request.ctx, request.path_param("reader"), viewer=request.viewer)
    details = await _paid_access(request, reader)
    if details is None or not request.form:
        return request.redirect(f"/readers/{reader.id}/comp")
    return request.render(
        "confirm_comp.html",
        reader=reader,
        details=details,
        plans=_plans(request),
        wanted=_end_of(request, _wanted(request)),
        key=request.idempotency_key(),
        back=request.form_url(f"/readers/{reader.id}/comp"),
    )


async def give(request: ConsoleRequest) -> Response:
    """Give the access to a reader who may pay for access already."""
    reader = await support.reader(request.ctx, request.path_param("reader"), viewer=request.viewer)
    return await _give(request, reader.sub, _wanted(request), route=f"/readers/{reader.id}/comp")


def _end_of(request: ConsoleRequest, wanted: WantedComp) -> str:
    if wanted.until:
        return f"Until {request.ctx.localization.date(wanted.until)}"
    return f"For {counted(wanted.count, 'issue')}" if wanted.count else ""


def _plans(request: ConsoleRequest) -> dict[str, str]:
    return {code: plan.title for code, plan in request.ctx.rules.catalogue.plans.items() if not plan.retired}


async def _paid_access(request: ConsoleRequest, reader: Subscriber) -> SubscriptionDetails | None:
    """Return the subscription that gives a reader access now; None if there is none."""
    try:
        details = await subscriptions.current(request.ctx, reader.sub, now=request.now)
    except NoSubscription:
        return None
    return details if details.status.has_access else None


def _wanted(request: ConsoleRequest) -> WantedComp:
    """
    Return what was entered.

    :raises InvalidForm: if something is missing or invalid.
    """
    with request.fields() as fields:
        return _read(fields, request)


def _wanted_for_new(request: ConsoleRequest) -> tuple[str, WantedComp]:
    """
    Return the ID at the identity provider, and what else was entered.

    :raises InvalidForm: if something is missing or invalid.
    """
    with request.fields() as fields:
        sub = fields.text("sub", max_length=LONGEST_SUB)
        if not sub or not sub.isprintable():
            fields.refuse("sub", "Enter the person’s ID at the identity provider.")
        wanted = _read(fields, request)
    return sub, wanted


def _read(fields: FormFields, request: ConsoleRequest) -> WantedComp:
    plan = fields.choice("plan", request.ctx.rules.catalogue.plans)
    ends = fields.choice("ends", END_OPTIONS)
    count = fields.integer("issues", minimum=1, maximum=MAX_ISSUES) if ends == FOR_ISSUES else None
    until = _end_of_day(fields, request) if ends == UNTIL_DAY else None
    reason, note = fields.reason_and_note(REASONS, max_length=MAX_NOTE)
    return WantedComp(plan=plan, count=count, until=until, reason=reason, note=note)


async def _give(request: ConsoleRequest, sub: str, wanted: WantedComp, *, route: str) -> Response:
    """
    Give access for a number of issues or until the end of a day. A form that is sent twice counts once.

    :param route: of the form, within the console.
    """
    ctx, reason, note = request.ctx, wanted.reason, wanted.note

    async def work(comp_id: str) -> tuple[int, dict[str, str]]:
        given = await comps.give(
            ctx,
            sub,
            plan=wanted.plan,
            until=wanted.until,
            count=wanted.count,
            reason=f"{reason}: {note}" if note else reason,
            by=_agent(request),
            now=request.now,
            comp_id=comp_id,
        )
        if isinstance(given, ApprovalRequest):
            return 202, {"request": given.id}
        return 201, {"until": ctx.localization.date(given.until), "reader": given.subscriber_id}

    answer = await idempotency.once(
        ctx,
        caller=request.staff.actor,
        route=f"POST {CONSOLE}{route}",
        key=idempotency.check_key(request.text("key", max_length=100)),
        body=f"{sub if route == NEW else ''}{wanted.plan} {wanted.count} {wanted.until} {reason} {note}".encode(),
        new_object_id=new_id("cmp"),
        work=work,
    )
    if "request" in answer.body:
        return request.redirect(f"/approvals/{answer.body['request']}")
    page = f"/readers/{answer.body['reader']}" if "reader" in answer.body else route.removesuffix("/comp")
    return request.redirect(page, flash=f"Complimentary access until {answer.body['until']}.")


async def revoke(request: ConsoleRequest) -> Response:
    """Revoke complimentary access immediately."""
    ctx, comp_id = request.ctx, request.path_param("comp")
    await check_reader(request, (await comps.get(ctx, comp_id)).subscriber_id)
    note = request.form.get("note", "").strip()
    if not is_storable(note) or not 0 < len(note) <= LONGEST_REASON:
        message = f"Enter a reason for revoking the access, of {LONGEST_REASON} characters or fewer."
        raise InvalidForm(message, field=f"revoke-{comp_id}")
    revoked = await comps.revoke(ctx, comp_id, reason=note, by=_agent(request), now=request.now)
    return request.redirect(f"/readers/{revoked.subscriber_id}", flash="Complimentary access revoked.")


def _end_of_day(fields: FormFields, request: ConsoleRequest) -> datetime | None:
    """Return the last second of the selected day in the publisher's time zone, so that pages show that day as the last."""
    zone, day = request.ctx.rules.zone, fields.day("day")
    if day is None:
        return None
    today = request.now.astimezone(zone).date()
    if not today < day <= today + MAX_DURATION:
        fields.refuse("day", "Choose a date after today and within three years.")
        return None
    return datetime.combine(day + timedelta(days=1), time(), zone) - timedelta(seconds=1)


def _agent(request: ConsoleRequest) -> Reader:
    return Reader(sub=request.staff.sub, roles=request.staff.roles)


COMP, CONFIRM = "/readers/{reader}/comp", "/readers/{reader}/comp/confirm"
NEW, CONFIRM_NEW = "/comps/new", "/comps/new/confirm"
ROUTES = [
    page_route(NEW, show_new_form, role=Role.SUPPORT, recent_sign_in=True),
    form_route(NEW, check_new, role=Role.SUPPORT, recent_sign_in=True, shown_by=show_new_form),
    page_route(CONFIRM_NEW, confirm_new, role=Role.SUPPORT, recent_sign_in=True),
    form_route(CONFIRM_NEW, give_new, role=Role.SUPPORT, recent_sign_in=True, shown_by=confirm_new),
    page_route(COMP, show_form, role=Role.SUPPORT, recent_sign_in=True),
    form_route(COMP, check, role=Role.SUPPORT, recent_sign_in=True, shown_by=show_form),
    page_route(CONFIRM, confirm, role=Role.SUPPORT, recent_sign_in=True),
    form_route(CONFIRM, give, role=Role.SUPPORT, recent_sign_in=True, shown_by=confirm),
    form_route(
        "/comps/{comp}/take-back",
        revoke,
        role=Role.SUPPORT,
        shown_by=readers.show_of_form,
        shown_at="/readers/{reader}",
    ),
]
