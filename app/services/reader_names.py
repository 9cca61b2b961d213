"""The index of readers' names, which a worker keeps up to date in short slices."""

from app.context import DatabaseContext
from app.db import reader_names
from app.domain.reader_names import parts_of

SLICE = 200  # readers; they are locked meanwhile, for less than a tenth of a second


async def index_slice(ctx: DatabaseContext) -> int:
    """
    Index the names of the next readers whose name is new or has changed. Return how many there were.

    A slice is one transaction: if it is interrupted, its readers are still due.
    """
    async with ctx.sessions.begin() as session:
        taken = await reader_names.take(session, limit=SLICE)
        if taken:
            await reader_names.replace(session, {reader.id: parts_of(reader.names) for reader in taken})
    return len(taken)
