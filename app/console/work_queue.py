"""The work queue: the first page of the console, and a page for each item, where staff assign, snooze and annotate it."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from urllib.parse import urlencode

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.form_fields import InvalidForm
from app.console.request import ConsoleRequest
from app.domain.callers import Role
from app.domain.disputes import effect_of
from app.domain.errors import Conflict, Invalid
from app.domain.refund_effects import CONTINUES
from app.domain.refunds import RefundBasis
from app.domain.work_queue import DISMISSIBLE, ROLES, ItemKind, Selection, WorkItem, kinds_for
from app.services import attention, staff_members, support, work_queue

ON_FIRST_PAGE = 8  # items of each kind
PAGE_SIZE = 50
ITEM = "/queue/{item}"  # the path of an item's page
SOON_DAYS = 3  # an evidence deadline within them is urgent
VIEWS = {"": "Open", "mine": "Assigned to me", "unassigned": "Unassigned", "snoozed": "Snoozed"}
TITLES = {
    ItemKind.DISPUTE: "Disputes, by evidence deadline",
    ItemKind.REFUND_FAILED: "Failed refunds",
    ItemKind.APPROVAL: "Waiting for approval",
    ItemKind.FRAUD_WARNING: "Fraud warnings",
    ItemKind.DISPUTE_CONCERN: "Closed disputes to check",
    ItemKind.CREDIT_NOTE: "Declined credit notes",
    ItemKind.NOTIFICATION: "Messages that didn’t arrive",
    ItemKind.DECLARATION: "Withdrawals and cancellations to act on",
    ItemKind.EVENT: "Events that failed permanently",
    ItemKind.ANOMALY: "Anomalies",
}
CHANGED = "Someone else changed this item in the meantime. Check it, then try again."
_TO_DO = {
    ItemKind.REFUND_FAILED: "The reader didn’t get the money. Refund the payment again, or pay the reader in another way and"
    " dismiss this item.",
    ItemKind.DISPUTE_CONCERN: "No rule covers this dispute. Check it in Stripe’s Dashboard, then dismiss this item.",
    ItemKind.CREDIT_NOTE: "The money was refunded, but the invoice doesn’t show it. Correct it in Stripe’s Dashboard.",
    ItemKind.NOTIFICATION: "Tell the reader in another way, or correct the address at the identity provider. Then dismiss"
    " this item.",
    ItemKind.DECLARATION: "It counts from the time when it was received. Find the reader’s contract and end it, refund"
    " what can’t be refunded automatically (such as the unserved share of what the customer’s balance paid), write to the"
    " reader, then dismiss this item.",
    ItemKind.EVENT: "Fix the cause, then replay the event.",
    ItemKind.ANOMALY: "Check it in Stripe’s Dashboard. This item disappears when the cause is gone.",
}
_KEEPS_TERM = frozenset({RefundBasis.GOODWILL, RefundBasis.PRINT_DROPPED})


def next_step(item: WorkItem) -> str:
    """Return what staff can do about an item, or for an approval, its consequence."""
    match item.kind:
        case ItemKind.DISPUTE:
            return effect_of(item.code).words
        case ItemKind.FRAUD_WARNING if item.code == "kept":
            return "The payment was kept, as the policy says. A refund now costs less than a dispute later."
        case ItemKind.FRAUD_WARNING:
            return "The payment could not be refunded automatically. Check it in Stripe’s Dashboard."
        case ItemKind.APPROVAL if item.code == "comp":
            return "If you approve, complimentary access starts immediately."
        case ItemKind.APPROVAL if item.code == "extension":
            return "If you approve, the issues are added to the current term."
        case ItemKind.APPROVAL if item.code == "claim":
            return "If you approve, the claim is granted: a replacement is sent, or the term is extended."
        case ItemKind.APPROVAL if item.code == "back_issue":
            return "If you approve, the issue is sent with its next supplement."
        case ItemKind.APPROVAL if item.detail in _KEEPS_TERM:
            return f"If you approve, the refund is paid. {CONTINUES}"
        case ItemKind.APPROVAL:
            return "If you approve, the refund is paid, and the term that this payment bought ends."
    return _TO_DO[item.kind]


async def sections(request: ConsoleRequest) -> Mapping[str, object]:
    """Return what the first page shows of the queue: the first items of each kind."""
    view = request.query("view", max_length=20)
    view = view if view in VIEWS else ""
    ctx, kinds = request.ctx, kinds_for(request.staff.roles)
    kind, after = request.query("kind", max_length=30), request.query("after", max_length=400) or None
    chosen = tuple(one for one in kinds if one == kind)
    pages = {}
    for one in chosen or kinds:
        wanted = Selection(
            kinds=(one,),
            asleep=view == "snoozed",
            assigned_to=request.staff.sub if view == "mine" else None,
            unassigned=view == "unassigned",
        )
        size = PAGE_SIZE if chosen else ON_FIRST_PAGE
        pages[one] = await work_queue.page(ctx, wanted, after=after if chosen else None, limit=size, now=request.now)
    items = [item for page in pages.values() for item in page.items]
    return {
        "view": view,
        "kind": kind if chosen else "",
        "kinds": kinds,
        "pages": {one: page for one, page in pages.items() if page.items},
        "titles": TITLES,
        "views": VIEWS,
        "urgent": {item.id for item in items if _is_urgent(item, request.now)},
        "next_step": next_step,
        "readers": await _readers(request, items),
    }


async def _readers(request: ConsoleRequest, items: Sequence[WorkItem]) -> Mapping[str, object]:
    ids = list(dict.fromkeys(item.subscriber_id for item in items if item.subscriber_id))
    return await support.subscribers_by_id(request.ctx, ids, viewer=request.viewer) if ids else {}


def _is_urgent(item: WorkItem, now: datetime) -> bool:
    return item.due_by is not None and (item.due_by - now).days < SOON_DAYS


async def show(request: ConsoleRequest) -> Response:
    """Show an item. A form that was filled in before the person signed in again is filled in with it."""
    item = await work_queue.get(request.ctx, request.path_param("item"), roles=request.staff.roles)
    # The form keeps the version that the person saw, so that they are told of a change since then.
    return await _show(request, item, version=_version(request) if "version" in request.form else item.marks.version)


async def _show(
    request: ConsoleRequest, item: WorkItem, *, version: int, problem: str = "", form: str = "", status: int = 200
) -> Response:
    """
    Show an item, with a problem beside the form that caused it, which keeps its input.

    :param version: of the item that the forms are for.
    """
    members = [one for one in await staff_members.listed(request.ctx) if ROLES[item.kind] in one.roles]
    return request.render(
        "work_item.html",
        status=status,
        item=item,
        members=members,
        is_asleep=item.is_asleep(now=request.now),
        next_step=next_step,
        urgent={item.id} if _is_urgent(item, request.now) else set(),
        dismissible=item.kind in DISMISSIBLE,
        readers=await _readers(request, [item]),
        problem=problem,
        problem_form=form,
        shown_version=version,
    )


async def assign(request: ConsoleRequest) -> Response:
    """Assign an item to a member of staff, or to nobody."""
    to = request.text("to", max_length=255) or None
    who = "nobody" if to is None else "you" if to == request.staff.sub else request.staff_names.get(to, to)
    try:
        await work_queue.assign(
            request.ctx,
            item_id := request.path_param("item"),
            to,
            by=request.staff.actor,
            roles=request.staff.roles,
            version=_version(request),
            now=request.now,
        )
    except (Conflict, Invalid) as error:
        return await _refused(request, "assign", str(error))
    back = _list_of(request) if "list" in request.form else f"/queue/{item_id}"
    return request.redirect(back, flash=f"Assigned to {who}.")


async def snooze(request: ConsoleRequest) -> Response:
    """Snooze an item until a day, or end the snooze."""
    text = request.text("until", max_length=10)
    try:
        until = _start_of_day(request, date.fromisoformat(text)) if text else None
    except ValueError:
        return await _refused(request, "snooze", "Enter a date such as 2027-03-01.")
    if until is None and "wake" not in request.form:
        return await _refused(request, "snooze", "Enter a date.")
    try:
        await work_queue.snooze(
            request.ctx,
            item_id := request.path_param("item"),
            until,
            by=request.staff.actor,
            roles=request.staff.roles,
            version=_version(request),
            now=request.now,
        )
    except (Conflict, Invalid) as error:
        return await _refused(request, "snooze", str(error))
    if until is None:
        return request.redirect(f"/queue/{item_id}", flash="This item is in the queue again.")
    shown = request.ctx.localization.date(until)
    return request.redirect("/", flash=f"Snoozed until {shown}, or until it changes.")


async def note(request: ConsoleRequest) -> Response:
    """Replace the note of an item."""
    try:
        text = request.text("note") or None
        await work_queue.note(
            request.ctx,
            item_id := request.path_param("item"),
            text,
            by=request.staff.actor,
            roles=request.staff.roles,
            version=_version(request),
            now=request.now,
        )
    except (Conflict, InvalidForm) as error:
        return await _refused(request, "note", str(error))
    return request.redirect(f"/queue/{item_id}", flash="Note saved." if text else "Note removed.")


async def dismiss(request: ConsoleRequest) -> Response:
    """Dismiss an item, with the action that was taken."""
    item_id = request.path_param("item")
    await work_queue.get(request.ctx, item_id, roles=request.staff.roles)
    try:
        reason = request.text("reason", max_length=500)
    except InvalidForm as error:
        return await _refused(request, "dismiss", str(error))
    if not reason:
        return await _refused(request, "dismiss", "Say what you did.")
    await attention.dismiss(request.ctx, item_id, by=request.staff.actor, reason=reason, now=request.now)
    return request.redirect("/", flash="Dismissed.")


async def _refused(request: ConsoleRequest, form: str, problem: str) -> Response:
    item = await work_queue.get(request.ctx, request.path_param("item"), roles=request.staff.roles)
    changed = item.marks.version != _version(request)
    return await _show(
        request,
        item,
        version=item.marks.version,
        problem=CHANGED if changed else problem,
        form=form,
        status=409 if changed else 422,
    )


def _version(request: ConsoleRequest) -> int:
    """Return the version of the item that the page showed. A missing one is none."""
    text = request.form.get("version", "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def _list_of(request: ConsoleRequest) -> str:
    """Return the list that a button was in."""
    view, kind = request.form.get("view", ""), request.form.get("kind", "")
    query = {name: value for name, value in (("view", view), ("kind", kind)) if value in {*VIEWS, *ItemKind} and value}
    return f"/?{urlencode(query)}" if query else "/"


def _start_of_day(request: ConsoleRequest, day: date) -> datetime:
    """Return the start of a day in the publisher's time zone."""
    return datetime.combine(day, time(), request.ctx.settings.zone)


ROUTES = [
    page_route(ITEM, show, role=Role.SUPPORT),
    form_route("/queue/{item}/assign", assign, role=Role.SUPPORT, shown_at=ITEM, shown_by=show),
    form_route("/queue/{item}/snooze", snooze, role=Role.SUPPORT, shown_at=ITEM, shown_by=show),
    form_route("/queue/{item}/note", note, role=Role.SUPPORT, shown_at=ITEM, shown_by=show),
    form_route("/queue/{item}/dismiss", dismiss, role=Role.SUPPORT, shown_at=ITEM, shown_by=show),
]
