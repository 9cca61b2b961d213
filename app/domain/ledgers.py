"""The ledger of a term: its bought, served and unserved issues. :mod:`app.domain.issues` computes it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """
    The issues of a term at a point in time. ``owed`` always equals ``served`` + ``unserved`` + ``cancelled``.

    :param adjustments: the added issues (an extension, a granted claim) minus the grace copies sent before the term.
    :param cancelled: the issues that are no longer owed, because the subscription ended early or the term was refunded.
    :param last_issue: the number of the issue that ends the term, if it is in the calendar and nothing was canceled.
    """

    invoice_id: str
    bought: int
    adjustments: int
    grace_copies: int  # copies sent before the term, as a positive number; part of the adjustments
    served: int
    unserved: int
    cancelled: int
    last_issue: int | None

    @property
    def owed(self) -> int:
        """Return all issues that the term owes, served or not."""
        return self.bought + self.adjustments

    @property
    def received(self) -> int:
        """Return the issues that the reader received for the term's payment, including grace copies."""
        return self.served + self.grace_copies

    @property
    def sold(self) -> int:
        """Return the issues that the term's payment covers, including grace copies."""
        return self.owed + self.grace_copies
