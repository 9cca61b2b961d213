"""The label run of an issue: preview, freeze, supplements, and the file for the printer."""

from collections.abc import Mapping

from starlette.responses import Response, StreamingResponse

from app.console.access_control import form_route, page_route
from app.console.form_fields import InvalidForm
from app.console.issues import KINDS, STATES, issue_number
from app.console.request import ConsoleRequest
from app.console.state import CONSOLE
from app.db.engine.session import new_id
from app.domain.callers import Role
from app.domain.issue_states import state_of
from app.domain.label_runs import MAIN, Preview
from app.pages.formatting import counted
from app.services import idempotency, issues, label_runs, support

LEFT_OUT = {
    "no_address": "No postal address",
    "unusable_address": "The postal address can’t be used",
    "refund_in_progress": "A refund of the term is in progress",
    "payment_disputed": "The payment is disputed",
    "not_updated": "A change of the calendar couldn’t be applied to the subscription",
}
DIFFERENCES = {"joined": "Joined", "left": "Left", "moved": "Moved"}
FLAGS = {
    "new": "First copy",
    "renewed": "First copy of a new term",
    "changed": "Changed address",
    "last_issue": "Last issue",
}


async def show(request: ConsoleRequest) -> Response:
    """Show an issue, its label run and its supplements."""
    number = issue_number(request)
    saved, calendar = await issues.get(request.ctx, number), await issues.calendar(request.ctx)
    issue = next((one for one in calendar.issues if one.number == number), saved)
    runs = await label_runs.of_issue(request.ctx, number)
    return request.render(
        "issue.html",
        issue=issue,
        runs=runs,
        state=state_of(issue, calendar, request.now),
        titles=STATES,
        kinds=KINDS,
        flags=FLAGS,
        is_closed=calendar.ends(issue.closes_on) <= request.now,
    )


async def show_run(request: ConsoleRequest) -> Response:
    """Show what the label run will contain, and after the cut-off the form that freezes it."""
    return await _show_preview(request, supplement=False)


async def show_supplement(request: ConsoleRequest) -> Response:
    """Show what a supplement would contain, and the form that freezes it."""
    return await _show_preview(request, supplement=True)


async def _show_preview(request: ConsoleRequest, *, supplement: bool) -> Response:
    number = issue_number(request)
    if bool(await label_runs.of_issue(request.ctx, number)) is not supplement:  # by now: go to the run, or its absence
        return request.redirect(f"/issues/{number}")
    preview = await label_runs.preview(request.ctx, number, supplement=supplement, now=request.now)
    calendar = await issues.calendar(request.ctx)
    return request.render(
        "label_run.html",
        preview=preview,
        issue=preview.issue,
        supplement=supplement,
        is_closed=calendar.ends(preview.issue.closes_on) <= request.now,
        differences=DIFFERENCES,
        readers=await _readers(request, preview),
        left_out=[(title, count) for name, title in LEFT_OUT.items() if (count := getattr(preview.left_out, name))],
        flags=FLAGS,
        key=request.idempotency_key(),
    )


async def _readers(request: ConsoleRequest, preview: Preview) -> Mapping[str, object]:
    """Return the readers whose subscriptions are named, by subscription."""
    named = [one for ids in preview.differences.samples.values() for one in ids]
    owners = await label_runs.owners(request.ctx, named) if named else {}
    if not owners:
        return {}
    found = await support.subscribers_by_id(request.ctx, sorted(set(owners.values())), viewer=request.viewer)
    return {subscription: found[owner] for subscription, owner in owners.items() if owner in found}


async def freeze(request: ConsoleRequest) -> Response:
    """Freeze the labels of an issue. A form that is sent twice counts once."""
    return await _freeze(request, supplement=False)


async def freeze_supplement(request: ConsoleRequest) -> Response:
    """Freeze a supplement, with the copies that are owed but are on no run. A form that is sent twice counts once."""
    return await _freeze(request, supplement=True)


async def _freeze(request: ConsoleRequest, *, supplement: bool) -> Response:
    ctx, number = request.ctx, issue_number(request)
    if request.form.get("checked") != "yes":
        raise InvalidForm("Check the numbers, then confirm that they are right.", field="checked")

    async def work(run_id: str) -> tuple[int, dict[str, int]]:
        run = await label_runs.freeze(
            ctx, number, run_id=run_id, supplement=supplement, by=request.staff.actor, now=request.now
        )
        return 201, {"number": run.number, "copies": run.counts.copies}

    answer = await idempotency.once(
        ctx,
        caller=request.staff.actor,
        route=f"POST {CONSOLE}/issues/{number}/{'supplement' if supplement else 'label-run'}",
        key=idempotency.check_key(request.text("key", max_length=100)),
        body=b"",
        new_object_id=new_id("lbl"),
        work=work,
    )
    what = f"Supplement {answer.body['number']}" if supplement else "Label run"
    copies = counted(int(str(answer.body["copies"])), "copy", "copies")
    return request.redirect(f"/issues/{number}", flash=f"{what} frozen: {copies}.")


async def download(request: ConsoleRequest) -> Response:
    """Return the labels of a run as CSV, in the order of the post office. The download is recorded."""
    number, wanted = issue_number(request), request.query("supplement", max_length=6) or str(MAIN)
    supplement = int(wanted) if wanted.isascii() and wanted.isdecimal() else -1
    run, parts = await label_runs.csv(request.ctx, number, supplement, by=request.staff.actor)
    name = f"issue-{number}" + (f"-supplement-{run.number}" if run.number else "")
    return StreamingResponse(
        parts,
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="labels-{name}.csv"'},
    )


ISSUE, RUN, SUPPLEMENT = "/issues/{number}", "/issues/{number}/label-run", "/issues/{number}/supplement"
ROUTES = [
    page_route(RUN, show_run, role=Role.CIRCULATION),
    form_route(RUN, freeze, role=Role.CIRCULATION, shown_by=show_run),
    page_route(SUPPLEMENT, show_supplement, role=Role.CIRCULATION),
    form_route(SUPPLEMENT, freeze_supplement, role=Role.CIRCULATION, shown_by=show_supplement),
    page_route("/issues/{number}/labels.csv", download, role=Role.CIRCULATION, recent_sign_in=True),
    page_route(ISSUE, show, role=Role.CIRCULATION),
]
