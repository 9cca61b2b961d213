"""
The audit log: what people and policies did to a reader's money or access. Entries are appended and never changed.

A worker adds entries to the hash chain (seals them) later, so that writers need not wait for one another. IDs are assigned
before the commit, so an entry may become visible after a later one was sealed. Unsealed entries are therefore listed in a
table of their own, and none is skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import BigInteger, Integer, String, bindparam, cast, delete, exists, func, select, text, update
from structlog.contextvars import get_contextvars

from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session
from app.db.models import AuditEntry, AuditNote, AuditSeal, AuditUnsealed, table_of
from app.domain import audit as rules
from app.domain.audit import Entry, Seal, Selection
from app.domain.history import LoggedAction

_ENTRIES, _NOTES = table_of(AuditEntry), table_of(AuditNote)
_OF_SUBSCRIBER = (
    select(_ENTRIES.c.at, _ENTRIES.c.actor, _ENTRIES.c.action, _ENTRIES.c.reason, _ENTRIES.c.object_id, _NOTES.c.words)
    .outerjoin(_NOTES, _NOTES.c.audit_id == _ENTRIES.c.id)
    .where(_ENTRIES.c.subscriber_id == bindparam("subscriber"))
    .order_by(_ENTRIES.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)
_LOCK_CHAIN = text("SELECT pg_advisory_xact_lock(hashtextextended('newsstand: the end of the audit chain', 0))")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEntry:
    """An entry with its note and its hash; no hash until it is sealed."""

    entry: Entry
    note: str | None
    hash: str | None


async def record(
    session: Session,
    *,
    actor: str,
    action: str,
    object_id: str,
    subscriber_id: str | None = None,
    reason: str | None = None,
    note: str | None = None,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """
    Append an entry, in the transaction of the action itself.

    :param actor: ``reader:<sub>``, ``staff:<sub>``, ``operator:<user>``, ``key:<id>``, ``stripe`` or ``policy``.
    :param reason: a code. Free text, or the text after a code and a colon, becomes the note.
    :param note: free text. It is not part of the chain and can be erased.
    :param before: like ``after``, only IDs, codes, times and numbers: no names, addresses or free text.
    """
    request_id = get_contextvars().get("request_id")
    code, words = rules.split_reason(reason, actor=actor)
    entry = AuditEntry(
        actor=actor,
        action=action,
        object_id=object_id,
        subscriber_id=subscriber_id,
        reason=code,
        before=dict(before) if before is not None else None,
        after=dict(after) if after is not None else None,
        request_id=str(request_id) if request_id is not None else None,
    )
    session.add(entry)
    await session.flush()
    if joined := rules.join_reason(words, note):
        session.add(AuditNote(audit_id=entry.id, words=joined))
        await session.flush()


async def list_for_subscriber(session: Reads, subscriber_id: str, *, limit: int = 500) -> list[LoggedAction]:
    """Return the newest entries about a subscriber."""
    rows = await session.execute(_OF_SUBSCRIBER, {"subscriber": subscriber_id, "most": limit})
    return [
        LoggedAction(
            at=row.at,
            actor=row.actor,
            action=row.action,
            reason=rules.join_reason(row.reason, row.words),
            about=row.object_id,
        )
        for row in rows
    ]


async def page(session: Session, wanted: Selection, *, before: int | None, limit: int) -> list[ListedEntry]:
    """Return the selected entries before an ID, newest first."""
    query = (
        select(AuditEntry, AuditNote.words, AuditSeal.hash)
        .outerjoin(AuditNote, AuditNote.audit_id == AuditEntry.id)
        .outerjoin(AuditSeal, AuditSeal.audit_id == AuditEntry.id)
        .order_by(AuditEntry.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(AuditEntry.id < before)
    if wanted.actor is not None:
        query = query.where(AuditEntry.actor == wanted.actor)
    if wanted.action is not None and wanted.action.endswith("*"):
        query = query.where(AuditEntry.action.startswith(wanted.action[:-1], autoescape=True))
    elif wanted.action is not None:
        query = query.where(AuditEntry.action == wanted.action)
    if wanted.object_id is not None:
        query = query.where(AuditEntry.object_id == wanted.object_id)
    if wanted.subscriber_id is not None:
        query = query.where(AuditEntry.subscriber_id == wanted.subscriber_id)
    if wanted.since is not None:
        query = query.where(AuditEntry.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(AuditEntry.at < wanted.until)
    return [
        ListedEntry(entry=_entry(row), note=words, hash=hash_) for row, words, hash_ in await session.execute(query)
    ]


async def seal(session: Session, *, limit: int) -> int:
    """Seal up to ``limit`` entries, and return their number. Only one transaction at a time seals."""
    await session.execute(_LOCK_CHAIN)
    waiting = select(AuditUnsealed.id).where(AuditUnsealed.due_at.is_not(None)).limit(limit)
    ids = sorted(int(one) for one in await session.scalars(waiting.order_by(AuditUnsealed.due_at)))
    if not ids:
        return 0
    rows = await session.scalars(select(AuditEntry).where(AuditEntry.id.in_(ids)).order_by(AuditEntry.id))
    last, sealed = await head(session), []
    for row in rows:
        last = rules.seal(_entry(row), after=last)
        sealed.append(last)
    session.add_all(
        AuditSeal(seq=one.seq, audit_id=one.audit_id, hash=one.hash, previous=one.previous) for one in sealed
    )
    await session.flush()
    done = [str(one.audit_id) for one in sealed]
    await session.execute(delete(AuditUnsealed).where(AuditUnsealed.id.in_(done)))
    gone = {str(one) for one in ids} - set(done)  # deleted before it was sealed: its row stays as evidence
    await session.execute(update(AuditUnsealed).where(AuditUnsealed.id.in_(gone)).values(due_at=None))
    return len(ids)


async def head(session: Session) -> Seal | None:
    """Return the newest seal."""
    row = await session.scalar(select(AuditSeal).order_by(AuditSeal.seq.desc()).limit(1))
    return _seal(row) if row is not None else None


async def chain(session: Session, *, after: int, limit: int) -> list[tuple[Seal, Entry | None]]:
    """Return the seals after a sequence number with their entries; None for a missing entry."""
    rows = await session.execute(
        select(AuditSeal, AuditEntry)
        .outerjoin(AuditEntry, AuditEntry.id == AuditSeal.audit_id)
        .where(AuditSeal.seq > after)
        .order_by(AuditSeal.seq)
        .limit(limit)
    )
    return [(_seal(row), _entry(entry) if entry is not None else None) for row, entry in rows]


async def find_unlisted(session: Session) -> int | None:
    """Return the first entry that is neither sealed nor listed as unsealed. Scans the whole log."""
    sealed = exists().where(AuditSeal.audit_id == AuditEntry.id)
    waits = exists().where(AuditUnsealed.id == cast(AuditEntry.id, String))
    return await session.scalar(select(AuditEntry.id).where(~sealed, ~waits).order_by(AuditEntry.id).limit(1))


async def find_missing(session: Session) -> int | None:
    """Return the first entry that is listed as unsealed but missing."""
    number = cast(AuditUnsealed.id, BigInteger)
    there = exists().where(AuditEntry.id == number)
    return await session.scalar(select(number).where(~there).order_by(number).limit(1))


async def count_unsealed(session: Session) -> int:
    """Return the number of unsealed entries."""
    return await session.scalar(select(func.count()).select_from(AuditUnsealed)) or 0


def _seal(row: AuditSeal) -> Seal:
    return Seal(seq=row.seq, audit_id=row.audit_id, hash=row.hash, previous=row.previous)


def _entry(row: AuditEntry) -> Entry:
    return Entry(
        id=row.id,
        at=row.at,
        actor=row.actor,
        action=row.action,
        object_id=row.object_id,
        subscriber_id=row.subscriber_id,
        reason=row.reason,
        before=row.before,
        after=row.after,
        request_id=row.request_id,
    )
