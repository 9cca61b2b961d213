"""
What falls due on a clock: the end of a period, a draft that is finalised, a retry, a session that expires.

Each account has one agenda for real time and one for each test clock. Something due is an action's name and an
object's id; an action looks at the object afresh, so what is no longer due does nothing.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.store.accounts import Account

Job = Callable[["Account", str, int], None]
"""Takes the account, the object's id and the second it fell due."""

JOBS: dict[str, Job] = {}


def job(name: str) -> Callable[[Job], Job]:
    """Register what is done when something of this name falls due."""

    def register(function: Job) -> Job:
        JOBS[name] = function
        return function

    return register


@dataclass
class Scheduler:
    """Everything that is due at some time, by clock; None is real time."""

    _due: dict[str | None, list[tuple[int, int, str, str]]] = field(default_factory=dict)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)

    def schedule(self, clock_id: str | None, at: int, name: str, object_id: str) -> None:
        """Have an action done when the clock reaches a time, in seconds since the epoch."""
        heapq.heappush(self._due.setdefault(clock_id, []), (at, next(self._order), name, object_id))

    def pop_due(self, clock_id: str | None, until: int) -> tuple[int, str, str] | None:
        """Take out the first thing due until a time, as time, action and object; None if there is nothing."""
        due = self._due.get(clock_id)
        if not due or due[0][0] > until:
            return None
        at, _, name, object_id = heapq.heappop(due)
        return at, name, object_id

    def clear(self, clock_id: str) -> None:
        """Drop all that is due on a clock."""
        self._due.pop(clock_id, None)


def run_due(account: "Account") -> None:
    """Do what has fallen due in real time."""
    while due := account.scheduler.pop_due(None, account.now()):
        at, name, object_id = due
        JOBS[name](account, object_id, at)
