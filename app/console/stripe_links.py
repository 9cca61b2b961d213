"""Links to objects at Stripe: in its Dashboard, in test or live mode, or at the local Stripe's own pages."""

from urllib.parse import urlencode, urlsplit

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
    if urlsplit(settings.stripe_url).hostname in LOOPBACK:
        return f"{settings.stripe_url}/?{urlencode({'object': object_id})}"
    mode = DASHBOARD if settings.livemode else f"{DASHBOARD}/test"
    section = SECTIONS.get(object_id.partition("_")[0])
    return f"{mode}/{section}/{object_id}" if section else f"{mode}/search?{urlencode({'query': object_id})}"
