"""Entitlements: access, its end and its reason."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.dunning import AccessPolicy
from app.domain.entitlements import (
    NO_ENTITLEMENTS,
    OPEN_ENDED,
    PAST_KEPT_FOR,
    AccessPeriod,
    AccessReason,
    Decision,
    EntitlementSet,
    Grant,
    allowed,
    combine_grants,
    decide,
    dump,
    is_reduced,
    load_features,
    next_change,
    other_access_of,
    without_past,
)
from app.domain.grants import denial_reason_of, grants_of
from app.domain.plans import Feature, UnknownFeature
from app.domain.subscriptions import Subscription, Term
from app.services import catalogue
from tests.support.wording import american

CATALOGUE = catalogue.load(Path(__file__).parents[2] / "catalogue.toml")
POLICY = AccessPolicy(
    renewal_allowance=timedelta(days=3), grace_period=timedelta(days=14), zone=ZoneInfo("UTC"), wording=american()
)
START, END = datetime(2026, 3, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)
TERM = Term(invoice_id="in_1", plan="annual", print_edition=False, starts_at=START, ends_at=END, issues_owed=24)
SUBSCRIPTION = Subscription(
    id="scr_1",
    stripe_id="sub_1",
    subscriber_id="rdr_1",
    version=1,
    plan="annual",
    print_edition=False,
    status="active",
    price=49_00,
    currency="usd",
    created_at=START,
    current_period_start=START,
    current_period_end=END,
    cancel_at=None,
    canceled_at=None,
    ended_at=None,
    end_reason=None,
)


def access(subscription: Subscription = SUBSCRIPTION, *terms: Term) -> EntitlementSet:
    bought = terms or (TERM,)
    return combine_grants(grants_of(subscription, bought, CATALOGUE, POLICY), [denial_reason_of(subscription, bought)])


def asked(held: EntitlementSet, now: datetime, feature: str = "archive") -> tuple[bool, str]:
    answer = decide(held, feature, CATALOGUE, now=now)
    return answer.allowed, answer.reason


SCHEDULED = replace(SUBSCRIPTION, cancel_at=END)
PAST_DUE = replace(SUBSCRIPTION, status="past_due")
CUT = replace(SUBSCRIPTION, status="canceled", ended_at=START + timedelta(days=10))


@pytest.mark.parametrize(
    ("subscription", "now", "answer"),
    [
        pytest.param(SUBSCRIPTION, START, (True, AccessReason.PAID_TERM), id="first moment of a paid term"),
        pytest.param(
            SUBSCRIPTION, END - timedelta(seconds=1), (True, AccessReason.PAID_TERM), id="last moment of a paid term"
        ),
        pytest.param(SUBSCRIPTION, END, (True, AccessReason.RENEWAL_PENDING), id="pending renewal keeps access"),
        pytest.param(
            SUBSCRIPTION, END + timedelta(days=3), (False, AccessReason.ENDED), id="pending renewal after the allowance"
        ),
        pytest.param(
            SCHEDULED,
            END - timedelta(seconds=1),
            (True, AccessReason.PAID_TERM),
            id="scheduled end keeps the paid term",
        ),
        pytest.param(SCHEDULED, END, (False, AccessReason.ENDED), id="scheduled end has no allowance"),
        pytest.param(
            replace(SUBSCRIPTION, cancel_at=END + timedelta(days=365)),
            END,
            (True, AccessReason.RENEWAL_PENDING),
            id="an end one term later does not affect this renewal",
        ),
        pytest.param(
            PAST_DUE,
            END + timedelta(days=13),
            (True, AccessReason.GRACE_PERIOD),
            id="failed renewal within the grace period",
        ),
        pytest.param(
            PAST_DUE, END + timedelta(days=14), (False, AccessReason.PAYMENT_FAILED), id="after the grace period"
        ),
        pytest.param(CUT, START + timedelta(days=9), (True, AccessReason.PAID_TERM), id="before an immediate end"),
        pytest.param(CUT, START + timedelta(days=10), (False, AccessReason.ENDED), id="after an immediate end"),
        pytest.param(
            replace(SUBSCRIPTION, access_ended_at=START),
            START,
            (False, AccessReason.ENDED),
            id="ended here but not yet at Stripe",
        ),
        pytest.param(replace(SUBSCRIPTION, status="unpaid"), END, (False, AccessReason.PAYMENT_FAILED), id="unpaid"),
        pytest.param(
            replace(SUBSCRIPTION, status="of_2030"), START, (True, AccessReason.PAID_TERM), id="unknown state"
        ),
    ],
)
def test_access_during_the_life_of_a_subscription(
    subscription: Subscription, now: datetime, answer: tuple[bool, str]
) -> None:
    assert asked(access(subscription), now) == answer


def test_a_refunded_term_is_never_granted() -> None:
    refunded = replace(TERM, refunded_as="guarantee")

    assert asked(access(SUBSCRIPTION, refunded), START) == (False, AccessReason.REFUNDED)


def test_a_failed_refund_is_not_called_refunded() -> None:
    failed = replace(TERM, refunded_as="guarantee", refund_failed=True)

    assert asked(access(SUBSCRIPTION, failed), START) == (False, AccessReason.REFUND_FAILED)


def test_other_access_lists_what_is_open_now_and_the_last_end() -> None:
    short = AccessPeriod(START, START + timedelta(days=5), AccessReason.PAID_TERM)
    comp = AccessPeriod(START, START + timedelta(days=30), AccessReason.COMP)
    grants = [
        Grant(id="grt_1", source="paid_term", features={"audio": (short,)}),
        Grant(id="grt_2", source="comp", features={"archive": (comp,), "ad_free": (comp,)}),
    ]
    found = other_access_of(grants, CATALOGUE, now=START)
    assert found is not None
    assert (set(found.features), found.until, found.reason) == ({"archive", "audio"}, comp.until, AccessReason.COMP)
    assert other_access_of(grants, CATALOGUE, now=comp.until) is None
    assert other_access_of([], CATALOGUE, now=START) is None
    processing = AccessPeriod(START, OPEN_ENDED, AccessReason.RENEWAL_PENDING)
    open_ended = Grant(id="grt_3", source="paid_term", features={"archive": (processing,)})
    for others in ([open_ended], [*grants, open_ended]):
        kept = other_access_of(others, CATALOGUE, now=START)
        assert kept is not None, "access without a known end is access"
        assert (kept.until, kept.reason) == (None, AccessReason.RENEWAL_PENDING)


def test_a_refunded_term_does_not_affect_the_one_before() -> None:
    renewal = replace(
        TERM, invoice_id="in_2", starts_at=END, ends_at=END + timedelta(days=365), refunded_as="guarantee"
    )

    assert asked(access(SUBSCRIPTION, TERM, renewal), START) == (True, AccessReason.PAID_TERM)


def test_a_reader_who_never_subscribed_gets_that_reason() -> None:
    assert asked(NO_ENTITLEMENTS, START) == (False, AccessReason.NEVER_SUBSCRIBED)


def test_a_never_paid_subscription_grants_nothing() -> None:
    held = combine_grants([], [denial_reason_of(replace(SUBSCRIPTION, status="incomplete"), [])])

    assert asked(held, START) == (False, AccessReason.PAYMENT_INCOMPLETE)


def test_print_is_granted_only_with_the_print_edition() -> None:
    assert asked(access(), START, "print_edition") == (False, AccessReason.NOT_INCLUDED)
    assert asked(access(SUBSCRIPTION, replace(TERM, print_edition=True)), START, "print_edition") == (
        True,
        AccessReason.PAID_TERM,
    )


def test_an_announced_feature_is_granted_on_its_date() -> None:
    held = access()
    day = START + timedelta(days=30)
    dated = replace(
        CATALOGUE,
        features={
            **CATALOGUE.features,
            "ad_free": Feature(name="ad_free", title="x", announced=True, available_from=day),
        },
    )

    assert asked(held, START, "ad_free") == (False, AccessReason.COMING_SOON)
    assert decide(held, "ad_free", dated, now=day - timedelta(seconds=1)).reason == AccessReason.COMING_SOON
    assert decide(held, "ad_free", dated, now=day) == Decision(True, AccessReason.PAID_TERM, END, "grt_in_1")


def test_an_unknown_feature_is_an_error() -> None:
    with pytest.raises(UnknownFeature):
        decide(NO_ENTITLEMENTS, "teleport", CATALOGUE, now=START)


def test_a_reader_sees_exactly_the_granted_features() -> None:
    assert set(allowed(access(), CATALOGUE, now=START)) == {"digital_edition", "exclusive_content", "audio", "archive"}
    assert allowed(access(), CATALOGUE, now=END + timedelta(days=3)) == {}


def test_stored_access_is_read_unchanged() -> None:
    held = access(
        SUBSCRIPTION, TERM, replace(TERM, invoice_id="in_2", starts_at=END, ends_at=END + timedelta(days=365))
    )

    assert load_features(dump(held)["features"]) == held.features  # type: ignore[arg-type]


moments = st.integers(0, 400).map(lambda days: START + timedelta(days=days))
periods = st.tuples(moments, st.integers(1, 400)).map(
    lambda pair: AccessPeriod(pair[0], pair[0] + timedelta(days=pair[1]), AccessReason.PAID_TERM)
)
grants = st.lists(
    st.builds(
        Grant,
        id=st.uuids().map(str),
        source=st.just("paid_term"),
        features=st.dictionaries(st.sampled_from(["archive", "audio"]), st.tuples(periods), max_size=2),
    ),
    max_size=5,
)


@given(held=grants, now=moments)
def test_access_is_the_union_of_all_grants(held: list[Grant], now: datetime) -> None:
    for feature in ("archive", "audio"):
        whole = decide(combine_grants(held, [AccessReason.ENDED]), feature, CATALOGUE, now=now).allowed
        each = [
            decide(combine_grants([grant], [AccessReason.ENDED]), feature, CATALOGUE, now=now).allowed for grant in held
        ]

        assert whole == any(each)


def test_print_is_granted_only_while_it_is_paid_for() -> None:
    june, autumn = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 9, 1, tzinfo=UTC)
    held = access(SUBSCRIPTION, replace(TERM, print_edition=True, print_from=june, print_until=autumn))

    days = (START, june, autumn - timedelta(days=1), autumn, END + timedelta(days=1))
    assert [asked(held, day, "print_edition")[0] for day in days] == [False, True, True, False, False]
    assert all(asked(held, day)[0] for day in days)


_MOMENTS = st.integers(0, 1200).map(lambda days: START + timedelta(days=days))
_PERIODS = st.builds(
    lambda first, second, reason: AccessPeriod(min(first, second), max(first, second), reason, "grt_1"),
    _MOMENTS,
    _MOMENTS,
    st.sampled_from([AccessReason.PAID_TERM, AccessReason.ISSUES_OWED, AccessReason.GRACE_PERIOD]),
)
_SETS = st.dictionaries(st.sampled_from(["archive", "audio"]), st.lists(_PERIODS, max_size=6).map(tuple))


@given(_SETS, _MOMENTS, st.integers(0, 1200))
def test_decisions_are_the_same_without_the_past(
    features: dict[str, tuple[AccessPeriod, ...]], now: datetime, days: int
) -> None:
    access, later = EntitlementSet(features=features, otherwise=AccessReason.ENDED), now + timedelta(days=days)
    kept = without_past(access, now=now)

    for feature in ("archive", "audio"):
        assert decide(kept, feature, CATALOGUE, now=later) == decide(access, feature, CATALOGUE, now=later)
    assert next_change(kept, CATALOGUE, features, now=later) == next_change(access, CATALOGUE, features, now=later)
    assert not is_reduced(access, kept, since=now, until=later)


def test_a_reader_of_ten_years_has_at_most_three_stored_terms() -> None:
    years = tuple(
        AccessPeriod(START + n * timedelta(days=365), START + (n + 1) * timedelta(days=365), AccessReason.PAID_TERM, "")
        for n in range(10)
    )
    access = EntitlementSet(features={"archive": years}, otherwise=AccessReason.ENDED)

    assert without_past(access, now=years[-1].starts_at + timedelta(days=30)).features == {"archive": years[-3:]}
    assert without_past(access, now=years[-1].until + PAST_KEPT_FOR).features == {"archive": years[-1:]}
