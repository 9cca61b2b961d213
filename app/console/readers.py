"""Finding a reader, and everything about one on one page."""

from datetime import datetime

from starlette.responses import Response

from app.console import history
from app.console.access_control import shows
from app.console.request import Visit
from app.domain import reader_summary
from app.domain.callers import SUPPORT
from app.domain.entitlements import Grant
from app.domain.refunds import CONFIRMED
from app.domain.subscriptions import Subscription
from app.services import support
from app.services.support import Overview

LONGEST_SEARCH = 200  # characters: longer than anything a reader is known by
FOUND = 20  # on one page


async def find(visit: Visit) -> Response:
    """Find readers. Asked by the script it answers with the list alone."""
    words = visit.request.query_params.get("q", "").replace("\x00", "").strip()
    too_long = len(words) > LONGEST_SEARCH
    found = None
    if words and not too_long:
        found = await support.search(visit.ctx, words, after=visit.asked("after", most=100) or None, limit=FOUND)
    name = "reader_search_results.html" if visit.asked("part") else "reader_search.html"
    return visit.page(name, words=words[:LONGEST_SEARCH], found=found, too_long=too_long)


async def show(visit: Visit) -> Response:
    """Show everything about one reader."""
    ctx = visit.ctx
    seen = await support.overview(ctx, visit.path("reader"), now=visit.now)
    given: dict[str, int] = {}
    for refund in seen.refunds:
        if refund.status in CONFIRMED:
            given[refund.payment_id] = given.get(refund.payment_id, 0) + refund.amount
    return visit.page(
        "reader.html",
        seen=seen,
        reader=seen.subscriber,
        said=reader_summary.sentence(
            seen.subscriptions,
            ledgers=seen.ledgers,
            guest_until=_guest_until(seen),
            now=visit.now,
            zone=ctx.rules.zone,
        ),
        owing=_owing(seen),
        live=next((one for one, _ in reversed(seen.subscriptions) if one.is_live), None),
        now=visit.now,
        plans={code: plan.title for code, plan in ctx.rules.catalogue.plans.items()},
        grants=[(grant, _lasts(grant)) for grant in seen.grants],
        story=history.days(seen.timeline, ctx.rules.zone),
        given=given,
        refundable=next((one for one in reversed(seen.payments) if one.amount > given.get(one.id, 0)), None),
    )


def _owing(seen: Overview) -> Subscription | None:
    """Return the subscription whose newest term may be extended: what was ended at once owes nothing any more."""
    chosen = reader_summary.choose(seen.subscriptions)
    if chosen is None or not chosen[1]:
        return None
    ledger = seen.ledgers.get(chosen[1][-1].invoice_id)
    return chosen[0] if ledger is not None and not ledger.cancelled and chosen[0].is_live else None


def _lasts(grant: Grant) -> datetime | None:
    """Return until when a grant gives anything."""
    return max((spell.until for spells in grant.features.values() for spell in spells), default=None)


def _guest_until(seen: Overview) -> datetime | None:
    """Return until when a comp lets them in."""
    return max((comp.until for comp in seen.comps if comp.removed_at is None), default=None)


ROUTES = [
    shows("/readers", find, role=SUPPORT),
    shows("/readers/{reader}", show, role=SUPPORT),
]
