"""Delays of issues: what readers of the print edition were told about a mail date, and what is expected now."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from app.domain.issues import Issue

TOLD_FROM = timedelta(days=7)  # a smaller delay is within what the mail takes


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueDelay:
    """The mail date that readers know of an issue, and the one that is planned now."""

    number: int
    title: str
    planned_on: date
    expected_on: date
    known_at: datetime  # policy time

    @property
    def is_told(self) -> bool:
        """Whether readers are told: it comes a week or more later than they know."""
        return self.expected_on - self.planned_on >= TOLD_FROM


def delay_of(before: Issue | None, after: Issue, known: IssueDelay | None, *, now: datetime) -> IssueDelay | None:
    """
    Return the delay that a change of an issue causes; None if its planned date stays, or it has been mailed.

    :param known: the delay so far. Readers who were told of it know its date.
    """
    if before is None or after.actual_mail_date is not None or before.planned_mail_date == after.planned_mail_date:
        return None
    known_date = before.planned_mail_date
    if known is not None:
        known_date = known.expected_on if known.is_told else known.planned_on
    return IssueDelay(
        number=after.number,
        title=after.title,
        planned_on=known_date,
        expected_on=after.planned_mail_date,
        known_at=now,
    )
