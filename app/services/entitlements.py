"""May this reader open this? One indexed row, judged at the time of the question."""

from dataclasses import dataclass
from datetime import datetime

from app.db import entitlements
from app.db.entitlements import Pool
from app.domain.entitlements import Decision, allowed, decide
from app.domain.policy import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Entitled:
    """Every feature a reader may use now. The version rises whenever what is granted changes."""

    sub: str
    features: dict[str, Decision]
    version: int


async def check(pool: Pool, rules: Rules, sub: str, feature: str, *, now: datetime) -> Decision:
    """
    Answer for one feature. A reader we do not know is a normal answer: they never subscribed.

    :raises UnknownFeature: the catalogue has no such feature.
    """
    rules.catalogue.feature(feature)
    access = await entitlements.read_about(pool, sub, feature)
    return decide(access, feature, rules.catalogue, now=now)


async def everything(pool: Pool, rules: Rules, sub: str, *, now: datetime) -> Entitled:
    """Return all that a reader may use."""
    access, version = await entitlements.read(pool, sub)
    return Entitled(sub=sub, features=allowed(access, rules.catalogue, now=now), version=version)
