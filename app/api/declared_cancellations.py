"""``/v1/cancellations``: a cancellation without a sign-in."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import ConfigDict, Field, StringConstraints

from app.api.auth import address_of
from app.api.deps import Ctx, Now
from app.api.models import STORABLE, ApiModel, Day
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.caller_limits import Limit
from app.domain.declarations import (
    LONGEST_EMAIL,
    LONGEST_LINE,
    LONGEST_REASON,
    CancellationInvalid,
    CancellationNotice,
    CancellationType,
    Declaration,
    Language,
)
from app.domain.errors import TooManyRequests
from app.services import cancellations

router = APIRouter(prefix="/v1/cancellations", tags=["subscription"], route_class=Described)

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_LINE), STORABLE]
EmailAddress = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=3, max_length=LONGEST_EMAIL), STORABLE
]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, max_length=LONGEST_REASON), STORABLE]


class DeclaredCancellationIn(ApiModel):
    """
    A cancellation as a reader declares it. ``extraordinary`` is for cause, and needs a ``reason``.

    Without ``ends_on`` the contract ends as early as possible.
    """

    model_config = ConfigDict(extra="forbid")

    name: Line = Field(examples=["Ada Invented"])
    email: EmailAddress = Field(examples=["ada@example.com"])
    contract: Line = Field(
        description="What the contract is called, or a number of it: of the account or of an invoice.",
        examples=["24 Issues Per Year"],
    )
    type: CancellationType = Field(examples=["ordinary"])
    reason: Reason | None = None
    ends_on: Day | None = Field(default=None, description="The last day that the reader wants.", examples=[None])
    language: Language = Field(default=Language.ENGLISH, description="Of the acknowledgment.", examples=["de"])

    def to_notice(self) -> CancellationNotice:
        """Return the notice for the service."""
        return CancellationNotice(
            name=self.name,
            email=self.email,
            contract=self.contract,
            extraordinary=self.type is CancellationType.EXTRAORDINARY,
            reason=self.reason or None,
            ends_on=self.ends_on,
            language=self.language,
        )


class DeclaredCancellationOut(ApiModel):
    """The acknowledgment, the same whether or not the contract is known. It is sent to the email address, too."""

    id: str = Field(examples=["dcl_0c5e"])
    received_at: datetime = Field(examples=["2027-03-08T18:00:00Z"])
    acknowledgment: str = Field(examples=["Slow Ferry\nAcknowledgment of your cancellation\n…"])

    @classmethod
    def of(cls, declared: Declaration) -> "DeclaredCancellationOut":
        """Return the body for a declaration."""
        return cls(id=declared.id, received_at=declared.received_at, acknowledgment=declared.acknowledgment)


@router.post("", status_code=202, responses=problems(CancellationInvalid, TooManyRequests))
async def declare_cancellation(
    body: DeclaredCancellationIn, request: Request, ctx: Ctx, now: Now
) -> DeclaredCancellationOut:
    """Cancel a contract without a sign-in."""
    notice = body.to_notice()
    await ctx.caller_limits.take(Limit.CANCELLATION, address_of(request.scope))
    await ctx.caller_limits.take(Limit.CANCELLATION, notice.email.casefold())
    return DeclaredCancellationOut.of(await cancellations.declare(ctx, notice, now=now))
