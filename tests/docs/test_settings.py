"""Every setting is documented, with its true default, and no document names another one."""

import os
import re
from pathlib import Path

import pytest

from app.cli import configuration
from app.settings import PREFIX, Settings
from tests.operations.processes import ROOT

NAMES = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
OTHERS = {"NEWSSTAND_KEY", "NEWSSTAND_URL", "NEWSSTAND_TEST_SEED"}  # of the site, in examples, and of the tests
DOCUMENTS = [
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".env.example", "docker-compose.yml", "Dockerfile")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
QUESTIONS = ("Whose", "Who", "What", "Which", "When", "How", "Where", "From", "After", "As ", "There is")


def in_reference() -> dict[str, tuple[str, str]]:
    """Return each row of the reference: default and description."""
    text = (ROOT / "docs/reference/settings.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (none|`[^`|]+`) \| (.+) \|$", text, re.MULTILINE)
    return {name: ("" if default == "none" else default.strip("`"), description) for name, default, description in rows}


def in_example() -> dict[str, str]:
    """Return each commented-out setting of .env.example with its value."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [re.fullmatch(r"#(\w+)=(.*)", line) for line in lines]
    return {one[1]: one[2] for one in found if one and one[1].startswith(PREFIX)}


def with_values(values: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return configuration.load()


def test_the_reference_describes_every_setting() -> None:
    assert set(in_reference()) == NAMES


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_description_is_a_noun_phrase_and_ends_with_a_period(name: str) -> None:
    description = Settings.model_fields[name].description or ""
    assert description.rstrip().endswith(".")
    assert not description.lstrip().startswith(QUESTIONS)


def test_the_defaults_in_the_reference_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    documented = {name: default for name, (default, _) in in_reference().items()}
    assert with_values(documented, monkeypatch) == with_values({}, monkeypatch)


def test_the_example_has_every_setting_commented_out_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(in_example()) == NAMES
    assert with_values(in_example(), monkeypatch) == with_values({}, monkeypatch)


def test_the_example_sets_nothing() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_document_names_only_settings_that_exist(path: Path) -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", path.read_text()))
    assert named - OTHERS <= NAMES
