"""Whose price changes when, and who keeps theirs: decided from the subscription as Stripe has it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.price_migrations import (
    ANNOUNCED_AHEAD,
    CHECKED_AGAIN,
    LEAST_NOTICE,
    ChangeStatus,
    Keep,
    Keeps,
    Planned,
    PriceChange,
    Quote,
    Target,
    Terms,
    UnknownPrice,
    Wait,
    decide,
    first_renewal,
    has_new_price,
    is_as_announced,
    months_later,
    targets_of,
    was_told_in_time,
)
from app.domain.prices import StripePrice
from tests.domain.test_plans import ANNUAL
from tests.domain.test_subscriptions import DIGITAL, END, SEEN, START

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
OLD, NEW = "price_old", "price_new"
ITEM = replace(DIGITAL, price_id=OLD, interval="year")
PRINT = replace(ITEM, id="si_2", component="print", price_id="price_print", unit_amount=24_00)
HELD = replace(SEEN, items=(ITEM,))
TERMS = Terms(
    plan="annual",
    currency="usd",
    interval="year",
    targets=(Target(component="digital", price_id=NEW, amount=59_00),),
    from_at=NOW,
    locked={},
    versions=frozenset({OLD, NEW, "price_print"}),
)
MOMENTS = st.integers(0, 1400 * 24).map(lambda hours: NOW + timedelta(hours=hours))
BOTH = replace(TERMS, targets=(*TERMS.targets, Target(component="print", price_id="price_print_new", amount=30_00)))


def change_of(held: Any, decided: Planned, **values: Any) -> PriceChange:
    return PriceChange(
        **{
            "id": "pcg_1",
            "migration_id": "pmg_1",
            "subscription_id": "scr_1",
            "subscriber_id": "rdr_1",
            "stripe_id": held.id,
            "status": ChangeStatus.ANNOUNCED,
            "reason": None,
            "currency": "usd",
            "items": decided.items,
            "renewal_at": decided.renewal_at,
            "quote": Quote(total=64_00, tax=5_00, before=53_00),
        }
        | values
    )


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        pytest.param({"status": "canceled"}, Keeps.ENDED, id="ended"),
        pytest.param({"status": "incomplete_expired"}, Keeps.ENDED, id="never paid"),
        pytest.param({"status": "incomplete"}, Keeps.ENDED, id="first payment open"),
        pytest.param({"items": ()}, Keeps.ENDED, id="no item of ours"),
        pytest.param({"currency": "eur"}, Keeps.OTHER_CURRENCY, id="another currency"),
        pytest.param({"items": (replace(ITEM, price_id=NEW),)}, Keeps.UNCHANGED, id="the new price already"),
        pytest.param(
            {"items": (replace(ITEM, unit_amount=59_00),)}, Keeps.UNCHANGED, id="another version, same amount"
        ),
        pytest.param({"items": (replace(ITEM, price_id="price_x"),)}, Keeps.CUSTOM_PRICE, id="agreed by hand"),
        pytest.param({"items": (replace(ITEM, interval_count=2),)}, Keeps.OTHER_INTERVAL, id="every two years"),
        pytest.param({"items": (replace(ITEM, interval="month"),)}, Keeps.OTHER_INTERVAL, id="monthly"),
        pytest.param({"items": (replace(ITEM, unit_amount=0),)}, Keeps.COMPLIMENTARY, id="free of charge"),
        pytest.param({"schedule_id": "sub_sched_1"}, Keeps.SCHEDULED, id="a schedule decides"),
        pytest.param({"cancel_at": END}, Keeps.ENDING, id="ends at the renewal"),
        pytest.param({"cancel_at": NOW + DAY}, Keeps.ENDING, id="ends before the renewal"),
    ],
)
def test_some_subscriptions_keep_their_price(changes: dict[str, Any], kept: Keeps) -> None:
    assert decide(replace(HELD, **changes), TERMS, is_ours=True, now=NOW) == Keep(kept)


def test_a_subscription_of_nobody_we_know_keeps_its_price() -> None:
    assert decide(HELD, TERMS, is_ours=False, now=NOW) == Keep(Keeps.NOT_OURS)


def test_a_locked_price_is_kept_however_many_are_bought() -> None:
    locked = replace(TERMS, locked={"digital": {49_00}})
    assert decide(HELD, locked, is_ours=True, now=NOW) == Keep(Keeps.LOCKED)
    three = replace(HELD, items=(replace(ITEM, unit_amount=3 * 49_00, quantity=3),))
    assert decide(three, locked, is_ours=True, now=NOW) == Keep(Keeps.LOCKED)


def test_a_locked_item_does_not_keep_the_price_of_the_other() -> None:
    held = replace(HELD, items=(ITEM, PRINT))
    decided = decide(held, replace(BOTH, locked={"print": {24_00}}), is_ours=True, now=NOW)
    assert isinstance(decided, Planned)
    assert [item.component for item in decided.items] == ["digital"]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"status": "past_due"}, id="a renewal is not paid"),
        pytest.param({"status": "unpaid"}, id="unpaid"),
        pytest.param({"status": "paused"}, id="paused"),
        pytest.param({"collection_paused": "void"}, id="collection is paused"),
        pytest.param({"items": (replace(ITEM, period_end=NOW - DAY),)}, id="the period is over"),
    ],
)
def test_a_subscription_that_is_not_billed_now_is_checked_again(changes: dict[str, Any]) -> None:
    assert decide(replace(HELD, **changes), TERMS, is_ours=True, now=NOW) == Wait(NOW + CHECKED_AGAIN)


def test_the_price_changes_at_the_renewal_with_its_quantity() -> None:
    held = replace(HELD, items=(replace(ITEM, unit_amount=2 * 49_00, quantity=2), PRINT))
    decided = decide(held, TERMS, is_ours=True, now=NOW)
    assert isinstance(decided, Planned)
    assert (decided.renewal_at, decided.announce_at) == (END, END - ANNOUNCED_AHEAD)
    (item,) = decided.items
    assert (item.item, item.quantity, item.from_amount, item.to_amount) == ("si_1", 2, 49_00, 59_00)
    change = change_of(held, decided)
    assert (change.before, change.after) == (98_00, 118_00)


def test_the_end_of_a_trial_is_no_renewal() -> None:
    decided = decide(replace(HELD, status="trialing", trial_end=END), TERMS, is_ours=True, now=NOW)
    assert isinstance(decided, Planned)
    assert decided.renewal_at == datetime(2028, 3, 1, tzinfo=UTC)


def test_an_end_after_the_renewal_does_not_keep_the_price() -> None:
    assert isinstance(decide(replace(HELD, cancel_at=END + DAY), TERMS, is_ours=True, now=NOW), Planned)


@pytest.mark.parametrize(
    ("now", "from_at", "renewal"),
    [
        pytest.param(NOW, NOW, 2027, id="the next renewal"),
        pytest.param(END - LEAST_NOTICE, NOW, 2027, id="the last moment for the notice"),
        pytest.param(END - LEAST_NOTICE + timedelta(seconds=1), NOW, 2028, id="too late for the notice"),
        pytest.param(NOW, END, 2027, id="the migration begins with the renewal"),
        pytest.param(NOW, END + timedelta(seconds=1), 2028, id="the migration begins after the renewal"),
    ],
)
def test_the_first_renewal_whose_reader_can_be_told(now: datetime, from_at: datetime, renewal: int) -> None:
    assert first_renewal(END, replace(TERMS, from_at=from_at), now=now).year == renewal


@given(
    MOMENTS,
    MOMENTS,
    MOMENTS,
    st.sampled_from(["month", "year"]),
)
def test_no_renewal_is_before_its_notice_or_the_migration(
    period_end: datetime, from_at: datetime, now: datetime, interval: str
) -> None:
    found = first_renewal(period_end, replace(TERMS, from_at=from_at, interval=interval), now=now)
    assert found >= from_at
    assert found - now >= LEAST_NOTICE
    earlier = months_later(found, -1 if interval == "month" else -12)
    assert found == period_end or earlier < from_at or earlier - now < LEAST_NOTICE + 3 * DAY


@pytest.mark.parametrize(
    ("moment", "months", "later"),
    [
        pytest.param(datetime(2028, 1, 31, tzinfo=UTC), 1, datetime(2028, 2, 29, tzinfo=UTC), id="a short month"),
        pytest.param(datetime(2028, 2, 29, tzinfo=UTC), 12, datetime(2029, 2, 28, tzinfo=UTC), id="a leap day"),
        pytest.param(datetime(2026, 12, 5, tzinfo=UTC), 1, datetime(2027, 1, 5, tzinfo=UTC), id="the next year"),
    ],
)
def test_months_end_as_at_stripe(moment: datetime, months: int, later: datetime) -> None:
    assert months_later(moment, months) == later


@pytest.mark.parametrize(
    ("values", "same"),
    [
        pytest.param({}, True, id="as announced"),
        pytest.param({"renewal_at": END + DAY}, False, id="another renewal"),
        pytest.param({"quote": Quote(total=64_01, tax=5_00, before=53_00)}, False, id="a cent more"),
        pytest.param({"quote": Quote(total=63_99, tax=5_00, before=53_00)}, False, id="a cent less"),
        pytest.param({"quote": Quote(total=64_00, tax=4_99, before=53_00)}, False, id="another tax"),
        pytest.param({"items": ()}, False, id="other items"),
        pytest.param({"quote": None}, False, id="never announced"),
    ],
)
def test_only_what_was_announced_is_made(values: dict[str, Any], *, same: bool) -> None:
    decided = decide(HELD, TERMS, is_ours=True, now=NOW)
    assert isinstance(decided, Planned)
    announced = change_of(HELD, decided, **values)
    assert is_as_announced(announced, decided, Quote(total=64_00, tax=5_00, before=50_00)) is same


@pytest.mark.parametrize(
    ("sent_at", "in_time"),
    [
        pytest.param(END - LEAST_NOTICE, True, id="a week before"),
        pytest.param(END - LEAST_NOTICE + timedelta(seconds=1), False, id="less than a week before"),
        pytest.param(None, False, id="not sent"),
    ],
)
def test_a_notice_must_be_sent_a_week_before(sent_at: datetime | None, *, in_time: bool) -> None:
    decided = decide(HELD, TERMS, is_ours=True, now=NOW)
    assert isinstance(decided, Planned)
    assert was_told_in_time(change_of(HELD, decided), sent_at) is in_time


def test_a_reader_who_was_told_is_decided_without_the_least_notice() -> None:
    late = END - DAY
    assert isinstance(decided := decide(HELD, TERMS, is_ours=True, now=late), Planned)
    assert decided.renewal_at.year == 2028
    assert isinstance(decided := decide(HELD, TERMS, is_ours=True, now=late, least=timedelta()), Planned)
    assert decided.renewal_at == END


def test_a_switch_is_recognized_by_its_items() -> None:
    decided = decide(HELD, TERMS, is_ours=True, now=NOW)
    assert isinstance(decided, Planned)
    change = change_of(HELD, decided)
    assert not has_new_price(change, HELD)
    assert has_new_price(change, replace(HELD, items=(replace(ITEM, price_id=NEW), PRINT)))
    assert not has_new_price(replace(change, items=()), HELD)


def test_a_price_is_not_new_if_none_of_its_items_is_left() -> None:
    decided = decide(replace(HELD, items=(ITEM, PRINT)), BOTH, is_ours=True, now=NOW)
    assert isinstance(decided, Planned)
    both = change_of(HELD, decided)
    print_alone = replace(both, items=decided.items[1:])
    assert not has_new_price(print_alone, HELD), "print was dropped before its price changed"
    assert has_new_price(both, replace(HELD, items=(replace(ITEM, price_id=NEW),))), "print was dropped afterwards"


def price(price_id: str, **values: Any) -> StripePrice:
    return StripePrice(
        **{
            "id": price_id,
            "product_id": "newsstand_annual_digital",
            "lookup_key": None,
            "amount": 59_00,
            "currency": "usd",
            "interval": "year",
            "active": True,
            "version": 2,
            "tax_behavior": "exclusive",
        }
        | values
    )


def test_a_target_is_found_by_lookup_key_or_id() -> None:
    prices = [
        price("price_1", lookup_key="newsstand_annual_digital"),
        price("price_2", product_id="newsstand_annual_print", amount=30_00),
    ]
    found = targets_of(ANNUAL, ["newsstand_annual_digital", "price_2"], prices)
    assert [(one.component, one.price_id, one.amount) for one in found] == [
        ("digital", "price_1", 59_00),
        ("print", "price_2", 30_00),
    ]


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(["price_9"], id="unknown"),
        pytest.param(["price_archived"], id="archived"),
        pytest.param(["price_monthly"], id="another interval"),
        pytest.param(["price_other"], id="another plan"),
        pytest.param(["price_tiered"], id="no fixed amount"),
        pytest.param(["price_1", "price_2"], id="two of one component"),
    ],
)
def test_a_price_that_the_plan_does_not_sell_is_refused(wanted: list[str]) -> None:
    prices = [
        price("price_1"),
        price("price_2"),
        price("price_archived", active=False),
        price("price_monthly", interval="month"),
        price("price_other", product_id="newsstand_other_digital"),
        price("price_tiered", amount=None),
    ]
    with pytest.raises(UnknownPrice):
        targets_of(ANNUAL, wanted, prices)


def test_the_start_of_a_period_is_no_reason_to_wait() -> None:
    assert isinstance(decide(HELD, TERMS, is_ours=True, now=START), Planned)
