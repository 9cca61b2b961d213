"""``/v1/plans``: the plans on offer. Public; responses can be cached for a minute and revalidated by ETag."""

import hashlib
from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Header, Response
from pydantic import BaseModel, Field

from app.api.deps import Ctx, Now, Prices
from app.api.models import ApiModel, PriceOut
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import NotFound
from app.domain.plans import PRINT_FEATURE, Feature, Plan, Price
from app.localization import Localization

CACHING = "public, max-age=60"


class PlanTermOut(ApiModel):
    """What one payment buys: a number of issues over an interval."""

    issues: int = Field(description="Number of issues in a term.", examples=[24])
    interval: Literal["year", "month"] = Field(description="Billing interval; billed in advance.", examples=["year"])
    renews: bool = Field(description="Whether the plan renews until canceled.", examples=[True])


class DigitalPriceOut(ApiModel):
    """The price of the plan for a term, without optional components."""

    component: Literal["digital"] = Field(default="digital", examples=["digital"])
    title: str = Field(examples=["Digital Edition"])
    optional: bool = Field(default=False, examples=[False])
    price: PriceOut


class PrintPriceOut(ApiModel):
    """The additional price of the print edition for a term, postage included."""

    component: Literal["print"] = "print"
    title: str = Field(examples=["Print Edition"])
    optional: bool = True
    price: PriceOut
    ships_to: list[str] = Field(
        description="ISO 3166 codes of the countries that print is mailed to.", examples=[["US"]]
    )
    postage_band: str = Field(examples=["domestic"])


class FeatureOut(ApiModel):
    """A feature of a plan."""

    name: str = Field(examples=["print_edition"])
    title: str = Field(examples=["Optional Print Edition"])
    status: Literal["granted", "coming_soon"] = Field(
        description="`coming_soon`: announced, but not granted yet.", examples=["granted"]
    )
    optional: bool = Field(
        description="Whether the feature requires an optional component, such as print.", examples=[True]
    )
    available_from: datetime | None = Field(
        description="When an announced feature becomes available, if known.", examples=[None]
    )


class PlanGuaranteeOut(ApiModel):
    """The money-back guarantee, in days from the first payment."""

    days: int = Field(examples=[60])
    title: str = Field(examples=["60-Day money back guarantee!"])
    available: bool = Field(
        default=True, description="false if the reader has already used it, and it applies only once.", examples=[True]
    )


class CancellationOut(ApiModel):
    """When a reader can cancel."""

    policy: Literal["anytime"] = Field(default="anytime", examples=["anytime"])
    title: str = Field(examples=["Cancel anytime"])


class PlanOut(ApiModel):
    """A plan with its prices, features, guarantee and cancellation policy."""

    code: str = Field(examples=["annual"])
    title: str = Field(examples=["24 Issues Per Year"])
    term: PlanTermOut
    prices: list[DigitalPriceOut | PrintPriceOut] = Field(
        examples=[
            [
                {
                    "component": "digital",
                    "title": "Digital Edition",
                    "optional": False,
                    "price": {"amount": 4900, "currency": "usd", "formatted": "$49"},
                },
                {
                    "component": "print",
                    "title": "Print Edition",
                    "optional": True,
                    "price": {"amount": 2400, "currency": "usd", "formatted": "$24"},
                    "ships_to": ["US"],
                    "postage_band": "domestic",
                },
            ]
        ]
    )
    features: list[FeatureOut] = Field(
        examples=[
            [
                {"name": name, "title": title, "status": status, "optional": optional, "available_from": None}
                for name, title, status, optional in (
                    ("print_edition", "Optional Print Edition", "granted", True),
                    ("digital_edition", "Digital Edition Access", "granted", False),
                    ("exclusive_content", "Exclusive Subscriber Content", "granted", False),
                    ("audio", "Audio provided for all articles", "granted", False),
                    ("archive", "Unlimited access to past issues", "granted", False),
                    ("ad_free", "Coming Soon! Ad FREE", "coming_soon", False),
                )
            ]
        ]
    )
    guarantee: PlanGuaranteeOut
    cancellation: CancellationOut
    offer: list[str] = Field(
        description="The lines of the plan card, in order.",
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
    def of(cls, plan: Plan, prices: Localization, *, guaranteed: bool = True, now: datetime) -> Self:
        """Return the plan as offered at ``now``. ``guaranteed``: whether the guarantee would apply."""
        return cls(
            code=plan.code,
            title=plan.title,
            term=PlanTermOut(issues=plan.issues, interval="year" if plan.interval == "year" else "month", renews=True),
            prices=[_price(price, prices) for price in plan.prices.values()],
            features=[_feature(feature, now=now) for feature in plan.features.values()],
            guarantee=PlanGuaranteeOut(
                days=plan.guarantee.on(now.astimezone(prices.zone).date()).days,
                title=plan.guarantee.title,
                available=guaranteed,
            ),
            cancellation=CancellationOut(title=plan.cancellation_title),
            offer=list(plan.offer_lines(guaranteed=guaranteed)),
        )


class PlansOut(ApiModel):
    """All plans, on one page."""

    data: list[PlanOut]
    next: str | None = Field(default=None, examples=[None])


IfNoneMatch = Annotated[
    str | None, Header(description="The `ETag` of an earlier response. Returns 304 if it is still current.")
]
router = APIRouter(prefix="/v1/plans", tags=["plans"], route_class=Described)
UNCHANGED: dict[int | str, dict[str, object]] = {304: {"description": "The earlier response is still current."}}


@router.get("", response_model=PlansOut, responses=UNCHANGED)
async def list_plans(ctx: Ctx, now: Now, prices: Prices, if_none_match: IfNoneMatch = None) -> Response:
    """List plans, with prices, features, guarantee and term. No authentication required."""
    offered = [plan for plan in ctx.catalogue.plans.values() if not plan.retired]
    return cacheable(PlansOut(data=[PlanOut.of(plan, prices, now=now) for plan in offered]), if_none_match)


@router.get("/{code}", response_model=PlanOut, responses={**UNCHANGED, **problems(NotFound)})
async def read_plan(code: str, ctx: Ctx, now: Now, prices: Prices, if_none_match: IfNoneMatch = None) -> Response:
    """Retrieve a plan. No authentication required."""
    if code not in ctx.catalogue.plans:  # in a path, an unknown plan is 404; in a body, UnknownPlan (422)
        raise NotFound(f"No such plan: {code[:100]!r}.")
    return cacheable(PlanOut.of(ctx.catalogue.plan(code), prices, now=now), if_none_match)


def _price(price: Price, prices: Localization) -> DigitalPriceOut | PrintPriceOut:
    sum_ = PriceOut.text(price.price.amount, price.price.currency, prices)
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


def cacheable(answer: BaseModel, known: str | None) -> Response:
    """Return a response that can be cached. ``known``: the ETags that the caller has."""
    body = answer.model_dump_json().encode()
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": CACHING, "ETag": tag}
    known_tags = {one.strip().removeprefix("W/") for one in (known or "").split(",")}
    if known_tags & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")
