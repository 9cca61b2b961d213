"""The plans on sale, as they apply to one reader."""

from datetime import datetime

from app.context import Context
from app.db import refunds, subscribers
from app.domain.plans import Plan
from app.domain.refunds import is_guaranteed


async def of_reader(ctx: Context, sub: str, *, now: datetime) -> list[tuple[Plan, bool]]:
    """Return the plans on sale, each with whether the guarantee would cover the reader's subscription to it."""
    async with ctx.sessions.begin() as session:
        subscriber = await subscribers.by_sub(session, sub)
        refunded = await refunds.of_subscriber(session, subscriber.id) if subscriber else []
    today = now.astimezone(ctx.rules.zone).date()
    on_sale = [plan for plan in ctx.catalogue.plans.values() if not plan.retired]
    return [(plan, is_guaranteed(plan, refunded, on=today)) for plan in on_sale]


async def is_guaranteed_for(ctx: Context, sub: str, code: str, *, now: datetime) -> bool:
    """Return whether the guarantee would cover a reader's subscription to a plan."""
    return any(guaranteed for plan, guaranteed in await of_reader(ctx, sub, now=now) if plan.code == code)
