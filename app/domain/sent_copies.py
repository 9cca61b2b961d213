"""Copies as they were printed on labels: the issue, the run and the address."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from app.domain.label_runs import LabelKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCopy:
    """A copy of an issue for a subscription."""

    subscription_id: str
    issue_number: int
    title: str
    mail_date: (
        date  # the actual mail date of the issue, else the planned one; of a supplement's copy, not before its own
    )
    run_number: int  # 0: the run at the cut-off; otherwise the number of the supplement
    kind: str
    address_id: str
    lines: Sequence[str]  # the address on the label; none: it was erased, or kept long enough
    claimed: bool = False
    lost: bool = False  # whether it was granted that it did not arrive

    @property
    def extra(self) -> str:
        """What it is besides the copy that the subscription owed; empty: it is that copy, which can be claimed."""
        return {LabelKind.REPLACEMENT: "replacement", LabelKind.BACK_ISSUE: "back issue"}.get(LabelKind(self.kind), "")

    def is_mailed(self, today: date) -> bool:
        """Return whether it is in the mail, by the calendar."""
        return self.mail_date <= today

    def may_be_claimed(self, today: date, *, days: int) -> bool:
        """
        Return whether it can be claimed today: see :func:`app.domain.claims.check_claim`.

        :param days: for how many days after it was mailed a copy can be claimed.
        """
        is_in_time = self.is_mailed(today) and today <= self.mail_date + timedelta(days=days)
        return is_in_time and not self.extra and not self.claimed


def first_received(copies: Iterable[SentCopy]) -> date | None:
    """
    Return when the first copy was mailed that a subscription owed and that was not lost in the mail; None: none was.

    A replacement counts when it is mailed. A back issue is not the beginning of what was subscribed to.
    """
    return min(
        (
            copy.mail_date
            for copy in copies
            if copy.kind == LabelKind.REPLACEMENT or (copy.kind == LabelKind.COPY and not copy.lost)
        ),
        default=None,
    )
