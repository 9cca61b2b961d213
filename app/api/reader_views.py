"""``/v1/support/reader-views``: which member of staff saw which reader."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from app.api.deps import Ctx, PrivacyOfficer
from app.api.listed_values import PlaceText
from app.api.models import STORABLE, ApiModel, Moment
from app.api.openapi import Described
from app.domain.reader_views import ReaderView
from app.services import reader_views

router = APIRouter(prefix="/v1/support/reader-views", tags=["privacy"], route_class=Described)

Word = Annotated[str, StringConstraints(min_length=1, max_length=300), STORABLE]


class ReaderViewOut(ApiModel):
    """A view of a reader by a member of staff. Repeated views within ten minutes are one view."""

    at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    viewer: str = Field(description="As in the audit log.", examples=["staff:user-7"])
    subscriber: str = Field(description="ID of the subscriber.", examples=["rdr_0c5e"])
    place: PlaceText = Field(
        description="`console`, `api`, `search` (the name and email address in a list) or `export`.",
        examples=["console"],
    )

    @classmethod
    def of(cls, view: ReaderView) -> "ReaderViewOut":
        """Return the body for a view."""
        return cls(at=view.at, viewer=view.viewer, subscriber=view.subscriber_id, place=view.place)


class ReaderViewsOut(ApiModel):
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[ReaderViewOut]
    next: str | None = Field(examples=[None])


@router.get("")
async def list_reader_views(
    _: PrivacyOfficer,
    ctx: Ctx,
    subscriber: Annotated[Word | None, Query(description="ID of the subscriber: `rdr_0c5e`.")] = None,
    viewer: Annotated[Word | None, Query(description="Exact match: `staff:user-7`.")] = None,
    since: Annotated[Moment | None, Query(description="At or after this time.")] = None,
    until: Annotated[Moment | None, Query(description="Before this time.")] = None,
    after: Annotated[str | None, Query(pattern="^[0-9]{1,18}$", description="`next` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ReaderViewsOut:
    """List which staff saw which readers, newest first."""
    page = await reader_views.page(
        ctx,
        subscriber_id=subscriber,
        viewer=viewer,
        since=since,
        until=until,
        after=int(after) if after is not None else None,
        limit=limit,
    )
    return ReaderViewsOut(data=[ReaderViewOut.of(one) for one in page.items], next=page.next)
