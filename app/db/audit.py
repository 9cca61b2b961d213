"""
The audit log: what people and policies did to a reader's money or access. Entries are appended and never changed.

A worker adds entries to the hash chain (seals them) later, so that writers need not wait for one another. IDs are assigned
before the commit, so an entry may become visible after a later one was sealed. Unsealed entries are therefore listed in a
table of their own, and none is skipped.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    bindparam,
    cast,
    column,
    delete,
    exists,
    func,
    select,
    text,
    true,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.orm import aliased
from structlog.contextvars import get_contextvars

from app.db.engine.distinct import distinct
from app.db.engine.fast_reads import Reads
from app.db.engine.session import Session
from app.db.models import AuditEntry, AuditNote, AuditSeal, AuditUnsealed, Refund, Subscriber, table_of
from app.domain import audit as rules
from app.domain.audit import Entry, Note, Seal, Selection
from app.domain.history import LoggedAction

_ENTRIES, _NOTES = table_of(AuditEntry), table_of(AuditNote)
_OF_SUBSCRIBER = (
    select(_ENTRIES.c.at, _ENTRIES.c.actor, _ENTRIES.c.action, _ENTRIES.c.reason, _ENTRIES.c.object_id, _NOTES.c.words)
    .outerjoin(_NOTES, _NOTES.c.audit_id == _ENTRIES.c.id)
    .where(_ENTRIES.c.subscriber_id == bindparam("subscriber"))
    .order_by(_ENTRIES.c.id.desc())
    .limit(bindparam("most", type_=Integer))
)
MAX_REPLACED = 200  # entries that one entry vouches for
_LOCK_CHAIN = text("SELECT pg_advisory_xact_lock(hashtextextended('newsstand: the end of the audit chain', 0))")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEntry:
    """An entry with its note and its hash; no hash until it is sealed."""

    entry: Entry
    note: str | None
    hash: str | None
    currency: str | None = None  # of a refund


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

    :param actor: ``reader:<sub>``, ``staff:<sub>``, ``operator:<user>``, ``key:<id>``, ``stripe`` or ``policy``. A
        subscriber is recorded as ``reader:<their ID>``, because a ``sub`` could not be erased.
    :param reason: a code. Free text, or the text after a code and a colon, becomes the note.
    :param note: free text. Only its salted hash is part of the chain, so it can be erased.
    :param before: like ``after``, only IDs, codes, times and numbers: no names, addresses or free text.
    """
    request_id = get_contextvars().get("request_id")
    code, words = rules.split_reason(reason, actor=actor)
    joined = rules.join_reason(words, note)
    kept_apart = rules.new_note(joined) if joined else None
    entry = AuditEntry(
        actor=await _recorded_actor(session, actor),
        action=action,
        object_id=object_id,
        subscriber_id=subscriber_id,
        reason=code,
        before=dict(before) if before is not None else None,
        after=dict(after) if after is not None else None,
        request_id=str(request_id) if request_id is not None else None,
        note_hash=rules.note_hash(kept_apart) if kept_apart is not None else None,
    )
    session.add(entry)
    await session.flush()
    if kept_apart is not None:
        session.add(AuditNote(audit_id=entry.id, words=kept_apart.words, salt=kept_apart.salt))
        await session.flush()


async def _recorded_actor(session: Session, actor: str) -> str:
    """Return the actor with a subscriber's ID instead of their ``sub``."""
    kind, sub = actor[: len(rules.READER)], actor[len(rules.READER) :]
    if kind != rules.READER:
        return actor
    subscriber_id = await session.scalar(select(Subscriber.id).where(Subscriber.sub == sub))
    return f"{rules.READER}{subscriber_id}" if subscriber_id is not None else actor


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
    """Return the selected entries before the one with an ID, newest first."""
    found = (await _newest(session, wanted, before=before, limit=limit)).subquery()
    rows = await session.execute(
        select(AuditEntry, AuditNote.words, AuditSeal.hash, Refund.currency)
        .join(found, found.c.id == AuditEntry.id)
        .outerjoin(AuditNote, AuditNote.audit_id == AuditEntry.id)
        .outerjoin(AuditSeal, AuditSeal.audit_id == AuditEntry.id)
        .outerjoin(Refund, Refund.id == AuditEntry.object_id)
        .order_by(AuditEntry.at.desc(), AuditEntry.id.desc())
    )
    return [
        ListedEntry(entry=_entry(row), note=words, hash=hash_.hex() if hash_ is not None else None, currency=currency)
        for row, words, hash_, currency in rows
    ]


async def _newest(session: Session, wanted: Selection, *, before: int | None, limit: int) -> "Select[int]":
    """
    Return a query for the IDs of the selected entries.

    An index is in the order of time only for one actor and one action, so those of several are merged.
    """
    newest = (AuditEntry.at.desc(), AuditEntry.id.desc())
    query = select(AuditEntry.id, AuditEntry.at).where(*_conditions(wanted))
    if before is not None:
        cursor = aliased(AuditEntry)
        position = select(cursor.at).where(cursor.id == before).scalar_subquery()
        query = query.where(tuple_(AuditEntry.at, AuditEntry.id) < tuple_(position, before))
    actors: list[str | None] = [None]
    if wanted.actor is not None:  # entries of an earlier release have the ``sub``
        actors = list(dict.fromkeys([wanted.actor, await _recorded_actor(session, wanted.actor)]))
    elif wanted.actors:
        actors = list(wanted.actors)
    by_actor = actors != [None]
    about = wanted.object_id is not None or wanted.subscriber_id is not None or bool(wanted.subscriber_ids)  # few
    if about or (not by_actor and wanted.action is None):
        found = query.where(_matches(wanted.action)) if wanted.action is not None else query
        found = found.where(AuditEntry.actor.in_(actors)) if by_actor else found
        return found.order_by(*newest).limit(limit).with_only_columns(AuditEntry.id)
    pairs = [(actor, action) for actor in actors for action in await _actions(session, actor, wanted.action)]
    given = func.unnest(
        bindparam(None, [actor for actor, _ in pairs], type_=ARRAY(TEXT)),
        bindparam(None, [action for _, action in pairs], type_=ARRAY(TEXT)),
    )
    kinds = given.table_valued(column("actor", TEXT), column("action", TEXT), name="kinds").render_derived()
    each = query.where(AuditEntry.action == kinds.c.action)
    if by_actor:
        each = each.where(AuditEntry.actor == kinds.c.actor)
    of_kind = each.order_by(*newest).limit(limit).lateral("of_kind")
    order = (of_kind.c.at.desc(), of_kind.c.id.desc())
    return select(of_kind.c.id).select_from(kinds.join(of_kind, true())).order_by(*order).limit(limit)


async def _actions(session: Session, actor: str | None, wanted: str | None) -> list[str]:
    """Return the actions that are wanted, of one actor or of all."""
    if wanted is not None and not wanted.endswith("*"):
        return [wanted]
    found = await distinct(session, AuditEntry.action, *([AuditEntry.actor == actor] if actor is not None else ()))
    return [one for one in found if one.startswith((wanted or "").removesuffix("*"))]


def _matches(action: str) -> ColumnElement[bool]:
    if action.endswith("*"):
        return AuditEntry.action.startswith(action[:-1], autoescape=True)
    return AuditEntry.action == action


def _conditions(wanted: Selection) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.object_id is not None:
        found.append(AuditEntry.object_id == wanted.object_id)
    if wanted.subscriber_id is not None:
        found.append(AuditEntry.subscriber_id == wanted.subscriber_id)
    if wanted.subscriber_ids:
        found.append(AuditEntry.subscriber_id.in_(wanted.subscriber_ids))
    if wanted.since is not None:
        found.append(AuditEntry.at >= wanted.since)
    if wanted.until is not None:
        found.append(AuditEntry.at < wanted.until)
    return found


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
    session.add_all(_seal_row(one) for one in sealed)
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


async def chain(session: Session, *, after: int, limit: int) -> list[tuple[Seal, Entry | None, Note | None]]:
    """Return the seals after a sequence number with their entries and notes; None for a missing one."""
    rows = await session.execute(
        select(AuditSeal, AuditEntry, AuditNote)
        .outerjoin(AuditEntry, AuditEntry.id == AuditSeal.audit_id)
        .outerjoin(AuditNote, AuditNote.audit_id == AuditSeal.audit_id)
        .where(AuditSeal.seq > after)
        .order_by(AuditSeal.seq)
        .limit(limit)
    )
    return [
        (
            _seal(row),
            _entry(entry) if entry is not None else None,
            Note(words=note.words, salt=note.salt) if note is not None else None,
        )
        for row, entry, note in rows
    ]


async def replace_actor(session: Session, sub: str, *, subscriber_id: str, by: str) -> None:
    """
    Replace the actor ``reader:<sub>`` of entries by the subscriber's ID, and record the hashes of the replaced entries.

    The database allows no other change of an entry, and only through this function of its owner's.
    """
    replaced = await session.scalars(
        text("SELECT replace_audit_actor(:sub, :subscriber_id)"), {"sub": sub, "subscriber_id": subscriber_id}
    )
    all_ids = sorted(replaced)
    for ids in (all_ids[at : at + MAX_REPLACED] for at in range(0, len(all_ids), MAX_REPLACED)):
        rows = await session.scalars(
            select(AuditEntry).where(AuditEntry.id.in_(ids)), execution_options={"populate_existing": True}
        )
        await record(
            session,
            actor=by,
            action=rules.ACTOR_REPLACED,
            object_id=subscriber_id,
            subscriber_id=subscriber_id,
            after={"entries": {str(row.id): rules.content_hash(_entry(row)) for row in rows}},
        )


async def vouched_for(session: Session, entry: Entry) -> bool:
    """Return whether the log has an entry that replaced the actor of this one, and left it with its present content."""
    reader_id = entry.actor.removeprefix(rules.READER)
    found = await session.scalars(
        select(AuditEntry.after).where(AuditEntry.object_id == reader_id, AuditEntry.action == rules.ACTOR_REPLACED)
    )
    return any(
        one is not None and one.get("entries", {}).get(str(entry.id)) == rules.content_hash(entry) for one in found
    )


async def count_of(session: Session, subscriber_id: str) -> int:
    """Return the number of entries about a subscriber."""
    about = select(func.count()).select_from(AuditEntry).where(AuditEntry.subscriber_id == subscriber_id)
    return await session.scalar(about) or 0


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
    return Seal(seq=row.seq, audit_id=row.audit_id, hash=row.hash.hex(), previous=row.previous.hex())


def _seal_row(seal: Seal) -> AuditSeal:
    return AuditSeal(
        seq=seal.seq,
        audit_id=seal.audit_id,
        hash=bytes.fromhex(seal.hash),
        previous=bytes.fromhex(seal.previous),
    )


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
        note_hash=row.note_hash,
    )
