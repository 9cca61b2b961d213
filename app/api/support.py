"""``/v1/support/subscribers/{id}``: everything about a reader."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.api.anomalies import AnomalyOut
from app.api.comps import CompOut
from app.api.deps import Ctx, Now, SubscriberViewer, seen_by
from app.api.disputes import DisputeOut
from app.api.issues import LedgerOut
from app.api.listed_values import AccessReasonText, EndedBy, HistoryKindText, PaymentKindText, SubscriptionStatusText
from app.api.models import ApiModel, MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.api.refunds import RefundOut
from app.db.subscribers import Subscriber
from app.domain.entitlements import Grant
from app.domain.errors import NotFound
from app.domain.refunds import CONFIRMED
from app.services import support
from app.services.support import Overview

router = APIRouter(prefix="/v1/support/subscribers", tags=["support"], route_class=Described)


class SubscriberOut(ApiModel):
    """A reader. ``subscriber`` is the identity provider's ``sub``."""

    id: str = Field(examples=["rdr_0c5e"])
    subscriber: str = Field(examples=["user-1"])
    email: str | None = Field(examples=["ada@example.com"])
    name: str | None = Field(examples=["Ada Invented"])
    formerly: list[str] = Field(default=[], description="Former email addresses and names.", examples=[[]])
    stripe_customer: str | None = Field(examples=["cus_123"])
    created_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])

    @classmethod
    def of(cls, found: Subscriber) -> "SubscriberOut":
        """Return the body for a reader."""
        return cls(
            id=found.id,
            subscriber=found.sub,
            email=found.email,
            name=found.name,
            formerly=list(found.formerly),
            stripe_customer=found.stripe_customer_id,
            created_at=found.created_at,
        )


class PaidTermOut(ApiModel):
    """A paid term."""

    invoice: str = Field(examples=["in_123"])
    starts_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    ends_at: datetime = Field(examples=["2027-03-01T18:00:00Z"])
    issues_owed: int = Field(examples=[24])
    ledger: LedgerOut
    print_edition: bool = Field(examples=[False])
    print_from: datetime | None = Field(
        examples=[None], description="When print starts within the term; null: with it."
    )
    print_until: datetime | None = Field(examples=[None], description="When print ends within the term; null: with it.")
    refunded_as: str | None = Field(examples=["guarantee"])
    suspended_as: str | None = Field(examples=[None])
    refund_failed: bool = Field(
        default=False,
        description="Whether the refund that ended the term failed later, so that its money is not back.",
        examples=[False],
    )


class ReaderSubscriptionOut(ApiModel):
    """A subscription with its terms."""

    id: str = Field(examples=["scr_0c5e"])
    stripe_id: str = Field(examples=["sub_123"])
    plan: str = Field(examples=["annual"])
    status: SubscriptionStatusText = Field(examples=["canceled"])
    print_edition: bool = Field(examples=[False])
    created_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    current_period_end: datetime | None = Field(examples=["2027-03-01T18:00:00Z"])
    cancel_at: datetime | None = Field(examples=[None])
    ended_at: datetime | None = Field(examples=["2026-03-08T18:00:00Z"])
    ended_by: EndedBy | None = Field(examples=["guarantee"])
    standing: str = Field(
        description="What the status means, for staff. The documentation lists all of them.",
        examples=["Renews at the end of its period."],
    )
    terms: list[PaidTermOut]


class PaymentOut(ApiModel):
    """A payment, and what was returned of it."""

    id: str = Field(examples=["pi_123"])
    invoice: str = Field(examples=["in_123"])
    amount: MoneyOut
    tax: MoneyOut
    refunded: MoneyOut
    credited: MoneyOut = Field(description="Returned without a refund: outside Stripe, or to the customer's balance.")
    paid_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    billing_reason: str = Field(examples=["subscription_create"])
    kind: PaymentKindText = Field(
        examples=["payment_intent"],
        description="payment_intent, charge (without a payment intent), payment_record or out_of_band (outside Stripe).",
    )


class AccessOut(ApiModel):
    """Whether a feature may be used, and why."""

    allowed: bool = Field(examples=[False])
    reason: AccessReasonText = Field(examples=["refunded"])
    until: datetime | None = Field(examples=["2026-03-08T18:00:00Z"])


class GrantPeriodOut(ApiModel):
    """
    A period for which a feature is granted: from ``starts_at`` (inclusive) to ``until`` (exclusive).

    ``until`` is in the year 9999 while no end is known, as while a payment is processing.
    """

    model_config = ConfigDict(from_attributes=True)

    starts_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    until: datetime = Field(examples=["2027-03-01T18:00:00Z"])
    reason: AccessReasonText = Field(examples=["paid_term"])


class GrantOut(ApiModel):
    """One source of access. Access is the union of all grants: ending one does not affect the others."""

    id: str = Field(examples=["grt_in_123"])
    source: str = Field(examples=["paid_term"])
    features: dict[str, list[GrantPeriodOut]] = Field(
        examples=[
            {"archive": [{"starts_at": "2026-03-01T18:00:00Z", "until": "2027-03-01T18:00:00Z", "reason": "paid_term"}]}
        ]
    )

    @classmethod
    def of(cls, grant: Grant) -> "GrantOut":
        """Return the body for a grant."""
        features = {
            name: [GrantPeriodOut.model_validate(one) for one in periods] for name, periods in grant.features.items()
        }
        return cls(id=grant.id, source=grant.source, features=features)


class TimelineEntryOut(ApiModel):
    """An entry of the reader's history."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    kind: HistoryKindText = Field(examples=["paid"])
    words: str = Field(examples=["March 1, 2026: paid $49 for 24 issues; access until March 1, 2027"])


class OverviewOut(SubscriberOut):
    """Everything about a reader."""

    subscriptions: list[ReaderSubscriptionOut]
    payments: list[PaymentOut]
    refunds: list[RefundOut]
    disputes: list[DisputeOut]
    comps: list[CompOut]
    grants: list[GrantOut]
    access: dict[str, AccessOut] = Field(
        examples=[{"archive": {"allowed": False, "reason": "refunded", "until": "2026-03-08T18:00:00Z"}}]
    )
    timeline: list[TimelineEntryOut] = Field(description="History of the reader's access, oldest first.")
    anomalies: list[AnomalyOut] = Field(examples=[[]])
    same_address: list[SubscriberOut] = Field(
        default=[], description="Other readers with the same email address.", examples=[[]]
    )

    @classmethod
    def all_of(cls, seen: Overview) -> "OverviewOut":
        """Return the body for a reader's overview."""
        return cls(
            **SubscriberOut.of(seen.subscriber).model_dump(),
            subscriptions=[_subscription(seen, index) for index in range(len(seen.subscriptions))],
            payments=_payments(seen),
            refunds=[RefundOut.of(refund) for refund in seen.refunds],
            disputes=[DisputeOut.of(dispute) for dispute in seen.disputes],
            comps=[CompOut.of(comp) for comp in seen.comps],
            grants=[GrantOut.of(grant) for grant in seen.grants],
            timeline=[TimelineEntryOut.model_validate(one) for one in seen.timeline],
            access={
                name: AccessOut(allowed=d.allowed, reason=d.reason, until=d.until) for name, d in seen.access.items()
            },
            anomalies=[AnomalyOut.of(found) for found in seen.anomalies],
            same_address=[SubscriberOut.of(one) for one in seen.same_address],
        )


def _subscription(seen: Overview, index: int) -> ReaderSubscriptionOut:
    subscription, terms = seen.subscriptions[index]
    return ReaderSubscriptionOut(
        id=subscription.id,
        stripe_id=subscription.stripe_id,
        plan=subscription.plan,
        status=subscription.status,
        print_edition=subscription.print_edition,
        created_at=subscription.created_at,
        current_period_end=subscription.current_period_end,
        cancel_at=subscription.cancel_at,
        ended_at=subscription.access_ended_at or subscription.ended_at,
        ended_by=subscription.ended_by,
        standing=seen.access_statuses[subscription.id].staff_summary,
        terms=[
            PaidTermOut(
                invoice=term.invoice_id,
                starts_at=term.starts_at,
                ends_at=term.ends_at,
                issues_owed=term.issues_owed,
                ledger=LedgerOut.model_validate(seen.ledgers[term.invoice_id]),
                print_edition=term.print_edition,
                print_from=term.print_from,
                print_until=term.print_until,
                refunded_as=term.refunded_as if term.is_refunded else None,
                suspended_as=term.suspended_as,
                refund_failed=term.refund_failed,
            )
            for term in terms
        ],
    )


def _payments(seen: Overview) -> list[PaymentOut]:
    refunded: dict[str, int] = {}
    for refund in seen.refunds:
        if refund.status in CONFIRMED:
            refunded[refund.payment_id] = refunded.get(refund.payment_id, 0) + refund.amount
    return [
        PaymentOut(
            id=payment.id,
            invoice=payment.invoice_id,
            amount=MoneyOut(amount=payment.amount, currency=payment.currency),
            tax=MoneyOut(amount=payment.tax, currency=payment.currency),
            refunded=MoneyOut(amount=refunded.get(payment.id, 0), currency=payment.currency),
            credited=MoneyOut(amount=payment.credited, currency=payment.currency),
            paid_at=payment.paid_at,
            billing_reason=payment.billing_reason,
            kind=payment.kind,
        )
        for payment in seen.payments
    ]


@router.get("/{subscriber_id}", responses=problems(NotFound))
async def show_subscriber(subscriber_id: str, viewer: SubscriberViewer, ctx: Ctx, now: Now) -> OverviewOut:
    """Retrieve everything about a reader: subscriptions, payments, refunds, grants, history."""
    return OverviewOut.all_of(await support.overview(ctx, subscriber_id, viewer=seen_by(viewer), now=now))
