"""Whoever paid keeps what they paid for: what gets better applies at once, what gets worse from the next term."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import derivations
from app.domain.derivations import Derived, Edition
from app.domain.entitlements import combine_grants, is_reduced
from app.domain.issues import Calendar
from app.domain.offers import (
    STAYS_OPEN,
    Offer,
    OfferHistory,
    OfferVersion,
    improved_plans,
    offer_changes,
    offer_of,
    offers_of,
)
from app.domain.rules import Rules
from app.domain.subscriptions import Term
from tests.domain.test_entitlements import CATALOGUE, POLICY, SUBSCRIPTION
from tests.domain.test_issues import CHICAGO, PLAIN

RULES = Rules(catalogue=CATALOGUE, access=POLICY, zone=CHICAGO)
DAY = timedelta(days=1)
START = datetime(2026, 3, 1, 18, tzinfo=UTC)
TERM = Term(
    invoice_id="in_1",
    plan="annual",
    print_edition=True,
    starts_at=START,
    ends_at=START + 365 * DAY,
    issues_owed=24,
    paid_at=START,
)
NEXT = replace(TERM, invoice_id="in_2", starts_at=TERM.ends_at, ends_at=TERM.ends_at + 365 * DAY, paid_at=TERM.ends_at)
OFFER = Offer(
    plan="annual",
    features=("archive", "audio", "digital_edition", "print_edition"),
    double_issues=2,
    grace_period=14 * DAY,
    renewal_allowance=3 * DAY,
)
WITHOUT_AUDIO = replace(OFFER, features=("archive", "digital_edition", "print_edition"))
WITH_VIDEO = replace(OFFER, features=(*OFFER.features, "video"))
DOUBLES = {**PLAIN, 12: replace(PLAIN[12], counts_as=2), 15: replace(PLAIN[15], counts_as=2)}
offers = st.builds(
    Offer,
    plan=st.just("annual"),
    features=st.sets(st.sampled_from(WITH_VIDEO.features)).map(lambda names: tuple(sorted(names))),
    double_issues=st.sampled_from([1, 2]),
    grace_period=st.integers(0, 30).map(timedelta),
    renewal_allowance=st.integers(0, 10).map(timedelta),
)


def history(*versions: tuple[int, Offer]) -> OfferHistory:
    """Return a history, with the days after the start on which each version began."""
    return OfferHistory(OfferVersion(offer, START + days * DAY) for days, offer in versions)


@st.composite
def histories(draw: st.DrawFn) -> list[OfferVersion]:
    days = draw(st.lists(st.integers(-100, 500), min_size=1, max_size=5, unique=True).map(sorted))
    return [OfferVersion(draw(offers), START + day * DAY) for day in days]


def known_when_paid(versions: list[OfferVersion]) -> int:
    """Return how many versions were recorded when the term was paid."""
    return max(1, sum(version.since <= START for version in versions))


def derive(versions: list[OfferVersion], terms: list[Term], *, status: str = "active") -> Derived:
    edition = Edition(token="t", calendar=Calendar(DOUBLES.values(), CHICAGO), offers=OfferHistory(versions))
    return derivations.derive(replace(SUBSCRIPTION, status=status), terms, edition, RULES)


@given(histories(), st.sampled_from(["active", "past_due"]), st.booleans())
def test_no_later_catalogue_takes_anything_from_a_paid_term(
    versions: list[OfferVersion], status: str, stores_offer: bool
) -> None:
    terms, before = [TERM], None
    for number in range(known_when_paid(versions), len(versions) + 1):
        after = derive(versions[:number], terms, status=status)
        if before is not None:
            old, new = combine_grants(before.grants, []), combine_grants(after.grants, [])
            assert not is_reduced(old, new, since=START - DAY, until=START + 900 * DAY)
            assert (after.terms[0].offer or OFFER).double_issues <= (before.terms[0].offer or OFFER).double_issues
        before = after
        terms = after.terms if stores_offer else terms  # whether the grants were derived in between or not


@given(histories(), st.lists(st.integers(0, 5)))
def test_the_result_depends_only_on_the_history_not_on_who_derived_before(
    versions: list[OfferVersion], known_later: list[int]
) -> None:
    expected = derive(versions, [TERM])
    terms = [TERM]
    for more in known_later:  # processes that knew less, in any order
        terms = derive(versions[: known_when_paid(versions) + more], terms).terms

    assert derive(versions, terms) == expected


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param([(-9, OFFER)], OFFER, id="nothing changed"),
        pytest.param([(-9, OFFER), (30, WITH_VIDEO)], WITH_VIDEO, id="added: at once"),
        pytest.param([(-9, OFFER), (30, WITHOUT_AUDIO)], OFFER, id="removed after the payment: kept"),
        pytest.param([(-9, OFFER), (0, WITHOUT_AUDIO)], OFFER, id="removed while the checkout was open: kept"),
        pytest.param([(-9, OFFER), (-1, WITHOUT_AUDIO)], WITHOUT_AUDIO, id="removed a day before: not promised"),
        pytest.param(
            [(-9, OFFER), (30, WITH_VIDEO), (60, OFFER)], WITH_VIDEO, id="added, then removed: kept for the term"
        ),
        pytest.param([(90, OFFER)], OFFER, id="first recorded after the payment"),
        pytest.param(
            [(-9, OFFER), (10, replace(OFFER, double_issues=1))],
            replace(OFFER, double_issues=1),
            id="fewer issues served by a double issue: at once",
        ),
        pytest.param(
            [(-9, OFFER), (365, replace(WITH_VIDEO, double_issues=1))],
            WITH_VIDEO,
            id="after the period: a served term owes no further issues",
        ),
        pytest.param(
            [(-9, OFFER), (10, replace(OFFER, grace_period=DAY, renewal_allowance=9 * DAY))],
            replace(OFFER, renewal_allowance=9 * DAY),
            id="a shorter grace period and a longer allowance: the longer of both",
        ),
    ],
)
def test_a_term_keeps_the_best_of_what_was_offered_since_it_was_paid(
    versions: list[tuple[int, Offer]], expected: Offer
) -> None:
    assert derivations.offer_of_term(TERM, history(*versions)) == expected


def test_a_removal_applies_from_the_next_term() -> None:
    found = derive([OfferVersion(OFFER, START - DAY), OfferVersion(WITHOUT_AUDIO, START + 30 * DAY)], [TERM, NEXT])

    audio = combine_grants(found.grants, []).features["audio"]

    assert [(one.starts_at, one.until) for one in audio] == [(TERM.starts_at, TERM.ends_at)]
    assert combine_grants(found.grants, []).features["archive"][-1].until > NEXT.ends_at


def test_the_promise_of_another_plan_is_not_kept_after_a_switch() -> None:
    switched = replace(TERM, offer=replace(WITH_VIDEO, plan="small"))

    assert derivations.offer_of_term(switched, history((-9, OFFER))) == OFFER


def test_a_plan_that_left_the_catalogue_is_still_granted() -> None:
    gone = replace(RULES, catalogue=replace(CATALOGUE, plans={}))
    edition = Edition(token="t", calendar=Calendar((), CHICAGO), offers=history((-9, OFFER)))

    (grant,) = derivations.derive(SUBSCRIPTION, [TERM], edition, gone).grants

    assert set(grant.features) == set(OFFER.features)


@given(offers)
def test_a_stored_offer_is_read_unchanged(offer: Offer) -> None:
    assert Offer.load(offer.dump()) == offer
    assert Offer.load(offer.dump()).id == offer.id


@given(offers, offers, offers)
def test_the_better_of_offers_does_not_depend_on_their_order(one: Offer, two: Offer, three: Offer) -> None:
    assert one.joined(two) == two.joined(one)
    assert one.joined(two).joined(three) == one.joined(two.joined(three))
    assert one.joined(one) == one


def test_only_plans_that_got_better_are_derived_again() -> None:
    known = history((0, OFFER))

    assert improved_plans(known, [WITHOUT_AUDIO]) == []
    assert improved_plans(known, [WITH_VIDEO]) == ["annual"]
    assert improved_plans(known, [replace(OFFER, plan="new")]) == ["new"]
    assert STAYS_OPEN == DAY


def test_the_current_offer_follows_the_catalogue_and_the_settings() -> None:
    offer = offers_of(CATALOGUE, POLICY)["annual"]

    assert offer == offer_of(CATALOGUE.plans["annual"], POLICY)
    assert (offer.grace_period, offer.renewal_allowance) == (POLICY.grace_period, POLICY.renewal_allowance)
    assert set(offer.features) == set(CATALOGUE.plans["annual"].features)


@pytest.mark.parametrize(
    ("versions", "offer", "day", "expected"),
    [
        ([], OFFER, 0, False),
        ([(0, OFFER)], OFFER, 0, False),
        ([(0, OFFER)], WITH_VIDEO, 0, False),
        ([(0, OFFER), (5, WITH_VIDEO)], OFFER, 5, True),
        ([(0, OFFER), (5, WITH_VIDEO)], OFFER, 6, False),
        ([(0, OFFER), (5, WITH_VIDEO)], WITHOUT_AUDIO, 5, False),
        ([(0, WITHOUT_AUDIO), (3, OFFER), (5, WITH_VIDEO)], WITHOUT_AUDIO, 5, True),
    ],
)
def test_an_offer_returns_early_within_a_day_of_its_replacement(
    versions: list[tuple[int, Offer]], offer: Offer, day: int, expected: bool
) -> None:
    assert history(*versions).returns_early(offer, now=START + day * DAY) is expected


def test_who_pays_before_an_offer_can_return_has_the_best_of_both() -> None:
    for hours in range(24):
        paid_at = START + timedelta(hours=hours)
        kept = history((-9, OFFER), (0, WITHOUT_AUDIO)).kept("annual", paid_at=paid_at, ends_at=paid_at + 365 * DAY)
        assert kept == OFFER


@pytest.mark.parametrize(
    ("new", "shown"),
    [
        (OFFER, []),
        (WITH_VIDEO, ["annual: add the feature video, at once"]),
        (WITHOUT_AUDIO, ["annual: remove the feature audio, from each subscriber's next term"]),
        (
            replace(OFFER, double_issues=1, grace_period=7 * DAY, renewal_allowance=timedelta(hours=90)),
            [
                "annual: count a double issue as 1 issue instead of 2, at once",
                "annual: change the grace period from 14 days to 7 days, from each subscriber's next term",
                "annual: change the renewal allowance from 3 days to 3 days, 18:00:00, at once",
            ],
        ),
    ],
)
def test_each_change_for_subscribers_is_named_with_its_time(new: Offer, shown: list[str]) -> None:
    assert [str(change) for change in offer_changes(history((0, OFFER)), {"annual": new})] == shown


@given(offers, offers)
def test_a_change_is_called_better_exactly_if_it_applies_at_once(old: Offer, new: Offer) -> None:
    changes = offer_changes(history((0, old)), {"annual": new})
    assert bool(changes) == (old != new)
    assert any(change.is_better for change in changes) == (improved_plans(history((0, old)), [new]) == ["annual"])


def test_a_new_plan_changes_nothing_for_subscribers() -> None:
    assert offer_changes(OfferHistory([]), {"annual": OFFER}) == []
