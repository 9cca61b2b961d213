"""``/v1/support/queue``: what staff have to look at, who works on it, and until when it sleeps."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field

from app.api.deps import Ctx, Now, RealNow, SupportAgent
from app.api.models import STORABLE, ApiModel, Moment, MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.callers import LONGEST_SUB
from app.domain.errors import NotFound
from app.domain.pages import BadCursor
from app.domain.work_queue import (
    DISMISSIBLE,
    LONGEST_NOTE,
    AssigneeLacksRole,
    InvalidSnooze,
    ItemKind,
    Selection,
    SnoozeAfterDeadline,
    UnknownAssignee,
    WorkItem,
    WorkItemChanged,
    kinds_for,
)
from app.services import staff_members, work_queue

router = APIRouter(prefix="/v1/support", tags=["queue"], route_class=Described)

ME, NOBODY = "me", "nobody"


class StaffMemberOut(ApiModel):
    """A member of staff who has signed in to the console."""

    sub: str = Field(description="The person's ID at the identity provider.", examples=["agent-1"])
    name: str = Field(examples=["Robin Vance"])


class ListedStaffMemberOut(StaffMemberOut):
    """A member of staff in a list."""

    email: str | None = Field(
        default=None,
        description="Null until the identity provider gives an address at a sign-in to the console.",
        examples=["robin@example.com"],
    )


class StaffMembersOut(ApiModel):
    """Staff by name: at most 500."""

    data: list[ListedStaffMemberOut]


class WorkItemOut(ApiModel):
    """An item of the work queue. Fields that its kind doesn't have are null."""

    id: str = Field(
        description="ID of the dispute, the refund, the request, the event, the fraud warning or the anomaly.",
        examples=["rfd_0c5e"],
    )
    kind: ItemKind = Field(examples=["refund_failed"])
    code: str = Field(
        description="The status of a dispute or a refund, the kind of a request, the type of an event, what the policy did"
        " about a fraud warning, or the code of an anomaly.",
        examples=["failed"],
    )
    why: str | None = Field(
        description="The reason: a code, or for events and anomalies words.", examples=["expired_or_canceled_card"]
    )
    detail: str | None = Field(
        description="The basis of a refund, the plan of complimentary access, the concern about a dispute, or the object of"
        " an anomaly.",
        examples=["goodwill"],
    )
    subscriber: str | None = Field(examples=["rdr_0c5e"])
    payment: str | None = Field(examples=["pi_123"])
    amount: MoneyOut | None
    quantity: int | None = Field(description="Days or issues, of a request.", examples=[None])
    requested_by: str | None = Field(description="Of refunds and requests.", examples=["staff:agent-1"])
    since: datetime = Field(examples=["2026-03-08T18:00:00Z"])
    due_by: datetime | None = Field(description="Evidence deadline of a dispute.", examples=[None])
    assigned_to: StaffMemberOut | None
    snoozed_until: datetime | None = Field(
        description="The item sleeps until then, or until it changes.", examples=[None]
    )
    note: str | None = Field(examples=["asked the bank"])
    dismissible: bool = Field(
        description="Whether `POST /v1/support/attention/{id}/dismiss` ends it. Others end with their cause.",
        examples=[True],
    )
    version: int = Field(description="Send it with a change.", examples=[3])

    @classmethod
    def of(cls, item: WorkItem, *, names: Mapping[str, str], now: datetime) -> "WorkItemOut":
        """Return the body for an item."""
        is_money = item.amount is not None and item.currency is not None
        assignee = item.marks.assigned_to
        return cls(
            id=item.id,
            kind=item.kind,
            code=item.code,
            why=item.why,
            detail=item.detail,
            subscriber=item.subscriber_id,
            payment=item.payment_id,
            amount=MoneyOut(amount=item.amount or 0, currency=item.currency or "") if is_money else None,
            quantity=item.amount if not is_money else None,
            requested_by=item.requested_by,
            since=item.since,
            due_by=item.due_by,
            assigned_to=StaffMemberOut(sub=assignee, name=names.get(assignee, assignee)) if assignee else None,
            snoozed_until=item.marks.snoozed_until if item.is_asleep(now=now) else None,
            note=item.marks.note,
            dismissible=item.kind in DISMISSIBLE,
            version=item.marks.version,
        )


class WorkQueueOut(ApiModel):
    """A page of the queue. ``next`` is the cursor of the next page, or null."""

    data: list[WorkItemOut]
    next: str | None = Field(examples=[None])


class WorkQueueCountOut(ApiModel):
    """The number of items of a kind."""

    kind: ItemKind = Field(examples=["refund_failed"])
    count: int = Field(description="At most 100: counting stops there.", examples=[2])


class WorkQueueCountsOut(ApiModel):
    """The number of items that the caller may act on and that are not asleep, by kind."""

    data: list[WorkQueueCountOut]


class _Change(ApiModel):
    model_config = ConfigDict(extra="forbid")

    version: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        description="The version that you read. If someone else has changed the item since, nothing is changed.",
        examples=[3],
    )


class AssignmentIn(_Change):
    """Who works on an item."""

    to: Annotated[str, Field(min_length=1, max_length=LONGEST_SUB), STORABLE] | None = Field(
        description="`me`, the `sub` of a member of staff, or null for nobody.", examples=["me"]
    )


class SnoozeIn(_Change):
    """Until when an item sleeps."""

    until: Moment | None = Field(
        description="At most a year ahead, and before a dispute's deadline. null wakes it up.",
        examples=["2026-03-15T06:00:00Z"],
    )


class NoteIn(_Change):
    """A note about an item."""

    note: Annotated[str, Field(min_length=1, max_length=LONGEST_NOTE), STORABLE] | None = Field(
        description="null removes the note.", examples=["asked the bank"]
    )


@router.get("/queue", responses=problems(BadCursor))
async def list_work_queue(
    agent: SupportAgent,
    ctx: Ctx,
    now: Now,
    kind: Annotated[ItemKind | None, Query()] = None,
    assigned_to: Annotated[
        str | None, Query(min_length=1, max_length=LONGEST_SUB, description="`me`, `nobody`, or a `sub`.")
    ] = None,
    state: Annotated[Literal["open", "snoozed"], Query()] = "open",
    after: Annotated[str | None, Query(max_length=400, description="`next` of the previous page.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> WorkQueueOut:
    """
    List the items that the caller may act on, the most urgent first.

    Disputes by their evidence deadline, failed refunds, requests for approval, events that failed permanently, anomalies.
    """
    wanted = Selection(
        kinds=tuple(one for one in kinds_for(agent.roles) if kind in (None, one)),
        asleep=state == "snoozed",
        assigned_to=agent.sub if assigned_to == ME else assigned_to if assigned_to != NOBODY else None,
        unassigned=assigned_to == NOBODY,
    )
    page = await work_queue.page(ctx, wanted, after=after, limit=limit, now=now)
    names = await staff_members.names(ctx)
    return WorkQueueOut(data=[WorkItemOut.of(one, names=names, now=now) for one in page.items], next=page.next)


@router.get("/queue/counts")
async def count_work_queue(agent: SupportAgent, ctx: Ctx, now: Now) -> WorkQueueCountsOut:
    """Count the open items by kind."""
    found = await work_queue.counts(ctx, agent.roles, now=now)
    return WorkQueueCountsOut(data=[WorkQueueCountOut(kind=kind, count=count) for kind, count in found.items()])


@router.get("/queue/{item}", responses=problems(NotFound))
async def get_work_item(item: str, agent: SupportAgent, ctx: Ctx, now: Now) -> WorkItemOut:
    """Retrieve an item, snoozed or not."""
    found = await work_queue.get(ctx, item, roles=agent.roles)
    return WorkItemOut.of(found, names=await staff_members.names(ctx), now=now)


@router.post("/queue/{item}/assign", responses=problems(NotFound, WorkItemChanged, UnknownAssignee, AssigneeLacksRole))
async def assign_work_item(
    item: str, body: AssignmentIn, agent: SupportAgent, ctx: Ctx, now: Now, real: RealNow
) -> WorkItemOut:
    """Assign an item to yourself, to another member of staff, or to nobody."""
    to = agent.sub if body.to == ME else body.to
    if to == agent.sub:
        await work_queue.remember(ctx, agent, now=real)
    found = await work_queue.assign(ctx, item, to, by=agent.actor, roles=agent.roles, version=body.version, now=now)
    return WorkItemOut.of(found, names=await staff_members.names(ctx), now=now)


@router.post("/queue/{item}/snooze", responses=problems(NotFound, WorkItemChanged, InvalidSnooze, SnoozeAfterDeadline))
async def snooze_work_item(item: str, body: SnoozeIn, agent: SupportAgent, ctx: Ctx, now: Now) -> WorkItemOut:
    """Hide an item until a time, or until it changes."""
    found = await work_queue.snooze(
        ctx, item, body.until, by=agent.actor, roles=agent.roles, version=body.version, now=now
    )
    return WorkItemOut.of(found, names=await staff_members.names(ctx), now=now)


@router.post("/queue/{item}/note", responses=problems(NotFound, WorkItemChanged))
async def note_work_item(item: str, body: NoteIn, agent: SupportAgent, ctx: Ctx, now: Now) -> WorkItemOut:
    """Replace the note of an item."""
    found = await work_queue.note(
        ctx, item, body.note, by=agent.actor, roles=agent.roles, version=body.version, now=now
    )
    return WorkItemOut.of(found, names=await staff_members.names(ctx), now=now)


@router.get("/staff-members")
async def list_staff_members(_: SupportAgent, ctx: Ctx) -> StaffMembersOut:
    """List the staff who have signed in to the console, for assignments and to show names."""
    found = await staff_members.listed(ctx)
    return StaffMembersOut(data=[ListedStaffMemberOut(sub=one.sub, name=one.name, email=one.email) for one in found])
