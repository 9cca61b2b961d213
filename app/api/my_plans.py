"""``/v1/me/plans``: the plans on offer, as they apply to the reader."""

from fastapi import APIRouter

from app.api.deps import Ctx, CurrentReader, Now, Prices
from app.api.openapi import Described
from app.api.plans import PlanOut, PlansOut
from app.services import plans

router = APIRouter(prefix="/v1/me/plans", tags=["plans"], route_class=Described)


@router.get("")
async def list_my_plans(reader: CurrentReader, ctx: Ctx, now: Now, prices: Prices) -> PlansOut:
    """List plans as they apply to me. A guarantee that I have used is not offered again."""
    offered = await plans.of_reader(ctx, reader.sub, now=now)
    return PlansOut(data=[PlanOut.of(plan, prices, guaranteed=guaranteed, now=now) for plan, guaranteed in offered])
