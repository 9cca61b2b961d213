"""``/v1/support/audit``: who did what to someone's money or access, when and why."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from app.api.deps import Admin, Ctx
from app.api.models import STORABLE, ApiModel, Moment
from app.api.openapi import Described
from app.db.audit import Listed
from app.domain.audit import Selection
from app.services import audit

router = APIRouter(prefix="/v1/support/audit", tags=["operation"], route_class=Described)

Word = Annotated[str, StringConstraints(min_length=1, max_length=300), STORABLE]


class AuditEntryOut(ApiModel):
    """Who did what, when, to what, why, with what before and after."""

    id: str = Field(examples=["1024"])
    at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    actor: str = Field(
        description="`reader:…`, `staff:…`, `operator:…`, `key:…`, `stripe` or `policy`", examples=["staff:user-7"]
    )
    action: str = Field(examples=["refund.requested"])
    object: str = Field(description="the id of what it was done to", examples=["rfd_123"])
    subscriber: str | None = Field(description="the id of whose it is", examples=["rdr_123"])
    reason: str | None = Field(description="a code", examples=["other"])
    note: str | None = Field(
        description="their own words: outside the chain, so that they can be erased", examples=["a torn copy"]
    )
    before: dict[str, Any] | None = Field(examples=[None])
    after: dict[str, Any] | None = Field(examples=[{"amount": 100}])
    request_id: str | None = Field(examples=["4f1c"])
    hash: str | None = Field(
        description="its seal in the chain; null: a worker is about to seal it",
        examples=["9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de"],
    )

    @classmethod
    def of(cls, listed: Listed) -> "AuditEntryOut":
        """Show an entry."""
        entry = listed.entry
        return cls(
            id=str(entry.id),
            at=entry.at,
            actor=entry.actor,
            action=entry.action,
            object=entry.object_id,
            subscriber=entry.subscriber_id,
            reason=entry.reason,
            note=listed.note,
            before=dict(entry.before) if entry.before is not None else None,
            after=dict(entry.after) if entry.after is not None else None,
            request_id=entry.request_id,
            hash=listed.hash,
        )


class AuditOut(ApiModel):
    """A list, and where it goes on."""

    data: list[AuditEntryOut]
    next: str | None = Field(examples=[None])


@router.get("")
async def list_audit(
    _: Admin,
    ctx: Ctx,
    actor: Annotated[Word | None, Query(description="whole: `staff:user-7`")] = None,
    action: Annotated[Word | None, Query(description="whole, or its beginning and a star: `refund.*`")] = None,
    object: Annotated[Word | None, Query(description="the id of what it was done to")] = None,  # noqa: A002
    subscriber: Annotated[Word | None, Query(description="the id of whose it is: `rdr_123`")] = None,
    since: Annotated[Moment | None, Query(description="then or later")] = None,
    until: Annotated[Moment | None, Query(description="before")] = None,
    after: Annotated[str | None, Query(pattern="^[0-9]{1,18}$", description="the `next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> AuditOut:
    """List entries of the audit log, the newest first."""
    wanted = Selection(actor=actor, action=action, object_id=object, subscriber_id=subscriber, since=since, until=until)
    found = await audit.page(ctx, wanted, after=int(after) if after is not None else None, limit=limit)
    return AuditOut(data=[AuditEntryOut.of(one) for one in found.found], next=found.next)
