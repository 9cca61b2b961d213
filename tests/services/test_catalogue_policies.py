"""Dated policies in the catalogue file: their effective dates, and problems reported by key."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from app.domain.dated_policies import Given
from app.domain.guarantee import GuaranteeTerms
from app.services.catalogue import load
from tests.services.test_catalogue import problems

FILE = Path(__file__).parents[2] / "catalogue.toml"
OLD = "days = 60, title"
KEY = "plans.annual.guarantee"
GOODWILL = "from = 2026-01-01\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.toml"


@pytest.fixture
def valid() -> str:
    text = FILE.read_text()
    assert OLD in text
    assert GOODWILL in text
    return text


def test_a_guarantee_changes_on_its_effective_date(path: Path, valid: str) -> None:
    changes = (
        '[{ from = 2027-01-01, days = 90, covers = "renewals_too", once = false }, { from = 2026-07-01, days = 14 }]'
    )
    path.write_text(valid.replace(OLD, f'covers = "first_payment", once = true, changes = {changes}, {OLD}'))
    guarantee = load(path).plan("annual").guarantee

    assert guarantee.on(date(2026, 6, 30)) == GuaranteeTerms(days=60, renewals=False, once=True)
    assert guarantee.on(date(2026, 7, 1)) == guarantee.on(date(2026, 12, 31)) == GuaranteeTerms(days=14)
    assert guarantee.on(date(2027, 1, 1)) == GuaranteeTerms(days=90, renewals=True, once=False)


def test_a_goodwill_limit_changes_on_its_effective_date(path: Path, valid: str) -> None:
    more = "[[policies.goodwill]]\nfrom = 2027-01-01\nalone = { usd = 5000, eur = 4000 }\n\n[features.print_edition]"
    path.write_text(valid.replace("[features.print_edition]", more))
    policies = load(path).policies

    for day, currency, alone in (
        (date(2025, 12, 31), "usd", 0),
        (date(2026, 12, 31), "usd", 25_00),
        (date(2026, 12, 31), "eur", 0),
        (date(2027, 1, 1), "usd", 50_00),
        (date(2027, 1, 1), "eur", 40_00),
    ):
        assert policies.goodwill_limits(day).left(currency, Given()) == alone, (day, currency)


def test_limits_of_access_and_extensions_are_dated_too(path: Path, valid: str) -> None:
    more = (
        "[[policies.comps]]\nfrom = 2027-01-01\nalone = { days = 30 }\nin_a_day = { days = 90 }\n"
        "[[policies.extensions]]\nfrom = 2027-01-01\nalone = { issues = 2 }\nin_a_day = { issues = 4 }\n"
        "[features.print_edition]"
    )
    path.write_text(valid.replace("[features.print_edition]", more))
    policies = load(path).policies

    old, new = date(2026, 12, 31), date(2027, 1, 1)
    assert [policies.comp_limits(day).left("days", Given(today=20)) for day in (old, new)] == [72, 30]
    assert [policies.extension_limits(day).left("issues", Given(today=1)) for day in (old, new)] == [5, 2]
    assert policies.comp_limits(date(2025, 1, 1)).left("days", Given()) == 0, "without a policy all of it is approved"
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert policies.comp_limits(old).counts_since(now) == now - timedelta(days=365)
    assert policies.comp_limits(new).counts_since(now) is None


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ('covers = "all"', f'{KEY}.covers: must be "first_payment" or "renewals_too"'),
        ("covers = true", f"{KEY}.covers: must be"),
        ('once = "yes"', f"{KEY}.once: must be true (once for each subscriber) or false"),
        ("once = 1", f"{KEY}.once: must be true"),
        ("changes = 5", f"{KEY}.changes: must be a list of entries, each with the date from which it applies"),
        ("changes = [90]", f"{KEY}.changes.0: must be a table"),
        ("changes = [{ days = 90 }]", f"{KEY}.changes.0.from: is missing"),
        ("changes = [{ from = 2027-01-01 }]", f"{KEY}.changes.0.days: is missing"),
        ('changes = [{ from = "soon", days = 90 }]', f"{KEY}.changes.0.from: must be a date, such as 2027-03-01"),
        ("changes = [{ from = 2027-01-01T00:00:00Z, days = 90 }]", f"{KEY}.changes.0.from: must be a date"),
        (
            "changes = [{ from = 2027-01-01, days = -1 }]",
            f"{KEY}.changes.0.days: must be a whole number of days from 0",
        ),
        ("changes = [{ from = 2027-01-01, days = 9, once = 0 }]", f"{KEY}.changes.0.once: must be true"),
        ("changes = [{ from = 2027-01-01, days = 9, covers = 1 }]", f"{KEY}.changes.0.covers: must be"),
        (
            "changes = [{ from = 2027-01-01, days = 9, cover = 1 }]",
            f"{KEY}.changes.0.cover: unknown key; did you mean covers?",
        ),
        (
            "changes = [{ from = 2027-01-01, days = 9 }, { from = 2027-01-01, days = 8 }]",
            f"{KEY}.changes: two entries apply from 2027-01-01",
        ),
    ],
)
def test_an_invalid_guarantee_is_reported_with_its_key(path: Path, valid: str, new: str, problem: str) -> None:
    line = next(n for n, text in enumerate(valid.splitlines(), 1) if text.startswith("guarantee"))
    (message,) = problems(path, valid.replace(OLD, f"{new}, {OLD}"))

    assert message.startswith(problem)
    assert message.endswith(f"(line {line})")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (GOODWILL, "", "policies.goodwill.0.from: is missing"),
        (GOODWILL, 'from = "today"\n', "policies.goodwill.0.from: must be a date"),
        ("alone = { usd = 2500 }", "alone = 2500", "policies.goodwill.0.alone: must be a table"),
        ("usd = 2500", "usd = -1", "policies.goodwill.0.alone.usd: must be a table of amounts"),
        ("usd = 2500", "usd = 25.0", "policies.goodwill.0.alone.usd: must be a table of amounts"),
        ("usd = 2500", "xyz = 2500", "policies.goodwill.0.alone.xyz: 'xyz' is not a currency that Stripe supports"),
        ("{ days = 92 }", "92", "policies.comps.0.alone: must be a table"),
        ("{ days = 92 }", "{ days = -1 }", "policies.comps.0.alone.days: must be a whole number of days"),
        ("{ days = 92 }", "{ days = 92, issues = 1 }", "policies.comps.0.alone.issues: unknown key"),
        ("{ issues = 6 }", "{ issues = 0 }", "policies.extensions.0.alone.issues: must be a whole number of issues"),
        ("reader_days = 365", "reader_days = 0", "policies.goodwill.0.reader_days: must be a whole number of days"),
        ("usd = 2500", "USD = 2500", "policies.goodwill.0.alone.USD: must be a table of amounts"),
        ('dispute = "suspend"', 'dispute = "shrug"', 'policies.disputes.0.dispute: must be "suspend" or "keep"'),
        (
            "alone = { usd = 2500 }\n",
            f"alone = {{ usd = 2500 }}\n[[policies.goodwill]]\n{GOODWILL}alone = {{}}\n",
            "policies.goodwill: two entries apply from 2026-01-01",
        ),
    ],
)
def test_an_invalid_policy_is_reported_with_its_key(path: Path, valid: str, old: str, new: str, problem: str) -> None:
    assert old in valid
    (message,) = problems(path, valid.replace(old, new, 1))

    assert message.startswith(problem), message
