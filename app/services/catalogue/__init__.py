"""
The catalogue file: read and validated.

All problems are reported together, each with its key and line. Contradictions between values are only reported when each
value is valid by itself.
"""

import re
import tomllib
from collections import Counter
from datetime import UTC
from fractions import Fraction
from pathlib import Path

from pydantic import ValidationError

from app.domain.dated_policies import COPIES, DAYS, ISSUES, ClaimPolicy, Dated, GivingLimits, Policies
from app.domain.disputes import DisputePolicy
from app.domain.guarantee import Guarantee
from app.domain.holds import HoldPolicy
from app.domain.money import Money
from app.domain.notification_policies import DEFAULT_POLICIES
from app.domain.plans import BadCatalogue, Catalogue, Feature, Plan, Price
from app.domain.postage import DEFAULT_COLUMNS, LabelColumn, PostageBand, PrintRules
from app.services.catalogue.brand import brand_of, check_brand
from app.services.catalogue.checks import (
    COUNTRIES,
    check_days,
    check_features,
    check_limits,
    check_plans,
    check_prices,
    check_print,
)
from app.services.catalogue.notices import check_notices, notification_policy
from app.services.catalogue.schema import (
    CatalogueFile,
    FeatureTable,
    PlanTable,
    PoliciesTable,
    PriceTable,
    PrintPriceTable,
    problem_of,
)

__all__ = ["COUNTRIES", "load"]


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
        file = CatalogueFile.model_validate(data)
    except ValidationError as wrong:
        problems = [problem_of(error["loc"], error["type"]) for error in wrong.errors(include_url=False)]
    else:
        problems = [
            *check_features(file),
            *check_plans(file),
            *check_prices(file),
            *check_print(file),
            *check_limits(file),
            *check_days(file),
            *check_notices(file),
            *check_brand(file.brand, path.parent),
        ]
    if problems:
        lines = _lines(text)
        raise BadCatalogue(*(f"{key}: {what}{_line_of(key, lines)}" for key, what in dict.fromkeys(problems)))
    return _catalogue(file, path.parent)


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


def _catalogue(file: CatalogueFile, folder: Path) -> Catalogue:
    features = {name: _feature(name, feature) for name, feature in file.features.items()}
    plans = {
        code: _plan(code, plan, {name: features[name] for name in plan.features}) for code, plan in file.plans.items()
    }
    return Catalogue(
        publisher=file.publisher,
        brand=brand_of(file.brand, folder),
        features=features,
        plans=plans,
        disputes=tuple(DisputePolicy(**policy.model_dump()) for policy in file.policies.disputes),
        policies=_policies(file.policies),
        print_rules=_print_rules(file),
    )


def _print_rules(file: CatalogueFile) -> PrintRules:
    """Return how copies are mailed. Without [print], the bands are those of the print prices."""
    if file.print is None:
        bands: dict[str, dict[str, None]] = {}
        for plan in file.plans.values():
            if plan.prices.print is not None:
                countries = bands.setdefault(plan.prices.print.postage_band, {})
                countries.update(dict.fromkeys(plan.prices.print.ships_to))
        found = tuple(PostageBand(name=name, title=name, countries=tuple(its)) for name, its in bands.items())
        return PrintRules(mailed_from=found[0].countries[0] if found else "US", bands=found)
    return PrintRules(
        mailed_from=file.print.mailed_from,
        bands=tuple(
            PostageBand(name=name, title=band.title, countries=tuple(band.countries))
            for name, band in file.print.bands.items()
        ),
        columns=tuple(LabelColumn(header=header, field=field) for header, field in file.print.columns.items())
        or DEFAULT_COLUMNS,
        county=tuple(file.print.county),
        other_mail=tuple(file.print.other_mail),
    )


def _policies(policies: PoliciesTable) -> Policies:
    return Policies(
        goodwill=tuple(
            Dated(one.since, GivingLimits(alone=one.alone, in_a_day=one.in_a_day, reader_days=one.reader_days))
            for one in policies.goodwill
        ),
        comps=tuple(
            Dated(
                one.since,
                GivingLimits(
                    alone={DAYS: one.alone.days},
                    in_a_day={DAYS: one.in_a_day.days} if one.in_a_day else None,
                    reader_days=one.reader_days,
                ),
            )
            for one in policies.comps
        ),
        extensions=tuple(
            Dated(
                one.since,
                GivingLimits(
                    alone={ISSUES: one.alone.issues},
                    in_a_day={ISSUES: one.in_a_day.issues} if one.in_a_day else None,
                    reader_days=one.reader_days,
                ),
            )
            for one in policies.extensions
        ),
        claims=tuple(
            Dated(
                one.since,
                ClaimPolicy(
                    days=one.days,
                    limits=GivingLimits(
                        alone={COPIES: one.alone.copies},
                        in_a_day={COPIES: one.in_a_day.copies} if one.in_a_day else None,
                        reader_days=one.reader_days,
                    ),
                ),
            )
            for one in policies.claims
        ),
        back_issues=tuple(
            Dated(
                one.since,
                GivingLimits(
                    alone={COPIES: one.alone.copies},
                    in_a_day={COPIES: one.in_a_day.copies} if one.in_a_day else None,
                    reader_days=one.reader_days,
                ),
            )
            for one in policies.back_issues
        ),
        holds=tuple(
            Dated(
                one.since,
                HoldPolicy(days=one.days, days_in_a_year=one.days_in_a_year, keeps_digital=one.digital == "continues"),
            )
            for one in policies.holds
        ),
        notices=DEFAULT_POLICIES if policies.notices is None else tuple(map(notification_policy, policies.notices)),
        paid_copies=tuple(Dated(one.since, one.percent) for one in policies.paid_copies),
    )


def _feature(name: str, feature: FeatureTable) -> Feature:
    opens = feature.available_from
    return Feature(
        name=name,
        title=feature.title,
        announced=feature.announced,
        available_from=opens.astimezone(UTC) if opens else None,
    )


def _plan(code: str, plan: PlanTable, features: dict[str, Feature]) -> Plan:
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
        grace_copies=plan.grace_copies,
        print_percent=Fraction(str(plan.print_share)) if plan.print_share is not None else None,
    )


def _price(component: str, price: PriceTable) -> Price:
    printed = price if isinstance(price, PrintPriceTable) else None
    return Price(
        component=component,
        title=price.title,
        lookup_key=price.lookup_key,
        price=Money(price.amount, price.currency),
        tax_code=price.tax_code,
        tax_behavior=price.tax_behavior,
        ships_to=tuple(printed.ships_to) if printed else (),
        postage_band=printed.postage_band if printed else None,
        locked_amounts=frozenset(one.amount for one in price.earlier if one.locked)
        | frozenset({price.amount} if price.locked else ()),
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
