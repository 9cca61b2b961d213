"""Disputes and early fraud warnings at Stripe. They are only read: evidence is submitted in Stripe's Dashboard."""

from stripe.params import DisputeListParams
from stripe.params.radar import EarlyFraudWarningListParams

from app.domain.disputes import StripeDisputeState, StripeWarningState
from app.gateway import translate
from app.gateway.client import Gateway


def is_charge(payment_id: str) -> bool:
    """Return whether a payment is a charge without a payment intent. Stripe's IDs have a prefix for each type."""
    return not payment_id.startswith("pi_")


async def of_payment(gateway: Gateway, payment_id: str) -> tuple[StripeDisputeState, ...]:
    """Return all disputes of a payment."""
    wanted: DisputeListParams = {"charge": payment_id} if is_charge(payment_id) else {"payment_intent": payment_id}
    listed = gateway.sdk.v1.disputes.list_async({**wanted, "limit": 100})
    return tuple(translate.dispute(dispute) for dispute in await gateway.every(listed))


async def warnings_of(gateway: Gateway, payment_id: str) -> tuple[StripeWarningState, ...]:
    """Return all early fraud warnings of a payment."""
    wanted: EarlyFraudWarningListParams = (
        {"charge": payment_id} if is_charge(payment_id) else {"payment_intent": payment_id}
    )
    listed = gateway.sdk.v1.radar.early_fraud_warnings.list_async({**wanted, "limit": 100})
    return tuple(translate.fraud_warning(warning) for warning in await gateway.every(listed))


async def fetch(gateway: Gateway, dispute_id: str) -> StripeDisputeState:
    """
    Fetch a dispute.

    :raises Gone: it does not exist.
    """
    return translate.dispute(await gateway.call(gateway.sdk.v1.disputes.retrieve_async(dispute_id)))
