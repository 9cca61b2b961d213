"""Comps: access that nobody pays for, given for a reason, and taken back."""

from datetime import date, datetime, time, timedelta

from starlette.responses import Response

from app.console.access_control import check_reader, does, shows
from app.console.request import BadForm, Visit
from app.db.engine.session import new_id
from app.domain.callers import SUPPORT, Reader
from app.domain.text import format_date
from app.services import comps, idempotency, support

REASONS = {
    "goodwill": "Goodwill",
    "copies_missing": "Copies did not come",
    "technical_problem": "Something of ours did not work",
    "contributor": "Writes or draws for the magazine",
    "press": "Press and libraries",
    "other": "Something else, as the note says",
}
FOR_ISSUES, UNTIL_DAY = "issues", "day"
ENDS = {FOR_ISSUES: "For so many issues", UNTIL_DAY: "Until a day"}
MOST_ISSUES = 48
LONGEST = timedelta(days=3 * 366)


async def ask(visit: Visit) -> Response:
    """Ask for which plan, for how long, and why."""
    reader = await support.reader(visit.ctx, visit.path("reader"))
    plans = {code: plan.title for code, plan in visit.ctx.rules.catalogue.plans.items() if not plan.retired}
    first, last = (visit.now.astimezone(visit.ctx.rules.zone).date() + ahead for ahead in (timedelta(days=1), LONGEST))
    return visit.page(
        "give_comp.html",
        reader=reader,
        plans=plans,
        reasons=REASONS,
        most=MOST_ISSUES,
        first=first,
        last=last,
        key=visit.fresh_key(),
    )


async def give(visit: Visit) -> Response:
    """Give access until so many issues from now are out, or to the end of a day. Sent twice, it is given once."""
    ctx = visit.ctx
    reader = await support.reader(ctx, visit.path("reader"))
    plan = visit.chosen("plan", ctx.rules.catalogue.plans)
    ends = visit.chosen("ends", ENDS)
    count = visit.number("issues", least=1, most=MOST_ISSUES) if ends == FOR_ISSUES else None
    until = _end_of_day(visit) if ends == UNTIL_DAY else None
    reason, note = visit.why(REASONS)

    async def work(comp_id: str) -> tuple[int, dict[str, str]]:
        given = await comps.give(
            ctx,
            reader.sub,
            plan=plan,
            until=until,
            count=count,
            reason=f"{reason}: {note}"[:500] if note else reason,
            by=_by(visit),
            now=visit.now,
            comp_id=comp_id,
        )
        return 201, {"until": format_date(given.until, ctx.rules.zone)}

    answer = await idempotency.once(
        ctx,
        caller=visit.staff.actor,
        route=f"POST {visit.request.url.path}",
        key=idempotency.check_key(visit.text("key", most=100)),
        body=f"{plan} {count} {until} {reason} {note}".encode(),
        new_object_id=new_id("cmp"),
        work=work,
    )
    return visit.go(f"/readers/{reader.id}", say=f"They read as a guest until {answer.body['until']}.")


async def take_back(visit: Visit) -> Response:
    """Take a comp back at once."""
    ctx, comp_id, note = visit.ctx, visit.path("comp"), visit.text("note", most=500)
    await check_reader(visit, (await comps.found(ctx, comp_id)).subscriber_id)
    if not note:
        raise BadForm("Please say why it is taken back.")
    taken = await comps.take_back(ctx, comp_id, reason=note, by=_by(visit), now=visit.now)
    return visit.go(f"/readers/{taken.subscriber_id}", say="The comp was taken back.")


def _end_of_day(visit: Visit) -> datetime:
    """
    Return the last second of the day that was chosen, where the publisher is: it is that day that people are told.

    :raises BadForm: it is no day, or none that a comp may end with.
    """
    zone = visit.ctx.rules.zone
    today = visit.now.astimezone(zone).date()
    try:
        day = date.fromisoformat(visit.text("day", most=10))
    except ValueError:
        raise BadForm("Please say until which day, such as 2027-03-01.") from None
    if not today < day <= today + LONGEST:
        raise BadForm("Please choose a day after today, and within three years.")
    return datetime.combine(day + timedelta(days=1), time(), zone) - timedelta(seconds=1)


def _by(visit: Visit) -> Reader:
    return Reader(sub=visit.staff.sub, roles=visit.staff.roles)


ROUTES = [
    shows("/readers/{reader}/comp", ask, role=SUPPORT),
    does("/readers/{reader}/comp", give, role=SUPPORT),
    does("/comps/{comp}/take-back", take_back, role=SUPPORT),
]
