"""The effect of a refund on a subscription and on access, as a sentence for people."""

from app.domain.entitlements import AccessReason, OtherAccess

ENDS_TERM = "Only the refunded term ends. The subscription and its later term continue."
CONTINUES = "Only the payment is refunded. The subscription, access and copies continue."
OVER = "Only the payment is refunded. The subscription has already ended."
ENDS = "Access ends immediately and the subscription is canceled."
ENDS_PRINT = "Access ends immediately, the subscription is canceled, and no more copies are sent."
CANCELS = "The subscription is canceled."
CANCELS_PRINT = "The subscription is canceled, and no more copies are sent."
COMP_CONTINUES = "Complimentary access continues."
OTHER_CONTINUES = "Access from another subscription continues."


def describe(*, is_over: bool, ends: bool | None, prints: bool, other: OtherAccess | None) -> str:
    """
    Return the sentence.

    :param is_over: whether the subscription has ended already, and gives no access anymore.
    :param ends: whether the refund ends it; None: it ends only its own term, because a later one is paid.
    :param prints: whether the term includes printed copies.
    :param other: what the reader keeps from other sources.
    """
    if is_over:
        return OVER
    if not ends:
        return CONTINUES if ends is not None else ENDS_TERM
    if other is None:
        return ENDS_PRINT if prints else ENDS
    kept = COMP_CONTINUES if other.reason == AccessReason.COMP else OTHER_CONTINUES
    return f"{CANCELS_PRINT if prints else CANCELS} {kept}"
