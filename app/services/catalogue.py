"""
The catalogue file: read and validated.

All problems are reported together, each with its key and line. Contradictions between values are only reported when each
value is valid by itself.
"""

import difflib
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from app.domain.dated_policies import Dated, GoodwillLimits, Policies
from app.domain.disputes import DisputePolicy
from app.domain.guarantee import Guarantee, GuaranteeTerms
from app.domain.money import Money
from app.domain.plans import (
    DIGITAL,
    PRINT,
    PRINT_FEATURE,
    BadCatalogue,
    Catalogue,
    Feature,
    Plan,
    Price,
)

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

Title = Annotated[str, StringConstraints(min_length=1, max_length=250, pattern=r"^\S(.*\S)?$")]
Name = Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z][a-z0-9_]*$")]
Code = Annotated[str, StringConstraints(max_length=40, pattern=r"^[a-z][a-z0-9-]*$")]
LookupKey = Annotated[str, StringConstraints(max_length=200, pattern=r"^[a-z0-9_]+$")]

# The message for an invalid value of each key.
_MUST = {
    "publisher": "must be the magazine's name",
    "title": "must be one line of at most 250 characters, without spaces around it",
    "announced": "must be true or false",
    "available_from": "must be a time with a time zone, such as 2027-03-01T00:00:00Z",
    "issues": "must be a whole number of issues from 1 to 1000",
    "double_issues": "must be 1 or 2: how many of the issues owed a double issue serves",
    "interval": 'must be "year" or "month"',
    "features": "must be a list of at least one feature name",
    "days": "must be a whole number of days from 0 to 3650",
    "covers": 'must be "first_payment" or "renewals_too"',
    "once": "must be true (once for each subscriber) or false",
    "from": "must be a date, such as 2027-03-01",
    "changes": "must be a list of entries, each with the date from which it applies",
    "goodwill": "must be a list of entries, each with the date from which it applies",
    "alone": "must be a table of amounts in minor units by currency, such as { usd = 2500 }",
    "policy": 'must be "anytime"',
    "lookup_key": "must be lowercase letters, digits and underscores, at most 200",
    "amount": "must be a whole number of minor units above zero",
    "currency": "must be a currency code of three lowercase letters, such as usd",
    "tax_code": "must be a Stripe tax code, such as txcd_10303002",
    "tax_behavior": 'must be "inclusive", "exclusive" or "unspecified"',
    "postage_band": "must be at most 40 lowercase letters, digits and underscores",
    "ships_to": "must be a list of country codes, at least one",
    "disputes": "must be a list of tables, each [[policies.disputes]]",
    "since": "must be a time with a time zone, such as 2026-01-01T00:00:00Z",
    "dispute": 'must be "suspend" or "keep"',
    "fraud_warning": 'must be "refund" or "keep"',
    "failed_refund": 'must be "ended" or "restore"',
}
_MUST_BE_NAMED = {
    "features": "a feature's name must be at most 40 lowercase letters, digits and underscores, starting with a letter",
    "plans": "a plan's code must be at most 40 lowercase letters, digits and hyphens, starting with a letter",
}
_KEYS = (*_MUST, "features", "plans", "prices", "guarantee", "cancellation", "policies", DIGITAL, PRINT)


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Feature(_Table):
    title: Title
    announced: bool = False
    available_from: AwareDatetime | None = None


Covers = Literal["first_payment", "renewals_too"]


class _GuaranteeChange(_Table):
    since: date = Field(alias="from")
    days: int = Field(ge=0, le=3650)
    covers: Covers = "first_payment"
    once: bool = True

    def terms(self) -> GuaranteeTerms:
        return GuaranteeTerms(days=self.days, renewals=self.covers == "renewals_too", once=self.once)


class _Guarantee(_Table):
    days: int = Field(ge=0, le=3650)
    title: Title
    covers: Covers = "first_payment"
    once: bool = True
    changes: list[_GuaranteeChange] = []

    def terms(self) -> GuaranteeTerms:
        return GuaranteeTerms(days=self.days, renewals=self.covers == "renewals_too", once=self.once)


class _Goodwill(_Table):
    since: date = Field(alias="from")
    alone: dict[Annotated[str, StringConstraints(pattern="^[a-z]{3}$")], Annotated[int, Field(ge=0)]]


class _Cancellation(_Table):
    policy: Literal["anytime"]
    title: Title


class _Price(_Table):
    title: Title
    lookup_key: LookupKey
    amount: int = Field(gt=0, le=99_999_999)  # Stripe's largest
    currency: str = Field(pattern="^[a-z]{3}$")
    tax_code: str = Field(pattern=r"^txcd_\d{8}$")
    tax_behavior: Literal["inclusive", "exclusive", "unspecified"]


class _PrintPrice(_Price):
    postage_band: Name
    ships_to: list[str] = Field(min_length=1)


class _Prices(_Table):
    digital: _Price
    print: _PrintPrice | None = None

    def each(self) -> Iterator[tuple[str, _Price]]:
        yield DIGITAL, self.digital
        if self.print is not None:
            yield PRINT, self.print


class _Plan(_Table):
    title: Title
    issues: int = Field(ge=1, le=1000)
    interval: Literal["year", "month"]
    features: list[str] = Field(min_length=1)
    guarantee: _Guarantee
    cancellation: _Cancellation
    prices: _Prices
    retired: bool = False
    double_issues: Literal[1, 2] = 2


class _Disputes(_Table):
    since: AwareDatetime
    dispute: Literal["suspend", "keep"]
    fraud_warning: Literal["refund", "keep"]
    failed_refund: Literal["ended", "restore"]


class _Policies(_Table):
    disputes: list[_Disputes] = Field(default_factory=list)
    goodwill: list[_Goodwill] = Field(default_factory=list)


class _File(_Table):
    publisher: Title
    features: dict[Name, _Feature] = Field(min_length=1)
    plans: dict[Code, _Plan] = Field(min_length=1)
    policies: _Policies = Field(default_factory=_Policies)


def load(path: Path) -> Catalogue:
    """
    Return the catalogue of a file.

    :raises BadCatalogue: with all problems. Each names its dotted key, and the line if it is known.
    """
    text = _text(path)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as wrong:
        raise BadCatalogue(f"{path}: is not valid TOML: {wrong}") from None
    try:
        file = _File.model_validate(data)
    except ValidationError as wrong:
        problems = [_problem_of(error["loc"], error["type"]) for error in wrong.errors(include_url=False)]
    else:
        problems = [
            *_check_features(file),
            *_check_plans(file),
            *_check_prices(file),
            *_check_days(file),
        ]
    if problems:
        lines = _lines(text)
        raise BadCatalogue(*(f"{key}: {what}{_line_of(key, lines)}" for key, what in dict.fromkeys(problems)))
    return _catalogue(file)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as wrong:
        raise BadCatalogue(f"{path}: can't be read: {wrong.strerror}") from None
    try:
        return raw.decode()
    except UnicodeDecodeError as wrong:
        line = raw.count(b"\n", 0, wrong.start) + 1
        raise BadCatalogue(f"{path}: is not UTF-8 (at line {line})") from None


Problem = tuple[str, str]  # the dotted key, and the message


def _problem_of(where: tuple[int | str, ...], kind: str) -> Problem:
    """Return the problem for one of pydantic's errors."""
    names = [part for part in where if isinstance(part, str)]
    if names[-1] == "[key]":
        return ".".join(str(part) for part in where[:-1]), _MUST_BE_NAMED.get(names[0]) or _MUST[names[-3]]
    key = ".".join(str(part) for part in where)
    if kind == "missing":
        return key, "is missing"
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(names[-1], _KEYS, n=1)
        return key, f"unknown key; did you mean {close[0]}?" if close else "unknown key"
    if kind in {"model_type", "dict_type", "model_attributes_type"}:
        return key, "must be a table"
    if kind == "too_short" and len(where) == 1:
        return key, "must not be empty"
    return key, _MUST.get(names[-1]) or _MUST[names[-2]]


def _check_features(file: _File) -> Iterator[Problem]:
    for name, feature in file.features.items():
        if feature.available_from is not None and not feature.announced:
            yield f"features.{name}.available_from", "requires announced = true"


def _check_plans(file: _File) -> Iterator[Problem]:
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


def _check_prices(file: _File) -> Iterator[Problem]:
    holders: dict[str, str] = {}
    for code, plan in file.plans.items():
        for component, price in plan.prices.each():
            key = f"plans.{code}.prices.{component}"
            if price.currency != plan.prices.digital.currency:
                yield f"{key}.currency", f"must be {plan.prices.digital.currency}, like the digital price"
            holder = holders.setdefault(price.lookup_key, key)
            if holder != key:
                yield f"{key}.lookup_key", f"{price.lookup_key!r} is already the lookup key of {holder}"
            if isinstance(price, _PrintPrice):
                yield from ((f"{key}.ships_to", what) for what in _check_countries(price.ships_to))


def _check_days(file: _File) -> Iterator[Problem]:
    """Check that no two entries of a list apply from the same date."""
    dated: dict[str, list[date]] = {
        f"plans.{code}.guarantee.changes": [change.since for change in plan.guarantee.changes]
        for code, plan in file.plans.items()
    }
    dated["policies.goodwill"] = [one.since for one in file.policies.goodwill]
    dated["policies.disputes"] = [one.since for one in file.policies.disputes]
    for key, days in dated.items():
        for day, times in Counter(days).items():
            if times > 1:
                yield key, f"two entries apply from {day.isoformat()}"


def _check_countries(countries: list[str]) -> Iterator[str]:
    for country in dict.fromkeys(countries):
        if country not in COUNTRIES:
            yield f"{country!r} is not a country code that Stripe can ship to, such as US"
        if countries.count(country) > 1:
            yield f"{country!r} is listed twice"


def _catalogue(file: _File) -> Catalogue:
    features = {name: _feature(name, feature) for name, feature in file.features.items()}
    plans = {
        code: _plan(code, plan, {name: features[name] for name in plan.features}) for code, plan in file.plans.items()
    }
    return Catalogue(
        publisher=file.publisher,
        features=features,
        plans=plans,
        disputes=tuple(DisputePolicy(**policy.model_dump()) for policy in file.policies.disputes),
        policies=_policies(file.policies),
    )


def _policies(policies: _Policies) -> Policies:
    return Policies(goodwill=tuple(Dated(one.since, GoodwillLimits(alone=one.alone)) for one in policies.goodwill))


def _feature(name: str, feature: _Feature) -> Feature:
    opens = feature.available_from
    return Feature(
        name=name,
        title=feature.title,
        announced=feature.announced,
        available_from=opens.astimezone(UTC) if opens else None,
    )


def _plan(code: str, plan: _Plan, features: dict[str, Feature]) -> Plan:
    return Plan(
        code=code,
        title=plan.title,
        issues=plan.issues,
        interval=plan.interval,
        offer=(plan.title, *(f.title for f in features.values()), plan.guarantee.title, plan.cancellation.title),
        features=features,
        prices={component: _price(component, price) for component, price in plan.prices.each()},
        guarantee=Guarantee(
            title=plan.guarantee.title,
            terms=plan.guarantee.terms(),
            changes=tuple(Dated(change.since, change.terms()) for change in plan.guarantee.changes),
        ),
        cancellation_title=plan.cancellation.title,
        retired=plan.retired,
        double_issues=plan.double_issues,
    )


def _price(component: str, price: _Price) -> Price:
    printed = price if isinstance(price, _PrintPrice) else None
    return Price(
        component=component,
        title=price.title,
        lookup_key=price.lookup_key,
        price=Money(price.amount, price.currency),
        tax_code=price.tax_code,
        tax_behavior=price.tax_behavior,
        ships_to=tuple(printed.ships_to) if printed else (),
        postage_band=printed.postage_band if printed else None,
    )


_HEADER = re.compile(r"\s*\[\s*([\w.-]+)\s*\]")
_ENTRY = re.compile(r"\s*\[\[\s*([\w.-]+)\s*\]\]")
_KEY = re.compile(r"\s*([\w.-]+)\s*=")


def _lines(text: str) -> dict[str, int]:
    """Return the line of each key, except for keys in quotes or in inline tables."""
    lines: dict[str, int] = {}
    table = ""
    entries: Counter[str] = Counter()
    for number, line in enumerate(text.splitlines(), start=1):
        if entry := _ENTRY.match(line):
            table = f"{entry[1]}.{entries[entry[1]]}."
            entries[entry[1]] += 1
            lines.setdefault(table.removesuffix("."), number)
        elif header := _HEADER.match(line):
            table = header[1] + "."
            lines.setdefault(header[1], number)
        elif key := _KEY.match(line):
            lines.setdefault(table + key[1], number)
    return lines


def _line_of(key: str, lines: dict[str, int]) -> str:
    """Return the line of a key, or else of its table."""
    while key:
        if key in lines:
            return f" (line {lines[key]})"
        key = key.rpartition(".")[0]
    return ""
