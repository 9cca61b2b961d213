"""Protection against cross-site request forgery, and against forms that were rendered for another reader."""

from starlette.requests import Request

from app.console.refusals import record_refusal
from app.console.request import ConsoleRequest, console_of
from app.pages.forms import same_origin


class ForgedForm(Exception):
    """The form was not sent by a page of this session. ``str()`` is the message for the agent."""


def is_same_origin(request: Request) -> bool:
    """Tell whether a form was sent by a page of the console."""
    return same_origin(request, url=console_of(request).ctx.settings.console_url)


async def check_reader(request: ConsoleRequest, subscriber_id: str) -> None:
    """
    Check that the form was rendered for this reader.

    If the ID in the URL belongs to another reader, the agent would change something that the page didn't show.

    :raises ForgedForm: if the form was rendered for another reader.
    """
    if request.form.get("reader") != subscriber_id:
        reason = "form of another reader's page"
        await record_refusal(
            request.http,
            request.staff,
            "console.form_refused",
            reason,
            path=request.route,
            subscriber_id=subscriber_id,
        )
        raise ForgedForm(
            "This form belongs to another reader's page, so nothing was changed. Open the reader's page and try again."
        )
