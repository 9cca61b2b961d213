"""``/v1/me/entitlements`` and ``/v1/subscribers/{sub}/entitlements``: all a reader may use. One feature: see ``hot``."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field

from app.api.deps import Api, CurrentReader, EntitlementReader, Now
from app.api.models import ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import DatabaseUnavailable
from app.services.entitlements import Entitled

router = APIRouter(tags=["entitlements"], route_class=Described)


class GrantedOut(ApiModel):
    """A feature that may be used, until when (excluded), and why."""

    until: datetime | None
    reason: str = Field(examples=["paid_term"])
    grant: str | None = Field(description="The grant that gives it.", examples=["grt_in_123"])


class RefusedOut(ApiModel):
    """A feature that may not be used, and why not; ``until`` is when it ended."""

    until: datetime | None
    reason: str = Field(examples=["coming_soon"])


class EntitlementsOut(ApiModel):
    """Every feature a reader may use now, and why not the others. The version rises whenever what is granted changes."""

    subscriber: str = Field(examples=["user-1"])
    features: dict[str, GrantedOut] = Field(
        examples=[{"archive": {"until": "2027-03-01T00:00:00Z", "reason": "paid_term", "grant": "grt_in_123"}}]
    )
    refused: dict[str, RefusedOut] = Field(examples=[{"ad_free": {"until": None, "reason": "coming_soon"}}])
    version: int = Field(examples=[1])

    @classmethod
    def of(cls, held: Entitled) -> "EntitlementsOut":
        """Show what a reader may use."""
        features = {n: GrantedOut(until=d.until, reason=d.reason, grant=d.grant) for n, d in held.features.items()}
        refused = {name: RefusedOut(until=d.until, reason=d.reason) for name, d in held.refused.items()}
        return cls(subscriber=held.sub, features=features, refused=refused, version=held.version)


@router.get("/v1/me/entitlements", responses=problems(DatabaseUnavailable))
async def my_entitlements(reader: CurrentReader, api: Api, now: Now) -> EntitlementsOut:
    """Tell a reader what they may use. One who never subscribed may use nothing, which is no error."""
    return EntitlementsOut.of(await api.entitlements.everything(reader.sub, now=now))


@router.get("/v1/subscribers/{sub}/entitlements", responses=problems(DatabaseUnavailable))
async def entitlements_of(sub: str, _: EntitlementReader, api: Api, now: Now) -> EntitlementsOut:
    """Tell a server what any reader may use, by the identity provider's ``sub``."""
    return EntitlementsOut.of(await api.entitlements.everything(sub, now=now))
