"""``/v1/me/address`` and the same for staff: where copies are sent; and ``/v1/print/unusable-addresses``."""

from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import Circulation, Ctx, CurrentReader, Now, SupportAgent, seen_by
from app.api.models import STORABLE, ApiModel, Day
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.addresses import (
    LONGEST_LINE,
    AddressIncomplete,
    AddressProblem,
    CountryNotServed,
    Period,
    PostalAddress,
    SavedAddress,
    TemporaryAddressOverlaps,
    TemporaryDatesWrong,
    period_of,
)
from app.domain.errors import NotFound
from app.domain.issues import LARGEST_NUMBER, Issue
from app.services import addresses
from app.services.addresses import AddressBook

router = APIRouter(prefix="/v1", route_class=Described)
Line = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_LINE), STORABLE]
REFUSALS = problems(AddressIncomplete, TemporaryDatesWrong, CountryNotServed, TemporaryAddressOverlaps)


class AddressFields(ApiModel):
    """The parts of an address."""

    name: Line = Field(default="", description="The recipient. Required without a company.", examples=["Ada Invented"])
    company: Line = Field(default="", examples=[""])
    line1: Line = Field(default="", description="Street and number, or PO box.", examples=["1 Lantern Street"])
    line2: Line = Field(default="", description="Apartment, suite or unit.", examples=["Apt 2"])
    district: Line = Field(default="", description="A part of the city, where the country uses it.", examples=[""])
    city: Line = Field(default="", description="For US military mail, APO, FPO or DPO.", examples=["Springfield"])
    region: Line = Field(
        default="", description="State or province; AA, AE or AP for US military mail.", examples=["IL"]
    )
    postal_code: Line = Field(default="", examples=["62701"])
    country: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2), STORABLE] = Field(
        default="", description="ISO 3166 code of two letters.", examples=["US"]
    )


class AddressIn(AddressFields):
    """
    An address. With ``from`` and ``until``, it is a temporary one.

    Which parts are required depends on the country.
    """

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    since: Day | None = Field(
        default=None, alias="from", description="First day at a temporary address.", examples=[None]
    )
    until: Day | None = Field(
        default=None,
        description="The day from which the permanent address counts again. Copies that are mailed before it go to the "
        "temporary address.",
        examples=[None],
    )

    def to_address(self) -> PostalAddress:
        """Return the address."""
        return PostalAddress(**self.model_dump(exclude={"since", "until"}))

    def to_period(self) -> Period | None:
        """
        Return the period of a temporary address.

        :raises TemporaryDatesWrong: the dates are incomplete or in the wrong order.
        """
        return period_of(self.since, self.until)


class WarningOut(ApiModel):
    """A doubt about a part of an address."""

    model_config = ConfigDict(from_attributes=True)

    field: str = Field(examples=["postal_code"])
    code: str = Field(
        description="`invalid`: it differs from the country's format; copies are sent all the same. `required`, `too_long`, "
        "`unknown_country` or `country_not_served`: no copy can be sent until it is repaired.",
        examples=["invalid"],
    )
    message: str = Field(examples=["The postal code doesn't look like one of this country"])


class AddressOut(AddressFields):
    """A saved address."""

    model_config = ConfigDict(populate_by_name=True)

    id: str = Field(examples=["adr_0c5e"])
    lines: list[str] = Field(
        description="As on the label, in the format of the country.",
        examples=[["Ada Invented", "1 Lantern Street", "Apt 2", "SPRINGFIELD, IL 62701"]],
    )
    usable: bool = Field(description="Whether copies can be sent to it.", examples=[True])
    warnings: list[WarningOut] = Field(examples=[[]])
    since: date | None = Field(alias="from", description="null: permanent", examples=[None])
    until: date | None = Field(examples=[None])
    saved_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])

    @classmethod
    def of(cls, saved: SavedAddress) -> "AddressOut":
        """Return the body for an address."""
        values: dict[str, Any] = {
            **saved.checked.address.fields(),
            "id": saved.id,
            "lines": list(saved.checked.lines),
            "usable": saved.checked.is_usable,
            "warnings": [_warning(one) for one in saved.checked.problems],
            "since": saved.period.since if saved.period is not None else None,
            "until": saved.period.until if saved.period is not None else None,
            "saved_at": saved.saved_at,
        }
        return cls.model_construct(**values)  # what a checkout collected may be longer than what can be entered


class CountsFromOut(ApiModel):
    """The first issue on whose labels a change is."""

    issue: int = Field(examples=[7])
    label_cutoff: date = Field(
        description="The last day for changes, in the publisher's time zone.", examples=["2026-05-28"]
    )
    mail_date: date = Field(examples=["2026-06-09"])

    @classmethod
    def of(cls, issue: Issue | None) -> "CountsFromOut | None":
        """Return the body; None if the issue is not on the calendar yet."""
        if issue is None:
            return None
        return cls(issue=issue.number, label_cutoff=issue.closes_on, mail_date=issue.mail_date)


class AddressBookOut(ApiModel):
    """A reader's addresses, and from which issue a change counts that is made now."""

    address: AddressOut | None = Field(description="The permanent address; null if there is none.")
    temporary: list[AddressOut] = Field(description="Those that are not over.", examples=[[]])
    counts_from: CountsFromOut | None = Field(
        description="In the answer to a temporary address, the first issue that is sent there. null if it is not on the "
        "calendar yet."
    )

    price_changes: bool = Field(
        default=False,
        description="Whether the address changes the price of print. It is always `false`: a subscriber who moves to "
        "another postage band keeps the price, in renewals too.",
        examples=[False],
    )

    @classmethod
    def of(cls, book: AddressBook) -> "AddressBookOut":
        """Return the body for the addresses of a reader."""
        return cls(
            address=AddressOut.of(book.permanent) if book.permanent is not None else None,
            temporary=[AddressOut.of(one) for one in book.temporary],
            counts_from=CountsFromOut.of(book.counts_from),
        )


class UnusableOut(ApiModel):
    """A print subscription without a usable address."""

    subscription: str = Field(examples=["scr_0c5e"])
    subscriber: str = Field(examples=["rdr_0c5e"])
    problems: list[WarningOut] = Field(description="Empty: there is no address.")


class UnusableAddressesOut(ApiModel):
    """Print subscriptions that can't be sent the next issue. ``next`` is the cursor of the next page, or null."""

    issue: int | None = Field(description="The next issue whose labels are open.", examples=[7])
    data: list[UnusableOut]
    next: str | None = Field(examples=[None])


def _warning(problem: AddressProblem) -> WarningOut:
    return WarningOut(field=problem.field, code=problem.code, message=problem.message)


@router.get("/me/address", tags=["subscription"])
async def show_my_address(reader: CurrentReader, ctx: Ctx, now: Now) -> AddressBookOut:
    """Retrieve my postal addresses."""
    return AddressBookOut.of(await addresses.of_reader(ctx, reader.sub, now=now))


@router.put("/me/address", tags=["subscription"], responses=REFUSALS)
async def save_my_address(body: AddressIn, reader: CurrentReader, ctx: Ctx, now: Now) -> AddressBookOut:
    """
    Save my postal address, or a temporary one. Changes after an issue's label cut-off count for the next issue.

    The price of print stays as it is, also in a country of another postage band.
    """
    return AddressBookOut.of(await addresses.save_own(ctx, reader, body.to_address(), body.to_period(), now=now))


@router.delete("/me/address/temporary/{address_id}", tags=["subscription"], responses=problems(NotFound))
async def remove_my_temporary_address(address_id: str, reader: CurrentReader, ctx: Ctx, now: Now) -> AddressBookOut:
    """Remove one of my temporary addresses."""
    return AddressBookOut.of(await addresses.remove_own(ctx, reader.sub, address_id, now=now))


@router.get("/support/subscribers/{subscriber_id}/address", tags=["support"], responses=problems(NotFound))
async def show_address(subscriber_id: str, agent: SupportAgent, ctx: Ctx, now: Now) -> AddressBookOut:
    """Retrieve a subscriber's postal addresses."""
    return AddressBookOut.of(await addresses.of_subscriber(ctx, subscriber_id, viewer=seen_by(agent), now=now))


@router.put("/support/subscribers/{subscriber_id}/address", tags=["support"], responses=REFUSALS | problems(NotFound))
async def save_address(subscriber_id: str, body: AddressIn, agent: SupportAgent, ctx: Ctx, now: Now) -> AddressBookOut:
    """Save a subscriber's postal address, or a temporary one."""
    return AddressBookOut.of(
        await addresses.save(ctx, subscriber_id, body.to_address(), body.to_period(), by=agent.actor, now=now)
    )


@router.delete(
    "/support/subscribers/{subscriber_id}/address/temporary/{address_id}",
    tags=["support"],
    responses=problems(NotFound),
)
async def remove_temporary_address(
    subscriber_id: str, address_id: str, agent: SupportAgent, ctx: Ctx, now: Now
) -> AddressBookOut:
    """Remove one of a subscriber's temporary addresses."""
    return AddressBookOut.of(await addresses.remove(ctx, subscriber_id, address_id, by=agent.actor, now=now))


@router.get("/print/unusable-addresses", tags=["issues"], responses=problems(NotFound))
async def list_unusable_addresses(
    agent: Circulation,
    ctx: Ctx,
    now: Now,
    number: Annotated[
        int | None,
        Query(
            alias="issue",
            ge=1,
            le=LARGEST_NUMBER,
            description="The issue. By default, the next one whose labels are open. If its labels are frozen, these copies "
            "wait for a supplement.",
        ),
    ] = None,
    after: Annotated[str, Query(max_length=100, description="`next` of the previous page."), STORABLE] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> UnusableAddressesOut:
    """List the print subscriptions that can't be sent an issue, because their address is missing or unusable."""
    issue, page = await addresses.unusable(ctx, number=number, after=after, limit=limit, viewer=seen_by(agent), now=now)
    return UnusableAddressesOut(
        issue=issue.number if issue is not None else None,
        data=[
            UnusableOut(
                subscription=one.subscription_id,
                subscriber=one.subscriber_id,
                problems=[_warning(AddressProblem.load(stored)) for stored in one.problems],
            )
            for one in page.items
        ],
        next=page.next,
    )
