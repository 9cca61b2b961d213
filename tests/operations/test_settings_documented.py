"""Every setting is in the README and in .env.example, with its true default; nothing else is."""

import re
from pathlib import Path

import pytest

from app import settings
from app.settings import PREFIX, Settings
from tests.operations.processes import ROOT

NAMES = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def in_readme() -> dict[str, tuple[str, str]]:
    """Return each row of the README's table: default and meaning."""
    rows = re.findall(r"^\| `(\w+)` \| (none|`[^`|]+`) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    return {name: ("" if default == "none" else default.strip("`"), meaning) for name, default, meaning in rows}


def in_example() -> dict[str, str]:
    """Return each commented-out setting of .env.example with its value."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    found = [re.fullmatch(r"#(\w+)=(.*)", line) for line in lines]
    return {one[1]: one[2] for one in found if one and one[1].startswith(PREFIX)}


def with_values(values: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    return settings.load()


def test_the_readme_has_every_setting_and_says_what_it_means() -> None:
    assert set(in_readme()) == NAMES
    assert all(meaning.endswith(".") for _, meaning in in_readme().values())


def test_the_defaults_of_the_readme_are_the_true_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {name: default for name, (default, _) in in_readme().items()}
    assert with_values(said, monkeypatch) == with_values({}, monkeypatch)


def test_the_example_has_every_setting_commented_out_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(in_example()) == NAMES
    assert with_values(in_example(), monkeypatch) == with_values({}, monkeypatch)


def test_the_example_sets_nothing_by_itself() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


@pytest.mark.parametrize("path", ["README.md", "CONTRIBUTING.md", ".env.example", "docker-compose.yml", "Dockerfile"])
def test_no_document_names_a_setting_that_does_not_exist(path: str) -> None:
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b", Path(ROOT / path).read_text()))
    assert named - {"NEWSSTAND_KEY"} <= NAMES  # that one is the site's own, in an example
