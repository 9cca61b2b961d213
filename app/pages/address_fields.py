"""The fields of a postal address in a form."""

from collections.abc import Iterable, Sequence

from app.domain.addresses import LONGEST_LINE
from app.localization import Localization

MAX_LENGTH = LONGEST_LINE
# The name of each field, its label, and what browsers fill in.
ADDRESS_FIELDS = (
    ("name", "Name", "name"),
    ("line1", "Street and number, or PO box", "address-line1"),
    ("line2", "Apartment, suite or unit (optional)", "address-line2"),
    ("city", "City", "address-level2"),
    ("region", "State or province", "address-level1"),
    ("postal_code", "Postal code", "postal-code"),
    ("country", "Country", "country"),
)


def countries(served: Iterable[str], localization: Localization, *chosen: str) -> Sequence[tuple[str, str]]:
    """Return the countries to choose from, by name: those that print is mailed to, and those chosen before."""
    codes = {*served, *(one for one in chosen if one)}
    return sorted(((code, localization.country(code)) for code in codes), key=lambda one: one[1])
