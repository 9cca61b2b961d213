"""A request of a signed-in member of staff, as page functions receive it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console import templating
from app.console.sessions import StaffSession
from app.console.state import CONSOLE, ConsoleState
from app.context import Context
from app.domain.reader_views import Place, Viewer
from app.domain.text import is_storable

MAX_NOTE_LENGTH = 2000  # characters


class InvalidForm(Exception):
    """A form field is missing or invalid. ``str()`` says what to enter; ``field`` is the field's name on the page."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleRequest:
    """The HTTP request with its session, its form and everything that a page needs to answer it."""

    http: Request
    ctx: Context
    staff: StaffSession
    now: datetime  # policy time: terms, guarantees and access are judged by it
    form: Mapping[str, str] = field(default_factory=dict)  # the fields of a form that passed the CSRF checks
    route: str = ""  # the template of the form's path
    staff_names: Mapping[str, str] = field(default_factory=dict)  # by `sub`

    @property
    def viewer(self) -> Viewer:
        """Who sees the readers on the page."""
        return Viewer(actor=self.staff.actor, place=Place.CONSOLE)

    def path_param(self, name: str) -> str:
        """Return a path parameter."""
        return str(self.http.path_params[name])

    def query(self, name: str, *, max_length: int = 200) -> str:
        """Return a query parameter, trimmed and truncated. NUL characters, which PostgreSQL can't store, are removed."""
        return self.http.query_params.get(name, "").replace("\x00", "").strip()[:max_length]

    def choice(self, name: str, options: Mapping[str, object]) -> str:
        """
        Return the selected option of a form field.

        :raises InvalidForm: if nothing is selected, or the value is not an option.
        """
        value = self.form.get(name, "").strip()
        if value not in options:
            raise InvalidForm("Choose an option from the list.", field=name)
        return value

    def text(self, name: str, *, max_length: int = MAX_NOTE_LENGTH) -> str:
        """
        Return the text of a form field, trimmed. A missing field is an empty text.

        :raises InvalidForm: if the text is too long or has characters that PostgreSQL can't store.
        """
        value = self.form.get(name, "").strip()
        if len(value) > max_length:
            raise InvalidForm(f"Use {max_length:,} characters or fewer. You entered {len(value):,}.", field=name)
        if not is_storable(value):
            raise InvalidForm("Remove the invalid characters.", field=name)
        return value

    def reason_and_note(self, reasons: Mapping[str, object]) -> tuple[str, str | None]:
        """
        Return the selected reason and the note.

        :raises InvalidForm: if no reason is selected, or the reason is ``other`` without a note.
        """
        reason, note = self.choice("reason", reasons), self.text("note")
        if reason == "other" and not note:
            raise InvalidForm("Explain the reason in the note.", field="note")
        return reason, note or None

    def integer(self, name: str, *, minimum: int, maximum: int) -> int:
        """
        Return a form field as an integer.

        :raises InvalidForm: if it is not an integer or out of range.
        """
        value = self.form.get(name, "").strip()
        if not value.isascii() or not value.isdecimal() or len(value) > 18 or not minimum <= int(value) <= maximum:
            raise InvalidForm(f"Enter a whole number from {minimum:,} to {maximum:,}.", field=f"number of {name}")
        return int(value)

    def render(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Render a template as the response."""
        return templating.render(self.http, template, status=status, staff_names=self.staff_names, **context)

    def redirect(self, path: str, *, flash: str = "") -> Response:
        """Redirect to another page of the console, which shows the flash message once."""
        response = RedirectResponse(CONSOLE + path, status_code=303)
        if flash:
            templating.set_flash(self.http, response, flash)
        return response

    @staticmethod
    def new_idempotency_key() -> str:
        """Return a key for one rendering of a form. Submitting the same form twice has the effect of submitting it once."""
        return secrets.token_urlsafe(18)


def console_of(request: Request) -> ConsoleState:
    """Return the console's state."""
    return cast("ConsoleState", request.app.state.console)
