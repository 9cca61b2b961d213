"""The ``[brand]`` table of the catalogue file: checked, and read with its logo."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from app.domain.branding import DARK, LIGHT, Brand, Colors, Logo, for_dark
from app.services.catalogue.schema import BrandTable, Problem

MOST_BYTES = 262_144  # of a logo: it is loaded with each first visit
MEDIA_TYPES = {
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webp": "image/webp",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
}
_HOST = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?", re.IGNORECASE)  # what a content security policy can name


def check_brand(table: BrandTable, folder: Path) -> Iterator[Problem]:
    """
    Check that the colors can be read, and that the logo can be shown.

    :param folder: that of the catalogue file.
    """
    light, dark = _colors(table)
    for key, colors in (("brand", light), ("brand.dark", dark)):
        for name, fault in colors.faults():
            yield f"{key}.{name}", fault
    if table.logo is not None:
        problem = _logo_problem(table.logo, folder)
        if problem is not None:
            yield "brand.logo", problem


def brand_of(table: BrandTable, folder: Path) -> Brand:
    """Return the brand of a table that was checked."""
    light, dark = _colors(table)
    return Brand(
        light=light,
        dark=dark,
        font=table.font,
        logo=_logo(table.logo, folder) if table.logo is not None else None,
        contact=table.contact,
    )


def _colors(table: BrandTable) -> tuple[Colors, Colors]:
    light = Colors(
        background=(table.background or LIGHT.background).lower(),
        text=(table.text or LIGHT.text).lower(),
        accent=(table.accent or LIGHT.accent).lower(),
    )
    background = (table.dark.background or DARK.background).lower()
    accent = table.dark.accent or for_dark(light.accent, background=background)
    return light, Colors(background=background, text=(table.dark.text or DARK.text).lower(), accent=accent.lower())


def _is_url(logo: str) -> bool:
    return "://" in logo


def _logo_problem(logo: str, folder: Path) -> str | None:
    if _is_url(logo):
        parts = urlsplit(logo)
        if parts.scheme != "https" or not _HOST.fullmatch(parts.netloc):
            return "must be an https:// URL, or a file beside the catalogue file"
        return None
    path = folder / logo
    if path.suffix.lower() not in MEDIA_TYPES:
        return f"must be a file of one of the types {', '.join(sorted(MEDIA_TYPES))}"
    try:
        size = path.stat().st_size
        with path.open("rb"):
            pass
    except OSError as wrong:
        return f"the file {path} can't be read: {wrong.strerror}"
    if not 0 < size <= MOST_BYTES:
        return f"the file {path} must have 1 to {MOST_BYTES:,} bytes; it has {size:,}"
    return None


def _logo(logo: str, folder: Path) -> Logo:
    if _is_url(logo):
        return Logo(url=logo)
    path = folder / logo
    return Logo(content=path.read_bytes(), media_type=MEDIA_TYPES[path.suffix.lower()])
