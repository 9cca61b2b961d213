"""
Statuses and reasons whose values the OpenAPI document lists.

The values are documented and not enforced: a response must not fail because Stripe has a new status.
"""

from collections.abc import Iterable
from itertools import chain
from typing import Annotated

from pydantic import WithJsonSchema

from app.domain.api_keys import STATES
from app.domain.approvals import ApprovalStatus
from app.domain.callers import ApiScope
from app.domain.claims import ClaimStatus
from app.domain.declarations import DeclarationKind, DeclarationStatus
from app.domain.disputes import STATUS_EFFECTS, DisputeConcern
from app.domain.entitlements import AccessReason
from app.domain.history import HistoryKind
from app.domain.invoices import InvoiceStatus
from app.domain.notices import CODES
from app.domain.notifications import Channel, NotificationKind, NotificationStatus
from app.domain.outbox import OutboxType
from app.domain.price_migrations import ChangeStatus, Keeps, MigrationStatus
from app.domain.reader_views import Place
from app.domain.reasons import EndReason
from app.domain.refunds import ENDING, QUOTE_REFUSALS, RefundBasis, RefundStatus
from app.domain.subscriptions import PaymentKind, SubscriptionStatus
from app.domain.webhook_deliveries import DeliveryStatus
from app.domain.webhook_endpoints import STATUSES as ENDPOINT_STATUSES
from app.domain.webhook_endpoints import DisabledReason


def listed(*values: Iterable[str]) -> WithJsonSchema:
    """Return the schema of a text that has one of these values."""
    return WithJsonSchema({"type": "string", "enum": list(dict.fromkeys(map(str, chain(*values))))})


SubscriptionStatusText = Annotated[str, listed(SubscriptionStatus)]
EndedBy = Annotated[str, listed(EndReason, sorted(ENDING))]
NoticeCode = Annotated[str, listed(sorted(CODES))]
InvoiceStatusText = Annotated[str, listed(InvoiceStatus)]
CheckoutStatus = Annotated[str, listed(["opening", "open", "complete", "expired", "failed"])]
CheckoutPaymentStatus = Annotated[str, listed(["paid", "unpaid", "no_payment_required"])]
PaymentKindText = Annotated[str, listed(PaymentKind)]
RefundBasisText = Annotated[str, listed(RefundBasis)]
RefundRefusal = Annotated[str, listed(QUOTE_REFUSALS)]
RefundStatusText = Annotated[str, listed(RefundStatus)]
ApprovalStatusText = Annotated[str, listed(ApprovalStatus, RefundStatus)]
CompStatus = Annotated[str, listed(["given", "revoked"], ApprovalStatus)]
ExtensionStatus = Annotated[str, listed(["added"], ApprovalStatus)]
ClaimStatusText = Annotated[str, listed(ClaimStatus)]
DisputeStatus = Annotated[str, listed(STATUS_EFFECTS)]
DisputeConcernText = Annotated[str, listed(DisputeConcern)]
DeclarationKindText = Annotated[str, listed(DeclarationKind)]
DeclarationStatusText = Annotated[str, listed(DeclarationStatus)]
AttentionKind = Annotated[
    str, listed(["dispute", "fraud_warning", "refund_failed", "credit_note", "notification", "declaration"])
]
AccessReasonText = Annotated[str, listed(AccessReason)]
HistoryKindText = Annotated[str, listed(HistoryKind)]
ErasureStatus = Annotated[str, listed(["processing", "finished"])]
ApiKeyState = Annotated[str, listed(STATES)]
NotificationKindText = Annotated[str, listed(NotificationKind)]
NotificationStatusText = Annotated[str, listed(NotificationStatus)]
NotificationChannel = Annotated[str, listed(Channel)]
ApiScopeText = Annotated[str, listed(ApiScope)]
EventTypeText = Annotated[str, listed(OutboxType)]
EndpointStatus = Annotated[str, listed(ENDPOINT_STATUSES)]
DisabledReasonText = Annotated[str, listed(DisabledReason)]
DeliveryStatusText = Annotated[str, listed(DeliveryStatus)]
PlaceText = Annotated[str, listed(Place)]
PriceMigrationStatus = Annotated[str, listed(MigrationStatus)]
PriceChangeStatus = Annotated[str, listed(ChangeStatus)]
KeptPriceReason = Annotated[str, listed(Keeps)]
