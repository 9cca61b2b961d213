"""``/v1/support/comps``: give and revoke complimentary access."""

from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, model_validator

from app.api.deps import Ctx, Now, OptionalIdempotencyKey, RecentSupportAgent, SupportAgent
from app.api.keyed import answer_once
from app.api.listed_values import CompStatus
from app.api.models import STORABLE, ApiModel, Moment
from app.api.openapi import MAY_HAVE_KEY, Described
from app.api.problems import problems
from app.domain.approvals import ApprovalRequest, OwnAccount
from app.domain.comps import CalendarTooShort, Comp, CompIsOver
from app.domain.plans import UnknownPlan
from app.services import comps
from app.services.idempotency import KeyInUse, KeyInvalid, KeyReused

router = APIRouter(prefix="/v1/support/comps", tags=["support"], route_class=Described)


class CompIn(ApiModel):
    """Complimentary access to a plan, until a time or for a number of issues."""

    model_config = ConfigDict(extra="forbid")

    subscriber: Annotated[str, Field(min_length=1, max_length=255), STORABLE] = Field(examples=["user-1"])
    plan: Annotated[str, Field(min_length=1, max_length=100), STORABLE] = Field(examples=["annual"])
    until: Moment | None = Field(default=None, examples=["2026-06-01T05:00:00Z"])
    issues: int | None = Field(
        default=None, ge=1, le=240, strict=True, description="Access lasts until this number of issues has been mailed."
    )
    reason: Annotated[str, Field(min_length=1, max_length=500), STORABLE] = Field(examples=["a copy lost"])

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.until is None) == (self.issues is None):
            raise ValueError("specify exactly one of until and issues")
        return self


class CompOut(ApiModel):
    """Complimentary access. After it is revoked, and until it is approved, it grants nothing."""

    id: str = Field(examples=["cmp_0c5e"])
    status: CompStatus = Field(description="`given`, `revoked` or `awaiting_approval`.", examples=["given"])
    plan: str = Field(examples=["annual"])
    issues: int | None = Field(examples=[None])
    starts_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    until: datetime = Field(examples=["2026-06-01T05:00:00Z"])
    reason: str = Field(examples=["a copy that never came"])
    given_by: str = Field(examples=["staff:agent-1"])
    removed_at: datetime | None = Field(examples=[None])
    removed_by: str | None = Field(examples=[None])

    @classmethod
    def of(cls, comp: Comp) -> "CompOut":
        """Return the body for a comp."""
        return cls(
            id=comp.id,
            status="given" if comp.removed_at is None else "revoked",
            plan=comp.plan,
            issues=comp.issues,
            starts_at=comp.starts_at,
            until=comp.until,
            reason=comp.reason,
            given_by=comp.given_by,
            removed_at=comp.removed_at,
            removed_by=comp.removed_by,
        )

    @classmethod
    def of_request(cls, request: ApprovalRequest) -> "CompOut":
        """Return the body for a request that waits for a second person."""
        assert request.plan is not None
        assert request.until is not None
        return cls(
            id=request.id,
            status=request.status,
            plan=request.plan,
            issues=request.issues,
            starts_at=request.created_at,
            until=request.until,
            reason=request.reason,
            given_by=request.requested_by,
            removed_at=None,
            removed_by=None,
        )


AWAITING_APPROVAL: dict[int | str, dict[str, Any]] = {
    202: {"model": CompOut, "description": "Above the limit: a second person must approve it"}
}


@router.post(
    "",
    status_code=201,
    response_model=CompOut,
    openapi_extra=MAY_HAVE_KEY,
    responses=AWAITING_APPROVAL
    | problems(UnknownPlan, CompIsOver, CalendarTooShort, OwnAccount, KeyInvalid, KeyReused, KeyInUse),
)
async def give_comp(
    body: CompIn, request: Request, agent: RecentSupportAgent, ctx: Ctx, now: Now, key: OptionalIdempotencyKey = None
) -> JSONResponse:
    """
    Give complimentary access. The reader does not need an existing account. Above the limit it must be approved.

    With an Idempotency-Key, at most once for that key.
    """

    async def give(comp_id: str) -> tuple[int, dict[str, Any]]:
        given = await comps.give(
            ctx,
            body.subscriber,
            plan=body.plan,
            until=body.until,
            count=body.issues,
            reason=body.reason,
            by=agent,
            now=now,
            comp_id=comp_id,
        )
        if isinstance(given, ApprovalRequest):
            return 202, CompOut.of_request(given).model_dump(mode="json")
        return 201, CompOut.of(given).model_dump(mode="json")

    return await answer_once(ctx, request, give, caller=agent.actor, key=key, prefix="cmp")


@router.delete("/{comp_id}")
async def take_comp_back(
    comp_id: str,
    agent: SupportAgent,
    ctx: Ctx,
    now: Now,
    reason: Annotated[str | None, Query(max_length=500), STORABLE] = None,
) -> CompOut:
    """Revoke complimentary access immediately. The reader's other access is unaffected."""
    return CompOut.of(await comps.revoke(ctx, comp_id, reason=reason, by=agent, now=now))
