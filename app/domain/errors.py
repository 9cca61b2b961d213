"""
The base classes of the errors that the rules raise.

An error is declared beside its rule and knows nothing about HTTP. Its category, one of the direct subclasses of
:class:`DomainError`, decides the status of the response (``app/api/problems.py``).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import ClassVar


class DomainError(Exception):
    """
    A request that the rules refuse.

    ``code`` is stable and meant for programs; ``title`` is the same for all errors of a code. ``str()`` of an error is its
    detail, a sentence for people: by default the first line of the class's docstring. ``facts`` is the detail for programs.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    retry_after: timedelta | None = None  # None: trying again does not help

    def __init__(self, detail: str = "", **facts: object) -> None:
        super().__init__(detail or self.default_detail())
        self.facts: Mapping[str, object] = facts

    @classmethod
    def default_detail(cls) -> str:
        """Return the first line of the class's docstring; a single sentence without its final period."""
        line = (cls.__doc__ or "").strip().splitlines()[0]
        return line if ". " in line else line.removesuffix(".")


class MalformedRequest(DomainError):
    """The request can't be read."""


class Unauthenticated(DomainError):
    """The caller is not identified."""


class Forbidden(DomainError):
    """The caller is identified, but does not have permission."""


class NotFound(DomainError):
    """The object does not exist, or belongs to another reader."""

    code = "not_found"
    title = "Not found"


class Conflict(DomainError):
    """A rule refuses the request in the present state."""


class TooLarge(DomainError):
    """The request body is too large."""

    code = "body_too_large"
    title = "Request body too large"


class Invalid(DomainError):
    """A value in the request is invalid."""


class TooManyRequests(DomainError):
    """Too many requests. Try again later."""

    code = "too_many_requests"
    title = "Too many requests"

    def __init__(self, detail: str = "", *, retry_after: timedelta = timedelta(seconds=1), **facts: object) -> None:
        super().__init__(detail, **facts)
        self.retry_after = retry_after


class Unavailable(DomainError):
    """A system that is needed is unavailable. Trying again helps."""

    retry_after = timedelta(seconds=2)


class Overloaded(Unavailable):
    """The service is handling as many requests as it can. Try again."""

    code = "overloaded"
    title = "Too many requests in progress"


class DatabaseUnavailable(Unavailable):
    """The database is unavailable. Try again."""

    code = "database_unavailable"
    title = "Database unavailable"


class StripeUnavailable(Unavailable):
    """Stripe could not be reached or did not respond in time. Nothing was lost. Try again."""

    code = "stripe_unavailable"
    title = "Stripe unavailable"


class StripeFault(StripeUnavailable):
    """Stripe responded with a server error. Whether the request took effect is unknown and must be looked up."""


class StripeRefused(Conflict):
    """Stripe declined the request."""

    code = "stripe_refused"
    title = "Stripe declined the request"


class ConcurrentUpdate(Unavailable):
    """Too many concurrent changes to the same object. Try again."""

    code = "overtaken"
    title = "Too many concurrent changes"
