"""A request of a signed-in reader, as page functions receive it."""

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from app.account import cookies, templating
from app.account.sessions import ReaderSession
from app.account.state import ACCOUNT, absolute_url, account_of
from app.context import Context
from app.domain.money import Money, maximum
from app.domain.text import is_storable

LEAVING, LEAVING_MAX_AGE = "leaving", timedelta(minutes=5)


class InvalidForm(Exception):
    """Form fields are missing or invalid. ``str()`` says what to enter in ``field``; ``others`` have the same problem."""

    def __init__(self, message: str, *, field: str, others: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.field, self.others = field, others or {}

    @classmethod
    def of(cls, messages: Mapping[str, str]) -> "InvalidForm":
        """Return the error for several fields, each with its message."""
        (field, message), *others = messages.items()
        return cls(message, field=field, others=dict(others))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a form was refused, to be shown on the form's page. ``code`` is for the page, ``field`` for its message."""

    message: str
    status: int
    code: str = ""
    field: str = ""
    others: Mapping[str, str] = dataclass_field(default_factory=dict)  # the messages of other fields

    def at(self, name: str) -> str:
        """Return the message for a field; empty if it has none."""
        return self.message if self.field == name else self.others.get(name, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRequest:
    """The HTTP request with its session, its form and everything that a page needs to answer it."""

    http: Request
    ctx: Context
    session: ReaderSession
    now: datetime  # policy time: terms, guarantees and access are judged by it
    form: Mapping[str, str] = dataclass_field(
        default_factory=dict
    )  # as submitted, or kept while the reader signed in again
    fault: Fault | None = None  # why the form was refused

    @property
    def sub(self) -> str:
        """The reader's ID at the identity provider."""
        return self.session.sub

    def query(self, name: str, *, max_length: int = 200) -> str:
        """Return a query parameter, trimmed and truncated, without NUL characters, which PostgreSQL can't store."""
        return self.http.query_params.get(name, "").replace("\x00", "").strip()[:max_length]

    def choice(self, name: str, options: Mapping[str, object], *, message: str) -> str:
        """
        Return the selected option of a form field.

        :raises InvalidForm: if nothing is selected, or the value is not an option.
        """
        value = self.form.get(name, "").strip()
        if value not in options:
            raise InvalidForm(message, field=name)
        return value

    def text(self, name: str, *, max_length: int) -> str:
        """
        Return the text of a form field, trimmed. A missing field is an empty text.

        :raises InvalidForm: if the text is too long or has characters that PostgreSQL can't store.
        """
        value = self.form.get(name, "").replace("\r\n", "\n").strip()
        if len(value) > max_length:
            raise InvalidForm(f"Use {max_length:,} characters or fewer. You entered {len(value):,}.", field=name)
        if not is_storable(value):
            raise InvalidForm("Remove the invalid characters.", field=name)
        return value

    def day(self, name: str, *, optional: bool = False) -> date | None:
        """
        Return the day of a form field; None if it is empty and optional.

        :raises InvalidForm: it is no day.
        """
        value = self.form.get(name, "").strip()
        if not value and optional:
            return None
        found = self.ctx.localization.parse_day(value[:40])
        if found is None:
            raise InvalidForm("Enter a date such as 2027-03-01.", field=name)
        return found

    def amount(self, *, least: int = 1) -> Money:
        """
        Return the amount that the page showed, in minor units.

        :raises InvalidForm: the form is damaged.
        """
        value, currency = self.form.get("amount", ""), self.form.get("currency", "")
        is_code = len(currency) == 3 and currency.isascii() and currency.isalpha() and currency.islower()
        is_number = value.isascii() and value.isdecimal() and len(value) <= 16
        if not (is_code and is_number and least <= int(value) <= maximum(currency)):
            raise InvalidForm("This form is damaged. Please check the amount and try again.", field="amount")
        return Money(int(value), currency)

    def url(self, path: str) -> str:
        """Return the absolute URL of a page of the account."""
        return absolute_url(self.http, path)

    def render(self, template: str, *, status: int = 200, **context: Any) -> Response:
        """Render a template as the response. If the form was refused, the page says why, with the refusal's status."""
        if self.fault is not None:
            status = self.fault.status
        return templating.render(self.http, template, status=status, fault=self.fault, **context)

    def redirect(self, path: str, *, flash: str = "") -> Response:
        """Redirect to another page of the account, which shows the flash message once."""
        response = RedirectResponse(ACCOUNT + path, status_code=303)
        if flash:
            templating.set_flash(self.http, response, flash)
        return response

    def leave(self, url: str) -> Response:
        """
        Redirect to another site, through a page of ours.

        The content security policy lets no form redirect to another site. The URL is kept in a cookie, because it opens
        the reader's billing page and so belongs in no address that is stored.
        """
        response = RedirectResponse(f"{ACCOUNT}/leaving", status_code=303)
        value = cookies.encrypted(self.http, account_of(self.http).leaving_cipher, {"url": url, "sub": self.sub})
        if value is None:  # the sites' URLs are shorter
            raise LookupError("the URL is too long")
        cookies.set_value(self.http, response, LEAVING, value, max_age=LEAVING_MAX_AGE)
        return response
