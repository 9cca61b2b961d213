"""Who an imported customer is: nobody gets what is another's."""

import pytest

from app.domain.customers import StripeCustomerState
from app.domain.imports import UnclaimedSubscriber, only_match, sub_of


def customer(**metadata: str) -> StripeCustomerState:
    return StripeCustomerState(id="cus_1", email="ada@example.com", name="Ada", metadata=metadata)


@pytest.mark.parametrize(
    ("subs", "metadata", "sub"),
    [
        pytest.param({"cus_1": "ada"}, {"newsstand_sub": "other"}, "ada", id="the file first"),
        pytest.param({"cus_2": "ada"}, {"newsstand_sub": " ada "}, "ada", id="else the metadata"),
        pytest.param({}, {}, "unclaimed:cus_1", id="else nobody yet"),
        pytest.param({}, {"newsstand_sub": "x" * 256}, "unclaimed:cus_1", id="no sub is so long"),
        pytest.param({}, {"newsstand_sub": "unclaimed:cus_2"}, "unclaimed:cus_1", id="nor another's placeholder"),
        pytest.param({}, {"newsstand_sub": "a\x00"}, "unclaimed:cus_1", id="nor anything that cannot be kept"),
    ],
)
def test_who_a_customer_is(subs: dict[str, str], metadata: dict[str, str], sub: str) -> None:
    assert sub_of(customer(**metadata), subs=subs, metadata_key="newsstand_sub") == sub


def one(number: int, *, runs: bool) -> UnclaimedSubscriber:
    return UnclaimedSubscriber(id=f"rdr_{number}", placeholder=f"unclaimed:cus_{number}", runs=runs)


@pytest.mark.parametrize(
    ("found", "which"),
    [
        pytest.param([], None, id="nobody of that address"),
        pytest.param([one(1, runs=False)], "rdr_1", id="the only one"),
        pytest.param([one(1, runs=False), one(2, runs=True)], "rdr_2", id="the only one that has something"),
        pytest.param([one(1, runs=True), one(2, runs=True)], None, id="two that have: nobody can tell"),
        pytest.param([one(1, runs=False), one(2, runs=False)], None, id="two that have nothing: nobody can tell"),
    ],
)
def test_who_is_meant_by_an_address(found: list[UnclaimedSubscriber], which: str | None) -> None:
    chosen = only_match(found)
    assert (chosen.id if chosen else None) == which
