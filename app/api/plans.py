"""What is sold, for anyone to see. The answer may be kept for a minute, and asked for again by its ETag."""

import hashlib
from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field

from app.api.deps import Ctx, Now
from app.api.models import ApiModel, MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import NotFound
from app.domain.plans import PRINT_FEATURE, Feature, Plan, Price

CACHING = "public, max-age=60"


class OfferedTermOut(ApiModel):
    """What one payment buys."""

    issues: int = Field(description="Issues owed in one term.", examples=[24])
    interval: Literal["year", "month"] = Field(description="How often it is billed, in advance.", examples=["year"])
    renews: bool = Field(description="Whether another term follows until the reader cancels.", examples=[True])


class DigitalPriceOut(ApiModel):
    """What the plan costs for a term, without what is optional."""

    component: Literal["digital"] = Field(default="digital", examples=["digital"])
    title: str = Field(examples=["Digital Edition"])
    optional: bool = Field(default=False, examples=[False])
    price: MoneyOut


class PrintPriceOut(ApiModel):
    """What the printed copy costs for a term, postage included, on top."""

    component: Literal["print"] = "print"
    title: str
    optional: bool = True
    price: MoneyOut
    ships_to: list[str] = Field(description="ISO 3166 codes of the countries it is mailed to.")
    postage_band: str


class FeatureOut(ApiModel):
    """Something a subscriber may use."""

    name: str = Field(examples=["print_edition"])
    title: str = Field(examples=["Optional Print Edition"])
    status: Literal["granted", "coming_soon"] = Field(
        description="`coming_soon`: announced, and granted to nobody yet.", examples=["granted"]
    )
    optional: bool = Field(description="Whether it comes only with what is optional.", examples=[True])
    available_from: datetime | None = Field(
        description="When an announced feature opens, if that is known.", examples=[None]
    )


class OfferedGuaranteeOut(ApiModel):
    """Money back within so many days of the first payment."""

    days: int = Field(examples=[60])
    title: str = Field(examples=["60-Day money back guarantee!"])


class CancellationOut(ApiModel):
    """When a reader may cancel."""

    policy: Literal["anytime"] = Field(default="anytime", examples=["anytime"])
    title: str = Field(examples=["Cancel anytime"])


class PlanOut(ApiModel):
    """A plan, with its prices and all that it promises."""

    code: str = Field(examples=["annual"])
    title: str = Field(examples=["24 Issues Per Year"])
    term: OfferedTermOut
    prices: list[DigitalPriceOut | PrintPriceOut]
    features: list[FeatureOut]
    guarantee: OfferedGuaranteeOut
    cancellation: CancellationOut
    offer: list[str] = Field(
        description="The lines of the plan card, in their order.",
        examples=[
            [
                "24 Issues Per Year",
                "Optional Print Edition",
                "Digital Edition Access",
                "Exclusive Subscriber Content",
                "Audio provided for all articles",
                "Unlimited access to past issues",
                "Coming Soon! Ad FREE",
                "60-Day money back guarantee!",
                "Cancel anytime",
            ]
        ],
    )

    @classmethod
    def of(cls, plan: Plan, *, now: datetime, zone: ZoneInfo) -> Self:
        """Return the plan as it is offered at ``now``."""
        return cls(
            code=plan.code,
            title=plan.title,
            term=OfferedTermOut(
                issues=plan.issues, interval="year" if plan.interval == "year" else "month", renews=True
            ),
            prices=[_price(price) for price in plan.prices.values()],
            features=[_feature(feature, now=now) for feature in plan.features.values()],
            guarantee=OfferedGuaranteeOut(
                days=plan.guarantee.on(now.astimezone(zone).date()).days, title=plan.guarantee.title
            ),
            cancellation=CancellationOut(title=plan.cancellation_title),
            offer=list(plan.offer),
        )


class PlansOut(ApiModel):
    """Every plan. There are few of them, and never a next page."""

    data: list[PlanOut]
    next: str | None = Field(default=None, examples=[None])


IfNoneMatch = Annotated[str | None, Header(description="The `ETag` of an earlier answer: 304 if it still holds.")]
router = APIRouter(prefix="/v1/plans", tags=["plans"], route_class=Described)
_UNCHANGED: dict[int | str, dict[str, object]] = {304: {"description": "The earlier answer still holds."}}


@router.get("", response_model=PlansOut, responses=_UNCHANGED)
async def list_plans(ctx: Ctx, now: Now, if_none_match: IfNoneMatch = None) -> Response:
    """Return every plan, with prices, features, guarantee and term. Anyone may ask."""
    offered = [plan for plan in ctx.catalogue.plans.values() if not plan.retired]
    return _cacheable(
        PlansOut(data=[PlanOut.of(plan, now=now, zone=ctx.rules.zone) for plan in offered]), if_none_match
    )


@router.get("/{code}", response_model=PlanOut, responses={**_UNCHANGED, **problems(NotFound)})
async def read_plan(code: str, ctx: Ctx, now: Now, if_none_match: IfNoneMatch = None) -> Response:
    """Return one plan."""
    if code not in ctx.catalogue.plans:  # the address names it, not a body: 404, where UnknownPlan is 422
        raise NotFound(f"There is no plan {code[:100]!r}.")
    return _cacheable(PlanOut.of(ctx.catalogue.plan(code), now=now, zone=ctx.rules.zone), if_none_match)


def _price(price: Price) -> DigitalPriceOut | PrintPriceOut:
    sum_ = MoneyOut.of(price.price)
    if price.postage_band is None:
        return DigitalPriceOut(title=price.title, price=sum_)
    return PrintPriceOut(title=price.title, price=sum_, ships_to=list(price.ships_to), postage_band=price.postage_band)


def _feature(feature: Feature, *, now: datetime) -> FeatureOut:
    return FeatureOut(
        name=feature.name,
        title=feature.title,
        status="granted" if feature.is_granted(now) else "coming_soon",
        optional=feature.name == PRINT_FEATURE,
        available_from=feature.available_from,
    )


def _cacheable(answer: BaseModel, known: str | None) -> Response:
    body = answer.model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": CACHING, "ETag": tag}
    held = {one.strip().removeprefix("W/") for one in (known or "").split(",")}
    if held & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
