"""The secrets that detect-secrets doesn't know: API keys of Newsstand, and the signing secrets of Stripe's webhooks."""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class OwnSecretDetector(RegexBasedDetector):
    """Finds them by their prefix and length."""

    secret_type = "API key or webhook secret"
    denylist = (re.compile(r"\bnsk_[A-Za-z0-9]{42}\b"), re.compile(r"\bwhsec_[A-Za-z0-9+/=]{24,}"))
