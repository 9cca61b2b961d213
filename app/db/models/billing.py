"""Billing: subscriptions with their terms, payments, refunds and disputes, and requests to Stripe."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Function,
    Index,
    false,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT4MULTIRANGE, JSONB
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from app.db.models.base import JSON, Base, Due


class Intent(Base):
    """A POST to Stripe. Its key and parameters are stored before the call, and reused when it is repeated."""

    __tablename__ = "intents"
    key: Mapped[str] = mapped_column(primary_key=True)  # <row>:<action>:<attempt>
    row_id: Mapped[str]
    action: Mapped[str]
    attempt: Mapped[int]
    parameters: Mapped[JSON]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    settled_at: Mapped[datetime | None]
    __table_args__ = (
        Index("intents_row_id_action_idx", "row_id", "action", "attempt", unique=True),
        Index(
            "intents_settled_at_idx",
            "settled_at",
            postgresql_where=text("settled_at IS NOT NULL AND action NOT LIKE '%.%'"),
        ),
    )


class Checkout(Base):
    """A checkout session: one open for each subscriber."""

    __tablename__ = "checkouts"
    id: Mapped[str] = mapped_column(primary_key=True)  # chk_…
    stripe_id: Mapped[str | None] = mapped_column(unique=True)  # cs_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    plan: Mapped[str]
    print_edition: Mapped[bool]
    promotion_code: Mapped[str | None]
    status: Mapped[str]  # opening, open, complete, expired, failed
    payment_status: Mapped[str] = mapped_column(server_default="unpaid")
    url: Mapped[str | None]
    expires_at: Mapped[datetime | None]
    stripe_subscription_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        Index("checkouts_over_idx", "created_at", postgresql_where=text("status IN ('expired', 'failed')")),
        Index(
            "checkouts_one_open_idx",
            "subscriber_id",
            unique=True,
            postgresql_where=text("status IN ('opening', 'open')"),
        ),
    )


class Subscription(Base, Due):
    """Our copy of a subscription. ``version`` fences every save; ``due_at`` is set if its cancellation must be completed."""

    __tablename__ = "subscriptions"
    id: Mapped[str] = mapped_column(primary_key=True)  # scr_…
    stripe_id: Mapped[str] = mapped_column(unique=True)  # sub_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    version: Mapped[int]
    plan: Mapped[str]
    print_edition: Mapped[bool]
    status: Mapped[str]  # as at Stripe
    price_amount: Mapped[int]  # price of the next term, before tax and discounts
    currency: Mapped[str]
    created_at: Mapped[datetime]
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    cancel_at: Mapped[datetime | None]  # the scheduled end, in any of Stripe's forms
    canceled_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    end_reason: Mapped[str | None]  # Stripe's cancellation_details.reason
    ended_by: Mapped[str | None]  # why we ended it: cancel_now, or a refund's basis
    ended_here_at: Mapped[datetime | None]  # when we ended access
    trial_end: Mapped[datetime | None]
    collection_paused: Mapped[str | None]  # what Stripe does with its invoices: void, keep_as_draft, …
    pause: Mapped[JSON | None] = mapped_column(JSONB(none_as_null=True))  # why and since when it is paused
    renewal: Mapped[JSON | None] = mapped_column(JSONB(none_as_null=True))  # the unpaid invoice for the next term
    check_at: Mapped[datetime | None]  # policy time: when it is fetched again if nothing is heard of it
    closed_at: Mapped[datetime | None]  # when its cancellation was completed at Stripe
    pay_url: Mapped[str | None]  # Stripe's payment page of the open invoice
    came_from: Mapped[str | None]  # the previous status, if the transition from it is impossible
    followed_since: Mapped[datetime | None]  # policy time; NULL: from its beginning
    card_brand: Mapped[str | None]  # of the card that pays: at Stripe, the subscription's, else the customer's default
    card_last4: Mapped[str | None]
    card_country: Mapped[str | None]  # of the bank that issued it
    tax_country: Mapped[str | None]  # that Stripe computes tax for: the billing address of the customer
    tax_region: Mapped[str | None]
    card_expires_on: Mapped[date | None]  # the last day on which it can pay
    keeps_discount: Mapped[bool] = mapped_column(server_default=text("false"))  # whether the next term is discounted
    __table_args__ = (
        Index("subscriptions_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("subscriptions_work_key_idx", "work_key", postgresql_where=text("due_at IS NOT NULL")),
        Index("subscriptions_check_at_idx", "check_at", postgresql_where=text("check_at IS NOT NULL")),
        Index("subscriptions_created_at_idx", "created_at"),  # Stripe lists them in that order
        # The lists of readers, with every filter in the order of the list.
        Index("subscriptions_status_idx", "status", "print_edition", "created_at", "id"),
        Index("subscriptions_plan_status_idx", "plan", "status", "print_edition", "created_at", "id"),
        Index(
            "subscriptions_ended_here_idx",
            "print_edition",
            "created_at",
            "id",
            postgresql_where=text("ended_here_at IS NOT NULL AND status NOT IN ('canceled', 'incomplete_expired')"),
        ),
        Index(
            "subscriptions_cancel_at_idx",
            "cancel_at",
            "id",
            postgresql_where=text("cancel_at IS NOT NULL AND ended_at IS NULL"),
        ),
        Index(
            "subscriptions_renewal_invoice_idx",
            text("(renewal ->> 'invoice_id')"),
            postgresql_where=text("renewal ->> 'invoice_id' IS NOT NULL"),
        ),
        Index("subscriptions_card_last4_idx", "card_last4", "created_at", "id"),
    )


class Anomaly(Base):
    """A state at Stripe that staff must check, with the reason: one row for each object and code."""

    __tablename__ = "anomalies"
    id: Mapped[str] = mapped_column(primary_key=True)  # ano_…
    object_id: Mapped[str]  # of a Stripe subscription or customer
    code: Mapped[str]
    reason: Mapped[str]
    subscriber_id: Mapped[str | None] = mapped_column(ForeignKey("subscribers.id"), index=True)
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())  # first, or again after it was resolved
    gone_at: Mapped[datetime | None]  # when it was resolved
    __table_args__ = (
        Index("anomalies_object_id_code_idx", "object_id", "code", unique=True),
        Index("anomalies_open_idx", "id", postgresql_where=text("gone_at IS NULL")),
        Index("anomalies_open_at_idx", "seen_at", "id", postgresql_where=text("gone_at IS NULL")),
    )


class Term(Base):
    """One paid period, which owes issues. A paid invoice opens it."""

    __tablename__ = "terms"
    invoice_id: Mapped[str] = mapped_column(primary_key=True)  # in_…
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    plan: Mapped[str]
    print_edition: Mapped[bool]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    issues_owed: Mapped[int]
    print_from: Mapped[datetime | None]  # when print starts within the term; NULL: with it
    print_until: Mapped[datetime | None]  # when print ends within the term; NULL: with it
    # Periods of print before that one: the start and the end of each, in order.
    earlier_print: Mapped[list[datetime]] = mapped_column(ARRAY(DateTime(timezone=True)), server_default=text("'{}'"))
    paid_by_balance: Mapped[int] = mapped_column(server_default=text("0"))  # by the customer's, at Stripe
    credited_at: Mapped[datetime | None]  # when it ended because the rest of it was credited
    refunded_as: Mapped[str | None]  # the basis of the refund, or the loss, that ended it: never granted again
    refunded_at: Mapped[datetime | None]  # policy time
    suspended_as: Mapped[str | None]  # why it is suspended: dispute_open
    print_suspended_from: Mapped[datetime | None]  # the period of print since then is disputed, or was returned
    restored_as: Mapped[str | None]  # why the policy restored it: refund_failed
    refund_failed: Mapped[bool] = mapped_column(server_default=text("false"))  # later, and none is confirmed since
    # The issue that ends it, as of when its grants were derived. NULL: after the calendar; 0: nothing is owed anymore.
    last_issue: Mapped[int | None] = mapped_column(index=True)
    # The printed copies that it owes, as ranges of issue numbers. NULL: not derived since this is recorded.
    copies: Mapped[str | None] = mapped_column(INT4MULTIRANGE)
    copies_ended_at: Mapped[datetime | None]  # when the rest was canceled
    grace_sent: Mapped[int] = mapped_column(
        server_default=text("0")
    )  # issues sent after it while a renewal was awaited
    expire: Mapped[int | None]  # the last issue that its subscription owes; NULL: after the calendar, or none
    price: Mapped[int | None]  # before discounts and added tax; NULL: saved before this is recorded, or prorated
    discount: Mapped[int] = mapped_column(server_default=text("0"))
    lacks_address: Mapped[bool] = mapped_column(server_default=false())  # with print, and its reader has no address
    offer: Mapped[str | None]  # what it was promised, in ``offers``; NULL: not derived since this is recorded


Index("terms_starts_at_idx", Term.starts_at)
Index("terms_print_from_idx", Term.print_from, postgresql_where=Term.print_from.is_not(None))
Index("terms_print_until_idx", Term.print_until, postgresql_where=Term.print_until.is_not(None))
COPIES_UNKNOWN = text("copies IS NULL AND print_edition AND last_issue IS DISTINCT FROM 0")
Index("terms_lacks_address_idx", Term.subscription_id, postgresql_where=Term.lacks_address)
Index("terms_earlier_print_idx", Term.subscription_id, postgresql_where=text("earlier_print <> '{}'"))
Index("terms_grace_sent_idx", Term.subscription_id, postgresql_where=text("grace_sent > 0"))
Index("terms_copies_ended_at_idx", Term.copies_ended_at, postgresql_where=Term.copies_ended_at.is_not(None))
Index(
    "terms_copies_unknown_idx",
    Term.subscription_id,
    postgresql_where=COPIES_UNKNOWN,
)


class Payment(Base):
    """One payment of one invoice. The ID is Stripe's; a payment outside Stripe may have only ours."""

    __tablename__ = "payments"
    id: Mapped[str] = mapped_column(primary_key=True)  # pi_…
    invoice_id: Mapped[str] = mapped_column(index=True)
    invoice_number: Mapped[str | None] = mapped_column(index=True)  # as readers see it on their invoice
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    amount: Mapped[int]
    tax: Mapped[int]
    currency: Mapped[str]
    paid_at: Mapped[datetime]
    billing_reason: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="payment_intent")
    print_from: Mapped[datetime | None]  # if it paid only for print: from when
    print_until: Mapped[datetime | None]
    print_amount: Mapped[int] = mapped_column(server_default="0")  # the part of the amount that paid for print
    # The share that print earns: of the catalogue and the prices when it was saved. NULL: an earlier release saved it.
    print_part: Mapped[int | None]
    print_whole: Mapped[int | None]
    credited: Mapped[int] = mapped_column(server_default="0")  # returned without a refund: see Credit
    # Each part of it, by the day of its credit; empty: an earlier release wrote the sum.
    credited_at: Mapped[list[datetime]] = mapped_column(ARRAY(DateTime(timezone=True)), server_default=text("'{}'"))
    credited_parts: Mapped[list[int]] = mapped_column(ARRAY(BigInteger), server_default=text("'{}'"))
    is_history: Mapped[bool] = mapped_column(server_default=false())  # made before we followed its subscription
    version: Mapped[int] = mapped_column(server_default="1")


class Credit(Base):
    """Money returned for an invoice or a term without a refund."""

    __tablename__ = "credits"
    id: Mapped[str] = mapped_column(primary_key=True)  # cn_…, in_…, cbtxn_… or ii_…
    kind: Mapped[str] = mapped_column(primary_key=True)  # out_of_band, balance, proration, reclaimed, unbilled
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    invoice_id: Mapped[str | None]  # of a reclaimed one: the invoice with the negative total
    amount: Mapped[int]
    currency: Mapped[str]
    created_at: Mapped[datetime]  # at Stripe


class Refund(Base, Due):
    """A refund of one payment, with the keys of its intents. ``due_at`` is set while it is unfinished."""

    __tablename__ = "refunds"
    id: Mapped[str] = mapped_column(primary_key=True)  # rfd_…
    act_id: Mapped[str | None]  # the first of the refunds that were requested together; NULL: there is only one
    payment_id: Mapped[str] = mapped_column(ForeignKey("payments.id"), index=True)
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    basis: Mapped[str]
    amount: Mapped[int]
    tax: Mapped[int]
    currency: Mapped[str]
    reason: Mapped[str]
    note: Mapped[str | None]
    requested_by: Mapped[str]
    status: Mapped[str]  # awaiting_approval, rejected, withdrawn, processing, or Stripe's status
    stripe_refund_id: Mapped[str | None] = mapped_column(unique=True)
    credit_note_id: Mapped[str | None]
    failure_reason: Mapped[str | None]
    attention: Mapped[str | None]  # what staff must check
    decided_by: Mapped[str | None]  # who approved or rejected it
    decided_at: Mapped[datetime | None]  # policy time
    created_at: Mapped[datetime]  # policy time
    made_at: Mapped[datetime | None]  # when Stripe created it; NULL: not yet, or unknown
    recorded_at: Mapped[datetime | None]  # when its result was recorded; policy time
    is_history: Mapped[bool] = mapped_column(server_default=false())  # made before we followed its subscription
    request_hash: Mapped[str | None]  # of the API request, if it had a key; Stripe's metadata has it too
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        Index("refunds_one_unresolved_idx", "payment_id", unique=True, postgresql_where=text("status = 'processing'")),
        Index("refunds_credit_note_id_idx", "credit_note_id", postgresql_where=text("credit_note_id IS NOT NULL")),
        Index("refunds_act_id_idx", "act_id", postgresql_where=text("act_id IS NOT NULL")),
        Index("refunds_status_idx", "status", "created_at", "id"),
        Index("refunds_created_at_idx", "created_at", "id"),
        Index("refunds_requested_by_idx", "requested_by", "created_at"),  # what one person gave in a day
        Index("refunds_attention_idx", "created_at", "id", postgresql_where=text("attention IS NOT NULL")),
        Index("refunds_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("refunds_work_key_idx", "work_key", postgresql_where=text("due_at IS NOT NULL")),
        Index("refunds_failed_idx", "id", postgresql_where=text("status IN ('failed', 'canceled')")),
        Index("refunds_failed_at_idx", "created_at", "id", postgresql_where=text("status IN ('failed', 'canceled')")),
    )


class Dispute(Base):
    """
    Our copy of a dispute at Stripe, fenced by the version of its payment.

    A dispute of a payment that is not ours is stored without a subscriber. Staff see it, and it has no effect.
    """

    __tablename__ = "disputes"
    id: Mapped[str] = mapped_column(primary_key=True)  # dp_…, du_…
    payment_id: Mapped[str | None] = mapped_column(index=True)  # no foreign key: the payment may not be ours
    charge_id: Mapped[str] = mapped_column(index=True)
    subscriber_id: Mapped[str | None] = mapped_column(ForeignKey("subscribers.id"), index=True)
    status: Mapped[str]  # as at Stripe
    amount: Mapped[int]
    currency: Mapped[str]
    reason: Mapped[str]
    due_by: Mapped[datetime | None]
    is_charge_refundable: Mapped[bool]
    opened_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]  # policy time; NULL while it is undecided
    lost_at: Mapped[datetime | None]  # when the loss was applied to access; policy time
    concern: Mapped[str | None]  # why staff must review it
    __table_args__ = (
        Index("disputes_concern_idx", "id", postgresql_where=text("concern IS NOT NULL")),
        Index("disputes_concern_at_idx", "opened_at", "id", postgresql_where=text("concern IS NOT NULL")),
    )


def due_by(column: InstrumentedAttribute[datetime | None]) -> "Function[datetime]":
    """Return when a dispute's evidence is due: never, if it has no date, so that those come last."""
    return func.coalesce(column, literal_column("'infinity'::timestamptz"))


DUE_BY = due_by(Dispute.due_by)
Index("disputes_due_by_idx", DUE_BY.label("due"), Dispute.id)
Index("disputes_open_due_by_idx", DUE_BY.label("due"), Dispute.id, postgresql_where=Dispute.closed_at.is_(None))


class FraudWarning(Base):
    """An early fraud warning, and the action that the policy took."""

    __tablename__ = "fraud_warnings"
    id: Mapped[str] = mapped_column(primary_key=True)  # issfr_…
    payment_id: Mapped[str] = mapped_column(ForeignKey("payments.id"), index=True)
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    actionable: Mapped[bool]
    fraud_type: Mapped[str]
    created_at: Mapped[datetime]
    acted_as: Mapped[str | None]  # refunded, kept, not_refundable; NULL: it was never actionable
    acted_at: Mapped[datetime | None]
    __table_args__ = (
        Index(
            "fraud_warnings_left_idx",
            "id",
            postgresql_where=text("actionable AND acted_as IN ('kept', 'not_refundable')"),
        ),
        Index(
            "fraud_warnings_left_at_idx",
            "created_at",
            "id",
            postgresql_where=text("actionable AND acted_as IN ('kept', 'not_refundable')"),
        ),
    )


class Dismissal(Base):
    """An item that needed attention, and was dismissed by staff."""

    __tablename__ = "dismissals"
    object_id: Mapped[str] = mapped_column(primary_key=True)
    dismissed_at: Mapped[datetime]
    dismissed_by: Mapped[str]
    reason: Mapped[str]
