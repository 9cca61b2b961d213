"""The list of readers: the search, the filters, and the export as a CSV file."""

from collections.abc import AsyncIterator, Mapping, Sequence
from urllib.parse import urlencode

from starlette.responses import Response, StreamingResponse

from app.console.access_control import page_route
from app.console.request import ConsoleRequest
from app.context import Context
from app.domain import spreadsheets
from app.domain.caller_limits import Limit
from app.domain.callers import Role
from app.domain.pages import BadCursor
from app.domain.reader_search import LONGEST_QUERY, Filters, hint_for
from app.domain.subscriptions import SubscriptionStatus
from app.services import reader_search
from app.services.reader_search import FoundReader, Results

PAGE_SIZE = 20
EDITIONS = {"digital": "Digital", "print": "Print and digital"}
FLAGS = {
    "ends_soon": "Ends within 30 days",
    "unpaid": "Unpaid",
    "disputed": "Disputed",
    "complimentary": "Complimentary",
}
COLUMNS = (
    "Name",
    "Email",
    "Status",
    "Plan",
    "Edition",
    "Summary",
    "Known since",
    "ID",
    "Stripe customer",
    "Sign-in ID",
)


async def search(request: ConsoleRequest) -> Response:
    """
    Search and list readers. With ``part``, which the script sends, the response is only the list.

    An exact ID opens the reader's page.
    """
    query = request.http.query_params.get("q", "").replace("\x00", "").strip()
    too_long, chosen = len(query) > LONGEST_QUERY, _chosen(request)
    results = None
    if not too_long:
        await request.ctx.caller_limits.take(Limit.SEARCH, request.staff.sub)
        results = await _find(request, query, chosen)
    if results is not None and results.exact is not None and not request.query("part"):
        return request.redirect(f"/readers/{results.exact}")
    plans = {code: plan.title for code, plan in request.ctx.rules.catalogue.plans.items()}
    kept = {"q": query[:LONGEST_QUERY], **chosen}
    return request.render(
        "reader_search_results.html" if request.query("part") else "reader_search.html",
        query=kept["q"],
        results=results,
        hint=hint_for(query),
        too_long=too_long,
        chosen=chosen,
        search_filters=chosen,
        is_filtered=any(chosen.values()),
        statuses=list(SubscriptionStatus),
        plans=plans,
        editions=EDITIONS,
        flags=FLAGS,
        next_page=_url({**kept, "after": results.next}) if results is not None and results.next else "",
        export_url=_url(chosen, "/readers.csv"),
        may_export=request.staff.has_role(Role.SUPERVISOR),
    )


async def _find(request: ConsoleRequest, query: str, chosen: Mapping[str, str]) -> Results:
    """Return the page of the list that was requested, or the first one if the cursor is not one of this list."""
    after, filters = request.query("after", max_length=100) or None, _filters(chosen)
    for cursor in (after, None):
        try:
            return await reader_search.find(
                request.ctx, query, filters, after=cursor, limit=PAGE_SIZE, viewer=request.viewer, now=request.now
            )
        except BadCursor:
            continue
    raise AssertionError


async def export(request: ConsoleRequest) -> Response:
    """Return all readers that match the filters as a CSV file, a slice at a time."""
    await request.ctx.caller_limits.take(Limit.SEARCH, request.staff.sub)
    filters = _filters(_chosen(request))
    slices = reader_search.export(request.ctx, filters, by=request.staff.actor, now=request.now)
    first = await anext(slices)  # a failure before it is an error page
    name = f"readers-{request.ctx.clock.real().astimezone(request.ctx.rules.zone).date().isoformat()}.csv"
    return StreamingResponse(
        _lines(request.ctx, first, slices),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}"'},
    )


async def _lines(
    ctx: Context, first: Sequence[FoundReader], more: AsyncIterator[Sequence[FoundReader]]
) -> AsyncIterator[str]:
    yield spreadsheets.BYTE_ORDER_MARK + spreadsheets.rows([COLUMNS])
    yield spreadsheets.rows(_row(ctx, found) for found in first)
    async for found_readers in more:
        yield spreadsheets.rows(_row(ctx, found) for found in found_readers)


def _row(ctx: Context, found: FoundReader) -> list[str | None]:
    reader, own = found.subscriber, found.subscription
    return [
        reader.name,
        reader.email,
        found.status,
        own.plan if own is not None else None,
        ("print" if own.print_edition else "digital") if own is not None else None,
        found.summary,
        reader.created_at.astimezone(ctx.rules.zone).date().isoformat(),
        reader.id,
        reader.stripe_customer_id,
        reader.sub,
    ]


def _chosen(request: ConsoleRequest) -> dict[str, str]:
    """Return the filters as in the URL; empty if they are not set, or not valid."""
    status, plan, edition = (request.query(name) for name in ("status", "plan", "edition"))
    return {
        "status": status if status in set(SubscriptionStatus) else "",
        "plan": plan,
        "edition": edition if edition in EDITIONS else "",
        **{name: "yes" if request.query(name) == "yes" else "" for name in FLAGS},
    }


def _filters(chosen: Mapping[str, str]) -> Filters:
    edition = chosen["edition"]
    return Filters(
        status=chosen["status"] or None,
        plan=chosen["plan"] or None,
        print_edition=edition == "print" if edition else None,
        ends_soon=bool(chosen["ends_soon"]),
        unpaid=bool(chosen["unpaid"]),
        disputed=bool(chosen["disputed"]),
        complimentary=bool(chosen["complimentary"]),
    )


def _url(parameters: Mapping[str, str | None], path: str = "/readers") -> str:
    """Return the path of the list within the console, with those parameters that are set."""
    kept = {name: value for name, value in parameters.items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path


ROUTES = [
    page_route("/readers", search, role=Role.SUPPORT),
    page_route("/readers.csv", export, role=Role.SUPERVISOR, recent_sign_in=True),
]
