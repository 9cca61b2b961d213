"""
The audit log: what an entry may contain, and the hash chain that reveals changed, removed and inserted entries.

An entry never changes, so it contains only IDs and codes. Free text may have to be erased, so it is stored outside the
chain. Each seal is a hash of an entry and the previous seal. Seals have their own sequence, because entries are not
committed in the order of their IDs.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from app.domain.reasons import LISTED_REASONS

GENESIS = "0" * 64  # the hash before the first seal
CHANGED, REMOVED, INSERTED = "changed", "removed", "inserted"

_CODE = re.compile(r"[a-z][a-z0-9_]*(:[a-z0-9_]+)?")
_LONGEST_CODE = 100  # characters
_OURS = frozenset({"policy", "stripe"})  # actors that are no people: their reasons are codes of ours or of Stripe's


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Who did what to which object, when and why, with the state before and after. Only IDs and codes, no free text."""

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
    """The seal of an entry, which fixes its content and its place in the chain."""

    seq: int  # from 1, without a gap
    audit_id: int
    hash: str
    previous: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """The first place where the chain is broken."""

    audit_id: int | None
    seq: int | None
    what: str  # changed, removed or inserted
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """A filter for entries. All given fields must match."""

    actor: str | None = None
    action: str | None = None  # exact, or a prefix with a star
    object_id: str | None = None
    subscriber_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def split_reason(
    reason: str | None, *, actor: str, listed: frozenset[str] = LISTED_REASONS
) -> tuple[str | None, str | None]:
    """Return the code that an entry stores as its reason, and the free text that is stored outside the chain."""
    if not reason:
        return None, None
    if len(reason) <= _LONGEST_CODE and (reason in listed or (actor in _OURS and _CODE.fullmatch(reason))):
        return reason, None
    code, colon, words = reason.partition(": ")
    if colon and code in listed:
        return code, words or None
    return None, reason


def join_reason(reason: str | None, words: str | None) -> str | None:
    """Return a code and free text as one string for people: the inverse of :func:`split_reason`."""
    return ": ".join(part for part in (reason, words) if part) or None


def digest(entry: Entry, *, seq: int, previous: str) -> str:
    """Return the hash of an entry at its place: SHA-256 over JSON with sorted keys, in UTF-8, as lower-case hex."""
    content = {
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
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def seal(entry: Entry, *, after: Seal | None) -> Seal:
    """Return the seal of an entry. ``after`` is the previous seal; None for the first entry."""
    seq, previous = (after.seq + 1, after.hash) if after else (1, GENESIS)
    return Seal(seq=seq, audit_id=entry.id, hash=digest(entry, seq=seq, previous=previous), previous=previous)


def find_break(found: Seal, entry: Entry | None, *, after: Seal | None) -> Break | None:
    """Return how a seal or its entry breaks the chain after the previous seal; None if it doesn't."""
    seq, previous = (after.seq + 1, after.hash) if after else (1, GENESIS)
    if found.seq != seq:
        return Break(audit_id=None, seq=seq, what=REMOVED, words=f"seal {seq} is missing")
    if entry is None:
        return Break(audit_id=found.audit_id, seq=seq, what=REMOVED, words=f"entry {found.audit_id} was removed")
    if found.previous != previous:
        words = (
            f"seal {seq} of entry {found.audit_id} does not match the previous seal: an entry was inserted or removed"
        )
        return Break(audit_id=found.audit_id, seq=seq, what=INSERTED, words=words)
    if found.hash != digest(entry, seq=seq, previous=previous):
        return Break(audit_id=found.audit_id, seq=seq, what=CHANGED, words=f"entry {found.audit_id} was changed")
    return None
