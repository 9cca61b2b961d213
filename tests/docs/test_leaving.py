"""docs/concepts/leaving.md names every law that the rules apply."""

from app.domain import early_exits, withdrawals
from tests.operations.processes import ROOT

PAGE = (ROOT / "docs" / "concepts" / "leaving.md").read_text()


def test_every_law_has_a_row_with_its_source_and_state() -> None:
    rows = {line.split("`")[1]: line for line in PAGE.splitlines() if line.startswith("| `")}
    for law in withdrawals.LAWS:
        assert law.source in rows[law.code]
        assert f"| {law.days} |" in rows[law.code]
        assert rows[law.code].endswith("| yes |") == law.enabled
    for exit_law in early_exits.LAWS:
        assert exit_law.source in rows[exit_law.code]
    assert "not legal advice" in PAGE


def test_number_of_days_for_the_delivery_is_stated() -> None:
    assert f"counts as received {withdrawals.DELIVERY_DAYS} days after" in PAGE
