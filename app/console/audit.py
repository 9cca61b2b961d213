"""The audit log, in sentences."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta

from starlette.responses import Response

from app.console.access_control import page_route
from app.console.request import ConsoleRequest
from app.db.audit import ListedEntry
from app.db.subscribers import Subscriber
from app.domain.audit import READER, Selection
from app.domain.audit_sentences import Part, sentence
from app.domain.callers import Role
from app.domain.staff_members import STAFF, actor_name
from app.services import audit, staff_members, support

PAGE_SIZE = 50
FILTERS = ("staff", "reader", "action", "since", "until")
FORMER_FILTERS = {"actor": "staff", "about": "reader"}  # of links that an earlier release showed


async def show(request: ConsoleRequest) -> Response:
    """Show the entries that match the filters, newest first. An invalid date is ignored, and the page says so."""
    filters = {name: request.query(name) for name in FILTERS}
    filters |= {new: request.query(old) for old, new in FORMER_FILTERS.items() if request.query(old)}
    days = {name: _parse_day(filters[name]) for name in ("since", "until")}
    selection = Selection(
        action=f"{filters['action']}*" if filters["action"] else None,
        since=_start_of_day(request, days["since"]),
        until=_start_of_day(request, days["until"] + timedelta(days=1) if days["until"] else None),
    )
    before = request.query("before", max_length=18)
    page = await audit.search(
        request.ctx,
        selection,
        staff=filters["staff"] or None,
        reader=filters["reader"] or None,
        after=int(before) if before.isascii() and before.isdecimal() else None,
        limit=PAGE_SIZE,
    )
    ids = {listed.entry.subscriber_id for listed in page.items}
    ids |= {listed.entry.actor.removeprefix(READER) for listed in page.items if listed.entry.actor.startswith(READER)}
    known = sorted(one for one in ids if one)
    readers = await support.subscribers_by_id(request.ctx, known, viewer=request.viewer) if known else {}
    return request.render(
        "audit.html",
        page=page,
        filters=filters,
        invalid_dates=[filters[name] for name, day in days.items() if day is None and filters[name]],
        emails={f"{STAFF}{sub}": email for sub, email in (await staff_members.emails(request.ctx)).items()},
        who=lambda listed: _who(request, listed, readers),
        what=lambda listed: _what(request, listed, readers),
    )


def _name_of(subscriber_id: str, readers: Mapping[str, Subscriber]) -> str:
    reader = readers.get(subscriber_id)
    return (reader.name or reader.email or reader.sub or subscriber_id) if reader else subscriber_id


def _who(request: ConsoleRequest, listed: ListedEntry, readers: Mapping[str, Subscriber]) -> str:
    """Return the subject of the sentence."""
    actor = listed.entry.actor
    if actor.startswith(READER):
        return _name_of(actor.removeprefix(READER), readers)
    return actor_name(actor, request.staff_names)


def _what(request: ConsoleRequest, listed: ListedEntry, readers: Mapping[str, Subscriber]) -> Sequence[Part]:
    """Return the rest of the sentence."""
    entry = listed.entry
    object_id = entry.object_id
    facts = {"object": actor_name(object_id, request.staff_names) if object_id.startswith(STAFF) else object_id}
    if entry.subscriber_id:
        facts["reader"] = _name_of(entry.subscriber_id, readers)
    amount = (entry.after or {}).get("amount", (entry.before or {}).get("amount"))
    if isinstance(amount, int) and listed.currency:
        facts["amount"] = request.ctx.localization.money(amount, listed.currency)
    assignee = (entry.after or {}).get("assigned_to")
    facts["assignee"] = actor_name(str(assignee), request.staff_names) if assignee else "nobody"
    return sentence(entry.action, facts)


def _parse_day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if 2000 <= day.year <= 2999 else None


def _start_of_day(request: ConsoleRequest, day: date | None) -> datetime | None:
    """Return the start of a day in the publisher's time zone."""
    return datetime.combine(day, time(), request.ctx.settings.zone) if day is not None else None


ROUTES = [page_route("/audit", show, role=Role.ADMIN)]
