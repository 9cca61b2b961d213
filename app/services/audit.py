"""The audit log: listed, sealed into a hash chain, and verified."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.context import Context, DatabaseContext
from app.db import audit, reader_search, staff_members
from app.db.audit import ListedEntry
from app.domain.audit import CHANGED, GENESIS, INSERTED, REMOVED, Break, Seal, Selection, find_break, find_changed_note
from app.domain.pages import Page, page_of
from app.domain.reader_names import terms_of
from app.domain.reader_search import Filters
from app.domain.staff_members import MOST_STAFF, STAFF

BATCH_SIZE = 1000  # entries in one transaction
READER_PREFIX = "rdr_"
MOST_READERS = reader_search.MATCHES  # people that a name may mean
PROGRAMS = frozenset({"policy", "stripe"})  # actors that are no people


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The result of verifying the whole chain."""

    sealed: int  # entries that are unchanged
    replaced: int  # entries of these whose actor was replaced when a reader was erased
    waiting: int  # recent entries that are not in the chain yet
    head: str  # the hash of the last seal that is valid
    holds: bool  # whether the chain contains the hash that was kept elsewhere
    broken: Break | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundEntries(Page[ListedEntry]):
    """A page of entries. ``is_cut``: more readers may be meant than were searched for."""

    is_cut: bool = False


async def page(ctx: DatabaseContext, selection: Selection, *, after: int | None, limit: int) -> Page[ListedEntry]:
    """Return selected entries, the newest first."""
    async with ctx.sessions.begin() as session:
        found = await audit.page(session, selection, before=after, limit=limit + 1)
    return page_of(found, limit, cursor=lambda listed: str(listed.entry.id))


async def search(
    ctx: Context, wanted: Selection, *, staff: str | None, reader: str | None, after: int | None, limit: int
) -> FoundEntries:
    """
    Return selected entries by people, the newest first.

    :param staff: a part of a name, the beginning of an email address, a ``sub``, or an actor such as ``staff:user-7`` or
        ``policy``.
    :param reader: what the search for readers finds, or the ID of any object.
    """
    is_cut = False
    if staff:
        wanted = replace(wanted, actors=await _actors(ctx, staff))
    if reader and reader.startswith(READER_PREFIX):  # maybe erased
        wanted = replace(wanted, subscriber_ids=(reader,))
    elif reader:
        ids, is_cut = await _readers(ctx, reader)
        wanted = replace(wanted, subscriber_ids=ids) if ids else replace(wanted, object_id=reader)
    found = await page(ctx, wanted, after=after, limit=limit)
    return FoundEntries(items=found.items, next=found.next, is_cut=is_cut)


async def _readers(ctx: Context, text: str) -> tuple[tuple[str, ...], bool]:
    """
    Return the readers that a text means, and whether there may be more.

    They have a complete value such as an email address, or its beginning; else names with all the words.
    """
    read = ctx.reads
    found = [reader for reader, _ in await reader_search.by_value(read, text)]
    is_cut = len(found) >= reader_search.EMAILS
    words = sorted(terms_of(text), key=len, reverse=True)
    if not found and words:
        now = ctx.clock.real()  # only filters depend on it, and none is set
        named = await reader_search.by_names(read, [[word] for word in words], Filters(), card=None, now=now)
        found, is_cut = [one.id for one in named.candidates], named.is_cut
    return tuple(dict.fromkeys(found[:MOST_READERS])), is_cut


async def _actors(ctx: Context, text: str) -> tuple[str, ...]:
    """Return the actors that a text means."""
    if text in PROGRAMS:
        return (text,)
    members = await staff_members.newest(ctx.reads, limit=MOST_STAFF)
    found = tuple(f"{STAFF}{one.sub}" for one in members if one.is_meant_by(text))
    return found or ((text, f"{STAFF}{text}") if ":" in text else (f"{STAFF}{text}",))


async def seal(ctx: DatabaseContext) -> None:
    """Add all committed entries that are not in the chain yet."""
    sealed = BATCH_SIZE
    while sealed == BATCH_SIZE:
        async with ctx.sessions.begin() as session:
            sealed = await audit.seal(session, limit=BATCH_SIZE)


async def verify(
    ctx: DatabaseContext, *, known_hash: str | None = None, progress: Callable[[int], None]
) -> Verification:
    """
    Verify the chain from its first entry to its last, and stop at the first break.

    :param known_hash: a former head that was kept elsewhere. The owner of the tables can write a new chain or cut off its
        end, but no other chain contains that hash.
    :param progress: called with the number of entries that were verified so far.
    """
    last: Seal | None = None
    found: Break | None = None
    holds, replaced = known_hash in (None, GENESIS), 0
    while found is None:
        async with ctx.sessions.begin() as session:
            batch = await audit.chain(session, after=last.seq if last else 0, limit=BATCH_SIZE)
        if not batch:
            break
        for seal, entry, note in batch:
            found = find_break(seal, entry, after=last)
            if found is not None and found.what == CHANGED and entry is not None:
                async with ctx.sessions.begin() as session:
                    if await audit.vouched_for(session, entry):
                        found, replaced = None, replaced + 1
            if found is None and entry is not None:
                found = find_changed_note(entry, note)
            if found is not None:
                break
            last, holds = seal, holds or seal.hash == known_hash
        progress(last.seq if last else 0)
    async with ctx.sessions.begin() as session:
        waiting = await audit.count_unsealed(session)
        if found is None:
            found = _outside_the_chain(await audit.find_unlisted(session), await audit.find_missing(session))
    head = last.hash if last else GENESIS
    sealed = last.seq if last else 0
    return Verification(sealed=sealed, replaced=replaced, waiting=waiting, head=head, holds=holds, broken=found)


def _outside_the_chain(inserted: int | None, removed: int | None) -> Break | None:
    if inserted is not None:
        words = f"entry {inserted} was inserted: it is not in the chain and not pending"
        return Break(audit_id=inserted, seq=None, what=INSERTED, words=words)
    if removed is not None:
        words = f"entry {removed} was removed before it was sealed"
        return Break(audit_id=removed, seq=None, what=REMOVED, words=words)
    return None
