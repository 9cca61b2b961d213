"""``/v1/me/subscription``: a reader's subscription, as easily ended as begun."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import Ctx, CurrentReader, Now
from app.api.models import STORABLE, ApiModel, MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import StripeRefused, StripeUnavailable
from app.domain.issues import Ledger
from app.domain.quotes import Quote
from app.domain.subscriptions import AlreadyEnded, NoSubscription, Term
from app.services import cancellations, subscriptions
from app.services.subscriptions import Mine

router = APIRouter(prefix="/v1/me/subscription", tags=["subscription"], route_class=Described)


class TermOut(ApiModel):
    """One paid period: from ``starts_at`` (included) to ``ends_at`` (not)."""

    starts_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    ends_at: datetime = Field(examples=["2027-03-01T18:00:00Z"])


class IssuesOut(ApiModel):
    """
    The term's ledger: ``owed`` is what was bought and added since.

    ``served`` and ``unserved`` are null until there is a calendar of issues; ``last_issue`` is also null where the
    calendar does not reach as far yet, and when the subscription was ended early: then what is left was cancelled.
    """

    owed: int = Field(examples=[24])
    served: int | None = Field(default=None, examples=[7])
    unserved: int | None = Field(default=None, examples=[17])
    last_issue: int | None = Field(
        default=None, description="the number of the issue that ends the term", examples=[24]
    )

    @classmethod
    def of(cls, term: Term, ledger: Ledger | None) -> "IssuesOut":
        """Show a term's ledger."""
        if ledger is None:
            return cls(owed=term.issues_owed + sum(one.issues for one in term.adjustments))
        return cls(owed=ledger.owed, served=ledger.served, unserved=ledger.unserved, last_issue=ledger.last_issue)


class GuaranteeOut(ApiModel):
    """Whether the money-back guarantee holds, and until when (excluded)."""

    eligible: bool = Field(examples=[True])
    until: datetime | None = Field(examples=["2026-04-30T18:00:00Z"])
    amount: MoneyOut | None
    reason: str | None = Field(default=None, description="why not", examples=[None])

    @classmethod
    def of(cls, quote: Quote | None) -> "GuaranteeOut":
        """Show what the guarantee would pay."""
        return cls(
            eligible=quote is not None and quote.allowed,
            until=quote.until.astimezone(UTC) if quote and quote.until else None,
            amount=MoneyOut(amount=quote.amount, currency=quote.currency) if quote else None,
            reason=quote.refusal.code if quote and quote.refusal else None,
        )


class NoticeOut(ApiModel):
    """What the reader has to be told: a renewal that failed, a pause, an end. ``until``: how long they can read on."""

    code: str = Field(examples=["payment_failed"])
    text: str
    until: datetime | None
    action: Literal["update_payment_method", "confirm_payment", "resume"] | None = Field(description="what mends it")
    pay_url: str | None = Field(
        default=None, description="Stripe's page where the open invoice is paid, or its bank's question answered"
    )


class SubscriptionOut(ApiModel):
    """A subscription as its reader sees it. Exactly one of ``renews_at`` and ``ends_at`` is set while it lives."""

    id: str = Field(examples=["scr_0c5e"])
    status: str = Field(examples=["active"])
    plan: str = Field(examples=["annual"])
    editions: list[Literal["digital", "print"]] = Field(examples=[["digital"]])
    term: TermOut | None
    issues: IssuesOut | None
    renews_at: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    ends_at: datetime | None = Field(examples=[None])
    ended_by: str | None = Field(description="what ended it: a refund's basis, or cancel_now", examples=[None])
    price: MoneyOut
    guarantee: GuaranteeOut
    notice: NoticeOut | None = Field(default=None, description="null while all is as it should be")

    @classmethod
    def of(cls, mine: Mine) -> "SubscriptionOut":
        """Show a subscription."""
        held, term, quote = mine.subscription, mine.term, mine.guarantee
        ends_at = held.over_at or held.cancel_at
        return cls(
            id=held.id,
            status=held.effective_status,
            plan=held.plan,
            editions=["digital", "print"] if held.print_edition else ["digital"],
            term=TermOut(starts_at=term.starts_at, ends_at=term.ends_at) if term else None,
            issues=IssuesOut.of(term, mine.ledger) if term else None,
            renews_at=held.current_period_end if held.is_live and ends_at is None else None,
            ends_at=ends_at,
            ended_by=held.ended_by,
            price=MoneyOut(amount=held.price, currency=held.currency),
            guarantee=GuaranteeOut.of(quote),
            notice=NoticeOut.model_validate(mine.notice, from_attributes=True) if mine.notice else None,
        )


class EndOut(ApiModel):
    """What one way of cancelling does. ``access_until``: how long what is paid for, or on trial, can be read."""

    ends_at: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    access_until: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    issues_kept: int | None = Field(
        description="issues still to come that are served all the same; null: not counted", examples=[20]
    )


class CancelPreviewOut(ApiModel):
    """What each way of cancelling would do. Nothing is refunded by itself: a refund that is due is asked for apart."""

    period_end: EndOut
    now: EndOut
    refund: GuaranteeOut = Field(
        description="what POST /v1/me/refunds would give back, which ends the subscription too"
    )

    @classmethod
    def of(cls, mine: Mine, *, now: datetime) -> "CancelPreviewOut":
        """Show what would follow."""
        end = mine.end_of_what_is_paid
        left = mine.ledger.unserved if mine.ledger else None
        return cls(
            period_end=EndOut(ends_at=end.at, access_until=end.access_until, issues_kept=left),
            now=EndOut(ends_at=now, access_until=now, issues_kept=None if left is None else 0),
            refund=GuaranteeOut.of(mine.guarantee),
        )


class CancelIn(ApiModel):
    """``period_end``: access stays for what is paid. ``now``: access ends at once, and nothing is refunded by itself."""

    model_config = ConfigDict(extra="forbid")

    when: Literal["period_end", "now"] = Field(examples=["period_end"])
    reason: Annotated[str, StringConstraints(max_length=100), STORABLE] | None = None
    comment: Annotated[str, StringConstraints(max_length=1000), STORABLE] | None = None


@router.get("", responses=problems(NoSubscription))
async def my_subscription(reader: CurrentReader, ctx: Ctx, now: Now) -> SubscriptionOut:
    """Show the reader's subscription."""
    return SubscriptionOut.of(await subscriptions.mine(ctx, reader.sub, now=now))


@router.get("/cancel-preview", responses=problems(NoSubscription, AlreadyEnded))
async def preview_cancellation(reader: CurrentReader, ctx: Ctx, now: Now) -> CancelPreviewOut:
    """Tell what each way of cancelling would do, before anything is done."""
    mine = await subscriptions.mine(ctx, reader.sub, now=now)
    if not mine.subscription.is_live:
        raise AlreadyEnded
    return CancelPreviewOut.of(mine, now=now)


@router.post("/cancel", responses=problems(NoSubscription, AlreadyEnded, StripeRefused, StripeUnavailable))
async def cancel_subscription(body: CancelIn, reader: CurrentReader, ctx: Ctx, now: Now) -> SubscriptionOut:
    """Cancel: at the end of what is paid, or at once."""
    if body.when == "now":
        await cancellations.cancel_now(ctx, reader.sub, reason=body.reason, now=now)
    else:
        await cancellations.cancel_at_period_end(ctx, reader.sub, reason=body.reason, comment=body.comment, now=now)
    return SubscriptionOut.of(await subscriptions.mine(ctx, reader.sub, now=now))


@router.post("/resume", responses=problems(NoSubscription, AlreadyEnded, StripeRefused, StripeUnavailable))
async def resume_subscription(reader: CurrentReader, ctx: Ctx, now: Now) -> SubscriptionOut:
    """Undo a scheduled cancellation."""
    await cancellations.resume(ctx, reader.sub, now=now)
    return SubscriptionOut.of(await subscriptions.mine(ctx, reader.sub, now=now))
