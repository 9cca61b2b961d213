"""Postal addresses: those that no copy can be sent to, and saving a reader's permanent and temporary addresses."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date

from starlette.responses import Response

from app.console import readers
from app.console.access_control import form_route, page_route
from app.console.csrf import check_reader
from app.console.form_fields import InvalidForm
from app.console.request import ConsoleRequest
from app.domain.addresses import (
    FIELDS,
    LONGEST_LINE,
    AddressIncomplete,
    AddressProblem,
    CountryNotServed,
    Period,
    PostalAddress,
    TemporaryAddressOverlaps,
    TemporaryDatesWrong,
    period_of,
)
from app.domain.callers import Role
from app.domain.issues import LARGEST_NUMBER
from app.pages.address_fields import countries
from app.services import addresses, support
from app.services.addresses import AddressBook

PAGE_SIZE = 50
TITLES = {
    "name": "Name",
    "company": "Company",
    "line1": "Street and number, or PO box",
    "line2": "Apartment, suite or unit",
    "district": "District",
    "city": "City",
    "region": "State or province",
    "postal_code": "Postal code",
}


async def show_unusable(request: ConsoleRequest) -> Response:
    """Show the print subscriptions that can't be sent an issue, and why: the next one by default."""
    after = request.query("after", max_length=100)
    wanted = request.ctx.localization.parse_number(request.query("issue", max_length=10))
    number = wanted if wanted is not None and 0 < wanted <= LARGEST_NUMBER else None
    issue, page = await addresses.unusable(
        request.ctx, number=number, after=after, limit=PAGE_SIZE, viewer=request.viewer, now=request.now
    )
    found = [one.subscriber_id for one in page.items]
    return request.render(
        "unusable_addresses.html",
        issue=issue,
        number=number,
        rows=[(one, [AddressProblem.load(stored).message for stored in one.problems]) for one in page.items],
        readers=await support.subscribers_by_id(request.ctx, found, viewer=request.viewer) if found else {},
        next=page.next,
    )


async def show_form(request: ConsoleRequest) -> Response:
    """Show the form for a reader's permanent address."""
    return await _show_form(request, temporary=False)


async def show_temporary_form(request: ConsoleRequest) -> Response:
    """Show the form for a temporary address of a reader."""
    return await _show_form(request, temporary=True)


async def _show_form(request: ConsoleRequest, *, temporary: bool) -> Response:
    reader = await support.reader(request.ctx, request.path_param("reader"), viewer=request.viewer)
    book = await addresses.of_subscriber(request.ctx, reader.id, viewer=request.viewer, now=request.now)
    saved = book.permanent.checked.address.fields() if book.permanent is not None and not temporary else {}
    start = saved or {"name": reader.name or "", "country": request.ctx.catalogue.print_rules.mailed_from}
    return request.render(
        "address_form.html",
        reader=reader,
        book=book,
        temporary=temporary,
        filled=request.form or start,
        titles=TITLES,
        countries=countries(
            request.ctx.catalogue.print_rules.served,
            request.ctx.localization,
            start["country"],
            request.form.get("country", ""),
        ),
        longest=LONGEST_LINE,
    )


async def save(request: ConsoleRequest) -> Response:
    """Save a reader's postal address."""
    return await _save(request, temporary=False)


async def save_temporary(request: ConsoleRequest) -> Response:
    """Save a temporary postal address of a reader."""
    return await _save(request, temporary=True)


async def _save(request: ConsoleRequest, *, temporary: bool) -> Response:
    reader_id = request.path_param("reader")
    await check_reader(request, reader_id)
    with request.fields() as fields:
        values = {name: fields.text(name, max_length=LONGEST_LINE) for name in FIELDS}
        days = [fields.day(name) for name in ("since", "until")] if temporary else []
    with _explained():
        book = await addresses.save(
            request.ctx,
            reader_id,
            PostalAddress(**values),
            _period(days),
            by=request.staff.actor,
            now=request.now,
        )
    return request.redirect(f"/readers/{reader_id}", flash=_saved(book, temporary=temporary))


def _period(days: Sequence[date | None]) -> Period | None:
    return period_of(*days) if days else None


@contextmanager
def _explained() -> Iterator[None]:
    """
    Turn a refusal into the errors of the fields that cause it.

    :raises InvalidForm: the address is refused.
    """
    try:
        yield
    except AddressIncomplete as error:
        problems = error.facts["problems"]
        assert isinstance(problems, list)
        raise InvalidForm.of({one["field"]: f"{one['message']}." for one in problems}) from None
    except CountryNotServed:
        raise InvalidForm("The print edition isn’t mailed to this country.", field="country") from None
    except (TemporaryDatesWrong, TemporaryAddressOverlaps) as error:
        raise InvalidForm(f"{error}.", field="until") from None


def _saved(book: AddressBook, *, temporary: bool) -> str:
    """Return what the address does, and what may be wrong with it."""
    issue = book.counts_from
    counts = f" It counts from issue {issue.number}." if issue is not None else ""
    saved = book.permanent if not temporary else next(iter(book.temporary[-1:]), None)
    doubts = [one.message for one in saved.checked.problems] if saved is not None else []
    return f"Address saved.{counts}" + "".join(f" Please check: {doubt}." for doubt in doubts)


async def remove(request: ConsoleRequest) -> Response:
    """Remove a temporary address of a reader."""
    reader_id = request.path_param("reader")
    await check_reader(request, reader_id)
    await addresses.remove(
        request.ctx, reader_id, request.path_param("address"), by=request.staff.actor, now=request.now
    )
    return request.redirect(f"/readers/{reader_id}", flash="Temporary address removed.")


PERMANENT, TEMPORARY = "/readers/{reader}/address", "/readers/{reader}/temporary-address"
ROUTES = [
    page_route("/addresses", show_unusable, role=Role.CIRCULATION),
    page_route(PERMANENT, show_form, role=Role.SUPPORT),
    form_route(PERMANENT, save, role=Role.SUPPORT, shown_by=show_form),
    page_route(TEMPORARY, show_temporary_form, role=Role.SUPPORT),
    form_route(TEMPORARY, save_temporary, role=Role.SUPPORT, shown_by=show_temporary_form),
    form_route(
        "/readers/{reader}/addresses/{address}/remove",
        remove,
        role=Role.SUPPORT,
        shown_by=readers.show_of_form,
        shown_at="/readers/{reader}",
    ),
]
