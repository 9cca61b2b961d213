"""The reader of an imported customer."""

import pytest

from app.domain.customers import StripeCustomerState
from app.domain.imports import UnclaimedSubscriber, only_match, sub_of


def customer(**metadata: str) -> StripeCustomerState:
    return StripeCustomerState(id="cus_1", email="ada@example.com", name="Ada", metadata=metadata)


@pytest.mark.parametrize(
    ("subs", "metadata", "sub"),
    [
        pytest.param({"cus_1": "ada"}, {"newsstand_sub": "other"}, "ada", id="file first"),
        pytest.param({"cus_2": "ada"}, {"newsstand_sub": " ada "}, "ada", id="then metadata"),
        pytest.param({}, {}, "unclaimed:cus_1", id="otherwise unclaimed"),
        pytest.param({}, {"newsstand_sub": "x" * 256}, "unclaimed:cus_1", id="too long"),
        pytest.param({}, {"newsstand_sub": "unclaimed:cus_2"}, "unclaimed:cus_1", id="placeholder of another customer"),
        pytest.param({}, {"newsstand_sub": "a\x00"}, "unclaimed:cus_1", id="characters that can't be stored"),
    ],
)
def test_a_customer_is_identified_by_file_then_metadata(
    subs: dict[str, str], metadata: dict[str, str], sub: str
) -> None:
    assert sub_of(customer(**metadata), subs=subs, metadata_key="newsstand_sub") == sub


def one(number: int, *, runs: bool) -> UnclaimedSubscriber:
    return UnclaimedSubscriber(id=f"rdr_{number}", runs=runs)


@pytest.mark.parametrize(
    ("found", "which"),
    [
        pytest.param([], None, id="no customer with that email"),
        pytest.param([one(1, runs=False)], "rdr_1", id="one customer"),
        pytest.param([one(1, runs=False), one(2, runs=True)], "rdr_2", id="one with a subscription"),
        pytest.param([one(1, runs=True), one(2, runs=True)], None, id="two with a subscription: ambiguous"),
        pytest.param([one(1, runs=False), one(2, runs=False)], None, id="two without a subscription: ambiguous"),
    ],
)
def test_an_email_identifies_a_customer_only_if_unambiguous(
    found: list[UnclaimedSubscriber], which: str | None
) -> None:
    chosen = only_match(found)
    assert (chosen.id if chosen else None) == which
