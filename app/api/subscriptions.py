"""``/v1/me/subscription``: show, cancel and resume one's own subscription."""

from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints

from app.api.deps import CALLS_STRIPE, Ctx, CurrentReader, Now, Prices
from app.api.listed_values import EndedBy, NoticeCode, RefundRefusal, SubscriptionStatusText
from app.api.models import STORABLE, ApiModel, OtherAccessOut, PriceOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.cancellations import SubscriptionPaused
from app.domain.early_exits import NoEarlyExit
from app.domain.errors import StripeRefused, StripeUnavailable
from app.domain.ledgers import Ledger
from app.domain.price_migrations import PriceChange
from app.domain.quotes import Quote
from app.domain.refunds import GuaranteeUsed, PaidByCredit
from app.domain.status_cells import ReaderAction
from app.domain.subscriptions import AlreadyEnded, NoSubscription, Term
from app.domain.withdrawal_offers import WithdrawalOffer
from app.localization import Localization
from app.services import cancel_previews, cancellations, subscriptions
from app.services.cancel_previews import CancelPreview
from app.services.subscriptions import SubscriptionDetails

router = APIRouter(prefix="/v1/me/subscription", tags=["subscription"], route_class=Described)


class TermOut(ApiModel):
    """A paid period, from ``starts_at`` (inclusive) to ``ends_at`` (exclusive)."""

    starts_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    ends_at: datetime = Field(examples=["2027-03-01T18:00:00Z"])


class IssuesOut(ApiModel):
    """
    The issues of the term. ``owed`` counts the issues that were bought and those added later.

    ``served`` and ``unserved`` are null if there is no issue calendar yet. ``last_issue`` is also null if the calendar does
    not extend that far, or if the subscription ended early and the remaining issues were canceled.
    """

    owed: int = Field(examples=[24])
    served: int | None = Field(default=None, examples=[7])
    unserved: int | None = Field(default=None, examples=[17])
    last_issue: int | None = Field(default=None, description="Number of the last issue of the term.", examples=[24])

    @classmethod
    def of(cls, term: Term, ledger: Ledger | None) -> "IssuesOut":
        """Return the body for a term's issue ledger."""
        if ledger is None:
            return cls(owed=term.issues_owed + sum(one.issues for one in term.adjustments))
        return cls(owed=ledger.owed, served=ledger.served, unserved=ledger.unserved, last_issue=ledger.last_issue)


class GuaranteeOut(ApiModel):
    """Whether the money-back guarantee applies, and until when (exclusive)."""

    eligible: bool = Field(examples=[True])
    until: datetime | None = Field(examples=["2026-04-30T18:00:00Z"])
    amount: PriceOut | None
    reason: RefundRefusal | None = Field(
        default=None, description="Why the guarantee does not apply, as a code.", examples=[None]
    )

    @classmethod
    def of(cls, quote: Quote | None, prices: Localization) -> "GuaranteeOut":
        """Return the body for a guarantee quote. A guarantee that doesn't exist has neither an end nor an amount."""
        none = quote is None or isinstance(quote.refusal, GuaranteeUsed | PaidByCredit)
        return cls(
            eligible=quote is not None and quote.allowed,
            until=quote.until.astimezone(UTC) if quote and quote.until and not none else None,
            amount=PriceOut.text(quote.amount, quote.currency, prices) if quote and not none else None,
            reason=quote.refusal.code if quote and quote.refusal else None,
        )


class WithdrawalRightOut(ApiModel):
    """
    Whether the reader can withdraw from the contract, and until when (exclusive).

    ``until`` is null if there is no such right, or no printed copy was mailed yet.
    """

    eligible: bool = Field(examples=[False])
    until: datetime | None = Field(examples=[None])

    @classmethod
    def of(cls, offer: WithdrawalOffer) -> "WithdrawalRightOut":
        """Return the body for what a withdrawal would do."""
        until = offer.right.until if offer.right is not None else None
        return cls(eligible=offer.allowed, until=until.astimezone(UTC) if until is not None else None)


class NoticeOut(ApiModel):
    """
    A notice to show to the reader, such as a failed renewal or a pause.

    ``until`` is when access ends, or when it ended; null if no end is known, as while a payment is processing.
    """

    code: NoticeCode = Field(examples=["payment_failed"])
    text: str = Field(examples=["We couldn't charge your card. You keep access until March 15, 2027."])
    until: datetime | None = Field(examples=["2027-03-15T18:00:00Z"])
    action: ReaderAction | None = Field(
        description="What the reader can do about it.", examples=["update_payment_method"]
    )
    pay_url: str | None = Field(
        default=None, description="Stripe page where the reader pays the open invoice or confirms the payment."
    )


class NextPriceOut(ApiModel):
    """A new price of which the reader was told. It is charged from a renewal on; the running term is not affected."""

    from_: datetime = Field(
        alias="from",
        serialization_alias="from",
        description="The first renewal at the new price.",
        examples=["2027-03-01T18:00:00Z"],
    )
    total: PriceOut = Field(description="What that renewal costs, with discounts and tax, as the reader was told.")
    before: PriceOut = Field(description="What it would have cost at the present price.")

    @classmethod
    def of(cls, found: PriceChange | None, prices: Localization) -> "NextPriceOut | None":
        """Return the body for a change of the price, if there is one."""
        if found is None or found.quote is None or found.renewal_at is None:
            return None
        total, before = (
            PriceOut.text(amount, found.currency, prices) for amount in (found.quote.total, found.quote.before)
        )
        return cls.model_validate({"from": found.renewal_at.astimezone(UTC), "total": total, "before": before})


class SubscriptionOut(ApiModel):
    """
    A subscription as its reader sees it. While it is active, exactly one of ``renews_at`` and ``ends_at`` is set.

    If access has ended because the renewal was not paid, ``ends_at`` is when it ended, even if the subscription is still
    active at Stripe.
    """

    id: str = Field(examples=["scr_0c5e"])
    status: SubscriptionStatusText = Field(examples=["active"])
    plan: str = Field(examples=["annual"])
    editions: list[Literal["digital", "print"]] = Field(
        description="What it includes now. Print whose payment arrived only after the last renewal is not among them: it "
        "starts with the next renewal, see `print_from`.",
        examples=[["digital"]],
    )
    print_from: datetime | None = Field(
        default=None,
        description="When print starts, if the running term is without it and the next renewal includes it.",
        examples=[None],
    )
    term: TermOut | None
    issues: IssuesOut | None
    renews_at: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    ends_at: datetime | None = Field(examples=[None])
    ended_by: EndedBy | None = Field(
        description="What ended the subscription: `cancel_now`, `not_renewed` (canceled while the current period was not "
        "paid; paid access continues to its end) or the basis of a refund.",
        examples=[None],
    )
    price: PriceOut
    next_price: NextPriceOut | None = Field(
        default=None, description="A new price of which the reader was told; null if there is none.", examples=[None]
    )
    guarantee: GuaranteeOut
    withdrawal: WithdrawalRightOut
    notice: NoticeOut | None = Field(
        default=None, description="null if there is nothing to tell the reader.", examples=[None]
    )
    other_access: OtherAccessOut | None = Field(
        default=None, description="null if only the subscription gives access.", examples=[None]
    )

    @classmethod
    def of(cls, details: SubscriptionDetails, prices: Localization) -> "SubscriptionOut":
        """Return the body for a subscription."""
        subscription, term, quote = details.subscription, details.term, details.guarantee
        status = details.status
        ends_at = subscription.over_at or (status.until if status.has_lapsed else subscription.cancel_at)
        is_later = details.print_is_later
        return cls(
            id=subscription.id,
            status=subscription.effective_status,
            plan=subscription.plan,
            editions=["digital", "print"] if subscription.print_edition and not is_later else ["digital"],
            print_from=subscription.current_period_end if is_later and ends_at is None else None,
            term=TermOut(starts_at=term.starts_at, ends_at=term.ends_at) if term else None,
            issues=IssuesOut.of(term, details.ledger) if term else None,
            renews_at=subscription.current_period_end if subscription.is_live and ends_at is None else None,
            ends_at=ends_at,
            ended_by=subscription.ended_by,
            price=PriceOut.text(subscription.price, subscription.currency, prices),
            next_price=NextPriceOut.of(details.price_change, prices),
            guarantee=GuaranteeOut.of(quote, prices),
            withdrawal=WithdrawalRightOut.of(details.withdrawal),
            notice=NoticeOut.model_validate(details.notice, from_attributes=True) if details.notice else None,
            other_access=OtherAccessOut.of(details.other_access),
        )


class CancelEffectOut(ApiModel):
    """The effect of one way to cancel. ``access_until`` is when paid or trial access ends."""

    ends_at: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    access_until: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    issues_kept: int | None = Field(
        description="Number of remaining issues that will still be served; null if unknown.", examples=[20]
    )
    editions_until: datetime | None = Field(
        default=None,
        description="Until when the digital and print editions stay available after `access_until`, because issues are "
        "owed; null if no later.",
        examples=["2027-03-20T05:00:00Z"],
    )
    can_resume: bool = Field(
        default=False,
        description="Whether the reader can resume the subscription until it ends. If the current period is not paid or "
        "an invoice is open, canceling ends the subscription at Stripe at once, and paid access continues without it.",
        examples=[True],
    )


class OpenInvoiceOut(ApiModel):
    """An unpaid invoice of the subscription."""

    number: str | None = Field(description="null while the invoice is a draft.", examples=["A1B2C3D4-0002"])
    amount: PriceOut
    processing: bool = Field(
        description="A payment of it is already processing and can't be stopped. It is refunded when it arrives.",
        examples=[False],
    )


class CancelPreviewOut(ApiModel):
    """The effect of each way to cancel. Canceling refunds nothing; a refund is a separate request."""

    period_end: CancelEffectOut
    now: CancelEffectOut
    by_notice: CancelEffectOut | None = Field(
        default=None,
        description="The effect of `notice`, which also refunds the issues that are unserved by then; null if there is no "
        "such right.",
    )
    open_invoices: list[OpenInvoiceOut] = Field(
        default=[], description="Invoices that canceling voids, whichever way: nothing is charged afterwards."
    )
    refund: GuaranteeOut = Field(description="What POST /v1/me/refunds would refund. It ends the subscription, too.")
    notice: NoticeOut | None = Field(
        default=None,
        description="The subscription's notice, such as `dispute_open`: access is on hold.",
        examples=[None],
    )
    other_access: OtherAccessOut | None = Field(
        default=None, description="What the reader keeps from other sources, however they cancel.", examples=[None]
    )

    @classmethod
    def of(
        cls, details: SubscriptionDetails, preview: CancelPreview, prices: Localization, *, now: datetime
    ) -> "CancelPreviewOut":
        """Return the body for a cancellation preview."""
        end = preview.period_end
        # Whether the issues of a disputed term will be served is unknown until the dispute is settled.
        left = details.ledger.unserved if details.ledger and not details.on_hold else None
        keeps_nothing = end.is_final and end.access_until is None
        return cls(
            period_end=CancelEffectOut(
                ends_at=end.at,
                access_until=end.access_until,
                issues_kept=0 if keeps_nothing and left is not None else left,
                editions_until=preview.editions_until if not details.on_hold else None,
                can_resume=not end.is_final,
            ),
            now=CancelEffectOut(ends_at=now, access_until=now, issues_kept=None if left is None else 0),
            by_notice=CancelEffectOut(
                ends_at=preview.notice_ends_at, access_until=preview.notice_ends_at, issues_kept=None, can_resume=True
            )
            if preview.notice_ends_at is not None
            else None,
            open_invoices=[
                OpenInvoiceOut(
                    number=invoice.number,
                    amount=PriceOut.text(invoice.money.amount, invoice.money.currency, prices),
                    processing=invoice.processing,
                )
                for invoice in preview.open_invoices
            ],
            refund=GuaranteeOut.of(details.guarantee, prices),
            notice=NoticeOut.model_validate(details.notice, from_attributes=True) if details.notice else None,
            other_access=OtherAccessOut.of(details.other_access),
        )


class CancelIn(ApiModel):
    """
    ``period_end``: access lasts until the end of the paid period. ``now``: access ends immediately, without a refund.

    ``notice``: where the law lets readers end a renewed term at a month's notice, access lasts until then, and the unserved
    issues are refunded.
    """

    model_config = ConfigDict(extra="forbid")

    when: Literal["period_end", "now", "notice"] = Field(examples=["period_end"])
    reason: Annotated[str, StringConstraints(max_length=100), STORABLE] | None = None
    comment: Annotated[str, StringConstraints(max_length=1000), STORABLE] | None = None


@router.get("", responses=problems(NoSubscription))
async def my_subscription(reader: CurrentReader, ctx: Ctx, now: Now, prices: Prices) -> SubscriptionOut:
    """Retrieve my subscription."""
    return SubscriptionOut.of(await subscriptions.current(ctx, reader.sub, now=now), prices)


@router.get("/cancel-preview", dependencies=[CALLS_STRIPE], responses=problems(NoSubscription, AlreadyEnded))
async def preview_cancellation(reader: CurrentReader, ctx: Ctx, now: Now, prices: Prices) -> CancelPreviewOut:
    """Preview a cancellation. Nothing is changed."""
    details = await subscriptions.current(ctx, reader.sub, now=now)
    effects = await cancel_previews.preview(ctx, details.subscription, now=now)
    return CancelPreviewOut.of(details, effects, prices, now=now)


@router.post("/cancel", dependencies=[CALLS_STRIPE], responses=problems(NoSubscription, NoEarlyExit, StripeUnavailable))
async def cancel_subscription(
    body: CancelIn, reader: CurrentReader, ctx: Ctx, now: Now, prices: Prices
) -> SubscriptionOut:
    """Cancel my subscription, at the end of the paid period or immediately. One that has ended stays as it is."""
    try:
        if body.when == "now":
            await cancellations.cancel_now(ctx, reader.sub, reason=body.reason, now=now)
        elif body.when == "notice":
            await cancellations.cancel_with_notice(ctx, reader.sub, reason=body.reason, now=now)
        else:
            await cancellations.cancel_at_period_end(ctx, reader.sub, reason=body.reason, comment=body.comment, now=now)
    except AlreadyEnded:
        pass
    except StripeRefused as refusal:
        raise StripeUnavailable("Stripe declined the cancellation; try again") from refusal
    return SubscriptionOut.of(await subscriptions.current(ctx, reader.sub, now=now), prices)


@router.post(
    "/resume",
    dependencies=[CALLS_STRIPE],
    responses=problems(NoSubscription, AlreadyEnded, SubscriptionPaused, StripeRefused, StripeUnavailable),
)
async def resume_subscription(reader: CurrentReader, ctx: Ctx, now: Now, prices: Prices) -> SubscriptionOut:
    """Resume my subscription. Undoes a scheduled cancellation."""
    await cancellations.resume(ctx, reader.sub, now=now)
    return SubscriptionOut.of(await subscriptions.current(ctx, reader.sub, now=now), prices)
