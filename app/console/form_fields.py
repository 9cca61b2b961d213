"""Reads the fields of a form. What is wrong with several fields is told at once, beside each of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from app.domain.money import exponent, maximum, step
from app.domain.text import is_storable
from app.localization import Localization

MAX_NOTE_LENGTH = 2000  # characters
WHOLE_FORM = "form"  # the key of an error that belongs to no field


class InvalidForm(Exception):
    """Fields of a form are missing or invalid. ``errors`` says what to enter, by the name of the field."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.errors: dict[str, str] = {field: message}

    @classmethod
    def of(cls, errors: Mapping[str, str]) -> "InvalidForm":
        """Return the error of one or more fields."""
        name, message = next(iter(errors.items()))
        error = cls(message, field=name)
        error.errors = dict(errors)
        return error


@contextmanager
def reading(form: Mapping[str, str], localization: Localization) -> "Iterator[FormFields]":
    """
    Read fields of a form inside the context.

    :raises InvalidForm: at the end of the context, with the errors of all fields that were read.
    """
    fields = FormFields(form=form, localization=localization)
    yield fields
    if fields.errors:
        raise InvalidForm.of(fields.errors)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormFields:
    """The fields of a form. The value of an invalid field is only a placeholder, see :func:`reading`."""

    form: Mapping[str, str]
    localization: Localization
    errors: dict[str, str] = field(default_factory=dict)

    def refuse(self, name: str, message: str) -> None:
        """Add an error. The first one of a field counts."""
        self.errors.setdefault(name, message)

    def choice(self, name: str, options: Mapping[str, object]) -> str:
        """Return the selected option."""
        value = self.form.get(name, "").strip()
        if value not in options:
            self.refuse(name, "Choose an option from the list.")
        return value

    def text(self, name: str, *, max_length: int = MAX_NOTE_LENGTH) -> str:
        """Return a text, trimmed. A missing field is an empty text."""
        value = self.form.get(name, "").strip()
        if len(value) > max_length:
            self.refuse(name, f"Use {max_length:,} characters or fewer. You entered {len(value):,}.")
        elif not is_storable(value):
            self.refuse(name, "Remove the invalid characters.")
        return value

    def reason_and_note(
        self, reasons: Mapping[str, object], *, max_length: int = MAX_NOTE_LENGTH
    ) -> tuple[str, str | None]:
        """Return the selected reason and the note, which the reason ``other`` requires."""
        reason, note = self.choice("reason", reasons), self.text("note", max_length=max_length)
        if reason == "other" and not note:
            self.refuse("note", "Explain the reason in the note.")
        return reason, note or None

    def integer(self, name: str, *, minimum: int, maximum: int) -> int:
        """Return a whole number, with or without the locale's thousands separators."""
        value = self.localization.parse_number(self.form.get(name, ""))
        if value is None or not minimum <= value <= maximum:
            low, high = (self.localization.number(limit) for limit in (minimum, maximum))
            self.refuse(name, f"Enter a whole number from {low} to {high}.")
            return minimum
        return value

    def amount(self, name: str, currency: str, *, most: int) -> int:
        """Return an amount of money in minor units, from a text such as ``10``, ``$10`` or ``1,000.00``."""
        amount = self.localization.parse_amount(self.form.get(name, "")[:40], currency)
        if amount is None or not 0 < amount <= maximum(currency):
            self.refuse(
                name, f"Enter an amount such as {self.localization.money(10 * 10 ** exponent(currency), currency)}."
            )
            return 0
        if amount % step(currency):
            smallest = self.localization.money(step(currency), currency)
            self.refuse(name, f"Enter a multiple of {smallest}: Stripe pays no smaller fractions.")
        elif amount > most:
            self.refuse(name, f"Only {self.localization.money(most, currency)} can still be refunded.")
        return amount

    def day(self, name: str) -> date | None:
        """Return a date. None: it is invalid, and the error says so."""
        day = self.localization.parse_day(self.form.get(name, "")[:40])
        if day is None:
            self.refuse(name, "Enter a date such as 2027-03-01.")
        return day
