"""The page that explains the keyboard is complete, and reached from every page."""

import re

from app.console.keyboard import SHORTCUTS
from app.console.templating import FOLDER
from tests.console.conftest import OpenConsole


def test_every_key_of_the_pages_is_explained() -> None:
    used = {
        key for page in FOLDER.glob("templates/*.html") for key in re.findall(r'data-shortcut="(.)"', page.read_text())
    }
    explained = {key for _, keys in SHORTCUTS for key, _ in keys}
    assert used
    assert used <= explained


async def test_every_page_links_to_the_keyboard_help(open_console: OpenConsole) -> None:
    robin = await open_console("agent@example.com")
    front = await robin.open("/")
    assert "Keyboard shortcuts" in front.text
    page = await robin.open("/keyboard")
    assert page.status == 200
    assert "Refund the latest payment" in page.text
