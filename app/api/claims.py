"""``/v1/me/claims`` and ``/v1/support/claims``: copies that did not arrive, or arrived damaged."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import CopyAgent, Ctx, CurrentReader, Now, OptionalIdempotencyKey, RecentCopyAgent, seen_by
from app.api.keyed import answer_once
from app.api.listed_values import ClaimStatusText
from app.api.models import STORABLE, ApiModel
from app.api.openapi import MAY_HAVE_KEY, Described
from app.api.problems import problems
from app.domain.approvals import OwnAccount
from app.domain.claims import (
    Claim,
    ClaimResolution,
    ClaimSelection,
    ClaimTooLate,
    CopyAlreadyClaimed,
    CopyNotMailed,
    CopyNotSent,
    CopySentElsewhere,
    NothingToExtend,
    WantedClaim,
)
from app.domain.errors import NotFound
from app.domain.issues import LARGEST_NUMBER
from app.domain.reasons import ClaimReason
from app.domain.subscriptions import AlreadyEnded
from app.services import claims
from app.services.idempotency import KeyInUse, KeyInvalid, KeyReused

router = APIRouter(prefix="/v1", route_class=Described)
REFUSALS = problems(
    NotFound,
    CopyNotSent,
    CopySentElsewhere,
    CopyNotMailed,
    ClaimTooLate,
    CopyAlreadyClaimed,
    NothingToExtend,
    AlreadyEnded,
    KeyInvalid,
    KeyReused,
    KeyInUse,
)


class MyClaimIn(ApiModel):
    """A copy that did not arrive or arrived damaged, and what should be done about it: one of the two."""

    model_config = ConfigDict(extra="forbid")

    issue: Annotated[int, Field(ge=1, le=LARGEST_NUMBER, strict=True)] = Field(
        description="The number of the issue.", examples=[7]
    )
    reason: ClaimReason = Field(examples=["not_received"])
    resolution: ClaimResolution = Field(
        description="`resend`: a replacement is sent with the next supplement of the issue, to the address that is valid "
        "then. `extend`: the issues that the copy served are added to the term.",
        examples=["resend"],
    )
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500), STORABLE] | None = Field(
        default=None, examples=[None]
    )
    address: Annotated[str, StringConstraints(max_length=100), STORABLE] | None = Field(
        default=None,
        description="ID of the address where the copy was expected. The claim is refused if it was sent elsewhere.",
        examples=[None],
    )

    def to_claim(self) -> WantedClaim:
        """Return what is claimed."""
        return WantedClaim(
            issue_number=self.issue,
            reason=self.reason,
            resolution=self.resolution,
            note=self.note or None,
            address_id=self.address,
        )


class ClaimIn(MyClaimIn):
    """A subscription's copy that did not arrive or arrived damaged, and what should be done about it: one of the two."""

    subscription: Annotated[str, StringConstraints(min_length=1, max_length=100), STORABLE] = Field(
        examples=["scr_0c5e"]
    )


class MyClaimOut(ApiModel):
    """A claimed copy."""

    id: str = Field(examples=["clm_0c5e"])
    status: ClaimStatusText = Field(
        description="`awaiting_approval`, `rejected`, `granted`, or `sent`: the replacement is on a supplement.",
        examples=["granted"],
    )
    issue: int = Field(examples=[7])
    subscription: str = Field(examples=["scr_0c5e"])
    address: str = Field(description="ID of the address to which the copy was sent.", examples=["adr_0c5e"])
    reason: str = Field(examples=["not_received"])
    resolution: ClaimResolution = Field(examples=["resend"])
    created_at: datetime = Field(examples=["2026-06-20T18:00:00Z"])
    granted_at: datetime | None = Field(examples=["2026-06-20T18:00:00Z"])
    supplement: int | None = Field(description="The number of the supplement with the replacement.", examples=[None])

    @classmethod
    def of(cls, claim: Claim) -> "MyClaimOut":
        """Return the body for a claim, as its reader sees it."""
        return cls(**_fields(claim))


class ClaimOut(MyClaimOut):
    """A claimed copy, with who claimed it."""

    subscriber: str = Field(examples=["rdr_0c5e"])
    run: int = Field(
        description="The run with the copy: 0, or the number of a supplement.",
        examples=[0],
    )
    note: str | None = Field(examples=[None])
    claimed_by: str = Field(examples=["staff:agent-1"])

    @classmethod
    def of(cls, claim: Claim) -> "ClaimOut":
        """Return the body for a claim, as staff see it."""
        return cls(
            **_fields(claim),
            subscriber=claim.subscriber_id,
            run=claim.run_number,
            note=claim.note,
            claimed_by=claim.claimed_by,
        )


def _fields(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "status": claim.status,
        "issue": claim.issue_number,
        "subscription": claim.subscription_id,
        "address": claim.address_id,
        "reason": claim.reason,
        "resolution": claim.resolution,
        "created_at": claim.created_at,
        "granted_at": claim.granted_at,
        "supplement": claim.replacement_number,
    }


class MyClaimsOut(ApiModel):
    """A page of my claims. ``next`` is the cursor of the next page, or null."""

    data: list[MyClaimOut]
    next: str | None = Field(examples=[None])


class ClaimsOut(ApiModel):
    """A page of claims. ``next`` is the cursor of the next page, or null."""

    data: list[ClaimOut]
    next: str | None = Field(examples=[None])


After = Annotated[str | None, Query(max_length=100, description="`next` of the previous page."), STORABLE]
Limit = Annotated[int, Query(ge=1, le=100)]


def _awaiting(model: type[ApiModel]) -> dict[int | str, dict[str, Any]]:
    return {202: {"model": model, "description": "Above the limit: a second person must approve it"}}


@router.get("/me/claims", tags=["subscription"])
async def list_my_claims(reader: CurrentReader, ctx: Ctx, after: After = None, limit: Limit = 20) -> MyClaimsOut:
    """List the copies that I claimed, the newest first."""
    page = await claims.of_reader(ctx, reader.sub, after=after, limit=limit)
    return MyClaimsOut(data=[MyClaimOut.of(claim) for claim in page.items], next=page.next)


@router.post(
    "/me/claims",
    tags=["subscription"],
    status_code=201,
    response_model=MyClaimOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=_awaiting(MyClaimOut) | REFUSALS,
)
async def claim_my_copy(
    body: MyClaimIn, request: Request, reader: CurrentReader, ctx: Ctx, now: Now, key: OptionalIdempotencyKey = None
) -> JSONResponse:
    """Claim a copy that didn't reach me or arrived damaged. Each copy can be claimed once."""

    async def claim(claim_id: str) -> tuple[int, dict[str, Any]]:
        made = await claims.make_own(ctx, reader.sub, body.to_claim(), claim_id=claim_id, now=now)
        return _status(made), MyClaimOut.of(made).model_dump(mode="json")

    return await answer_once(ctx, request, claim, caller=reader.actor, key=key, prefix="clm")


@router.get("/support/claims", tags=["support"])
async def list_claims(
    agent: CopyAgent,
    ctx: Ctx,
    subscriber: Annotated[str | None, Query(max_length=100, description="ID of the reader."), STORABLE] = None,
    issue: Annotated[int | None, Query(ge=1, le=LARGEST_NUMBER)] = None,
    awaiting_approval: Annotated[bool, Query(description="Only those that a second person must decide.")] = False,
    after: After = None,
    limit: Limit = 20,
) -> ClaimsOut:
    """List claimed copies, the newest first."""
    wanted = ClaimSelection(subscriber_id=subscriber, issue_number=issue, awaiting_approval=awaiting_approval)
    page = await claims.page(ctx, wanted, viewer=seen_by(agent), after=after, limit=limit)
    return ClaimsOut(data=[ClaimOut.of(claim) for claim in page.items], next=page.next)


@router.get("/support/claims/{claim_id}", tags=["support"], responses=problems(NotFound))
async def show_claim(claim_id: str, agent: CopyAgent, ctx: Ctx) -> ClaimOut:
    """Retrieve a claimed copy."""
    return ClaimOut.of(await claims.get(ctx, claim_id, viewer=seen_by(agent)))


@router.post(
    "/support/claims",
    tags=["support"],
    status_code=201,
    response_model=ClaimOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=_awaiting(ClaimOut) | REFUSALS | problems(OwnAccount),
)
async def claim_copy(
    body: ClaimIn, request: Request, agent: RecentCopyAgent, ctx: Ctx, now: Now, key: OptionalIdempotencyKey = None
) -> JSONResponse:
    """Claim a copy for a reader. With an Idempotency-Key, at most once for that key."""

    async def claim(claim_id: str) -> tuple[int, dict[str, Any]]:
        made = await claims.make(ctx, body.subscription, body.to_claim(), claim_id=claim_id, by=agent.actor, now=now)
        return _status(made), ClaimOut.of(made).model_dump(mode="json")

    return await answer_once(ctx, request, claim, caller=agent.actor, key=key, prefix="clm")


def _status(claim: Claim) -> int:
    return 201 if claim.granted_at is not None else 202
