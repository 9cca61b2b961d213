"""Copies as they were printed on labels: the issue, the run and the address."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from app.domain.label_runs import LabelKind


@dataclass(frozen=True, slots=True, kw_only=True)
class SentCopy:
    """A copy of an issue for a subscription."""

    subscription_id: str
    issue_number: int
    title: str
    mail_date: date  # the actual mail date of the issue, else the planned one
    run_number: int  # 0: the run at the cut-off; otherwise the number of the supplement
    kind: str
    lines: Sequence[str]  # the address on the label; none: it was erased, or kept long enough

    @property
    def is_replacement(self) -> bool:
        """Whether it replaces a copy that did not arrive."""
        return self.kind == LabelKind.REPLACEMENT

    def is_mailed(self, today: date) -> bool:
        """Return whether it is in the mail, by the calendar."""
        return self.mail_date <= today
