"""
How the publisher's pages for readers look: colors with enough contrast, a font, and a logo.

Contrast is WCAG 2.2's: 4.5:1 for text (success criterion 1.4.3), 3:1 for the border of a field (1.4.11). The colors that the
publisher doesn't choose are derived from those that it does, so that they have it too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

TEXT_CONTRAST, BORDER_CONTRAST = 4.5, 3.0
BLACK, WHITE = "#000000", "#ffffff"
DANGER = "#b3261e"

# Only fonts that a reader's system has: another site's would tell it who reads.
FONTS: Mapping[str, str] = {
    "system": 'system-ui, "Segoe UI", "Liberation Sans", sans-serif',
    "sans": '"Helvetica Neue", Arial, "Liberation Sans", sans-serif',
    "humanist": 'Optima, Candara, "Noto Sans", sans-serif',
    "geometric": 'Avenir, Montserrat, Corbel, "URW Gothic", sans-serif',
    "serif": 'Georgia, "Times New Roman", "Liberation Serif", serif',
    "old-style": '"Iowan Old Style", "Palatino Linotype", "URW Palladio L", serif',
    "slab": 'Rockwell, "Rockwell Nova", "Roboto Slab", "DejaVu Serif", serif',
    "mono": 'ui-monospace, "SFMono-Regular", "Liberation Mono", monospace',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Colors:
    """The colors of one color scheme, as ``#rrggbb``."""

    background: str
    text: str
    accent: str  # of links and buttons

    def faults(self) -> Iterator[tuple[str, str]]:
        """Yield the name of each color that is hard to read, and what is wrong with it."""
        for name, color in (("text", self.text), ("accent", self.accent)):
            found = contrast(color, self.background)
            if found < TEXT_CONTRAST:
                better = readable(color, on=self.background)
                yield (
                    name,
                    f"its contrast with the background {self.background} is {found:.1f}:1, and people with low vision need "
                    f"4.5:1 (WCAG 2.2, 1.4.3). The nearest color that has it is {better}",
                )

    def properties(self) -> dict[str, str]:
        """Return the CSS custom properties of the scheme."""
        return {
            "background": self.background,
            "text": self.text,
            "accent": self.accent,
            "on-accent": self.background,
            "accent-strong": mix(self.accent, self.text, 0.35),
            "muted": readable(mix(self.text, self.background, 0.3), on=self.background),
            "line": mix(self.text, self.background, 0.82),
            "field": readable(mix(self.text, self.background, 0.55), on=self.background, minimum=BORDER_CONTRAST),
            "danger": readable(DANGER, on=self.background),
        }


LIGHT = Colors(background=WHITE, text="#1b1f24", accent="#1f4e79")
DARK = Colors(background="#14171b", text="#eceef0", accent="#8fbbe8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Logo:
    """The publisher's logo: on another site, or a file's content."""

    url: str | None = None
    content: bytes = b""
    media_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """The look of the pages that readers see, and whom they ask for help."""

    light: Colors = LIGHT
    dark: Colors = DARK
    font: str = "system"
    logo: Logo | None = field(default=None, repr=False)
    contact: str | None = None  # an email address or an https URL

    @property
    def font_family(self) -> str:
        """The value of CSS's ``font-family``."""
        return FONTS[self.font]

    @property
    def contact_url(self) -> str | None:
        """The URL of a link to the contact."""
        if self.contact is None or self.contact.startswith("https://"):
            return self.contact
        return f"mailto:{self.contact}"


def for_dark(accent: str, *, background: str) -> str:
    """Return the accent color of a light scheme, light enough for a dark background."""
    return readable(accent, on=background)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colors, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def mix(one: str, other: str, share: float) -> str:
    """Return a color with a ``share`` of the other one."""
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def readable(color: str, *, on: str, minimum: float = TEXT_CONTRAST) -> str:
    """Return the nearest color, towards black or white, with a contrast of at least ``minimum`` on a background."""
    target = max((BLACK, WHITE), key=lambda end: contrast(end, on))
    mixtures = (mix(color, target, step / 100) for step in range(101))
    return next((found for found in mixtures if contrast(found, on) >= minimum), target)


def _channels(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _luminance(color: str) -> float:
    """Return the relative luminance (WCAG 2.2, "relative luminance")."""
    parts = [channel / 255 for channel in _channels(color)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
