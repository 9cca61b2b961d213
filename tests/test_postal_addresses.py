"""Addresses in the format of their country: what is refused, what is doubted, and how a label looks."""

import pytest

from app.domain.addresses import AddressIncomplete, CheckedAddress, PostalAddress, check_complete
from app.domain.postage import PostageBand, PrintRules
from app.postal_addresses import check

RULES = PrintRules(bands=(PostageBand(name="all", title="All", countries=("US", "JP", "EG", "GB")),))
HOME = {
    "name": "Ada Invented",
    "line1": "1 Lantern Street",
    "city": "Springfield",
    "region": "IL",
    "postal_code": "62701",
}


def checked(**changed: str) -> CheckedAddress:
    return check(PostalAddress(**{"country": "US", **HOME, **changed}), RULES)


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        pytest.param({}, ["Ada Invented", "1 Lantern Street", "SPRINGFIELD, IL 62701"], id="domestic"),
        pytest.param({"region": "Illinois"}, ["Ada Invented", "1 Lantern Street", "SPRINGFIELD, IL 62701"], id="state"),
        pytest.param(
            {"line1": "PSC 1 Box 2", "city": "APO", "region": "AE", "postal_code": "09012"},
            ["Ada Invented", "PSC 1 Box 2", "APO, AE 09012"],
            id="military",
        ),
        pytest.param(
            {
                "name": "山田花子",
                "line1": "丸の内1-1-1",
                "city": "千代田区",
                "region": "東京都",
                "postal_code": "100-0005",
                "country": "JP",
            },
            ["〒100-0005", "東京都", "千代田区", "丸の内1-1-1", "山田花子", "JAPAN"],
            id="Japanese",
        ),
        pytest.param(
            {
                "name": "أحمد",
                "line1": "شارع التحرير 1",
                "city": "القاهرة",
                "region": "القاهرة",
                "postal_code": "11511",
                "country": "EG",
            },
            ["أحمد", "شارع التحرير 1", "القاهرة", "القاهرة", "11511", "EGYPT"],
            id="Arabic",
        ),
    ],
)
def test_a_label_is_written_as_its_country_does(changed: dict[str, str], lines: list[str]) -> None:
    found = checked(**changed)

    assert list(found.lines) == lines
    assert found.problems == ()


@pytest.mark.parametrize(
    ("changed", "problem", "is_usable"),
    [
        pytest.param({"postal_code": ""}, "postal_code:required", False, id="no postal code"),
        pytest.param({"name": ""}, "name:required", False, id="no name"),
        pytest.param({"line1": ""}, "line1:required", False, id="no street"),
        pytest.param({"line1": "", "line2": "Apt 2"}, "line1:required", False, id="only the second line"),
        pytest.param(
            {"line1": "", "city": "千代田区", "region": "東京都", "postal_code": "100-0005", "country": "JP"},
            "line1:required",
            False,
            id="no street in a country whose format has no city",
        ),
        pytest.param({"postal_code": "1"}, "postal_code:invalid", True, id="a strange postal code"),
        pytest.param({"postal_code": "04101"}, "postal_code:invalid", True, id="another state's postal code"),
        pytest.param({"line1": "x" * 300}, "line1:too_long", False, id="too long"),
        pytest.param(
            {"country": "FR", "region": "", "postal_code": "75001"}, "country:country_not_served", False, id="FR"
        ),
        pytest.param({"country": "XX"}, "country:unknown_country", False, id="no such country"),
        pytest.param({"country": "../"}, "country:unknown_country", False, id="a path"),
    ],
)
def test_what_is_wrong_with_an_address(changed: dict[str, str], problem: str, is_usable: bool) -> None:
    found = checked(**changed)

    assert [one.stored for one in found.problems] == [problem]
    assert found.is_usable is is_usable


def test_an_incomplete_address_is_refused_and_each_field_named() -> None:
    with pytest.raises(AddressIncomplete) as refused:
        check_complete(checked(postal_code="", city=""))

    assert refused.value.facts["problems"] == [
        {"field": "city", "code": "required", "message": "The city is missing"},
        {"field": "postal_code", "code": "required", "message": "The postal code is missing"},
    ]


def test_control_characters_and_double_spaces_are_removed() -> None:
    assert checked(name="Ada\r\n\tInvented  ").address.name == "Ada Invented"
