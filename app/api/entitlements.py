"""``/v1/me/entitlements`` and ``/v1/subscribers/{sub}/entitlements``: every feature a reader may use."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field

from app.api.deps import Api, CurrentReader, EntitlementReader, Now
from app.api.listed_values import AccessReasonText
from app.api.models import ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import DatabaseUnavailable
from app.services.entitlements import AllFeatures

router = APIRouter(tags=["entitlements"], route_class=Described)


class GrantedFeatureOut(ApiModel):
    """A feature the reader may use: until when (exclusive; null if no end is known) and why."""

    until: datetime | None = Field(examples=["2027-03-01T00:00:00Z"])
    reason: AccessReasonText = Field(examples=["paid_term"])
    grant: str | None = Field(description="The grant that gives access.", examples=["grt_in_123"])


class DeniedFeatureOut(ApiModel):
    """A feature the reader may not use, and why. ``until`` is when access ended."""

    until: datetime | None = Field(examples=[None])
    reason: AccessReasonText = Field(examples=["coming_soon"])


class EntitlementsOut(ApiModel):
    """The features a reader may use now, and why they may not use the others. ``version`` grows with every change."""

    subscriber: str = Field(examples=["user-1"])
    features: dict[str, GrantedFeatureOut] = Field(
        examples=[{"archive": {"until": "2027-03-01T00:00:00Z", "reason": "paid_term", "grant": "grt_in_123"}}]
    )
    refused: dict[str, DeniedFeatureOut] = Field(examples=[{"ad_free": {"until": None, "reason": "coming_soon"}}])
    version: int = Field(examples=[1])

    @classmethod
    def of(cls, granted: AllFeatures) -> "EntitlementsOut":
        """Return the body for a reader's entitlements."""
        features = {
            n: GrantedFeatureOut(until=d.until, reason=d.reason, grant=d.grant) for n, d in granted.features.items()
        }
        refused = {name: DeniedFeatureOut(until=d.until, reason=d.reason) for name, d in granted.refused.items()}
        return cls(subscriber=granted.sub, features=features, refused=refused, version=granted.version)


@router.get("/v1/me/entitlements", responses=problems(DatabaseUnavailable))
async def my_entitlements(reader: CurrentReader, api: Api, now: Now) -> EntitlementsOut:
    """List my entitlements. A reader who never subscribed has none; that is not an error."""
    return EntitlementsOut.of(await api.entitlements.all_features(reader.sub, now=now))


@router.get("/v1/subscribers/{sub}/entitlements", responses=problems(DatabaseUnavailable))
async def entitlements_of(sub: str, _: EntitlementReader, api: Api, now: Now) -> EntitlementsOut:
    """List a reader's entitlements, by the identity provider's ``sub``. For servers with an API key."""
    return EntitlementsOut.of(await api.entitlements.all_features(sub, now=now))
