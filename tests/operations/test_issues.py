"""``newsstand issues`` plans, imports and lists a year; an invalid file changes nothing."""

from pathlib import Path

import pytest

from tests.operations.processes import run_newsstand


def newsstand(database: str, *arguments: str) -> tuple[int, str, str]:
    done = run_newsstand(["issues", *arguments], {"NEWSSTAND_DATABASE_URL": database})
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(180)
def test_a_year_of_issues_is_planned_imported_and_listed(database: str, tmp_path: Path) -> None:
    file = tmp_path / "2027.csv"
    status, planned, _ = newsstand(database, "plan", "2027")
    assert (status, planned.count("\n")) == (0, 25)
    file.write_text(planned)

    assert newsstand(database, "import", str(file), "--dry-run")[1].endswith("24 new, 0 changed, 0 unchanged.\n")
    assert newsstand(database, "import", str(file))[1].endswith("24 new, 0 changed, 0 unchanged.\n")
    last = planned.splitlines()[-1]
    head, first = planned.splitlines()[:2]

    bad = first.replace(first.split(",")[3], "2027-01-32")
    for line, message in (
        (bad, "line 2: planned_mail_date must be"),
        (last.replace("24,", "1,"), "line 2: Issue 2 would"),
    ):
        file.write_text(f"{head}\n{line}\n25,New,2028-01-09,2028-01-04,,2028-01-01,1\n")
        status, out, err = newsstand(database, "import", str(file))
        assert (status, out) == (1, "")
        assert message in err
        assert "Nothing was imported." in err
    assert newsstand(database, "list")[1] == planned
