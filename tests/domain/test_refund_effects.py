"""What a refund does, in a sentence."""

from datetime import UTC, datetime

import pytest

from app.domain.entitlements import OtherAccess
from app.domain.refund_effects import describe

COMP = OtherAccess(features=("archive",), until=datetime(2027, 6, 1, tzinfo=UTC), reason="comp")
OTHER = OtherAccess(features=("archive",), until=datetime(2027, 6, 1, tzinfo=UTC), reason="paid_term")


@pytest.mark.parametrize(
    ("ends", "is_over", "prints", "other", "sentence"),
    [
        (False, False, False, None, "Only the payment is refunded. The subscription, access and copies continue."),
        (True, False, False, None, "Access ends immediately and the subscription is canceled."),
        (
            True,
            False,
            True,
            None,
            "Access ends immediately, the subscription is canceled, and no more copies are sent.",
        ),
        (True, False, False, COMP, "The subscription is canceled. Complimentary access continues."),
        (
            True,
            False,
            True,
            OTHER,
            "The subscription is canceled, and no more copies are sent. Access from another subscription continues.",
        ),
        (False, True, True, COMP, "Only the payment is refunded. The subscription has already ended."),
    ],
)
def test_the_effect_says_what_ends_and_what_continues(
    ends: bool, is_over: bool, prints: bool, other: OtherAccess | None, sentence: str
) -> None:
    assert describe(ends=ends, is_over=is_over, prints=prints, other=other) == sentence
