"""One request of somebody who is signed in, as pages see it."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.console import templating
from app.console.sessions import Staff
from app.console.state import CONSOLE, ConsoleState
from app.context import Context

LONGEST_NOTE = 2000  # characters


class BadForm(Exception):
    """A form says something that no form of ours does, or leaves something out. ``str()`` is for who sent it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Who asks, what for, and all that is needed to answer."""

    request: Request
    ctx: Context
    staff: Staff
    now: datetime  # policy time: by which terms, guarantees and access are judged
    form: Mapping[str, str] = field(default_factory=dict)  # of a form of ours, checked to be one

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def asked(self, name: str, *, most: int = 200) -> str:
        """Return a parameter of the address, trimmed and cut; a NUL in it, which no text of ours holds, is left out."""
        return self.request.query_params.get(name, "").replace("\x00", "").strip()[:most]

    def chosen(self, name: str, among: Mapping[str, object]) -> str:
        """
        Return what was chosen from a list.

        :raises BadForm: nothing, or nothing of the list.
        """
        value = self.form.get(name, "").strip()
        if value not in among:
            raise BadForm("Please choose one of the list.")
        return value

    def text(self, name: str, *, most: int = LONGEST_NOTE) -> str:
        """
        Return what was written, trimmed; empty when nothing was.

        :raises BadForm: it is longer than we keep, or holds what cannot be kept.
        """
        value = self.form.get(name, "").strip()
        if len(value) > most:
            raise BadForm(f"That is too long: {most} characters are kept, and it has {len(value)}.")
        if any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in value):
            raise BadForm("That holds a character that cannot be kept.")
        return value

    def why(self, reasons: Mapping[str, object]) -> tuple[str, str | None]:
        """
        Return the reason that was chosen, and the note.

        :raises BadForm: there is none; ``other`` alone says nothing, so it needs a note.
        """
        reason, note = self.chosen("reason", reasons), self.text("note")
        if reason == "other" and not note:
            raise BadForm("Please say in the note what the reason is.")
        return reason, note or None

    def number(self, name: str, *, least: int, most: int) -> int:
        """
        Return a whole number.

        :raises BadForm: it is none, or not within the bounds.
        """
        value = self.form.get(name, "").strip()
        if not value.isascii() or not value.isdecimal() or len(value) > 18 or not least <= int(value) <= most:
            raise BadForm(f"Please give a whole number from {least} to {most}.")
        return int(value)

    def page(self, name: str, *, status: int = 200, **context: Any) -> Response:
        """Return a page."""
        return templating.page(self.request, name, status=status, **context)

    def go(self, path: str, *, say: str = "") -> Response:
        """Send the browser on, with a sentence for the next page."""
        answer = RedirectResponse(CONSOLE + path, status_code=303)
        if say:
            templating.leave_notice(self.request, answer, say)
        return answer

    @staticmethod
    def fresh_key() -> str:
        """Return a key for one showing of a form: sent twice, it is done once."""
        return secrets.token_urlsafe(18)


def console_of(request: Request) -> ConsoleState:
    """Return what the console is made of."""
    return cast("ConsoleState", request.app.state.console)
