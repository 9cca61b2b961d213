"""
The audit log: what an entry may contain, and the hash chain that reveals changed, removed and inserted entries.

An entry never changes, so it contains only IDs and codes. Free text may have to be erased, so it is stored outside the
chain, as a note with a random salt. The entry contains the salted hash of its note: a changed note is detected, and the
hash tells nothing about a note that was erased together with its salt. Each seal is a hash of an entry and the previous
seal. Seals have their own sequence, because entries are not committed in the order of their IDs.

An earlier release wrote the reader's ``sub`` into the actor of an entry. When a reader is erased, their subscriber's ID
replaces it, and an entry of the log vouches for the content of the replaced ones (:data:`ACTOR_REPLACED`).
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.domain.reasons import LISTED_REASONS

GENESIS = "0" * 64  # the hash before the first seal
CHANGED, REMOVED, INSERTED = "changed", "removed", "inserted"
READER = "reader:"  # prefix of the actor; the subscriber's ID follows, or the ``sub`` of who is no subscriber
ACTOR_REPLACED = "audit.actor_replaced"  # the action that vouches for entries: ``after`` has their hashes by ID

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
    note_hash: str | None = None  # None: without a note, or recorded by a release that did not hash notes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """The free text of an entry, stored outside the chain."""

    words: str
    salt: str | None  # hexadecimal; None: recorded by a release that did not hash notes


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
    actors: tuple[str, ...] = ()  # any of them
    subscriber_ids: tuple[str, ...] = ()  # any of them


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


def new_note(words: str) -> Note:
    """Return a note with a random salt, without which its hash can't be guessed."""
    return Note(words=words, salt=secrets.token_hex(16))


def note_hash(note: Note) -> str | None:
    """Return the hash of a note, keyed with its salt; None if it has no salt."""
    if note.salt is None:
        return None
    return hmac.digest(bytes.fromhex(note.salt), note.words.encode(), "sha256").hex()


def content_hash(entry: Entry) -> str:
    """Return the hash of an entry by itself, wherever its place in the chain is."""
    return _sha256(_content(entry))


def digest(entry: Entry, *, seq: int, previous: str) -> str:
    """Return the hash of an entry at its place: SHA-256 over JSON with sorted keys, in UTF-8, as lower-case hex."""
    return _sha256({**_content(entry), "seq": seq, "previous": previous})


def _content(entry: Entry) -> dict[str, object]:
    content: dict[str, object] = {
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
    }
    if entry.note_hash is not None:
        content["note_hash"] = entry.note_hash
    return content


def _sha256(content: Mapping[str, object]) -> str:
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
    # During an upgrade, a worker of the earlier release may seal an entry without the hash of its note.
    covered = (entry, replace(entry, note_hash=None))
    if all(found.hash != digest(one, seq=seq, previous=previous) for one in covered):
        return Break(audit_id=found.audit_id, seq=seq, what=CHANGED, words=f"entry {found.audit_id} was changed")
    return None


def find_changed_note(entry: Entry, note: Note | None) -> Break | None:
    """Return that a note is not the one that was recorded with the entry; None if it is, or if it was erased."""
    if note is None or (entry.note_hash is None and note.salt is None):
        return None
    if entry.note_hash is not None and note_hash(note) == entry.note_hash:
        return None
    return Break(audit_id=entry.id, seq=None, what=CHANGED, words=f"the note of entry {entry.id} was changed")
