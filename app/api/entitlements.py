"""``/v1/me/entitlements`` and ``/v1/subscribers/{sub}/entitlements``: all a reader may use. One feature: see ``hot``."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from app.api.deps import CurrentReader, EntitlementPool, EntitlementReader, Now, ReadRules
from app.api.describing import Described
from app.services import entitlements
from app.services.entitlements import Entitled

router = APIRouter(tags=["entitlements"], route_class=Described)


class GrantedOut(BaseModel):
    """A feature that may be used, until when (excluded), and why."""

    until: datetime | None
    reason: str = Field(examples=["paid_term"])


class EntitlementsOut(BaseModel):
    """Every feature a reader may use now. The version rises whenever what is granted changes."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subscriber": "user-1",
                    "features": {"archive": {"until": "2027-03-01T00:00:00Z", "reason": "paid_term"}},
                    "version": 1,
                }
            ]
        }
    )

    subscriber: str
    features: dict[str, GrantedOut]
    version: int

    @classmethod
    def of(cls, held: Entitled) -> "EntitlementsOut":
        """Show what a reader may use."""
        features = {name: GrantedOut(until=d.until, reason=d.reason) for name, d in held.features.items()}
        return cls(subscriber=held.sub, features=features, version=held.version)


@router.get("/v1/me/entitlements")
async def my_entitlements(reader: CurrentReader, pool: EntitlementPool, rules: ReadRules, now: Now) -> EntitlementsOut:
    """Tell a reader what they may use. One who never subscribed may use nothing, which is no error."""
    return EntitlementsOut.of(await entitlements.everything(pool, rules, reader.sub, now=now))


@router.get("/v1/subscribers/{sub}/entitlements")
async def entitlements_of(
    sub: str, _: EntitlementReader, pool: EntitlementPool, rules: ReadRules, now: Now
) -> EntitlementsOut:
    """Tell a server what any reader may use, by the identity provider's ``sub``."""
    return EntitlementsOut.of(await entitlements.everything(pool, rules, sub, now=now))
