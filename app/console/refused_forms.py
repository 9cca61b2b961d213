"""Forms that are refused: the page that has the form shows it again, with what was entered and what is wrong."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from starlette.responses import Response

from app.console.form_fields import WHOLE_FORM, InvalidForm
from app.console.request import ConsoleRequest
from app.domain.callers import NotAllowed
from app.domain.errors import DomainError, NotFound, TooManyRequests, Unavailable
from app.services.idempotency import KeyReused

Page = Callable[[ConsoleRequest], Awaitable[Response]]
SENT_BEFORE = "This form was sent before, with other values. To do it a second time, send the form again."


def status_of(error: DomainError) -> int:
    """Return the HTTP status of a page that shows an error."""
    match error:
        case NotFound():
            return 404
        case NotAllowed():
            return 403
        case TooManyRequests():
            return 429
        case Unavailable():
            return 503
    return 409


def refused(request: ConsoleRequest, status: int, errors: Mapping[str, str]) -> ConsoleRequest:
    """Return the request for the page that shows a refused form again."""
    return replace(request, errors=errors, refused_with=status)


async def show_again(page: Page, request: ConsoleRequest, shown_by: Page | None) -> Response:
    """
    Submit a form to its page. If it is refused, show it again.

    :param shown_by: the page that has the form. None: the refusal is raised.
    """
    if shown_by is None:
        return await page(request)
    try:
        return await page(request)
    except InvalidForm as error:
        again = refused(request, 422, error.errors)
    except (NotFound, NotAllowed):
        raise
    except KeyReused as error:
        form = {name: value for name, value in request.form.items() if name != "key"}
        again = refused(replace(request, form=form), status_of(error), {WHOLE_FORM: SENT_BEFORE})
    except DomainError as error:
        again = refused(request, status_of(error), {WHOLE_FORM: str(error) or error.title})
    return await shown_by(again)
