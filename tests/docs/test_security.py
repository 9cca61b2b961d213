"""The security documents: every requirement of ASVS level 2 has one row, and every test that they name exists."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.operations.processes import ROOT

ASVS = (ROOT / "docs/security/asvs.md").read_text()
THREATS = (ROOT / "docs/security/threat-model.md").read_text()
# The sections of ASVS 5.0.0 with the number of their last requirement of level 1 or 2. They are numbered from 1.
SECTIONS = {
    "1.1": 2,
    "1.2": 9,
    "1.3": 11,
    "1.4": 3,
    "1.5": 2,
    "2.1": 3,
    "2.2": 3,
    "2.3": 4,
    "2.4": 1,
    "3.2": 2,
    "3.3": 4,
    "3.4": 6,
    "3.5": 5,
    "3.7": 2,
    "4.1": 3,
    "4.2": 1,
    "4.3": 2,
    "4.4": 4,
    "5.1": 1,
    "5.2": 3,
    "5.3": 2,
    "5.4": 3,
    "6.1": 3,
    "6.2": 12,
    "6.3": 4,
    "6.4": 4,
    "6.5": 5,
    "6.6": 3,
    "6.8": 4,
    "7.1": 3,
    "7.2": 4,
    "7.3": 2,
    "7.4": 5,
    "7.5": 2,
    "7.6": 2,
    "8.1": 2,
    "8.2": 3,
    "8.3": 1,
    "8.4": 1,
    "9.1": 3,
    "9.2": 4,
    "10.1": 2,
    "10.2": 2,
    "10.3": 4,
    "10.4": 11,
    "10.5": 5,
    "10.6": 2,
    "10.7": 3,
    "11.1": 2,
    "11.2": 3,
    "11.3": 3,
    "11.4": 4,
    "11.5": 1,
    "11.6": 1,
    "12.1": 3,
    "12.2": 2,
    "12.3": 4,
    "13.1": 1,
    "13.2": 5,
    "13.3": 2,
    "13.4": 5,
    "14.1": 2,
    "14.2": 4,
    "14.3": 3,
    "15.1": 3,
    "15.2": 3,
    "15.3": 7,
    "16.1": 1,
    "16.2": 5,
    "16.3": 4,
    "16.4": 3,
    "16.5": 3,
    "17.1": 1,
    "17.2": 4,
    "17.3": 2,
}
ROWS = re.findall(r"^\| ([\d., –]+) \| (\w+) \| (.+) \| (.*)\|$", ASVS, re.MULTILINE)


def numbers(text: str) -> Iterator[str]:
    """Yield the requirements of a row, which has single ones and ranges."""
    for part in text.split(", "):
        first, _, last = part.strip().partition(" – ")
        section, start = first.rsplit(".", 1)
        end = last.rpartition(".")[2] or start
        assert not last or last.startswith(f"{section}.")
        yield from (f"{section}.{number}" for number in range(int(start), int(end) + 1))


def test_every_requirement_of_level_2_has_one_row() -> None:
    listed = Counter(number for row in ROWS for number in numbers(row[0]))
    wanted = [f"{section}.{number}" for section, last in SECTIONS.items() for number in range(1, last + 1)]
    assert listed == Counter(wanted)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_requirement_has_a_status_and_its_tests_exist(row: tuple[str, str, str, str]) -> None:
    _, status, where, tests = row
    assert status in {"met", "partly", "operator", "provider", "open", "none"}
    assert where.strip()
    assert [path for path in re.findall(r"`(tests/[^`]+)`", tests) if not (ROOT / path).exists()] == []


def test_a_requirement_without_a_test_says_where_it_is_met() -> None:
    untested = [
        numbers for numbers, status, where, tests in ROWS if status == "met" and not tests.strip() and "](" not in where
    ]
    assert untested == ["12.3.2"]  # of libraries: their default


def test_every_threat_names_a_test() -> None:
    rows = [line for line in THREATS.partition("## Who, and what stops them")[2].splitlines() if line.startswith("| ")]
    attacks = [row for row in rows if not row.startswith(("| they want |", "| they have |"))]
    assert len(attacks) > 20
    assert [row for row in attacks if "`tests/" not in row] == []
