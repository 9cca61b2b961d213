"""``/v1/issues``: the issue calendar; and ``/v1/support/subscriptions/{id}/extend``."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints

from app.api.deps import Ctx, IssueEditor, IssueViewer, Now, OptionalIdempotencyKey, RecentSupportAgent
from app.api.keyed import answer_once
from app.api.listed_values import ExtensionStatus
from app.api.models import STORABLE, ApiModel, Day
from app.api.openapi import MAY_HAVE_KEY, Described
from app.api.problems import problems
from app.domain.adjustments import ExtensionTooLarge
from app.domain.approvals import OwnAccount
from app.domain.calendar_changes import IssueOutOfOrder
from app.domain.errors import NotFound
from app.domain.issues import LARGEST_NUMBER, LONGEST_TITLE, InconsistentIssueDates, Issue
from app.domain.label_runs import CutoffPassed, IssueFrozen
from app.domain.subscriptions import AlreadyEnded
from app.services import issues
from app.services.idempotency import KeyInUse, KeyInvalid, KeyReused
from app.services.issues import Extension

router = APIRouter(prefix="/v1", route_class=Described)

Number = Annotated[int, Path(ge=1, le=LARGEST_NUMBER)]


def _not_a_boolean(value: object) -> object:
    if isinstance(value, bool):  # for Python, false is 0, and a literal accepts it
        raise ValueError("must be 0, 1 or 2")
    return value


CountsAs = Annotated[Literal[0, 1, 2], BeforeValidator(_not_a_boolean, json_schema_input_type=Literal[0, 1, 2])]


class IssueIn(ApiModel):
    """An issue. Dates are in the publisher's time zone; the label cut-off is on or before the mail date."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_TITLE), STORABLE
    ] = Field(examples=["Lanterns of the lower river"])
    cover_date: Day = Field(examples=["2026-06-14"])
    planned_mail_date: Day = Field(examples=["2026-06-09"])
    actual_mail_date: Day | None = Field(default=None, examples=[None])
    label_cutoff: Day = Field(examples=["2026-05-28"])
    counts_as: CountsAs = Field(
        default=1, description="0 for a special issue, 1, or 2 for a double issue.", examples=[1]
    )

    def to_issue(self, number: int) -> Issue:
        """Return the issue for the calendar."""
        return Issue(
            number=number,
            title=self.title,
            cover_date=self.cover_date,
            planned_mail_date=self.planned_mail_date,
            actual_mail_date=self.actual_mail_date,
            label_cutoff=self.label_cutoff,
            counts_as=self.counts_as,
        )


class IssueOut(ApiModel):
    """An issue of the calendar."""

    model_config = ConfigDict(from_attributes=True)

    id: str = Field(examples=["iss_7"])
    number: int = Field(examples=[7])
    title: str = Field(examples=["Lanterns of the lower river"])
    cover_date: date = Field(examples=["2026-06-14"])
    planned_mail_date: date = Field(examples=["2026-06-09"])
    actual_mail_date: date | None = Field(examples=[None])
    label_cutoff: date = Field(examples=["2026-05-28"])
    counts_as: int = Field(examples=[1])
    frozen_at: datetime | None = Field(
        description="As of when its labels were frozen: the end of the cut-off day. null: they aren't.",
        examples=[None],
    )


class CalendarOut(ApiModel):
    """A page of the calendar. ``next`` is the cursor of the next page, or null."""

    data: list[IssueOut]
    next: str | None = Field(examples=[None])


class LedgerOut(ApiModel):
    """
    The issues of one term. ``bought`` + ``adjustments`` = ``owed`` = ``served`` + ``unserved`` + ``cancelled``.

    ``last_issue`` is null if the calendar does not extend that far, or if the remaining issues were canceled.
    """

    model_config = ConfigDict(from_attributes=True)

    bought: int = Field(examples=[24])
    adjustments: int = Field(examples=[2])
    owed: int = Field(examples=[26])
    served: int = Field(examples=[7])
    unserved: int = Field(examples=[19])
    cancelled: int = Field(examples=[0])
    last_issue: int | None = Field(examples=[26])


class ExtendIn(ApiModel):
    """The number of issues to add, and why."""

    model_config = ConfigDict(extra="forbid")

    issues: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(examples=[2])
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), STORABLE] = Field(
        examples=["late_copies"]
    )
    note: Annotated[str, StringConstraints(max_length=2000), STORABLE] | None = None


class ExtensionOut(ApiModel):
    """Issues added to a subscription's newest term, and the term's updated ledger. Above the limit they need approval."""

    id: str = Field(examples=["adj_0c5e"])
    status: ExtensionStatus = Field(description="`added` or `awaiting_approval`.", examples=["added"])
    subscription: str = Field(examples=["scr_0c5e"])
    term: str = Field(description="The invoice that opened the term.", examples=["in_123"])
    issues: int = Field(examples=[2])
    reason: str = Field(examples=["late_copies"])
    note: str | None = Field(examples=[None])
    by: str = Field(examples=["staff:agent-1"])
    created_at: datetime = Field(examples=["2026-06-08T18:00:00Z"])
    ledger: LedgerOut

    @classmethod
    def of(cls, made: Extension) -> "ExtensionOut":
        """Return the body for an extension."""
        return cls(
            id=made.id,
            status="awaiting_approval" if made.awaits_approval else "added",
            subscription=made.subscription.id,
            term=made.ledger.invoice_id,
            issues=made.issues,
            reason=made.reason,
            note=made.note,
            by=made.by,
            created_at=made.created_at,
            ledger=LedgerOut.model_validate(made.ledger),
        )


AWAITING_APPROVAL: dict[int | str, dict[str, Any]] = {
    202: {"model": ExtensionOut, "description": "Above the limit: a second person must approve it"}
}


@router.get("/issues", tags=["issues"])
async def list_issues(
    _: IssueViewer,
    ctx: Ctx,
    after: Annotated[
        int, Query(ge=0, le=LARGEST_NUMBER, description="Number of the last issue of the previous page.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> CalendarOut:
    """List the issues of the calendar, by number."""
    page = await issues.page(ctx, after=after, limit=limit)
    return CalendarOut(
        data=[IssueOut.model_validate(issue) for issue in page.items],
        next=page.next,
    )


@router.get("/issues/{number}", tags=["issues"], responses=problems(NotFound))
async def show_issue(number: Number, _: IssueViewer, ctx: Ctx) -> IssueOut:
    """Retrieve an issue."""
    return IssueOut.model_validate(await issues.get(ctx, number))


@router.put(
    "/issues/{number}",
    tags=["issues"],
    responses=problems(InconsistentIssueDates, IssueOutOfOrder, IssueFrozen, CutoffPassed),
)
async def keep_issue(number: Number, body: IssueIn, agent: IssueEditor, ctx: Ctx, now: Now) -> IssueOut:
    """Create or update an issue. What readers are owed is recalculated."""
    return IssueOut.model_validate(await issues.save(ctx, body.to_issue(number), by=agent.actor, now=now))


@router.post(
    "/support/subscriptions/{subscription_id}/extend",
    tags=["support"],
    status_code=201,
    response_model=ExtensionOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=AWAITING_APPROVAL
    | problems(NotFound, AlreadyEnded, ExtensionTooLarge, OwnAccount, KeyInvalid, KeyReused, KeyInUse),
)
async def extend_subscription(
    subscription_id: str,
    body: ExtendIn,
    request: Request,
    agent: RecentSupportAgent,
    ctx: Ctx,
    now: Now,
    key: OptionalIdempotencyKey = None,
) -> JSONResponse:
    """Extend a subscription by a number of issues. With an Idempotency-Key, at most once for that key."""

    async def extend(adjustment_id: str) -> tuple[int, dict[str, Any]]:
        made = await issues.extend(
            ctx,
            subscription_id,
            adjustment_id=adjustment_id,
            more=body.issues,
            reason=body.reason,
            note=body.note,
            by=agent.actor,
            now=now,
        )
        return 202 if made.awaits_approval else 201, ExtensionOut.of(made).model_dump(mode="json")

    return await answer_once(ctx, request, extend, caller=agent.actor, key=key, prefix="adj")
