"""[print] of the catalogue: the postage bands and the columns of the label file, checked when a process starts."""

from pathlib import Path

import pytest

from app.domain.plans import BadCatalogue
from app.domain.postage import DEFAULT_COLUMNS
from app.services.catalogue import load

OURS = (Path(__file__).parents[2] / "catalogue.toml").read_text().partition("[print]")[0]
PRINT = """
[print]
mailed_from = "US"

[print.bands.domestic]
title = "Domestic"
countries = ["US"]

[print.bands.canada]
title = "Canada"
countries = ["CA"]

[print.columns]
"To" = "name"
"City" = "city"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.toml"


def test_bands_and_columns_are_read(path: Path) -> None:
    path.write_text(OURS + PRINT)
    rules = load(path).print_rules
    assert rules.served == {"US": "domestic", "CA": "canada"}
    assert [(one.header, one.field) for one in rules.columns] == [("To", "name"), ("City", "city")]


def test_without_the_table_the_bands_are_those_of_the_print_prices(path: Path) -> None:
    path.write_text(OURS)
    rules = load(path).print_rules
    assert (rules.served, rules.columns) == ({"US": "domestic"}, DEFAULT_COLUMNS)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        pytest.param('["CA"]', '["US"]', "print.bands.canada.countries: 'US' is in the band 'domestic'", id="two bands"),
        pytest.param('["CA"]', '["ZZ"]', "print.bands.canada.countries: 'ZZ' is not a country code", id="no country"),
        pytest.param('["CA"]', '["CA", "CA"]', "print.bands.canada.countries: 'CA' is listed twice", id="twice"),
        pytest.param('["CA"]', "[]", "print.bands.canada.countries: must be a list of country codes", id="empty"),
        pytest.param('["US"]', '["MX"]', "plans.annual.prices.print.ships_to: 'US' is not in", id="price without a band"),
        pytest.param('"city"', '"town"', "print.columns: 'City' has the unknown field 'town'", id="unknown field"),
        pytest.param('mailed_from = "US"', 'mailed_from = "usa"', "print.mailed_from", id="mailed from nowhere"),
        pytest.param("[print.bands.canada]", "[print.bands.Canada]", "print.bands.Canada: a postage band's name", id="name"),
        pytest.param("[print.columns]", "[print.labels]", "print.labels: unknown key", id="unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_reported_with_its_key(path: Path, old: str, new: str, problem: str) -> None:
    assert old in PRINT
    path.write_text(OURS + PRINT.replace(old, new))
    with pytest.raises(BadCatalogue) as bad:
        load(path)
    assert any(message.startswith(problem) for message in bad.value.problems), bad.value.problems
