"""
The schema, a file for each chapter.

Money is integer minor units with its currency. Rows never leave ``app.db``: queries return dataclasses. Rows that need
work carry :class:`Due`: when it is due, and how often it was tried; see :mod:`app.db.engine.leases`.
"""

from app.db.models.addresses import PostalAddress
from app.db.models.approvals import ApprovalRequest
from app.db.models.audit import AuditEntry, AuditNote, AuditSeal, AuditUnsealed
from app.db.models.back_issues import BackIssue
from app.db.models.base import JSON, Base, Due, table_of
from app.db.models.billing import (
    COPIES_UNKNOWN,
    DUE_BY,
    Anomaly,
    Checkout,
    Credit,
    Dismissal,
    Dispute,
    FraudWarning,
    Intent,
    Payment,
    Refund,
    Subscription,
    Term,
    due_by,
)
from app.db.models.callers import ApiKey, LogoutToken, SignOut, StaffMember, StaffSession
from app.db.models.claims import Claim
from app.db.models.declarations import Consent, Declaration
from app.db.models.derivations import CalendarWork, DerivationRun, OfferVersion, StoredOffer
from app.db.models.holds import Hold
from app.db.models.issues import CalendarEdition, Issue, IssueAdjustment, IssueDelay
from app.db.models.label_runs import ElectronicCopy, Label, LabelRun
from app.db.models.notifications import NEEDS_ATTENTION, Notification, NotificationOptOut, NotificationPolicies
from app.db.models.operations import (
    Bucket,
    Difference,
    Event,
    Figures,
    IdempotentRequest,
    Lease,
    Recovery,
    RetentionRun,
    SigningKey,
    Sweep,
)
from app.db.models.outbox import OutboxEvent
from app.db.models.price_migrations import PriceChange, PriceMigration
from app.db.models.print_changes import PrintChange
from app.db.models.readers import (
    Comp,
    ContactChange,
    Entitlement,
    Erasure,
    Grant,
    PendingRevocation,
    ReaderNamePart,
    ReaderView,
    Revocation,
    Subscriber,
)
from app.db.models.reports import IssueCirculation, LiabilityClosing, LiabilityEntry
from app.db.models.webhook_endpoints import WebhookDelivery, WebhookEndpoint, WebhookLane
from app.db.models.work_queue import WorkItemMarks

__all__ = [
    "COPIES_UNKNOWN",
    "DUE_BY",
    "JSON",
    "NEEDS_ATTENTION",
    "Anomaly",
    "ApiKey",
    "ApprovalRequest",
    "AuditEntry",
    "AuditNote",
    "AuditSeal",
    "AuditUnsealed",
    "BackIssue",
    "Base",
    "Bucket",
    "CalendarEdition",
    "CalendarWork",
    "Checkout",
    "Claim",
    "Comp",
    "Consent",
    "ContactChange",
    "Credit",
    "Declaration",
    "DerivationRun",
    "Difference",
    "Dismissal",
    "Dispute",
    "Due",
    "ElectronicCopy",
    "Entitlement",
    "Erasure",
    "Event",
    "Figures",
    "FraudWarning",
    "Grant",
    "Hold",
    "IdempotentRequest",
    "Intent",
    "Issue",
    "IssueAdjustment",
    "IssueCirculation",
    "IssueDelay",
    "Label",
    "LabelRun",
    "Lease",
    "LiabilityClosing",
    "LiabilityEntry",
    "LogoutToken",
    "Notification",
    "NotificationOptOut",
    "NotificationPolicies",
    "OfferVersion",
    "OutboxEvent",
    "Payment",
    "PendingRevocation",
    "PostalAddress",
    "PriceChange",
    "PriceMigration",
    "PrintChange",
    "ReaderNamePart",
    "ReaderView",
    "Recovery",
    "Refund",
    "RetentionRun",
    "Revocation",
    "SignOut",
    "SigningKey",
    "StaffMember",
    "StaffSession",
    "StoredOffer",
    "Subscriber",
    "Subscription",
    "Sweep",
    "Term",
    "WebhookDelivery",
    "WebhookEndpoint",
    "WebhookLane",
    "WorkItemMarks",
    "due_by",
    "table_of",
]
