"""A reader's holds: no copies for a while. They are shown with the issues that they skip, added and lifted."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.responses import Response

from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.form_fields import InvalidForm
from app.console.request import ConsoleRequest
from app.console.state import CONSOLE
from app.db.engine.session import new_id
from app.domain.callers import Role
from app.domain.holds import Hold, HoldDatesWrong, HoldOverlaps, HoldStatus, HoldTooLong, TooManyHolds
from app.services import holds, idempotency, support

UNTIL_DAY, FOR_ISSUES = "day", "issues"
END_OPTIONS = {UNTIL_DAY: "Until a date", FOR_ISSUES: "For a number of issues"}
MAX_ISSUES = 1000
STATUSES = {HoldStatus.PLANNED: "Planned", HoldStatus.RUNNING: "Running", HoldStatus.OVER: "Over"}


async def show(request: ConsoleRequest) -> Response:
    """Show a reader's holds, and the form for a new one."""
    reader = await support.reader(request.ctx, request.path_param("reader"), viewer=request.viewer)
    return request.render(
        "holds.html",
        reader=reader,
        found=await holds.of_subscriber(request.ctx, reader.id, viewer=request.viewer, now=request.now),
        statuses=STATUSES,
        today=request.now.astimezone(request.ctx.rules.zone).date(),
        key=request.idempotency_key(),
    )


async def add(request: ConsoleRequest) -> Response:
    """Put a reader's copies on hold. A form that is sent twice counts once."""
    ctx, reader_id = request.ctx, request.path_param("reader")
    await check_reader(request, reader_id)
    with request.fields() as fields:
        starts_on, ends = fields.day("since"), fields.choice("ends", END_OPTIONS)
        until = fields.day("until") if ends == UNTIL_DAY else None
        count = fields.integer("issues", minimum=1, maximum=MAX_ISSUES) if ends == FOR_ISSUES else None
    assert starts_on is not None
    wanted = Hold(starts_on=starts_on, until=until, issues=count)

    async def work(hold_id: str) -> tuple[int, dict[str, str]]:
        made = await holds.add(ctx, reader_id, wanted, hold_id=hold_id, by=request.staff.actor, now=request.now)
        return 201, {"hold": made.saved.id}

    with _explained(ends):
        await idempotency.once(
            ctx,
            caller=request.staff.actor,
            route=f"POST {CONSOLE}/readers/{reader_id}/holds",
            key=idempotency.check_key(request.text("key", max_length=100)),
            body=f"{starts_on} {until} {count}".encode(),
            new_object_id=new_id("hld"),
            work=work,
        )
    return request.redirect(f"/readers/{reader_id}/holds", flash="Copies are on hold. The issues held are sent later.")


@contextmanager
def _explained(ends: str) -> Iterator[None]:
    """
    Turn a refusal into the error of the field that causes it.

    :raises InvalidForm: the hold is refused.
    """
    try:
        yield
    except HoldDatesWrong as error:
        raise InvalidForm(f"{error}.", field="since") from None
    except (HoldTooLong, HoldOverlaps, TooManyHolds) as error:
        raise InvalidForm(f"{error}.", field="until" if ends == UNTIL_DAY else "issues") from None


async def lift(request: ConsoleRequest) -> Response:
    """Lift a hold of a reader. Issues whose label cut-off has passed stay held."""
    reader_id = request.path_param("reader")
    await check_reader(request, reader_id)
    await holds.lift(request.ctx, reader_id, request.path_param("hold"), by=request.staff.actor, now=request.now)
    return request.redirect(f"/readers/{reader_id}/holds", flash="Hold lifted.")


HOLDS = "/readers/{reader}/holds"
ROUTES = [
    page_route(HOLDS, show, role=Role.SUPPORT),
    form_route(HOLDS, add, role=Role.SUPPORT, shown_by=show),
    form_route("/readers/{reader}/holds/{hold}/lift", lift, role=Role.SUPPORT, shown_by=show, shown_at=HOLDS),
]
