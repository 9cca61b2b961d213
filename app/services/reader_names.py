"""The index of readers' names and postal addresses, which a worker keeps up to date in short slices."""

from app.context import DatabaseContext
from app.db import reader_names
from app.domain.reader_names import address_parts_of, parts_of

SLICE = 200  # readers; they are locked meanwhile, for less than a tenth of a second


async def index_slice(ctx: DatabaseContext) -> int:
    """
    Index the next readers whose name or postal address is new or has changed. Return how many there were.

    A slice is one transaction: if it is interrupted, its readers are still due.
    """
    async with ctx.sessions.begin() as session:
        taken = await reader_names.take(session, limit=SLICE)
        if taken:
            parts = {one.id: parts_of(one.names) | address_parts_of(one.addresses) for one in taken}
            await reader_names.replace(session, parts)
    return len(taken)
