"""
Scheduled jobs, such as the end of a period, the retry of a payment or the expiry of a checkout session.

Each account has a queue for real time and one for each test clock. A job is a name and an object's ID. It checks the
object's current state first, so an obsolete job does nothing.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.store.accounts import Account

Job = Callable[["Account", str, int], None]
"""Takes the account, the object's ID and the time the job was due, in seconds since the epoch."""

JOBS: dict[str, Job] = {}


def job(name: str) -> Callable[[Job], Job]:
    """Register the job with this name."""

    def register(function: Job) -> Job:
        JOBS[name] = function
        return function

    return register


@dataclass
class Scheduler:
    """Scheduled jobs by test clock; None is real time."""

    _due: dict[str | None, list[tuple[int, int, str, str]]] = field(default_factory=dict)
    _order: "itertools.count[int]" = field(default_factory=itertools.count)

    def schedule(self, clock_id: str | None, at: int, name: str, object_id: str) -> None:
        """Schedule a job at a time, in seconds since the epoch."""
        heapq.heappush(self._due.setdefault(clock_id, []), (at, next(self._order), name, object_id))

    def pop_due(self, clock_id: str | None, until: int) -> tuple[int, str, str] | None:
        """Remove and return the first job due until a time, as time, name and object ID; None if there is none."""
        due = self._due.get(clock_id)
        if not due or due[0][0] > until:
            return None
        at, _, name, object_id = heapq.heappop(due)
        return at, name, object_id

    def clear(self, clock_id: str) -> None:
        """Remove all jobs of a test clock."""
        self._due.pop(clock_id, None)


def run_due(account: "Account") -> None:
    """Run the jobs that are due in real time."""
    while due := account.scheduler.pop_due(None, account.now()):
        at, name, object_id = due
        JOBS[name](account, object_id, at)
