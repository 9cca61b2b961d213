"""A request of a signed-in member of staff, as page functions receive it."""

import secrets
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console import drafts, templating
from app.console.form_fields import MAX_NOTE_LENGTH, FormFields, reading
from app.console.sessions import StaffSession
from app.console.state import CONSOLE, ConsoleState
from app.context import Context
from app.domain.reader_views import Place, Viewer
from app.domain.work_queue import ItemKind


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
    errors: Mapping[str, str] = field(default_factory=dict)  # of a refused form, which is shown again, by field
    refused_with: int | None = None  # the status of the page that shows a refused form again
    queue_counts: Mapping[ItemKind, int] = field(default_factory=dict)  # of the work queue

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

    def fields(self) -> AbstractContextManager[FormFields]:
        """
        Read the form's fields inside this context.

        :raises InvalidForm: at its end, if a field is missing or invalid.
        """
        return reading(self.form, self.ctx.localization)

    def text(self, name: str, *, max_length: int = MAX_NOTE_LENGTH) -> str:
        """
        Return the text of a form field, trimmed. A missing field is an empty text.

        :raises InvalidForm: if the text is too long or has characters that PostgreSQL can't store.
        """
        with self.fields() as fields:
            return fields.text(name, max_length=max_length)

    def integer(self, name: str, *, minimum: int, maximum: int) -> int:
        """
        Return a form field as an integer.

        :raises InvalidForm: if it is not an integer or out of range.
        """
        with self.fields() as fields:
            return fields.integer(name, minimum=minimum, maximum=maximum)

    def render(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Render a template as the response. Its form is filled in with what was entered, and shows the errors."""
        return templating.render(
            self.http,
            template,
            status=self.refused_with or status,
            staff_names=self.staff_names,
            queue_counts=self.queue_counts,
            **{"filled": self.form, "errors": self.errors} | context,
        )

    def continue_at(self, path: str, *, flash: str = "") -> Response:
        """
        Redirect to a page that shows the form's fields, so that going back and reloading are harmless.

        :raises InvalidForm: if the fields are too long for a URL.
        """
        return self.redirect(self.form_url(path).removeprefix(CONSOLE), flash=flash)

    def form_url(self, path: str) -> str:
        """Return the URL of another page that shows the form's fields, for its link "Back"."""
        return CONSOLE + path + drafts.query(self.http, self.staff.sub, CONSOLE + path, self.form)

    def redirect(self, path: str, *, flash: str = "") -> Response:
        """Redirect to another page of the console, which shows the flash message once."""
        response = RedirectResponse(CONSOLE + path, status_code=303)
        if flash:
            templating.set_flash(self.http, response, flash)
        return response

    def idempotency_key(self) -> str:
        """
        Return the key of the form on this page. Submitting the same form twice has the effect of submitting it once.

        A form that is shown again, or on the next page, keeps its key.
        """
        return self.form.get("key", "")[:100] or secrets.token_urlsafe(18)


def console_of(request: Request) -> ConsoleState:
    """Return the console's state."""
    return cast("ConsoleState", request.app.state.console)
