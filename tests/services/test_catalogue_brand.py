"""The [brand] table of the catalogue file: colors that can be read, a font that readers have, and a logo that exists."""

from pathlib import Path

import pytest

from app.domain.plans import BadCatalogue
from app.services.catalogue import load

CATALOGUE = (Path(__file__).parents[2] / "catalogue.toml").read_text()
BEFORE, _, REST = CATALOGUE.partition("[brand]\n")
AFTER = REST.partition("# What one person of the staff")[2]


def catalogue_with(folder: Path, brand: str) -> Path:
    """Write a catalogue file with another [brand] table."""
    file = folder / "catalogue.toml"
    file.write_text(f"{BEFORE}{brand}\n# {AFTER}")
    return file


def test_the_brand_of_the_catalogue_is_read() -> None:
    brand = load(Path(__file__).parents[2] / "catalogue.toml").brand
    assert brand.light.accent == "#b3361d"
    assert brand.dark.accent == "#ff9a82"
    assert brand.font == "old-style"
    assert brand.contact == "help@example.com"


def test_a_catalogue_needs_no_brand(tmp_path: Path) -> None:
    brand = load(catalogue_with(tmp_path, "")).brand
    assert brand.logo is None
    assert list(brand.light.faults()) == []


def test_the_dark_accent_follows_from_the_light_one(tmp_path: Path) -> None:
    brand = load(catalogue_with(tmp_path, '[brand]\naccent = "#1F4E79"')).brand
    assert brand.light.accent == "#1f4e79"
    assert list(brand.dark.faults()) == []


def test_a_logo_is_a_file_beside_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text("<svg/>")
    logo = load(catalogue_with(tmp_path, '[brand]\nlogo = "logo.svg"')).brand.logo
    assert logo is not None
    assert (logo.content, logo.media_type, logo.url) == (b"<svg/>", "image/svg+xml", None)


def test_a_logo_can_be_on_another_site(tmp_path: Path) -> None:
    logo = load(catalogue_with(tmp_path, '[brand]\nlogo = "https://cdn.example.com/logo.png"')).brand.logo
    assert logo is not None
    assert logo.url == "https://cdn.example.com/logo.png"


@pytest.mark.parametrize(
    ("brand", "problem"),
    [
        ('[brand]\naccent = "#ffcc00"', "brand.accent: its contrast with the background #ffffff is 1.5:1"),
        ('[brand]\ntext = "#999999"', "brand.text: its contrast with the background #ffffff is 2.8:1"),
        ('[brand.dark]\naccent = "#222244"', "brand.dark.accent: its contrast with the background #14171b"),
        ('[brand]\naccent = "red"', "brand.accent: must be a color such as #1f4e79"),
        ('[brand]\nfont = "Comic Sans"', "brand.font: must be one of system, sans, humanist"),
        ('[brand]\nlogo = "http://cdn.example.com/logo.png"', "brand.logo: must be an https:// URL, or a file"),
        ('[brand]\nlogo = "https://user@cdn.example.com/l.png"', "brand.logo: must be an https:// URL, or a file"),
        (
            '[brand]\nlogo = "https://cdn.example.com;script-src/l.png"',
            "brand.logo: must be an https:// URL, or a file",
        ),
        ('[brand]\nlogo = "missing.png"', "missing.png can't be read: No such file or directory"),
        ('[brand]\nlogo = "catalogue.toml"', "brand.logo: must be a file of one of the types .jpeg, .jpg, .png"),
        ('[brand]\ncontact = "javascript:alert(1)"', "brand.contact: must be an email address or an https:// URL"),
        ('[brand]\ncolour = "#000000"', "brand.colour: unknown key"),
    ],
)
def test_a_brand_that_would_not_work_is_refused(tmp_path: Path, brand: str, problem: str) -> None:
    with pytest.raises(BadCatalogue) as refused:
        load(catalogue_with(tmp_path, brand))
    assert problem in str(refused.value)


def test_a_logo_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "logo.png").write_bytes(b"x" * 262_145)
    with pytest.raises(BadCatalogue, match="must have 1 to 262,144 bytes; it has 262,145"):
        load(catalogue_with(tmp_path, '[brand]\nlogo = "logo.png"'))
