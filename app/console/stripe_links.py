"""Links to objects at Stripe: in its Dashboard, in test or live mode, or at the local Stripe's own pages."""

from functools import lru_cache
from urllib.parse import quote, urlsplit

from app.settings import Settings

DASHBOARD = "https://dashboard.stripe.com"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
SECTIONS = {  # of the Dashboard, by the prefix of the ID. Its search finds other objects.
    "cus": "customers",
    "sub": "subscriptions",
    "pi": "payments",
    "ch": "payments",
    "py": "payments",
    "in": "invoices",
    "dp": "disputes",
    "du": "disputes",
}


def url_of(settings: Settings, object_id: str) -> str:
    """Return the URL of the page about an object at Stripe."""
    pages = _pages(settings.stripe_url, settings.livemode)
    if not pages.startswith(DASHBOARD):
        return f"{pages}/?object={quote(object_id, safe='')}"
    section = SECTIONS.get(object_id.partition("_")[0])
    return f"{pages}/{section}/{object_id}" if section else f"{pages}/search?query={quote(object_id, safe='')}"


@lru_cache
def _pages(stripe_url: str, livemode: bool) -> str:
    """Return where the pages are: a reader's page has dozens of links to them."""
    if urlsplit(stripe_url).hostname in LOOPBACK:
        return stripe_url
    return DASHBOARD if livemode else f"{DASHBOARD}/test"
