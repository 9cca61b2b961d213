"""Declarations of readers who leave, as they look them up."""

from collections.abc import Sequence

from app.context import Context
from app.db import declarations, subscribers
from app.domain.declarations import Declaration, Language
from app.domain.errors import NotFound


async def of_reader(ctx: Context, sub: str) -> Sequence[Declaration]:
    """Return a reader's declarations, the newest first."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        return await declarations.of_subscriber(session, subscriber.id) if subscriber is not None else []


async def language_of_reader(ctx: Context, sub: str) -> Language | None:
    """Return the language that a reader's newest token asks for; None: one in which we don't write, or none."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
    asked = (subscriber.locale or "") if subscriber is not None else ""
    return next((one for one in Language if asked.replace("_", "-").partition("-")[0].lower() == one), None)


async def of_reader_by_id(ctx: Context, sub: str, declaration_id: str) -> Declaration:
    """
    Return one of a reader's declarations.

    :raises NotFound: it does not exist, or is another reader's.
    """
    found = next((one for one in await of_reader(ctx, sub) if one.id == declaration_id), None)
    if found is None:
        raise NotFound("No such declaration")
    return found
