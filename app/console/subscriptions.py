"""What is done to a subscription for a reader. Each is asked once more in words, with a reason, before it happens."""

from starlette.responses import Response

from app.console.guard import does, shows
from app.console.visits import Visit
from app.db.session import new_id
from app.domain.callers import SUPPORT
from app.services import idempotency, issues, support

EXTENSION_REASONS = {
    "copies_missing": "Copies did not come",
    "copies_damaged": "Copies came damaged",
    "technical_problem": "Something of ours did not work",
    "goodwill": "Goodwill",
    "other": "Something else: see the note",
}


async def ask_extend(visit: Visit) -> Response:
    """Ask by how many issues, and why."""
    found = await support.subscription(visit.desk.sessions, visit.path("subscription"))
    most = visit.desk.rules.catalogue.plan(found.subscription.plan).issues
    return visit.page("extend.html", found=found, reasons=EXTENSION_REASONS, most=most, key=visit.fresh_key())


async def extend(visit: Visit) -> Response:
    """Add issues to what the subscription owes. Sent twice, it is done once."""
    desk, subscription_id = visit.desk, visit.path("subscription")
    found = await support.subscription(desk.sessions, subscription_id)
    most = desk.rules.catalogue.plan(found.subscription.plan).issues
    more = visit.number("issues", least=1, most=most)
    reason, note = visit.why(EXTENSION_REASONS)

    async def work(adjustment_id: str) -> tuple[int, dict[str, int]]:
        made = await issues.extend(
            desk.sessions,
            desk.rules,
            subscription_id,
            adjustment_id=adjustment_id,
            more=more,
            reason=reason,
            note=note,
            by=visit.staff.actor,
            now=visit.now,
        )
        return 201, {"unserved": made.ledger.unserved}

    answer = await idempotency.once(
        desk.sessions,
        caller=visit.staff.actor,
        route=f"POST {visit.request.url.path}",
        key=idempotency.check_key(visit.text("key", most=100)),
        body=f"{more} {reason} {note}".encode(),
        new_object_id=new_id("adj"),
        work=work,
    )
    say = f"Extended by {more}: {answer.body['unserved']} issues are still to come."
    return visit.go(f"/readers/{found.subscriber.id}", say=say)


ROUTES = [
    shows("/subscriptions/{subscription}/extend", ask_extend, role=SUPPORT),
    does("/subscriptions/{subscription}/extend", extend, role=SUPPORT),
]
