"""How the print edition is mailed: the served countries by postage band, and the columns of the label file."""

from collections.abc import Mapping
from dataclasses import dataclass

LABEL_FIELDS = (
    *("position", "issue", "keyline", "name", "company", "line1", "line2", "district", "city", "region", "postal_code"),
    *("country", "address1", "address2", "address3", "address4", "address5", "address6", "address7", "address8"),
    *("band", "kind", "new", "renewed", "changed", "last_issue", "grace", "replacement", "expire", "control"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostageBand:
    """Countries that are mailed to at the same rate."""

    name: str
    title: str
    countries: tuple[str, ...]  # ISO 3166 codes


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelColumn:
    """A column of the label file."""

    header: str
    field: str  # one of LABEL_FIELDS


DEFAULT_COLUMNS = tuple(
    LabelColumn(header=field, field=field)
    for field in (
        *("position", "keyline", "name", "company", "line1", "line2", "district", "city", "region", "postal_code"),
        *("country", "band", "kind", "new", "renewed", "changed", "last_issue", "expire", "control"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintRules:
    """How copies are mailed. US military addresses (APO, FPO, DPO) are in the country US, so they have its band."""

    mailed_from: str = "US"  # labels within this country don't name it
    bands: tuple[PostageBand, ...] = ()
    columns: tuple[LabelColumn, ...] = DEFAULT_COLUMNS
    county: tuple[str, ...] = ()  # the beginnings of the postal codes of the county of publication
    other_mail: tuple[str, ...] = ()  # the bands that are not mailed as Periodicals

    @property
    def served(self) -> Mapping[str, str]:
        """The served countries, each with its band."""
        return {country: band.name for band in self.bands for country in band.countries}
