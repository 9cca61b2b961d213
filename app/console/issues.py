"""The issue calendar: a year at a glance, and adding and changing issues. What a change affects is shown before."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from typing import Any

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.form_fields import WHOLE_FORM, FormFields, InvalidForm
from app.console.request import ConsoleRequest
from app.domain.calendar_changes import IssueChanged, IssueOutOfOrder, version_of
from app.domain.callers import Role
from app.domain.errors import NotFound
from app.domain.issue_states import IssueState, months_of, next_cutoff, state_of, to_freeze, years_of
from app.domain.issues import (
    DOUBLE,
    LARGEST_NUMBER,
    LONGEST_TITLE,
    ORDINARY,
    SPECIAL,
    Calendar,
    InconsistentIssueDates,
    Issue,
)
from app.domain.label_runs import CutoffPassed, IssueFrozen
from app.pages.formatting import counted
from app.services import issues
from app.services.issues import CalendarEffects

STATES = {
    IssueState.PLANNED: "Planned",
    IssueState.CLOSED: "Cut-off passed",
    IssueState.FROZEN: "Frozen",
    IssueState.MAILED: "Mailed",
}
KINDS = {
    ORDINARY: "Regular issue",
    DOUBLE: "Double issue: counts as two",
    SPECIAL: "Special issue: doesn’t count",
}
DATES = {
    "cover_date": "Cover date",
    "label_cutoff": "Label cut-off",
    "planned_mail_date": "Planned mail date",
    "actual_mail_date": "Actual mail date",
}
FIELDS = ("title", *DATES, "counts_as")


async def show(request: ConsoleRequest) -> Response:
    """Show a year of the calendar."""
    calendar, today = await issues.calendar(request.ctx), _today(request)
    years = years_of(calendar)
    wanted = request.query("year", max_length=4)
    year = int(wanted) if wanted.isascii() and wanted.isdecimal() and int(wanted) in years else today.year
    closing = next_cutoff(calendar, request.now)
    return request.render(
        "issues.html",
        year=year,
        before=max((one for one in years if one < year), default=None),
        after=min((one for one in years if one > year), default=None),
        months=months_of(calendar, year),
        states={one.number: state_of(one, calendar, request.now) for one in calendar.issues},
        titles=STATES,
        closing=closing,
        days_left=(closing.closes_on - today).days if closing is not None else 0,
        to_freeze=to_freeze(calendar, request.now),
        this_month=today.replace(day=1),
        is_empty=not len(calendar),
    )


async def show_new(request: ConsoleRequest) -> Response:
    """Show the form for a new issue. It continues the calendar."""
    calendar = await issues.calendar(request.ctx)
    return _render_form(request, None, values=_next_values(calendar, _today(request)))


async def check_new(request: ConsoleRequest) -> Response:
    """Check a new issue, and continue with what it affects."""
    issue = _wanted(request, number=None)
    existing = {one.number for one in (await issues.calendar(request.ctx)).issues}
    if issue.number in existing:
        raise InvalidForm(f"Issue {issue.number} exists already. Choose another number.", field="number")
    await _effects(request, issue)
    return request.continue_at(f"/issues/{issue.number}/confirm")


async def show_edit(request: ConsoleRequest) -> Response:
    """Show the form that moves an issue, or changes what it counts as."""
    issue = await _issue(request)
    return _render_form(request, issue, values=_values(issue))


async def check_edit(request: ConsoleRequest) -> Response:
    """Check a change of an issue, and continue with what it affects."""
    issue = await _issue(request)
    effects = await _effects(request, _wanted(request, number=issue.number))
    if effects.before == effects.after:
        return request.redirect(f"/issues/{issue.number}", flash="Nothing to change.")
    return request.continue_at(f"/issues/{issue.number}/confirm")


async def confirm(request: ConsoleRequest) -> Response:
    """Show how many readers and which label cut-offs a change affects."""
    number = issue_number(request)
    if not request.form:
        return request.redirect("/issues")
    effects = await _effects(request, _wanted(request, number=number))
    return request.render(
        "confirm_issue.html",
        effects=effects,
        issue=effects.after,
        changes=_changes(request, effects),
        kinds=KINDS,
        fields=("number", *FIELDS),
        seen=version_of(effects.before) if request.errors else request.form.get("seen", ""),
        now=request.now,
        back=request.form_url(f"/issues/{number}/edit" if effects.before is not None else "/issues/new"),
    )


async def save(request: ConsoleRequest) -> Response:
    """Add an issue to the calendar, or change it."""
    issue = _wanted(request, number=issue_number(request))
    with _explained(request, issue):
        await issues.save(
            request.ctx, issue, by=request.staff.actor, now=request.now, seen=request.text("seen", max_length=64)
        )
    return request.redirect(f"/issues/{issue.number}", flash=f"Issue {issue.number} saved.")


def issue_number(request: ConsoleRequest) -> int:
    """
    Return the number of the issue in the path.

    :raises NotFound: it is no number.
    """
    text = request.path_param("number")
    if not text.isascii() or not text.isdecimal() or not 0 < len(text) <= 10 or not 0 < int(text) <= LARGEST_NUMBER:
        raise NotFound("No such issue")
    return int(text)


def _render_form(request: ConsoleRequest, issue: Issue | None, *, values: Mapping[str, str]) -> Response:
    filled = dict(request.form) if request.form else dict(values)
    return request.render(
        "issue_form.html",
        issue=issue,
        filled=filled,
        seen=request.form.get("seen") or version_of(issue),
        kinds=KINDS,
        dates=DATES,
        max_title=LONGEST_TITLE,
        is_frozen=issue is not None and issue.frozen_at is not None,
        is_closed=issue is not None and issue.closes_on < _today(request),
    )


def _next_values(calendar: Calendar, today: date) -> dict[str, str]:
    """Return the first values of a new issue: as far after the last one as that is after the one before."""
    if not len(calendar):
        return {"number": "1", "counts_as": str(ORDINARY)}
    last = calendar.issues[-1]
    pace = last.mail_date - calendar.issues[-2].mail_date if len(calendar) > 1 else timedelta(days=15)
    days = {
        "cover_date": last.cover_date + pace,
        "planned_mail_date": last.mail_date + pace,
        "label_cutoff": last.label_cutoff + pace,
    }
    return {
        "number": str(last.number + 1),
        "counts_as": str(ORDINARY),
        **{name: day.isoformat() for name, day in days.items()},
    }


def _values(issue: Issue) -> dict[str, str]:
    days = {name: getattr(issue, name) for name in DATES}
    return {
        "title": issue.title,
        "counts_as": str(issue.counts_as),
        **{name: day.isoformat() if day is not None else "" for name, day in days.items()},
    }


def _wanted(request: ConsoleRequest, *, number: int | None) -> Issue:
    """
    Return the issue that was entered.

    :param number: None if it was entered, too.
    :raises InvalidForm: a field is missing or invalid.
    """
    with request.fields() as fields:
        if number is None:
            number = fields.integer("number", minimum=1, maximum=LARGEST_NUMBER)
        title = fields.text("title", max_length=LONGEST_TITLE)
        if not title:
            fields.refuse("title", "Enter a title.")
        has_actual = bool(request.form.get("actual_mail_date", "").strip())
        actual = _day(fields, "actual_mail_date") if has_actual else None
        cover, planned, cutoff = (_day(fields, name) for name in ("cover_date", "planned_mail_date", "label_cutoff"))
        mailed = actual or planned
        if cutoff > mailed and not fields.errors:
            shown = request.ctx.localization.day(mailed)
            fields.refuse("label_cutoff", f"The label cut-off can’t be after the mail date, {shown}.")
        kinds = {str(kind): kind for kind in KINDS}
        counts_as = kinds.get(fields.choice("counts_as", kinds), ORDINARY)
    return Issue(
        number=number,
        title=title,
        cover_date=cover,
        planned_mail_date=planned,
        actual_mail_date=actual,
        label_cutoff=cutoff,
        counts_as=counts_as,
    )


def _day(fields: FormFields, name: str) -> date:
    """Return a date. If it is invalid, the error says so."""
    day = fields.day(name)
    if day is not None and not 1900 <= day.year < 3000:
        fields.refuse(name, "Enter a year from 1900 to 2999.")
    return day or date.max


async def _effects(request: ConsoleRequest, issue: Issue) -> CalendarEffects:
    with _explained(request, issue):
        return await issues.effects(request.ctx, issue, now=request.now)


@contextmanager
def _explained(request: ConsoleRequest, issue: Issue) -> Iterator[None]:
    """
    Turn a refusal into the errors of the fields that cause it.

    :raises InvalidForm: the issue is refused.
    """
    mail_date = "actual_mail_date" if issue.actual_mail_date else "planned_mail_date"
    try:
        yield
    except IssueFrozen:
        message = "The labels of this issue are frozen: its cut-off and what it counts as can’t be changed."
        raise InvalidForm(message, field="label_cutoff") from None
    except CutoffPassed as error:
        raise InvalidForm(str(error), field="label_cutoff") from None
    except IssueOutOfOrder as error:
        later, earlier = error.number, error.before
        message = (
            f"Issue {later} would be mailed before issue {earlier}. Issues are mailed in the order of their numbers."
        )
        raise InvalidForm(message, field=mail_date) from None
    except InconsistentIssueDates as error:
        raise InvalidForm(str(error), field=mail_date) from None
    except IssueChanged:
        message = "Someone else changed this issue in the meantime. Check your change, then save it again."
        raise InvalidForm(message, field=WHOLE_FORM) from None


def _changes(request: ConsoleRequest, effects: CalendarEffects) -> list[tuple[str, str, str]]:
    """Return what changes: the name, and the values before and after."""
    before, after = effects.before, effects.after
    old: dict[str, str] = _shown(request, before) if before is not None else {}
    return [
        (name, old.get(name, ""), value) for name, value in _shown(request, after).items() if old.get(name) != value
    ]


def _shown(request: ConsoleRequest, issue: Issue) -> dict[str, str]:
    days: dict[str, Any] = {title: getattr(issue, name) for name, title in DATES.items()}
    return {
        "Title": issue.title,
        **{title: request.ctx.localization.day(day) if day is not None else "–" for title, day in days.items()},
        "Counts as": counted(issue.counts_as, "issue"),
    }


async def _issue(request: ConsoleRequest) -> Issue:
    return await issues.get(request.ctx, issue_number(request))


def _today(request: ConsoleRequest) -> date:
    return request.now.astimezone(request.ctx.rules.zone).date()


NEW, EDIT, CONFIRM = "/issues/new", "/issues/{number}/edit", "/issues/{number}/confirm"
ROUTES = [
    page_route("/issues", show, role=Role.CIRCULATION),
    page_route(NEW, show_new, role=Role.CIRCULATION),
    form_route(NEW, check_new, role=Role.CIRCULATION, shown_by=show_new),
    page_route(EDIT, show_edit, role=Role.CIRCULATION),
    form_route(EDIT, check_edit, role=Role.CIRCULATION, shown_by=show_edit),
    page_route(CONFIRM, confirm, role=Role.CIRCULATION),
    form_route(CONFIRM, save, role=Role.CIRCULATION, shown_by=confirm),
]
