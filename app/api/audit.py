"""``/v1/support/audit``: the audit log of everything done to money and access."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field, StringConstraints

from app.api.deps import AuditViewer, Ctx
from app.api.models import STORABLE, ApiModel, Moment
from app.api.openapi import Described
from app.db.audit import ListedEntry
from app.domain.audit import Selection
from app.services import audit

router = APIRouter(prefix="/v1/support/audit", tags=["operation"], route_class=Described)

Word = Annotated[str, StringConstraints(min_length=1, max_length=300), STORABLE]


class AuditEntryOut(ApiModel):
    """An entry of the audit log: who did what, when and why, with the state before and after."""

    id: str = Field(examples=["1024"])
    at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    actor: str = Field(
        description="`reader:…`, `staff:…`, `operator:…`, `key:…`, `stripe` or `policy`", examples=["staff:user-7"]
    )
    action: str = Field(examples=["refund.requested"])
    object: str = Field(description="ID of the changed object.", examples=["rfd_123"])
    subscriber: str | None = Field(description="ID of the subscriber.", examples=["rdr_123"])
    reason: str | None = Field(description="Reason code.", examples=["other"])
    note: str | None = Field(
        description="Free text. The hash chain has only its salted hash, so it can be erased.", examples=["a torn copy"]
    )
    before: dict[str, Any] | None = Field(examples=[None])
    after: dict[str, Any] | None = Field(examples=[{"amount": 100}])
    request_id: str | None = Field(examples=["4f1c"])
    hash: str | None = Field(
        description="Hash in the chain; null until a worker has added the entry to it.",
        examples=["9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de"],  # pragma: allowlist secret
    )

    @classmethod
    def of(cls, listed: ListedEntry) -> "AuditEntryOut":
        """Return the body for an entry."""
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
    """A page of a list. ``next`` is the cursor of the next page, or null."""

    data: list[AuditEntryOut]
    next: str | None = Field(examples=[None])
    truncated: bool = Field(
        default=False,
        examples=[False],
        description="Whether `reader` matches more readers than were searched for. Enter an email address instead.",
    )


@router.get("")
async def list_audit(
    _: AuditViewer,
    ctx: Ctx,
    actor: Annotated[Word | None, Query(description="Exact match: `staff:user-7`.")] = None,
    action: Annotated[Word | None, Query(description="Exact match, or a prefix and a star: `refund.*`.")] = None,
    object: Annotated[Word | None, Query(description="ID of the changed object.")] = None,  # noqa: A002
    subscriber: Annotated[Word | None, Query(description="ID of the subscriber: `rdr_123`.")] = None,
    staff: Annotated[Word | None, Query(description="Part of a name, beginning of an email address, or an ID.")] = None,
    reader: Annotated[Word | None, Query(description="A name, an email address or an ID.")] = None,
    since: Annotated[Moment | None, Query(description="At or after this time.")] = None,
    until: Annotated[Moment | None, Query(description="Before this time.")] = None,
    after: Annotated[str | None, Query(pattern="^[0-9]{1,18}$", description="`next` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> AuditOut:
    """List audit log entries, newest first."""
    wanted = Selection(actor=actor, action=action, object_id=object, subscriber_id=subscriber, since=since, until=until)
    position = int(after) if after is not None else None
    found = await audit.search(ctx, wanted, staff=staff, reader=reader, after=position, limit=limit)
    return AuditOut(data=[AuditEntryOut.of(one) for one in found.items], next=found.next, truncated=found.is_cut)
