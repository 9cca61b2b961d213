"""The policy for notifications in the catalogue file: read whole, and wrong entries refused with their line."""

from datetime import date
from pathlib import Path

import pytest

from app.domain.notification_policies import DEFAULT_POLICIES, NotificationPolicy
from app.domain.notifications import Channel, NotificationKind
from app.domain.plans import BadCatalogue
from app.services.catalogue import load

FILE = Path(__file__).parents[2] / "catalogue.toml"
ENTRY = """
[[policies.notices]]
from = 2026-07-01
kind = "renewal_ahead"
places = ["US-CA", "EU"]
days = 21
channel = "webhook"
template = "renewal_california"
"""
SHORT = """
[[policies.notices]]
from = 2026-07-01
kind = "refunded"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalogue.toml"


def problems(path: Path, entry: str) -> list[str]:
    path.write_text(FILE.read_text() + entry)
    with pytest.raises(BadCatalogue) as bad:
        load(path)
    return list(bad.value.problems)


def test_an_entry_is_read_whole(path: Path) -> None:
    path.write_text(FILE.read_text() + ENTRY)

    assert load(path).policies.notices == (
        NotificationPolicy(
            kind=NotificationKind.RENEWAL_AHEAD,
            since=date(2026, 7, 1),
            places=("US-CA", "EU"),
            days=21,
            channel=Channel.WEBHOOK,
            template="renewal_california",
        ),
    )


def test_without_entries_the_defaults_apply(path: Path) -> None:
    path.write_text(FILE.read_text() + SHORT)

    assert load(FILE).policies.notices == DEFAULT_POLICIES
    assert load(path).policies.notices == (NotificationPolicy(kind=NotificationKind.REFUNDED, since=date(2026, 7, 1)),)


@pytest.mark.parametrize(
    ("old", "new", "key", "problem"),
    [
        pytest.param("days = 21", "days = -5", "days", "must be 7 to 45 days before the event", id="minus five days"),
        pytest.param("days = 21", "days = 60", "days", "must be 7 to 45 days before the event", id="too early"),
        pytest.param('"US-CA"', '"XX"', "places", "'XX' is not a place", id="an unknown place"),
        pytest.param('"US-CA"', '"California"', "places", "'California' is not a place", id="a name of a place"),
        pytest.param("renewal_ahead", "renewal", "kind", "must be one of renewal_ahead,", id="an unknown kind"),
        pytest.param('"webhook"', '"fax"', "channel", "must be one of email, webhook, off", id="an unknown channel"),
        pytest.param("renewal_ahead", "canceled", "days", "not allowed: canceled is sent when it happens", id="days"),
        pytest.param("renewal_california", "../secrets", "template", "must be the name of a template", id="a path"),
    ],
)
def test_a_wrong_entry_is_refused_with_its_line(path: Path, old: str, new: str, key: str, problem: str) -> None:
    assert old in ENTRY
    (found,) = problems(path, ENTRY.replace(old, new))

    lines = path.read_text().splitlines()
    line = max(number for number, text in enumerate(lines, 1) if text.startswith(f"{key} = "))
    assert found.startswith(f"policies.notices.0.{key}: ")
    assert problem in found
    assert found.endswith(f"(line {line})")


def test_two_entries_for_the_same_are_refused(path: Path) -> None:
    found = problems(path, ENTRY * 2)

    assert any("two entries of renewal_ahead for EU, US-CA apply from 2026-07-01" in one for one in found)
