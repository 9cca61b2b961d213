"""Unit tests of periods, discounts, taxes, card numbers and form decoding."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.billing import amounts, periods, test_cards
from sandbox.contract.responses import object_errors
from sandbox.errors import StripeError
from sandbox.http.forms import decode
from sandbox.store.accounts import Account, previous_attributes

INTERVALS = st.fixed_dictionaries(
    {"interval": st.sampled_from(["day", "week", "month", "year"]), "interval_count": st.integers(1, 3)}
)


def at(year: int, month: int, day: int) -> int:
    return int(datetime(year, month, day, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("anchor", "interval", "count", "boundary"),
    [
        pytest.param(at(2024, 2, 29), "year", 1, at(2025, 2, 28), id="a leap day, a year on"),
        pytest.param(at(2024, 2, 29), "year", 4, at(2028, 2, 29), id="a leap day comes back"),
        pytest.param(at(2026, 1, 31), "month", 1, at(2026, 2, 28), id="the 31st in February"),
        pytest.param(at(2026, 1, 31), "month", 2, at(2026, 3, 31), id="and in March again"),
        pytest.param(at(2026, 12, 1), "month", 1, at(2027, 1, 1), id="over the new year"),
        pytest.param(at(2026, 1, 1), "week", 2, at(2026, 1, 15), id="weeks"),
    ],
)
def test_period_boundaries_are_whole_intervals(anchor: int, interval: str, count: int, boundary: int) -> None:
    assert periods.add_intervals(anchor, {"interval": interval, "interval_count": 1}, count) == boundary


@given(INTERVALS, st.integers(0, 4_000_000_000), st.integers(0, 100_000_000))
def test_the_next_boundary_is_the_first_after_the_given_time(
    recurring: dict[str, Any], anchor: int, later: int
) -> None:
    following = periods.next_boundary(anchor, recurring, anchor + later)
    assert following > anchor + later
    count = 1
    while periods.add_intervals(anchor, recurring, count) != following:
        assert periods.add_intervals(anchor, recurring, count) <= anchor + later
        count += 1


def price(amount: int, product: str = "prod_1") -> dict[str, Any]:
    return {"unit_amount": amount, "product": product, "tax_behavior": "exclusive"}


@given(
    st.lists(st.integers(0, 100_000), min_size=1, max_size=5),
    st.one_of(
        st.fixed_dictionaries({"percent_off": st.floats(0.01, 100), "amount_off": st.none()}),
        st.fixed_dictionaries({"percent_off": st.none(), "amount_off": st.integers(1, 200_000)}),
    ),
)
def test_discounts_are_distributed_exactly_and_lines_are_never_negative(
    prices: list[int], coupon: dict[str, Any]
) -> None:
    account = Account(key="sk_test_x")
    wanted = [(price(amount), 1) for amount in prices]
    lines = amounts.compute_lines(account, wanted, coupons={"di_1": coupon}, automatic_tax=False)
    assert all(0 <= line.discounted <= line.subtotal for line in lines)
    if coupon["amount_off"] is not None:
        assert sum(line.discounts["di_1"] for line in lines) == min(coupon["amount_off"], sum(prices))


@pytest.mark.parametrize(
    ("number", "valid"),
    [
        ("4242424242424242", True),
        ("378282246310005", True),
        ("4242424242424241", False),
        ("", False),
        ("4242", False),
        ("٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢", False),
    ],
)
def test_card_numbers_must_pass_the_luhn_check(number: str, valid: bool) -> None:
    assert test_cards.is_valid_number(number) == valid


def test_test_cards_behave_the_same_by_number_and_by_payment_method() -> None:
    assert test_cards.by_method("pm_card_visa") is test_cards.by_number("4242424242424242")
    assert test_cards.by_method("pm_card_none") is None
    assert test_cards.by_number("4111111111111111").decline == test_cards.NOT_A_TEST_CARD


@given(st.text(max_size=60))
def test_the_form_decoder_never_crashes(text: str) -> None:
    with contextlib.suppress(StripeError):
        assert isinstance(decode(text), dict)


def test_nested_parameter_names_become_objects() -> None:
    assert decode("a[b][0][c]=d&a[b][1][c]=e&x=&y[]=1&y[]=2") == {
        "a": {"b": {"0": {"c": "d"}, "1": {"c": "e"}}},
        "x": "",
        "y": {"0": "1", "1": "2"},
    }


def test_previous_attributes_contain_only_the_old_values_of_changed_fields() -> None:
    before = {"a": 1, "b": {"c": 1, "d": 2}, "e": [1]}
    assert previous_attributes(before, {"a": 1, "b": {"c": 1, "d": 3}, "e": [2]}) == {"b": {"d": 2}, "e": [1]}


def test_an_unknown_object_type_is_a_contract_error() -> None:
    assert object_errors({"object": "newspaper"}) == ["object: 'newspaper' is no resource of Stripe's"]
