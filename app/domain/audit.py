"""
The audit log's rules: what an entry may hold, and the chain that shows when one was changed, removed or put in.

An entry never changes, so it holds ids and codes only: what a person wrote in their own words may have to be erased, and
stands beside the chain. Each seal is a hash over one entry and the seal before it. Seals have a sequence of their own,
because entries commit in another order than they get their ids in.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.reasons import LISTED_REASONS

GENESIS = "0" * 64  # what the first seal follows on
CHANGED, REMOVED, INSERTED = "changed", "removed", "inserted"

_CODE = re.compile(r"[a-z][a-z0-9_]*(:[a-z0-9_]+)?")
_LONGEST_CODE = 100  # characters
_OURS = frozenset({"policy", "stripe"})  # actors that are no people: their reasons are codes of ours or of Stripe's


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Who did what, when, to what, why, with what before and after. Ids and codes, no words of people."""

    id: int
    at: datetime
    actor: str
    action: str
    object_id: str
    subscriber_id: str | None
    reason: str | None
    before: Mapping[str, object] | None
    after: Mapping[str, object] | None
    request_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """What fixes one entry and its place in the chain."""

    seq: int  # from 1, without a gap
    audit_id: int
    hash: str
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The first place where the log is not as it was written."""

    audit_id: int | None
    seq: int | None
    what: str  # changed, removed or inserted
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Entries that match all that is given."""

    actor: str | None = None
    action: str | None = None  # whole, or its beginning and a star
    object_id: str | None = None
    subscriber_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def split_reason(
    reason: str | None, *, actor: str, listed: frozenset[str] = LISTED_REASONS
) -> tuple[str | None, str | None]:
    """Return the code that an entry keeps as its reason, and the words that stand beside it."""
    if not reason:
        return None, None
    if len(reason) <= _LONGEST_CODE and (reason in listed or (actor in _OURS and _CODE.fullmatch(reason))):
        return reason, None
    code, colon, words = reason.partition(": ")
    if colon and code in listed:
        return code, words or None
    return None, reason


def join_reason(reason: str | None, words: str | None) -> str | None:
    """Return a code and somebody's words as people read them; :func:`split_reason` parts them again."""
    return ": ".join(part for part in (reason, words) if part) or None


def digest(entry: Entry, *, seq: int, previous: str) -> str:
    """Return the hash of an entry at its place: SHA-256 over JSON with sorted keys, in UTF-8, as lower-case hex."""
    told = {
        "id": entry.id,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": entry.actor,
        "action": entry.action,
        "object_id": entry.object_id,
        "subscriber_id": entry.subscriber_id,
        "reason": entry.reason,
        "before": entry.before,
        "after": entry.after,
        "request_id": entry.request_id,
        "seq": seq,
        "previous": previous,
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def seal(entry: Entry, *, after: Seal | None) -> Seal:
    """Return the seal of an entry that follows on another; None: on nothing."""
    seq, previous = (after.seq + 1, after.hash) if after else (1, GENESIS)
    return Seal(seq=seq, audit_id=entry.id, hash=digest(entry, seq=seq, previous=previous), previous=previous)


def find_break(found: Seal, entry: Entry | None, *, after: Seal | None) -> Break | None:
    """Return what is wrong with a seal that was found after another, and with its entry; None: nothing."""
    seq, previous = (after.seq + 1, after.hash) if after else (1, GENESIS)
    if found.seq != seq:
        return Break(audit_id=None, seq=seq, what=REMOVED, words=f"seal {seq} is not there")
    if entry is None:
        return Break(audit_id=found.audit_id, seq=seq, what=REMOVED, words=f"entry {found.audit_id} was removed")
    if found.previous != previous:
        words = (
            f"seal {seq}, of entry {found.audit_id}, does not follow on the one before it: one was put in or taken out"
        )
        return Break(audit_id=found.audit_id, seq=seq, what=INSERTED, words=words)
    if found.hash != digest(entry, seq=seq, previous=previous):
        return Break(audit_id=found.audit_id, seq=seq, what=CHANGED, words=f"entry {found.audit_id} was changed")
    return None
