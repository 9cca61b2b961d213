"""The root of every refusal. An error lives beside its rule, knows no HTTP, and has a stable ``code``."""

from collections.abc import Mapping
from typing import ClassVar


class DomainError(Exception):
    """Something that the rules refuse. ``str()`` of it is a sentence a person can read; ``facts`` a program."""

    code: ClassVar[str]

    def __init__(self, detail: str = "", **facts: object) -> None:
        super().__init__(detail or (self.__doc__ or "").strip().splitlines()[0])
        self.facts: Mapping[str, object] = facts


class NotFound(DomainError):
    """There is no such thing, or it is another reader's."""

    code = "not_found"


class StripeUnavailable(DomainError):
    """Stripe could not be reached, or did not answer in time. Nothing was lost; try again."""

    code = "stripe_unavailable"


class StripeFault(StripeUnavailable):
    """Stripe answered with a fault of its own: whether anything happened has to be looked up."""


class StripeRefused(DomainError):
    """Stripe answered that this cannot be done."""

    code = "stripe_refused"
