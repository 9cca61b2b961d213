"""``newsstand report`` prints the reports, and closes a month once."""

import pytest

from tests.operations.processes import run_newsstand


def newsstand(database: str, *arguments: str) -> tuple[int, str, str]:
    done = run_newsstand(["report", *arguments], {"NEWSSTAND_DATABASE_URL": database})
    return done.returncode, done.stdout, done.stderr


@pytest.mark.timeout(180)
def test_reports_are_printed_and_a_month_is_closed_once(database: str) -> None:
    figures = "currency,opening,sales,earned,earned_reversed,refunds,closing\n"
    assert newsstand(database, "liability", "--at", "2026-03-15") == (0, figures, "")
    assert newsstand(database, "liability", "--month", "2026-03", "--subscriptions")[1] == f"subscription,{figures}"
    assert newsstand(database, "close", "--month", "2026-03")[:2] == (0, "2026-03 is closed: nothing owed\n")
    status, _, words = newsstand(database, "close", "--month", "2026-03")
    assert (status, words) == (1, "2026-03 is closed\n")
    status, printed, _ = newsstand(database, "circulation", "--from", "2026-01-01", "--to", "2026-03-31")
    assert (status, printed.splitlines()[:2]) == (
        0,
        ["line,title,average,nearest", "15a,Total number of copies (net press run),0,"],
    )
