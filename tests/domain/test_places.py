"""Where a reader lives: from the postal address, else the tax location, else the card."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.places import EEA, EU, Place, PlaceSource, is_area, reader_place


@pytest.mark.parametrize(
    ("postal", "tax", "card", "expected"),
    [
        pytest.param(("DE", None), ("US", "CA"), "US", ("DE", PlaceSource.POSTAL_ADDRESS), id="postal address first"),
        pytest.param(None, ("US", "CA"), "DE", ("US-CA", PlaceSource.TAX_LOCATION), id="then the tax location"),
        pytest.param(None, None, "fr", ("FR", PlaceSource.CARD), id="then the card"),
        pytest.param(None, None, None, (None, PlaceSource.UNKNOWN), id="nothing is known"),
        pytest.param(("", None), None, "DE", ("DE", PlaceSource.CARD), id="an address without a country says nothing"),
        pytest.param(("EEA", None), None, None, (None, PlaceSource.UNKNOWN), id="an area is not a country"),
        pytest.param(("US", "California"), None, None, ("US", PlaceSource.POSTAL_ADDRESS), id="a state by its name"),
    ],
)
def test_place_comes_from_the_best_source(
    postal: tuple[str, str | None] | None,
    tax: tuple[str, str | None] | None,
    card: str | None,
    expected: tuple[str | None, PlaceSource],
) -> None:
    place = reader_place(postal=postal, tax=tax, card_country=card)
    assert (place.code, place.source) == expected
    assert place.is_known == (expected[0] is not None)


@pytest.mark.parametrize(
    ("country", "region", "areas", "not_areas"),
    [
        pytest.param("DE", None, {"DE", "EU", "EEA", "*"}, {"US", "FR", "DE-BE"}, id="Germany"),
        pytest.param("NO", None, {"NO", "EEA", "*"}, {"EU"}, id="Norway is in the EEA, not in the EU"),
        pytest.param("RE", None, {"RE", "EU", "EEA", "*"}, {"FR"}, id="Réunion is part of the EU"),
        pytest.param("US", "CA", {"US", "US-CA", "*"}, {"EU", "US-NY", "CA"}, id="California is not Canada"),
        pytest.param("GB", None, {"GB", "*"}, {"EU", "EEA"}, id="the United Kingdom"),
        pytest.param(None, None, {"*"}, {"EU", "EEA", "US", "DE"}, id="an unknown place"),
    ],
)
def test_place_is_in_its_areas(country: str | None, region: str | None, areas: set[str], not_areas: set[str]) -> None:
    place = Place(country=country, region=region)
    assert {area for area in areas | not_areas if place.is_in(area)} == areas
    assert all(map(is_area, areas | not_areas))


def test_areas_have_as_many_members_as_in_the_treaties() -> None:
    assert (len(EU), len(EEA)) == (27, 30)


@given(st.text(max_size=8))
def test_any_text_gives_a_known_country_or_none(text: str) -> None:
    place = reader_place(postal=(text, text), tax=None, card_country=None)
    assert place.country is None or (len(place.country) == 2 and place.country.isascii() and place.country.isupper())
