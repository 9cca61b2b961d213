"""Comps: access that nobody pays for, given for a reason, and taken back."""

from starlette.responses import Response

from app.console.guard import does, shows
from app.console.visits import BadForm, Visit
from app.console.words import date_of
from app.domain.callers import SUPPORT, Reader
from app.services import comps, support

REASONS = {
    "goodwill": "Goodwill",
    "copies_missing": "Copies did not come",
    "technical_problem": "Something of ours did not work",
    "contributor": "Writes or draws for the magazine",
    "press": "Press and libraries",
    "other": "Something else: see the note",
}
MOST_ISSUES = 48


async def ask(visit: Visit) -> Response:
    """Ask for which plan, for how many issues, and why."""
    reader = await support.reader(visit.desk.sessions, visit.path("reader"))
    plans = {code: plan.title for code, plan in visit.desk.rules.catalogue.plans.items() if not plan.retired}
    return visit.page("comp.html", reader=reader, plans=plans, reasons=REASONS, most=MOST_ISSUES)


async def give(visit: Visit) -> Response:
    """Give access until so many issues from now are out."""
    desk = visit.desk
    reader = await support.reader(desk.sessions, visit.path("reader"))
    plan = visit.chosen("plan", desk.rules.catalogue.plans)
    count = visit.number("issues", least=1, most=MOST_ISSUES)
    reason, note = visit.why(REASONS)
    given = await comps.give(
        desk.sessions,
        desk.rules,
        reader.sub,
        plan=plan,
        until=None,
        count=count,
        reason=f"{reason}: {note}"[:500] if note else reason,
        by=_by(visit),
        now=visit.now,
    )
    say = f"They read as a guest until {date_of(given.until, desk.rules.zone)}."
    return visit.go(f"/readers/{reader.id}", say=say)


async def take_back(visit: Visit) -> Response:
    """Take a comp back at once."""
    note = visit.text("note", most=500)
    if not note:
        raise BadForm("Please say why it is taken back.")
    taken = await comps.take_back(
        visit.desk.sessions, visit.desk.rules, visit.path("comp"), reason=note, by=_by(visit), now=visit.now
    )
    return visit.go(f"/readers/{taken.subscriber_id}", say="The comp was taken back.")


def _by(visit: Visit) -> Reader:
    return Reader(sub=visit.staff.sub, roles=visit.staff.roles)


ROUTES = [
    shows("/readers/{reader}/comp", ask, role=SUPPORT),
    does("/readers/{reader}/comp", give, role=SUPPORT),
    does("/comps/{comp}/take-back", take_back, role=SUPPORT),
]
