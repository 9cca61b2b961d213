"""
The issue calendar as a CSV file with one line per issue, and a default plan for a year.

A file is imported as a whole or not at all. All its errors are reported together, each with its line.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TypeVar

from app.domain.issues import DOUBLE, LARGEST_NUMBER, LONGEST_TITLE, SPECIAL, InconsistentIssueDates, Issue
from app.domain.text import is_storable

NUMBER, TITLE, COVER, PLANNED, ACTUAL, CUTOFF, COUNTS = COLUMNS = (
    "number",
    "title",
    "cover_date",
    "planned_mail_date",
    "actual_mail_date",
    "label_cutoff",
    "counts_as",
)
REQUIRED = (NUMBER, TITLE, COVER, PLANNED, CUTOFF)
ISSUES_A_YEAR = 24
TUESDAY, CHRISTMAS = 1, 9  # a weekday; the number of days without an issue at the end of the year
T = TypeVar("T")


class BadCalendarFile(Exception):
    """The file is invalid. Each problem begins with its line."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Line:
    """An issue in a file, and its line number."""

    number: int
    issue: Issue


def read(raw: bytes) -> list[Line]:
    """
    Return the issues of a file.

    :raises BadCalendarFile: the file is invalid; it names every invalid line.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        line = raw.count(b"\n", 0, wrong.start) + 1
        raise BadCalendarFile(f"line {line}: not UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    problems: list[str] = []
    lines: list[Line] = []
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _check_names(names)
        begins = reader.line_num + 1
        for values in reader:
            if any(value.strip() for value in values):
                try:
                    lines.append(Line(begins, _issue(names, values)))
                except ValueError as wrong:
                    problems.append(f"line {begins}: {wrong}")
                except InconsistentIssueDates as wrong:
                    problems.append(f"line {begins}: {wrong}")
            begins = reader.line_num + 1
    except csv.Error as wrong:
        problems.append(f"line {reader.line_num}: invalid CSV: {wrong}")
    problems += _duplicate_numbers(lines)
    if not lines and not problems:
        problems.append("line 2: the file has no issues")
    if problems:
        raise BadCalendarFile(*problems)
    return lines


def _check_names(names: list[str]) -> None:
    problems = [f"line 1: the column {name} is missing" for name in REQUIRED if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    problems += [f"line 1: unknown column {name!r}; the columns are {', '.join(COLUMNS)}" for name in unknown]
    problems += [f"line 1: duplicate column {name}" for name in COLUMNS if names.count(name) > 1]
    if problems:
        raise BadCalendarFile(*problems)


def _issue(names: list[str], values: list[str]) -> Issue:
    """
    Return the issue of one line.

    :raises ValueError: a column is invalid.
    :raises InconsistentIssueDates: the dates contradict each other.
    """
    if len(values) != len(names):
        raise ValueError(f"has {len(values)} values for {len(names)} columns")
    found = {name: value.strip() for name, value in zip(names, values, strict=True)}
    issue = Issue(
        number=_value(found, NUMBER, _number),
        title=_value(found, TITLE, _title),
        cover_date=_value(found, COVER, _date),
        planned_mail_date=_value(found, PLANNED, _date),
        actual_mail_date=_value(found, ACTUAL, _date) if found.get(ACTUAL) else None,
        label_cutoff=_value(found, CUTOFF, _date),
        counts_as=_value(found, COUNTS, _counts) if found.get(COUNTS) else 1,
    )
    issue.check()
    return issue


def _value(found: dict[str, str], name: str, read_as: Callable[[str], T]) -> T:
    try:
        return read_as(found[name])
    except ValueError as wrong:
        raise ValueError(f"{name} {wrong}, not {found[name][:60]!r}") from None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LARGEST_NUMBER):
        raise ValueError("must be a positive number")
    return int(text)


def _title(text: str) -> str:
    if not text or len(text) > LONGEST_TITLE or not is_storable(text):
        raise ValueError(f"must be a line of text of at most {LONGEST_TITLE} characters")
    return text


def _date(text: str) -> date:
    try:
        if len(text) != len("2027-01-31"):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a date such as 2027-01-31") from None


def _counts(text: str) -> int:
    if text not in {"0", "1", "2"}:
        raise ValueError(f"must be {SPECIAL} (special issue), 1 or {DOUBLE} (double issue)")
    return int(text)


def _duplicate_numbers(lines: Iterable[Line]) -> Iterator[str]:
    first: dict[int, int] = {}
    for line in lines:
        before = first.setdefault(line.issue.number, line.number)
        if before != line.number:
            yield f"line {line.number}: issue {line.issue.number} is already in line {before}"


def write(issues: Iterable[Issue]) -> str:
    """Return issues as a file that :func:`read` accepts."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for issue in issues:
        writer.writerow([getattr(issue, name) if getattr(issue, name) is not None else "" for name in COLUMNS])
    return out.getvalue()


def plan_year(year: int, *, first_number: int) -> list[Issue]:
    """
    Return a default plan of 24 issues for a year: on Tuesdays, two or three weeks apart, with none at Christmas.

    The cover date is the following Sunday, and the label cut-off is twelve days before the mail date.
    """
    days = (date(year + 1, 1, 1) - date(year, 1, 1)).days - CHRISTMAS
    issues = []
    for index in range(ISSUES_A_YEAR):
        ideal = date(year, 1, 1) + timedelta(days=(2 * index + 1) * days // (2 * ISSUES_A_YEAR))
        mailed = ideal - timedelta(days=(ideal.weekday() - TUESDAY) % 7)
        cover = mailed + timedelta(days=5)
        number = first_number + index
        issues.append(
            Issue(
                number=number,
                title=f"No. {index + 1}/{year}",
                cover_date=cover,
                planned_mail_date=mailed,
                label_cutoff=mailed - timedelta(days=12),
            )
        )
    return issues
