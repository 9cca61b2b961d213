"""No copies for a while, such as during a vacation: the reader's holds, a new one, and lifting one."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from starlette.responses import Response

from app.account import labels
from app.account.access_control import form_route, page_route
from app.account.request import AccountRequest, InvalidForm
from app.db.engine.session import new_id
from app.domain.holds import Hold, HoldDatesWrong, HoldOverlaps, HoldTooLong, TooManyHolds
from app.services import holds, idempotency

MAX_ISSUES = 100
_NO_ISSUE = "No issue that we have planned falls in that time."
LIFTED = "We send your copies again. Issues whose labels are closed stay on hold."


async def show(request: AccountRequest) -> Response:
    """Show the reader's holds, and the form for a new one."""
    today = request.now.astimezone(request.ctx.rules.zone).date()
    return request.render(
        "holds.html",
        found=await holds.of_reader(request.ctx, request.sub, now=request.now),
        policy=request.ctx.catalogue.policies.hold_policy(today),
        entered=request.form,
        today=today,
        tomorrow=today + timedelta(days=1),
        key=request.form.get("key") or secrets.token_urlsafe(18),
    )


async def add(request: AccountRequest) -> Response:
    """Put the copies on hold. A form that is sent twice counts once."""
    starts_on, until, count = request.day("since"), request.day("until", optional=True), _count(request)
    assert starts_on is not None
    if (until is None) == (count is None):
        raise InvalidForm("Enter the day from which we send copies again, or a number of issues.", field="until")
    wanted, ctx = Hold(starts_on=starts_on, until=until, issues=count), request.ctx

    async def work(hold_id: str) -> tuple[int, dict[str, object]]:
        made = await holds.add_own(ctx, request.sub, wanted, hold_id=hold_id, now=request.now)
        return 201, {"held": list(made.held)}

    with _explained("until" if count is None else "issues"):
        answer = await idempotency.once(
            ctx,
            caller=f"reader:{request.sub}",
            route="POST /account/holds",
            key=idempotency.check_key(request.text("key", max_length=100)),
            body=f"{starts_on} {until} {count}".encode(),
            new_object_id=new_id("hld"),
            work=work,
        )
    held = answer.body["held"]
    assert isinstance(held, list)
    numbers = ", ".join(f"No. {number}" for number in held)
    skipped = f"On hold: {numbers}. You’ll get the same number at the end of your term." if held else _NO_ISSUE
    return request.redirect("/holds", flash=f"Your copies are on hold. {skipped}")


def _count(request: AccountRequest) -> int | None:
    """
    Return the number of issues to skip; None if the field is empty.

    :raises InvalidForm: it is no number of issues.
    """
    value = request.text("issues", max_length=100)
    if not value:
        return None
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) <= MAX_ISSUES):
        raise InvalidForm(f"Enter a whole number from 1 to {MAX_ISSUES}.", field="issues")
    return int(value)


@contextmanager
def _explained(end: str) -> Iterator[None]:
    """
    Turn a refusal into the error of the field that causes it.

    :param end: the field that says how long the hold is.
    :raises InvalidForm: the hold is refused.
    """
    try:
        yield
    except HoldDatesWrong as error:
        if "today" in error.facts:
            raise InvalidForm("Choose today or a later day.", field="since") from None
        raise InvalidForm("Choose a day after the first day without copies.", field="until") from None
    except HoldOverlaps:
        raise InvalidForm("You have another hold at that time. Choose other days.", field="since") from None
    except (HoldTooLong, TooManyHolds) as error:
        raise InvalidForm(labels.typographic(f"{error}."), field=end) from None


async def lift(request: AccountRequest) -> Response:
    """Lift a hold. Issues whose label cut-off has passed stay held."""
    await holds.lift_own(request.ctx, request.sub, request.text("hold", max_length=100), now=request.now)
    return request.redirect("/holds", flash=LIFTED)


async def show_instead(request: AccountRequest) -> Response:
    """Open the page with the button: the reader has signed in again after pressing it."""
    return request.redirect("/holds")


ROUTES = [
    page_route("/holds", show),
    form_route("/holds", add, shown_by=show),
    page_route("/holds/lift", show_instead),
    form_route("/holds/lift", lift, shown_by=show),
]
