"""Plans and the features they grant."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.guarantee import Guarantee, GuaranteeTerms
from app.domain.money import Money
from app.domain.plans import (
    Catalogue,
    Feature,
    Plan,
    Price,
    PriceUnavailable,
    UnknownFeature,
    UnknownPlan,
)

OPENING = datetime(2027, 3, 1, tzinfo=UTC)
AD_FREE = Feature(name="ad_free", title="Coming Soon! Ad FREE", announced=True)
FEATURES = {
    "print_edition": Feature(name="print_edition", title="Optional Print Edition"),
    "archive": Feature(name="archive", title="Unlimited access to past issues"),
    "ad_free": AD_FREE,
}
PRICES = {
    "digital": Price(
        component="digital",
        title="Digital Edition",
        lookup_key="newsstand_annual_digital",
        price=Money(4900, "usd"),
        tax_code="txcd_10303002",
        tax_behavior="exclusive",
    ),
    "print": Price(
        component="print",
        title="Print Edition",
        lookup_key="newsstand_annual_print",
        price=Money(2400, "usd"),
        tax_code="txcd_35020200",
        tax_behavior="exclusive",
        ships_to=("US",),
        postage_band="domestic",
    ),
}
ANNUAL = Plan(
    code="annual",
    title="24 Issues Per Year",
    issues=24,
    interval="year",
    offer=("24 Issues Per Year",),
    features=FEATURES,
    prices=PRICES,
    guarantee=Guarantee(terms=GuaranteeTerms(days=60), title="60-Day money back guarantee!"),
    cancellation_title="Cancel anytime",
)
CATALOGUE = Catalogue(publisher="The Lantern Review", features=FEATURES, plans={"annual": ANNUAL})


@pytest.mark.parametrize(
    ("feature", "now", "granted"),
    [
        pytest.param(FEATURES["archive"], OPENING, True, id="not announced: granted"),
        pytest.param(AD_FREE, OPENING, False, id="announced without a date: not granted"),
        pytest.param(
            replace(AD_FREE, available_from=OPENING),
            OPENING - timedelta(microseconds=1),
            False,
            id="announced with a date: not granted before",
        ),
        pytest.param(
            replace(AD_FREE, available_from=OPENING), OPENING, True, id="announced with a date: granted from then on"
        ),
    ],
)
def test_an_announced_feature_is_granted_from_its_date(feature: Feature, now: datetime, granted: bool) -> None:
    assert feature.is_granted(now) is granted


@pytest.mark.parametrize(
    ("print_edition", "components", "features"),
    [
        pytest.param(False, ["digital"], ("archive", "ad_free"), id="digital only"),
        pytest.param(True, ["digital", "print"], ("print_edition", "archive", "ad_free"), id="with print"),
    ],
)
def test_print_is_charged_and_granted_only_if_chosen(
    print_edition: bool, components: list[str], features: tuple[str, ...]
) -> None:
    assert [price.component for price in ANNUAL.components(print_edition=print_edition)] == components
    assert ANNUAL.features_of(print_edition=print_edition) == features


def test_print_is_rejected_for_a_digital_plan() -> None:
    only: Mapping[str, Price] = {"digital": PRICES["digital"]}
    plan = replace(ANNUAL, prices=only)
    assert not plan.has_print
    with pytest.raises(PriceUnavailable, match="no print edition") as refused:
        plan.components(print_edition=True)
    assert refused.value.facts == {"plan": "annual"}


def test_a_plan_and_a_feature_are_found_by_name() -> None:
    assert CATALOGUE.plan("annual") is ANNUAL
    assert CATALOGUE.feature("ad_free") is AD_FREE


def test_an_unknown_name_is_rejected() -> None:
    with pytest.raises(UnknownPlan, match="'weekly'"):
        CATALOGUE.plan("weekly")
    with pytest.raises(UnknownFeature, match="'crossword'"):
        CATALOGUE.feature("crossword")
