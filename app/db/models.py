"""
The whole schema on one scroll.

Money is integer minor units beside its currency. Rows never leave ``app.db``: queries return dataclasses.
Rows that ask for work carry :class:`Due`: what is due, when, and how often it was tried; see :mod:`app.db.engine.leases`.
"""

from datetime import date, datetime
from typing import Any, ClassVar, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

JSON = dict[str, Any]


class Base(DeclarativeBase):
    """Names every constraint, so that a migration can name it too."""

    metadata = MetaData(
        naming_convention={
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text,
        int: BigInteger,
        datetime: DateTime(timezone=True),
        JSON: JSONB,
        list[str]: ARRAY(Text),
    }


def table_of(model: type[Base]) -> Table:
    """Return the table of rows, for statements that name columns: they cost half of what those of classes do."""
    return cast("Table", model.__table__)


class Due:
    """A row that may need work. ``due_at`` NULL: nothing to do. Times are the database's."""

    work_key: Mapped[str]  # one worker at a time for each key
    due_at: Mapped[datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")  # counted before the try
    last_error: Mapped[str | None]


class Lease(Base):
    """Which worker holds a key, and until when. Leases avoid duplicate work; correctness comes from versions."""

    __tablename__ = "leases"
    key: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str]
    until: Mapped[datetime] = mapped_column(index=True)


class Bucket(Base):
    """The rate limits for calls to Stripe: one bucket for each endpoint and one for all, shared by all processes.

    The table is unlogged: after a crash the buckets are full, as they would be by then.
    """

    __tablename__ = "buckets"
    name: Mapped[str] = mapped_column(primary_key=True)
    tokens: Mapped[float] = mapped_column(Double)  # at the time ``at``
    at: Mapped[datetime]  # in the future if Stripe requested a pause
    __table_args__ = {"prefixes": ["UNLOGGED"]}  # noqa: RUF012 - as SQLAlchemy wants it


class Subscriber(Base):
    """A person known by the identity provider's ``sub``, with at most one Stripe customer."""

    __tablename__ = "subscribers"
    id: Mapped[str] = mapped_column(primary_key=True)  # rdr_…
    sub: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str | None]
    name: Mapped[str | None]
    stripe_customer_id: Mapped[str | None] = mapped_column(unique=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


LAST_NAME = func.lower(func.regexp_replace(Subscriber.name, r"^.*\s", ""))
Index("subscribers_last_name_idx", LAST_NAME.label("last_name"), postgresql_ops={"last_name": "text_pattern_ops"})
for _found_by in (Subscriber.email, Subscriber.name):  # by their beginning, in any case
    Index(
        f"subscribers_{_found_by.key}_prefix_idx",
        func.lower(_found_by).label("beginning"),
        postgresql_ops={"beginning": "text_pattern_ops"},
    )


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
    __table_args__ = (Index("intents_row_id_action_idx", "row_id", "action", "attempt", unique=True),)


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
    status: Mapped[str]  # Stripe's word
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
    closed_at: Mapped[datetime | None]  # when its cancellation was completed at Stripe
    pay_url: Mapped[str | None]  # Stripe's payment page of the open invoice
    came_from: Mapped[str | None]  # the previous status, if the transition from it is impossible
    __table_args__ = (
        Index("subscriptions_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("subscriptions_created_at_idx", "created_at"),  # Stripe lists them in that order
    )


class Anomaly(Base):
    """A state at Stripe that staff must check, with the reason: one row for each object and code."""

    __tablename__ = "anomalies"
    id: Mapped[str] = mapped_column(primary_key=True)  # ano_…
    object_id: Mapped[str]  # of a Stripe subscription or customer
    code: Mapped[str]
    reason: Mapped[str]
    subscriber_id: Mapped[str | None] = mapped_column(ForeignKey("subscribers.id"), index=True)
    seen_at: Mapped[datetime] = mapped_column(server_default=func.now())  # first
    gone_at: Mapped[datetime | None]  # when it was resolved
    __table_args__ = (
        Index("anomalies_object_id_code_idx", "object_id", "code", unique=True),
        Index("anomalies_open_idx", "id", postgresql_where=text("gone_at IS NULL")),
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
    refunded_as: Mapped[str | None]  # the basis of the refund, or the loss, that ended it: never granted again
    suspended_as: Mapped[str | None]  # why it is suspended: dispute_open
    restored_as: Mapped[str | None]  # why the policy restored it: refund_failed
    # The issue that ends it, as of when its grants were derived. NULL: after the calendar; 0: nothing is owed anymore.
    last_issue: Mapped[int | None] = mapped_column(index=True)


Index("terms_starts_at_idx", Term.starts_at)


class Issue(Base):
    """One number of the magazine. Dates are those of the publisher's calendar."""

    __tablename__ = "issues"
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    cover_date: Mapped[date]
    planned_mail_date: Mapped[date]
    actual_mail_date: Mapped[date | None]
    label_cutoff: Mapped[date]
    counts_as: Mapped[int]
    __table_args__ = (
        CheckConstraint("counts_as IN (0, 1, 2)", name="counts_as_known"),
        CheckConstraint("label_cutoff <= coalesce(actual_mail_date, planned_mail_date)", name="cutoff_before_mailing"),
    )


class CalendarEdition(Base):
    """One row: the version of the calendar. Each change writes a new token, so that processes notice an outdated copy."""

    __tablename__ = "calendar_edition"
    id: Mapped[bool] = mapped_column(primary_key=True, server_default="true")
    token: Mapped[str]
    __table_args__ = (CheckConstraint("id", name="one_row"),)


class IssueAdjustment(Base):
    """A change of the number of issues that a term owes: positive or negative. Append-only."""

    __tablename__ = "issue_adjustments"
    id: Mapped[str] = mapped_column(primary_key=True)  # adj_…
    invoice_id: Mapped[str] = mapped_column(ForeignKey("terms.invoice_id"), index=True)
    subscription_id: Mapped[str] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    kind: Mapped[str]  # extension, grace_copies, claim
    issues: Mapped[int]
    reason: Mapped[str]
    note: Mapped[str | None]
    by: Mapped[str]
    created_at: Mapped[datetime]  # policy time
    __table_args__ = (CheckConstraint("issues <> 0", name="issues_not_zero"),)


class CalendarWork(Base, Due):
    """Work after a change of the calendar: the change itself (``cal_…``), then each subscription that it affects."""

    __tablename__ = "calendar_work"
    id: Mapped[str] = mapped_column(primary_key=True)  # cal_…, or a subscription's scr_…
    told: Mapped[int] = mapped_column(server_default="1")  # rises when the work must be repeated
    change: Mapped[JSON | None]  # the affected terms; see app.domain.calendar_changes.AffectedTerms
    __table_args__ = (
        Index("calendar_work_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("calendar_work_work_key_idx", "work_key"),
    )


class Payment(Base):
    """One payment of one invoice. The id is Stripe's payment intent's."""

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
    version: Mapped[int] = mapped_column(server_default="1")


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
    status: Mapped[str]  # awaiting_approval, rejected, withdrawn, processing, or Stripe's word
    stripe_refund_id: Mapped[str | None] = mapped_column(unique=True)
    credit_note_id: Mapped[str | None]
    failure_reason: Mapped[str | None]
    attention: Mapped[str | None]  # what staff must check
    decided_by: Mapped[str | None]  # who approved or rejected it
    decided_at: Mapped[datetime | None]  # policy time
    created_at: Mapped[datetime]  # policy time
    made_at: Mapped[datetime | None]  # when Stripe created it; NULL: not yet, or unknown
    recorded_at: Mapped[datetime | None]  # when its result was recorded; policy time
    __table_args__ = (
        CheckConstraint("amount > 0", name="amount_positive"),
        Index("refunds_one_unresolved_idx", "payment_id", unique=True, postgresql_where=text("status = 'processing'")),
        Index("refunds_act_id_idx", "act_id", postgresql_where=text("act_id IS NOT NULL")),
        Index("refunds_status_idx", "status", "created_at", "id"),
        Index("refunds_created_at_idx", "created_at", "id"),
        Index("refunds_attention_idx", "created_at", "id", postgresql_where=text("attention IS NOT NULL")),
        Index("refunds_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("refunds_failed_idx", "id", postgresql_where=text("status IN ('failed', 'canceled')")),
    )


class Dispute(Base):
    """
    Our copy of a dispute at Stripe, fenced by the version of its payment.

    A dispute of a payment that is not ours is stored without a subscriber. Staff see it, and it has no effect.
    """

    __tablename__ = "disputes"
    id: Mapped[str] = mapped_column(primary_key=True)  # dp_…, du_…
    payment_id: Mapped[str | None] = mapped_column(index=True)  # no foreign key: the payment may not be ours
    charge_id: Mapped[str]
    subscriber_id: Mapped[str | None] = mapped_column(ForeignKey("subscribers.id"), index=True)
    status: Mapped[str]  # Stripe's word
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
        Index("disputes_open_idx", "due_by", "id", postgresql_where=text("closed_at IS NULL")),
        Index("disputes_concern_idx", "id", postgresql_where=text("concern IS NOT NULL")),
    )


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
    )


class Dismissal(Base):
    """An item that needed attention, and was dismissed by staff."""

    __tablename__ = "dismissals"
    object_id: Mapped[str] = mapped_column(primary_key=True)
    dismissed_at: Mapped[datetime]
    dismissed_by: Mapped[str]
    reason: Mapped[str]


class Grant(Base):
    """One source of entitlements. ``features``: name to periods ``[from, until, reason]``, in epoch seconds."""

    __tablename__ = "grants"
    id: Mapped[str] = mapped_column(primary_key=True)
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    subscription_id: Mapped[str | None] = mapped_column(ForeignKey("subscriptions.id"), index=True)
    source: Mapped[str]
    features: Mapped[JSON]


class Comp(Base):
    """Complimentary access. Its grant is in the table of grants until it is revoked."""

    __tablename__ = "comps"
    id: Mapped[str] = mapped_column(primary_key=True)  # cmp_…
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), index=True)
    plan: Mapped[str]
    issues: Mapped[int | None]  # the number of issues, if it was given for issues
    starts_at: Mapped[datetime]  # policy time
    until: Mapped[datetime]
    reason: Mapped[str]
    given_by: Mapped[str]
    removed_at: Mapped[datetime | None]
    removed_by: Mapped[str | None]


class Entitlement(Base):
    """The union of a subscriber's grants, by ``sub``. Written when a grant changes, and read by every check."""

    __tablename__ = "entitlements"
    sub: Mapped[str] = mapped_column(primary_key=True)
    subscriber_id: Mapped[str] = mapped_column(ForeignKey("subscribers.id"), unique=True)
    version: Mapped[int]
    access: Mapped[JSON]


class Revocation(Base):
    """Revocations in the order of their commits: only one transaction at a time assigns IDs."""

    __tablename__ = "revocations"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sub: Mapped[str]
    version: Mapped[int]  # of the entitlement, since the revocation
    at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)


class SigningKey(Base):
    """A key that signs entitlement tokens. The private key is encrypted with a secret from the settings."""

    __tablename__ = "signing_keys"
    id: Mapped[str] = mapped_column(primary_key=True)  # the kid
    public: Mapped[JSON]  # the JWK
    sealed: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    signs_from: Mapped[datetime]
    signs_until: Mapped[datetime | None]
    withdrawn_at: Mapped[datetime | None]


class Event(Base, Due):
    """The inbox: each verified event once, with its state."""

    __tablename__ = "events"
    id: Mapped[str] = mapped_column(primary_key=True)  # evt_…; knk_… for a refetch of our own
    type: Mapped[str]
    api_version: Mapped[str | None]
    livemode: Mapped[bool | None]
    object_id: Mapped[str | None]
    created_at: Mapped[datetime | None]  # Stripe's, in whole seconds: doesn't determine the order
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    applied_at: Mapped[datetime | None]
    state: Mapped[str]  # received, applied, failed, dead, ignored
    reason: Mapped[str | None]  # why ignored
    payload: Mapped[str]
    __table_args__ = (
        Index("events_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("events_key_idx", "work_key"),  # for workers, and to find an object's events
        Index("events_received_at_idx", "received_at"),
        Index("events_object_id_idx", "object_id", postgresql_where=text("object_id IS NOT NULL")),
        Index("events_unapplied_idx", "work_key", postgresql_where=text("state IN ('failed', 'dead')")),
        Index("events_dead_idx", "state", postgresql_where=text("state = 'dead'")),
    )


class Sweep(Base, Due):
    """A reconciliation or an import, and its progress. ``due_at`` is set if it is scheduled."""

    __tablename__ = "sweeps"
    id: Mapped[str] = mapped_column(primary_key=True)  # swp_…
    kind: Mapped[str]  # reconcile, import
    by: Mapped[str]  # schedule, or the user who ran the command
    dry_run: Mapped[bool]
    since: Mapped[datetime | None]  # policy time
    phase: Mapped[str]
    cursor: Mapped[JSON]  # where the phase continues
    counts: Mapped[JSON]  # the number of compared objects
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        Index("sweeps_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index(
            "sweeps_one_scheduled_idx",
            "by",
            unique=True,
            postgresql_where=text("by = 'schedule' AND finished_at IS NULL"),
        ),
    )


class Difference(Base):
    """A difference from Stripe that a sweep found."""

    __tablename__ = "differences"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    sweep_id: Mapped[str] = mapped_column(ForeignKey("sweeps.id"))
    object_id: Mapped[str]
    words: Mapped[str]
    key: Mapped[str | None]  # the refetch that resolves it; NULL: staff must check it
    __table_args__ = (Index("differences_sweep_id_object_id_idx", "sweep_id", "object_id"),)


class AuditEntry(Base):
    """The audit log: who did what, when and why, with the state before and after. Only IDs, no names. Append-only."""

    __tablename__ = "audit_log"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
    actor: Mapped[str] = mapped_column(index=True)
    action: Mapped[str]
    object_id: Mapped[str] = mapped_column(index=True)
    subscriber_id: Mapped[str | None] = mapped_column(index=True)
    reason: Mapped[str | None]
    before: Mapped[JSON | None]
    after: Mapped[JSON | None]
    request_id: Mapped[str | None]


class AuditNote(Base):
    """The free text of a reason, stored outside the chain so that it can be erased."""

    __tablename__ = "audit_notes"
    audit_id: Mapped[int] = mapped_column(ForeignKey("audit_log.id"), primary_key=True, autoincrement=False)
    words: Mapped[str]


class AuditUnsealed(Base, Due):
    """An entry that waits for its seal. A trigger inserts it together with the entry."""

    __tablename__ = "audit_unsealed"
    id: Mapped[str] = mapped_column(primary_key=True)  # the entry's
    __table_args__ = (Index("audit_unsealed_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),)


class AuditSeal(Base):
    """The chain: one seal for each entry, in the order of sealing. Append-only; see app.domain.audit."""

    __tablename__ = "audit_seals"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    audit_id: Mapped[int] = mapped_column(unique=True)
    hash: Mapped[str]
    previous: Mapped[str] = mapped_column(unique=True)  # no two seals have the same predecessor


class Figures(Base, Due):
    """The figures of the console's front page: one row, counted by a worker when it is due."""

    __tablename__ = "figures"
    id: Mapped[str] = mapped_column(primary_key=True)
    content: Mapped[JSON | None]  # NULL until they are counted for the first time
    taken_at: Mapped[datetime | None]
    took: Mapped[float] = mapped_column(server_default="0")  # seconds
    __table_args__ = (Index("figures_due_at_idx", "due_at", postgresql_where=text("due_at IS NOT NULL")),)


class SignOut(Base):
    """The last time a staff member signed out of the console. Their earlier sessions are invalid."""

    __tablename__ = "sign_outs"
    sub: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]


class ApiKey(Base):
    """An API key, stored as the hash of 256 random bits. It is shown only once, when it is created."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(primary_key=True)  # key_…
    hash: Mapped[str] = mapped_column(unique=True)  # SHA-256, hexadecimal
    name: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    revoked_at: Mapped[datetime | None]


class IdempotentRequest(Base):
    """A request that moves money, by caller, route and key, with the ID of its object and the first response."""

    __tablename__ = "idempotent_requests"
    caller: Mapped[str] = mapped_column(primary_key=True)
    route: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    body_hash: Mapped[str]
    object_id: Mapped[str]  # chosen before the work, so that a takeover continues the same work
    running_until: Mapped[datetime | None]  # NULL after the response
    status: Mapped[int | None]
    answer: Mapped[JSON | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)
