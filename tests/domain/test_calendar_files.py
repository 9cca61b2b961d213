"""Calendar files: read completely or rejected with each invalid line, and the generated plan of a year."""

from datetime import date
from itertools import pairwise

import pytest

from app.domain.calendar_changes import check_order
from app.domain.calendar_files import COLUMNS, BadCalendarFile, plan_year, read, write

HEAD = ",".join(COLUMNS)
GOOD = "7,Lanterns,2026-06-14,2026-06-09,,2026-05-28,1"


def test_a_written_file_is_read_unchanged() -> None:
    planned = plan_year(2027, first_number=25)

    assert [line.issue for line in read(write(planned).encode())] == planned


def test_a_file_of_a_spreadsheet_is_read() -> None:
    head = "\ufeffTitle, number ,label_cutoff,planned_mail_date,cover_date"
    by_hand = f'{head}\r\n\r\n"Ferries, \nslow",8,2026-06-01,2026-06-09,2026-06-14\r\n'

    (line,) = read(by_hand.encode())

    assert (line.number, line.issue.number, line.issue.counts_as, line.issue.actual_mail_date) == (3, 8, 1, None)
    assert line.issue.title == "Ferries, \nslow"


def line(
    *, dates: str = "2026-06-30,2026-06-23,,2026-06-20", number: str = "8", title: str = "X", counts: str = "1"
) -> str:
    """Return a file with a valid line followed by this one."""
    return f"{HEAD}\n{GOOD}\n{number},{title},{dates},{counts}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            line(dates="2026-06-31,2026-06-23,,2026-06-20"),
            "line 3: cover_date must be a date such as 2027-01-31, not '2026-06-31'",
            id="nonexistent date",
        ),
        pytest.param(line(dates="2026-06-30,23.6.2026,,2026-06-20"), "line 3: planned_mail_date must be", id="no date"),
        pytest.param(
            line(dates="2026-06-30,2026-06-23,,2026-06-24"),
            "line 3: Issue 8 is mailed on 2026-06-23, so its label cut-off can't be 2026-06-24",
            id="cut-off after the mailing",
        ),
        pytest.param(line(number="7"), "line 3: issue 7 is already in line 2", id="duplicate number"),
        pytest.param(line(counts="3"), "line 3: counts_as must be 0 (special issue), 1 or 2", id="counts as three"),
        pytest.param(line(number="-8"), "line 3: number must be a positive number", id="negative"),
        pytest.param(line(title=""), "line 3: title must be", id="no title"),
        pytest.param(line(title="a\x00"), "line 3: ", id="NUL"),
        pytest.param(f"{HEAD}\n8,X,2026-06-30,2026-06-23", "line 2: has 4 values for 7 columns", id="too few values"),
        pytest.param(f'{HEAD}\n8,"X,2026-06-30', "invalid CSV", id="unterminated quote"),
        pytest.param("number,titel\n", "line 1: unknown column 'titel'", id="unknown column"),
        pytest.param("number\n", "line 1: the column title is missing", id="missing column"),
        pytest.param(HEAD, "line 2: the file has no issues", id="no lines"),
        pytest.param("", "line 1: the column number is missing", id="nothing"),
    ],
)
def test_an_invalid_line_is_reported_with_its_number(text: str, message: str) -> None:
    with pytest.raises(BadCalendarFile) as refused:
        read(text.encode())
    assert any(message in problem for problem in refused.value.problems), refused.value.problems


def test_a_calendar_encoding_error_is_reported_with_its_line() -> None:
    with pytest.raises(BadCalendarFile, match="line 2: not UTF-8"):
        read(HEAD.encode() + b"\n8,Caf\xe9")


@pytest.mark.parametrize("year", range(2024, 2040))
def test_a_years_plan_has_24_irregular_dates_in_order(year: int) -> None:
    planned = plan_year(year, first_number=1)

    for issue in planned:
        issue.check()
    check_order(planned)
    mailed = [issue.mail_date for issue in planned]
    assert len(planned) == 24
    assert all(date(year, 1, 1) <= day < date(year, 12, 23) for day in mailed)
    assert {(later - day).days for day, later in pairwise(mailed)} == {14, 21}
