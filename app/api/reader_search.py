"""``/v1/support/subscribers``: find readers."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from app.api.deps import SEARCHES, Ctx, Now, SubscriberViewer, seen_by
from app.api.listed_values import SubscriptionStatusText
from app.api.models import ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.api.support import SubscriberOut
from app.domain.pages import BadCursor
from app.domain.reader_search import LONGEST_QUERY, Filters
from app.domain.subscriptions import SubscriptionStatus
from app.services import reader_search
from app.services.reader_search import FoundReader

router = APIRouter(prefix="/v1/support/subscribers", tags=["support"], route_class=Described)


class ListedSubscriberOut(SubscriberOut):
    """A reader in a list, with the current subscription."""

    status: SubscriptionStatusText | None = Field(
        default=None,
        examples=["active"],
        description="Status of the current subscription; null: the reader has never had one.",
    )
    plan: str | None = Field(default=None, examples=["annual"])
    print_edition: bool | None = Field(default=None, examples=[False])
    summary: str = Field(
        default="",
        examples=["Paid until March 1, 2027, then renews for $49.00"],
        description="The reader's access, for staff.",
    )

    @classmethod
    def listed(cls, found: FoundReader) -> "ListedSubscriberOut":
        """Return the body for a reader in a list."""
        own = found.subscription
        return cls(
            **SubscriberOut.of(found.subscriber).model_dump(),
            status=found.status,
            plan=own.plan if own is not None else None,
            print_edition=own.print_edition if own is not None else None,
            summary=found.summary,
        )


class SubscribersOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[ListedSubscriberOut]
    next: str | None = Field(examples=["2026-03-01T18:00:00+00:00~rdr_0c5e"])
    truncated: bool = Field(
        default=False,
        examples=[False],
        description="Whether more readers may match `q` than the pages of this list have. Add another part of the name.",
    )


@router.get("", dependencies=[SEARCHES], responses=problems(BadCursor))
async def find_subscribers(
    viewer: SubscriberViewer,
    ctx: Ctx,
    now: Now,
    q: Annotated[
        str,
        Query(
            max_length=LONGEST_QUERY,
            description="Parts of a name, the beginning of an email address, words of a postal address, the number"
            " of a paid invoice, the last four digits of a card, or an ID of Newsstand or Stripe. A charge is found after a"
            " refund or a dispute of it.",
        ),
    ] = "",
    status: Annotated[SubscriptionStatus | None, Query(description="Status of the current subscription.")] = None,
    plan: Annotated[str | None, Query(max_length=100, description="Plan of the current subscription.")] = None,
    edition: Annotated[
        Literal["digital", "print"] | None, Query(description="`print` has the digital edition too.")
    ] = None,
    ends_soon: Annotated[bool, Query(description="Only those whose scheduled end is within 30 days.")] = False,
    unpaid: Annotated[bool, Query(description="Only those with an unpaid renewal.")] = False,
    disputed: Annotated[bool, Query(description="Only those with an open dispute.")] = False,
    complimentary: Annotated[bool, Query(description="Only those with complimentary access.")] = False,
    after: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> SubscribersOut:
    """
    Search and list readers.

    The best matches come first. Without `q`, the newest come first. With `ends_soon`, `disputed` or `complimentary`, those
    come first whose subscription ends, evidence is due or access ends first.
    """
    filters = Filters(
        status=status,
        plan=plan,
        print_edition=None if edition is None else edition == "print",
        ends_soon=ends_soon,
        unpaid=unpaid,
        disputed=disputed,
        complimentary=complimentary,
    )
    page = await reader_search.find(ctx, q, filters, after=after, limit=limit, viewer=seen_by(viewer), now=now)
    data = [ListedSubscriberOut.listed(found) for found in page.items]
    return SubscribersOut(data=data, next=page.next, truncated=page.is_cut)
