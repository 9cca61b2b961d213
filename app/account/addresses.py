"""Where copies are sent: the reader's address, and temporary ones. They are changed until an issue's label cut-off."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from starlette.responses import Response

from app.account import labels
from app.account.access_control import form_route, page_route
from app.account.request import AccountRequest, InvalidForm
from app.domain.addresses import (
    AddressIncomplete,
    CountryNotServed,
    Period,
    PostalAddress,
    TemporaryAddressOverlaps,
    TemporaryDatesWrong,
    period_of,
)
from app.domain.callers import Reader
from app.pages.address_fields import ADDRESS_FIELDS, MAX_LENGTH, countries
from app.services import addresses
from app.services.addresses import AddressBook

COMPANY, DISTRICT = ("company", "Company (optional)", "organization"), ("district", "District", "address-level3")
FIELDS = (ADDRESS_FIELDS[0], COMPANY, *ADDRESS_FIELDS[1:])


async def show(request: AccountRequest) -> Response:
    """Show where copies are sent, and the form to change it."""
    book = await addresses.of_reader(request.ctx, request.sub, now=request.now)
    prints = request.ctx.catalogue.print_rules
    known = book.permanent.checked.address.fields() if book.permanent is not None else {}
    entered = {"name": request.session.name or "", "country": prints.mailed_from, **known, **request.form}
    return request.render(
        "address.html",
        book=book,
        fields=(*FIELDS, DISTRICT) if entered.get("district") else FIELDS,
        max_length=MAX_LENGTH,
        countries=countries(prints.served, request.ctx.localization, prints.mailed_from, entered["country"]),
        entered=entered,
        today=request.now.astimezone(request.ctx.rules.zone).date(),
    )


async def save(request: AccountRequest) -> Response:
    """Save the address, as the temporary one if there are days."""
    period = _period(request)
    with explained():
        book = await addresses.save_own(
            request.ctx, _reader(request), entered_address(request), period, now=request.now
        )
    return request.redirect("/address", flash=_saved(book, period))


async def remove(request: AccountRequest) -> Response:
    """Remove a temporary address."""
    await addresses.remove_own(request.ctx, request.sub, request.text("address", max_length=100), now=request.now)
    return request.redirect("/address", flash="The temporary address is removed.")


async def show_instead(request: AccountRequest) -> Response:
    """Open the page with the button: the reader has signed in again after pressing it."""
    return request.redirect("/address")


def entered_address(request: AccountRequest) -> PostalAddress:
    """
    Return the address in the form.

    :raises InvalidForm: a part is too long or has invalid characters.
    """
    entered = {name: request.text(name, max_length=MAX_LENGTH) for name, _, _ in (*FIELDS, DISTRICT)}
    return PostalAddress(**{**entered, "country": entered["country"].upper()})


@contextmanager
def explained() -> Iterator[None]:
    """
    Turn a refusal of an address into the errors of the fields that cause it.

    :raises InvalidForm: the address is refused.
    """
    try:
        yield
    except AddressIncomplete as error:
        problems = error.facts["problems"]
        assert isinstance(problems, list)
        raise InvalidForm.of({one["field"]: labels.typographic(f"{one['message']}.") for one in problems}) from None
    except CountryNotServed:
        raise InvalidForm("We don’t mail the print edition to this country.", field="country") from None
    except (TemporaryDatesWrong, TemporaryAddressOverlaps) as error:
        raise InvalidForm(labels.typographic(f"{error}."), field="until") from None


def _period(request: AccountRequest) -> Period | None:
    """Return the days in the form; None: the address is the permanent one."""
    days: dict[str, date | None] = {name: request.day(name, optional=True) for name in ("since", "until")}
    if all(day is None for day in days.values()):
        return None
    for name, day in days.items():
        if day is None:
            raise InvalidForm("Enter both days, or none for your permanent address.", field=name)
    return period_of(days["since"], days["until"])


def _reader(request: AccountRequest) -> Reader:
    session = request.session
    return Reader(sub=session.sub, email=session.email, name=session.name, email_verified=session.email_verified)


def _saved(book: AddressBook, period: Period | None) -> str:
    """Return what the address does, and what may be wrong with it."""
    issue = book.counts_from
    counts = f" The first copy that goes there is No. {issue.number}." if issue is not None else ""
    saved = book.permanent if period is None else next((one for one in book.temporary if one.period == period), None)
    doubts = [labels.typographic(one.message) for one in saved.checked.problems] if saved is not None else []
    return f"Your address is saved.{counts}" + "".join(f" Please check: {doubt}." for doubt in doubts)


ROUTES = [
    page_route("/address", show),
    form_route("/address", save, shown_by=show),
    page_route("/address/remove", show_instead),
    form_route("/address/remove", remove, shown_by=show),
]
