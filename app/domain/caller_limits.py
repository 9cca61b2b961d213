"""How often one caller may do what is costly or allows guessing."""

from enum import StrEnum


class Limit(StrEnum):
    """What is limited. The settings have a rate for each, and problem documents name it."""

    STRIPE = "stripe"  # requests that call Stripe, by person
    PROMOTION_CODE = "promotion_code"  # checkouts with a promotion code, by person
    SEARCH = "search"  # searches for readers, by person
    SIGN_IN = "sign_in"  # returns from the identity provider, by address
    API_KEY = "api_key"  # wrong API keys, by address
    CANCELLATION = "cancellation"  # cancellations without a sign-in, by address and by email address
