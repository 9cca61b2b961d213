"""
The work queue: what staff have to look at, the most urgent first.

An item is not stored: it is in the queue for as long as its cause lasts. Only what staff said about it is stored: who works
on it, until when it sleeps, and a note. A sleeping item wakes up at its time, or earlier if it changes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.callers import NotAllowed, Role
from app.domain.errors import Conflict, Invalid

MOST_COUNTED = 99  # more are shown as "99+"
LONGEST_SNOOZE = timedelta(days=366)
LONGEST_NOTE = 2000  # characters


class ItemKind(StrEnum):
    """A kind of item, in the order of the queue."""

    DISPUTE = "dispute"  # open, by its evidence deadline
    REFUND_FAILED = "refund_failed"
    APPROVAL = "approval"
    FRAUD_WARNING = "fraud_warning"
    DISPUTE_CONCERN = "dispute_concern"  # a closed dispute that no rule covers
    CREDIT_NOTE = "credit_note"
    NOTIFICATION = "notification"  # a message that did not reach its reader
    DECLARATION = "declaration"  # a withdrawal or a cancellation that staff have to act on
    EVENT = "event"
    ANOMALY = "anomaly"


ROLES = dict.fromkeys(ItemKind, Role.SUPPORT) | {ItemKind.APPROVAL: Role.SUPERVISOR, ItemKind.EVENT: Role.ADMIN}
DISMISSIBLE = frozenset(
    {
        ItemKind.REFUND_FAILED,
        ItemKind.FRAUD_WARNING,
        ItemKind.DISPUTE_CONCERN,
        ItemKind.CREDIT_NOTE,
        ItemKind.NOTIFICATION,
        ItemKind.DECLARATION,
    }
)
"""The kinds that only a dismissal ends."""


class WorkItemChanged(Conflict):
    """Someone else changed this item in the meantime. Load it again."""

    code = "work_item_changed"
    title = "Item changed in the meantime"


class InvalidSnooze(Invalid):
    """An item can be snoozed until a time in the future, at most a year ahead."""

    code = "invalid_snooze"
    title = "Invalid snooze time"


class SnoozeAfterDeadline(Conflict):
    """A dispute can't be snoozed until after its evidence deadline."""

    code = "snooze_after_deadline"
    title = "Snooze ends after the deadline"


class UnknownAssignee(Invalid):
    """An item can be assigned only to a member of staff who has signed in to the console."""

    code = "unknown_assignee"
    title = "Unknown member of staff"


class AssigneeLacksRole(Conflict):
    """The member of staff doesn't have the role that the item requires."""

    code = "assignee_lacks_role"
    title = "The assignee lacks the role"


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """What staff said about an item."""

    version: int = 0  # 0: nothing yet
    assigned_to: str | None = None  # the `sub`
    snoozed_until: datetime | None = None
    snoozed_state: str | None = None  # the state of the item when it was snoozed
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkItem:
    """An item of the queue. :mod:`app.db.work_queue` says what ``code``, ``why`` and ``detail`` are for each kind."""

    id: str
    kind: ItemKind
    code: str
    why: str | None
    detail: str | None
    subscriber_id: str | None
    payment_id: str | None
    amount: int | None  # in minor units; without a currency, days or issues
    currency: str | None
    requested_by: str | None
    since: datetime
    due_by: datetime | None  # deadline for the evidence
    at: datetime | None  # its place among those of its kind; None: last
    state: str  # changes with the item
    marks: Marks

    def is_asleep(self, *, now: datetime) -> bool:
        """Return whether it is snoozed and unchanged."""
        until = self.marks.snoozed_until
        return until is not None and until > now and self.marks.snoozed_state == self.state


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A filter for items."""

    kinds: tuple[ItemKind, ...]
    asleep: bool = False  # only sleeping items, or only others
    assigned_to: str | None = None  # the `sub`
    unassigned: bool = False


def kinds_for(roles: Collection[str]) -> tuple[ItemKind, ...]:
    """Return the kinds of items that people with these roles may act on, in the order of the queue."""
    return tuple(kind for kind in ItemKind if ROLES[kind] in roles)


def require_role(kind: ItemKind, roles: Collection[str]) -> None:
    """
    Check that a person may act on items of a kind.

    :raises NotAllowed: they may not.
    """
    if ROLES[kind] not in roles:
        raise NotAllowed(f"This requires the role {ROLES[kind]}", role=ROLES[kind])


def check_version(marks: Marks, version: int) -> None:
    """
    Check that nobody changed an item since the caller read it.

    :raises WorkItemChanged: somebody did.
    """
    if marks.version != version:
        raise WorkItemChanged(version=marks.version)


def check_snooze(item: WorkItem, until: datetime, *, now: datetime) -> None:
    """
    Check until when an item is snoozed.

    :raises InvalidSnooze: the time has passed or is too far ahead.
    :raises SnoozeAfterDeadline: it is after the evidence deadline of a dispute.
    """
    if not now < until <= now + LONGEST_SNOOZE:
        raise InvalidSnooze
    if item.due_by is not None and now < item.due_by <= until:
        raise SnoozeAfterDeadline(due_by=item.due_by)


def bounded(count: int) -> str:
    """Return a count for a badge: at most "99+"."""
    return f"{MOST_COUNTED}+" if count > MOST_COUNTED else str(count)
