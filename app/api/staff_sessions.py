"""``/v1/support/staff-sessions``: who is signed in to the console, and ending a person's sessions."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import ConfigDict, Field

from app.api.deps import Admin, Ctx, RealNow
from app.api.models import STORABLE, ApiModel
from app.api.openapi import Described
from app.domain.callers import LONGEST_SUB
from app.domain.staff_sessions import StoredSession
from app.services import staff_sessions

router = APIRouter(prefix="/v1/support/staff-sessions", tags=["operation"], route_class=Described)


class StaffSessionOut(ApiModel):
    """An open session of the console."""

    id: str = Field(examples=["ses_0c5e"])
    sub: str = Field(description="The person's ID at the identity provider.", examples=["agent-1"])
    name: str = Field(examples=["Robin Vance"])
    roles: list[str] = Field(description="Including implied roles.", examples=[["support"]])
    started_at: datetime = Field(examples=["2026-03-08T18:00:00Z"])
    signed_in_at: datetime | None = Field(
        description="When the person entered their credentials; null if the identity provider doesn't say.",
        examples=["2026-03-08T17:58:00Z"],
    )
    roles_checked_at: datetime = Field(
        description="When the identity provider last confirmed the roles.", examples=["2026-03-08T18:15:00Z"]
    )

    @classmethod
    def of(cls, stored: StoredSession) -> "StaffSessionOut":
        """Return the body for a session."""
        return cls(
            id=stored.id,
            sub=stored.sub,
            name=stored.name,
            roles=sorted(stored.roles),
            started_at=stored.started_at,
            signed_in_at=stored.signed_in_at,
            roles_checked_at=stored.checked_at,
        )


class StaffSessionsOut(ApiModel):
    """The open sessions, the newest first: at most 500."""

    data: list[StaffSessionOut]


class EndSessionsIn(ApiModel):
    """Whose sessions to end."""

    model_config = ConfigDict(extra="forbid")

    sub: Annotated[str, Field(min_length=1, max_length=LONGEST_SUB), STORABLE] = Field(
        description="The person's ID at the identity provider.", examples=["agent-1"]
    )


class EndedSessionsOut(ApiModel):
    """How many console sessions were open."""

    ended: int = Field(examples=[1])


@router.get("")
async def list_staff_sessions(_: Admin, ctx: Ctx, now: RealNow) -> StaffSessionsOut:
    """List the open console sessions of all staff."""
    found = await staff_sessions.list_open(ctx, now=now)
    return StaffSessionsOut(data=[StaffSessionOut.of(stored) for stored in found])


@router.post("/end")
async def end_staff_sessions(body: EndSessionsIn, admin: Admin, ctx: Ctx, now: RealNow) -> EndedSessionsOut:
    """End all sessions of a person, and refuse their access tokens issued so far where a role is required."""
    return EndedSessionsOut(ended=await staff_sessions.end_all(ctx, body.sub, by=admin.actor, now=now))
