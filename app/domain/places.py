"""
Where a reader lives, as far as it decides which laws protect them.

Nobody asks readers for it. So it is taken from the best of what is known: the postal address, else the location that tax is
computed for, else the country of the card that pays. If nothing is known, the strictest rule of all places applies.
"""

from dataclasses import dataclass
from enum import StrEnum

# Source: europa.eu, "EU countries", checked on November 28, 2026.
EU = frozenset(
    {
        "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
        "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
    }
)  # fmt: skip
# Parts of the EU with ISO 3166 codes of their own: the outermost regions (TFEU, article 349) and Åland.
_EU_PARTS = frozenset({"AX", "GF", "GP", "MF", "MQ", "RE", "YT"})
EEA = EU | {"IS", "LI", "NO"}
ANYWHERE = "*"
_AREAS = {"EU": EU | _EU_PARTS, "EEA": EEA | _EU_PARTS}


class PlaceSource(StrEnum):
    """What a reader's place is known from, the best first."""

    POSTAL_ADDRESS = "postal_address"
    TAX_LOCATION = "tax_location"
    CARD = "card"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A country (ISO 3166, two letters) and, if it is known, the state or province in it."""

    country: str | None = None  # None: unknown
    region: str | None = None  # as in ISO 3166-2, without the country: CA
    source: PlaceSource = PlaceSource.UNKNOWN

    @property
    def is_known(self) -> bool:
        """Whether anything is known. Otherwise the strictest rule applies."""
        return self.country is not None

    @property
    def code(self) -> str | None:
        """The place as one code, such as ``DE`` or ``US-CA``; None: unknown."""
        return f"{self.country}-{self.region}" if self.country and self.region else self.country

    def is_in(self, area: str) -> bool:
        """
        Return whether the place is in an area. An unknown place is only in ``*``.

        :param area: a country (``DE``), a region (``US-CA``), ``EU``, ``EEA``, or ``*`` for everywhere.
        """
        if area == ANYWHERE:
            return True
        if self.country is None:
            return False
        return self.country in _AREAS.get(area, ()) or area in {self.country, self.code}


UNKNOWN_PLACE = Place()


def is_area(text: str) -> bool:
    """Return whether a text has the form of an area, as :meth:`Place.is_in` takes it."""
    if text == ANYWHERE or text in _AREAS:
        return True
    country, dash, region = text.partition("-")
    is_country = len(country) == 2 and country.isascii() and country.isalpha() and country.isupper()
    is_region = not dash or (0 < len(region) <= 3 and region.isascii() and region.isalnum() and region.isupper())
    return is_country and is_region


def reader_place(
    *,
    postal: tuple[str, str | None] | None,
    tax: tuple[str, str | None] | None,
    card_country: str | None,
) -> Place:
    """
    Return where a reader lives, as far as it is known.

    :param postal: country and state of the permanent postal address.
    :param tax: country and state that Stripe computes tax for.
    :param card_country: of the bank that issued the card that pays.
    """
    card = (card_country, None) if card_country is not None else None
    for source, found in (
        (PlaceSource.POSTAL_ADDRESS, postal),
        (PlaceSource.TAX_LOCATION, tax),
        (PlaceSource.CARD, card),
    ):
        country = found[0].strip().upper() if found is not None else ""
        if found is not None and len(country) == 2 and is_area(country):
            region = (found[1] or "").strip().upper()
            return Place(country=country, region=region if is_area(f"{country}-{region}") else None, source=source)
    return UNKNOWN_PLACE
