"""``/v1/features``: the features of the catalogue. Public; the edge clients recognize misspelt names by it."""

from fastapi import APIRouter, Response
from pydantic import Field

from app.api.deps import Ctx
from app.api.models import ApiModel
from app.api.openapi import Described
from app.api.plans import UNCHANGED, IfNoneMatch, cacheable

router = APIRouter(prefix="/v1/features", tags=["plans"], route_class=Described)


class CatalogueFeatureOut(ApiModel):
    """A feature that checks can name."""

    name: str = Field(examples=["archive"])
    title: str = Field(examples=["Unlimited access to past issues"])


class FeaturesOut(ApiModel):
    """All features, on one page."""

    data: list[CatalogueFeatureOut]
    next: str | None = Field(default=None, examples=[None])


@router.get("", response_model=FeaturesOut, responses=UNCHANGED)
async def list_features(ctx: Ctx, if_none_match: IfNoneMatch = None) -> Response:
    """List features. Checks can name these, also announced ones and those of retired plans."""
    features = ctx.catalogue.features.values()
    return cacheable(
        FeaturesOut(data=[CatalogueFeatureOut(name=one.name, title=one.title) for one in features]), if_none_match
    )
