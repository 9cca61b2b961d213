"""Contradictions between the values of the catalogue file. Each value is valid by itself."""

from collections import Counter
from collections.abc import Iterator
from datetime import date

from app.domain import money
from app.domain.plans import PRINT_FEATURE
from app.domain.postage import LABEL_FIELDS
from app.postal_addresses import is_country
from app.services.catalogue.schema import CatalogueFile, PriceTable, PrintPriceTable, PrintTable, Problem

# The countries that Stripe Checkout can ship to (SessionCreateParamsShippingAddressCollection without ZZ, "unknown").
_COUNTRIES = (
    "AC AD AE AF AG AI AL AM AO AQ AR AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA "
    "CD CF CG CH CI CK CL CM CN CO CR CV CW CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FO FR GA GB GD GE GF "
    "GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HN HR HT HU ID IE IL IM IN IO IQ IS IT JE JM JO JP KE KG KH KI KM KN "
    "KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MK ML MM MN MO MQ MR MS MT MU MV MW MX MY MZ NA NC "
    "NE NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ "
    "SK SL SM SN SO SR SS ST SV SX SZ TA TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG US UY UZ VA VC VE VG VN "
    "VU WF WS XK YE YT ZA ZM ZW"
)
COUNTRIES = frozenset(_COUNTRIES.split())


def check_features(file: CatalogueFile) -> Iterator[Problem]:
    """Check the dates of announced features."""
    for name, feature in file.features.items():
        if feature.available_from is not None and not feature.announced:
            yield f"features.{name}.available_from", "requires announced = true"


def check_plans(file: CatalogueFile) -> Iterator[Problem]:
    """Check that the features of plans exist, and that print has a price."""
    for code, plan in file.plans.items():
        key = f"plans.{code}.features"
        for name in dict.fromkeys(plan.features):
            if name not in file.features:
                yield key, f"{name!r} is not in [features]"
            if plan.features.count(name) > 1:
                yield key, f"{name!r} is listed twice"
        if plan.prices.print is not None and PRINT_FEATURE not in plan.features:
            yield key, f"{PRINT_FEATURE!r} must be listed, because the plan has a print price"
        if plan.prices.print is None and PRINT_FEATURE in plan.features:
            yield key, f"{PRINT_FEATURE!r} is listed, but the plan has no print price"


def check_prices(file: CatalogueFile) -> Iterator[Problem]:
    """Check that Stripe can charge the prices, and that a plan has one currency."""
    holders: dict[str, str] = {}
    for code, plan in file.plans.items():
        for component, price in plan.prices.each():
            key = f"plans.{code}.prices.{component}"
            if price.currency != plan.prices.digital.currency:
                yield f"{key}.currency", f"must be {plan.prices.digital.currency}, like the digital price"
            holder = holders.setdefault(price.lookup_key, key)
            if holder != key:
                yield f"{key}.lookup_key", f"{price.lookup_key!r} is already the lookup key of {holder}"
            yield from ((f"{key}.{name}", what) for name, what in _check_amount(price))
            if isinstance(price, PrintPriceTable):
                yield from ((f"{key}.ships_to", what) for what in _check_countries(price.ships_to))
        amounts, most = [price.amount for _, price in plan.prices.each()], money.maximum(plan.prices.digital.currency)
        if max(amounts) <= most < sum(amounts):
            yield f"plans.{code}.prices", f"add up to more than {most}, the largest amount that Stripe charges"


def _check_amount(price: PriceTable) -> Iterator[Problem]:
    """Check that Stripe can charge a price in its currency."""
    currency = price.currency
    if currency not in money.SUPPORTED:
        yield "currency", f"{currency!r} is not a currency that Stripe supports"
        return
    if price.amount % money.step(currency):
        yield "amount", f"must be a multiple of {money.step(currency)}, because {currency} has no smaller amounts"
    if price.amount < money.minimum(currency):
        yield (
            "amount",
            f"must be at least {money.minimum(currency)}, the smallest {currency} amount that Stripe charges",
        )
    if price.amount > money.maximum(currency):
        yield "amount", f"must be at most {money.maximum(currency)}, the largest {currency} amount that Stripe charges"


def check_limits(file: CatalogueFile) -> Iterator[Problem]:
    """Check that the limits of goodwill are in currencies that exist."""
    for index, policy in enumerate(file.policies.goodwill):
        for name, amounts in (("alone", policy.alone), ("in_a_day", policy.in_a_day or {})):
            for currency in amounts:
                if currency not in money.SUPPORTED:
                    key = f"policies.goodwill.{index}.{name}.{currency}"
                    yield key, f"{currency!r} is not a currency that Stripe supports"


def check_days(file: CatalogueFile) -> Iterator[Problem]:
    """Check that no two entries of a list apply from the same date."""
    dated: dict[str, list[date]] = {
        f"plans.{code}.guarantee.changes": [change.since for change in plan.guarantee.changes]
        for code, plan in file.plans.items()
    }
    dated["policies.goodwill"] = [one.since for one in file.policies.goodwill]
    dated["policies.comps"] = [one.since for one in file.policies.comps]
    dated["policies.extensions"] = [one.since for one in file.policies.extensions]
    dated["policies.claims"] = [one.since for one in file.policies.claims]
    dated["policies.back_issues"] = [one.since for one in file.policies.back_issues]
    dated["policies.holds"] = [one.since for one in file.policies.holds]
    dated["policies.paid_copies"] = [one.since for one in file.policies.paid_copies]
    dated["policies.disputes"] = [one.since for one in file.policies.disputes]
    for key, days in dated.items():
        for day, times in Counter(days).items():
            if times > 1:
                yield key, f"two entries apply from {day.isoformat()}"


def check_print(file: CatalogueFile) -> Iterator[Problem]:
    """Check that each country has one postage band, that print prices ship to their band, and the label's columns."""
    if file.print is None:
        return
    yield from _check_bands(file.print)
    for code, plan in file.plans.items():
        printed = plan.prices.print
        if printed is not None:
            band = file.print.bands.get(printed.postage_band)
            for country in dict.fromkeys(printed.ships_to):
                if band is None or country not in band.countries:
                    key = f"plans.{code}.prices.print.ships_to"
                    yield key, f"{country!r} is not in [print.bands.{printed.postage_band}]"
    for name in file.print.other_mail:
        if name not in file.print.bands:
            yield "print.other_mail", f"{name!r} is not a postage band"
    for header, field in file.print.columns.items():
        if field not in LABEL_FIELDS:
            yield "print.columns", f"{header!r} has the unknown field {field!r}. Fields: {', '.join(LABEL_FIELDS)}"


def _check_bands(rules: PrintTable) -> Iterator[Problem]:
    band_of: dict[str, str] = {}
    for name, band in rules.bands.items():
        key = f"print.bands.{name}.countries"
        for country in dict.fromkeys(band.countries):
            if not is_country(country):
                yield key, f"{country!r} is not a country code, such as US"
            if band.countries.count(country) > 1:
                yield key, f"{country!r} is listed twice"
            if band_of.setdefault(country, name) != name:
                yield key, f"{country!r} is in the band {band_of[country]!r} already"


def _check_countries(countries: list[str]) -> Iterator[str]:
    for country in dict.fromkeys(countries):
        if country not in COUNTRIES:
            yield f"{country!r} is not a country code that Stripe can ship to, such as US"
        if countries.count(country) > 1:
            yield f"{country!r} is listed twice"
