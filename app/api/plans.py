"""What is sold, for anyone to see. The answer may be kept for a minute, and asked for again by its ETag."""

import hashlib
from datetime import datetime
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from app.api.deps import Ctx, Now
from app.api.models import MoneyOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import NotFound
from app.domain.plans import PRINT_FEATURE, Feature, Plan, Price

CACHING = "public, max-age=60"

EXAMPLE: JsonDict = {
    "code": "annual",
    "title": "24 Issues Per Year",
    "term": {"issues": 24, "interval": "year", "renews": True},
    "prices": [
        {
            "component": "digital",
            "title": "Digital Edition",
            "optional": False,
            "price": {"amount": 4900, "currency": "usd"},
        },
        {
            "component": "print",
            "title": "Print Edition",
            "optional": True,
            "price": {"amount": 2400, "currency": "usd"},
            "ships_to": ["US"],
            "postage_band": "domestic",
        },
    ],
    "features": [
        {"name": name, "title": title, "status": status, "optional": name == PRINT_FEATURE, "available_from": None}
        for name, title, status in (
            ("print_edition", "Optional Print Edition", "granted"),
            ("digital_edition", "Digital Edition Access", "granted"),
            ("exclusive_content", "Exclusive Subscriber Content", "granted"),
            ("audio", "Audio provided for all articles", "granted"),
            ("archive", "Unlimited access to past issues", "granted"),
            ("ad_free", "Coming Soon! Ad FREE", "coming_soon"),
        )
    ],
    "guarantee": {"days": 60, "title": "60-Day money back guarantee!"},
    "cancellation": {"policy": "anytime", "title": "Cancel anytime"},
    "offer": [
        "24 Issues Per Year",
        "Optional Print Edition",
        "Digital Edition Access",
        "Exclusive Subscriber Content",
        "Audio provided for all articles",
        "Unlimited access to past issues",
        "Coming Soon! Ad FREE",
        "60-Day money back guarantee!",
        "Cancel anytime",
    ],
}


class OfferedTermOut(BaseModel):
    """What one payment buys."""

    issues: int = Field(description="Issues owed in one term.")
    interval: Literal["year", "month"] = Field(description="How often it is billed, in advance.")
    renews: bool = Field(description="Whether another term follows until the reader cancels.")


class DigitalPriceOut(BaseModel):
    """What the plan costs for a term, without what is optional."""

    component: Literal["digital"] = "digital"
    title: str
    optional: bool = False
    price: MoneyOut


class PrintPriceOut(BaseModel):
    """What the printed copy costs for a term, postage included, on top."""

    component: Literal["print"] = "print"
    title: str
    optional: bool = True
    price: MoneyOut
    ships_to: list[str] = Field(description="ISO 3166 codes of the countries it is mailed to.")
    postage_band: str


class FeatureOut(BaseModel):
    """Something a subscriber may use."""

    name: str
    title: str
    status: Literal["granted", "coming_soon"] = Field(
        description="`coming_soon`: announced, and granted to nobody yet."
    )
    optional: bool = Field(description="Whether it comes only with what is optional.")
    available_from: datetime | None = Field(description="When an announced feature opens, if that is known.")


class OfferedGuaranteeOut(BaseModel):
    """Money back within so many days of the first payment."""

    days: int
    title: str


class CancellationOut(BaseModel):
    """When a reader may cancel."""

    policy: Literal["anytime"] = "anytime"
    title: str


class PlanOut(BaseModel):
    """A plan, with its prices and all that it promises."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    code: str
    title: str
    term: OfferedTermOut
    prices: list[DigitalPriceOut | PrintPriceOut]
    features: list[FeatureOut]
    guarantee: OfferedGuaranteeOut
    cancellation: CancellationOut
    offer: list[str] = Field(description="The lines of the plan card, in their order.")

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


class PlansOut(BaseModel):
    """Every plan. There are few of them, and never a next page."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"data": [EXAMPLE], "next": None}]})

    data: list[PlanOut]
    next: str | None = None


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
