"""The names and email addresses of staff, for pages and lists that show who did something."""

from collections.abc import Mapping, Sequence

from app.context import Context
from app.db import staff_members
from app.domain.staff_members import MOST_STAFF, StaffMember


async def listed(ctx: Context) -> Sequence[StaffMember]:
    """Return the staff who have signed in, by name."""
    found = await staff_members.newest(ctx.reads, limit=MOST_STAFF)
    return sorted(found, key=lambda one: (one.name.casefold(), one.sub))


async def emails(ctx: Context) -> Mapping[str, str]:
    """Return the known email addresses of staff by their ``sub``."""
    found = await staff_members.newest(ctx.reads, limit=MOST_STAFF)
    return {one.sub: one.email for one in found if one.email}


async def names(ctx: Context) -> Mapping[str, str]:
    """Return the name of each member of staff by their ``sub``."""
    found = await staff_members.newest(ctx.reads, limit=MOST_STAFF)
    return {one.sub: one.name for one in found}
