"""The numbered rules: each one that the code cites exists."""

import re

from tests.operations.processes import ROOT

RULES = ROOT / "docs/concepts/rules.md"
CITED = re.compile(r"rules\.md, rule (\d+)")


def test_every_cited_rule_exists() -> None:
    numbered = re.findall(r"^## (\d+)\. .* \{ #rule-(\d+) \}$", RULES.read_text(), re.MULTILINE)
    assert all(number == anchor for number, anchor in numbered)
    sources = [path.read_text() for folder in ("app", "tests") for path in (ROOT / folder).rglob("*.py")]
    cited = {number for source in sources for number in CITED.findall(source)}
    assert len(cited) > 5
    assert cited <= {number for number, _ in numbered}
