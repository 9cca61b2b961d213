"""The audit log: sealed as it grows, read, and verified from its first entry to its last."""

from collections.abc import Callable
from dataclasses import dataclass

from app.context import DatabaseContext
from app.db import audit
from app.db.audit import Listed
from app.domain.audit import GENESIS, INSERTED, REMOVED, Break, Seal, Selection, find_break

AT_ONCE = 1000  # entries that one transaction seals or verifies


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some of a list, and where it goes on."""

    found: list[Listed]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What came of a look at the whole chain."""

    sealed: int  # entries that were found as they were written
    waiting: int  # were written just now, and have no seal yet
    head: str  # the hash of the last seal that holds
    holds: bool  # whether the chain goes through the hash that was kept elsewhere
    broken: Break | None


async def page(ctx: DatabaseContext, wanted: Selection, *, after: int | None, limit: int) -> Page:
    """Return selected entries, the newest first, that come after another in that order."""
    async with ctx.sessions.begin() as session:
        found = await audit.page(session, wanted, before=after, limit=limit + 1)
    return Page(found=found[:limit], next=str(found[limit - 1].entry.id) if len(found) > limit else None)


async def seal(ctx: DatabaseContext, _: str = "") -> None:
    """Seal all entries that can be seen and have no seal, whichever of them it was called for."""
    done = AT_ONCE
    while done == AT_ONCE:
        async with ctx.sessions.begin() as session:
            done = await audit.seal(session, limit=AT_ONCE)


async def verify(ctx: DatabaseContext, *, kept: str | None = None, progress: Callable[[int], None]) -> Verified:
    """
    Look at the whole chain, a batch at a time, and stop at the first break.

    :param kept: a hash that was the head once, and was kept elsewhere: who owns the tables can write a whole new chain,
        or cut off its end, but none that goes through it.
    :param progress: is told how many hold so far.
    """
    last: Seal | None = None
    found: Break | None = None
    holds = kept in (None, GENESIS)
    while found is None:
        async with ctx.sessions.begin() as session:
            batch = await audit.chain(session, after=last.seq if last else 0, limit=AT_ONCE)
        if not batch:
            break
        for seal, entry in batch:
            found = find_break(seal, entry, after=last)
            if found is not None:
                break
            last, holds = seal, holds or seal.hash == kept
        progress(last.seq if last else 0)
    async with ctx.sessions.begin() as session:
        waiting = await audit.waiting(session)
        if found is None:
            found = _beside_the_chain(await audit.unaccounted(session), await audit.gone_unsealed(session))
    head = last.hash if last else GENESIS
    return Verified(sealed=last.seq if last else 0, waiting=waiting, head=head, holds=holds, broken=found)


def _beside_the_chain(put_in: int | None, taken_out: int | None) -> Break | None:
    if put_in is not None:
        words = f"entry {put_in} was put in: it has no seal and waits for none"
        return Break(audit_id=put_in, seq=None, what=INSERTED, words=words)
    if taken_out is not None:
        words = f"entry {taken_out} was removed before it was sealed"
        return Break(audit_id=taken_out, seq=None, what=REMOVED, words=words)
    return None
