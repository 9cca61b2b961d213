"""``/v1/api-keys``: the API keys of servers."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import ConfigDict, Field

from app.api.deps import Admin, Ctx, RealNow, RecentAdmin
from app.api.listed_values import ApiKeyState, ApiScopeText
from app.api.models import STORABLE, ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.api_keys import DEFAULT_LIFE, DEFAULT_OVERLAP, LONGEST_NAME, ApiKey, InvalidKeyLife, KeyReplaced
from app.domain.callers import ApiScope, UnknownScope
from app.domain.errors import NotFound
from app.services import api_keys
from app.services.api_keys import NewKey

router = APIRouter(prefix="/v1/api-keys", tags=["operation"], route_class=Described)


class ApiKeyIn(ApiModel):
    """The key to create."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), STORABLE] = Field(examples=["the site"])
    scopes: list[ApiScope] = Field(min_length=1, max_length=20, examples=[["entitlements:read"]])
    expires_in_days: int | None = Field(
        default=DEFAULT_LIFE.days, ge=1, le=3 * 366, strict=True, description="Null: it never expires.", examples=[365]
    )


class RotationIn(ApiModel):
    """How long the old key stays valid."""

    model_config = ConfigDict(extra="forbid")

    overlap_hours: int = Field(default=DEFAULT_OVERLAP.days * 24, ge=0, le=90 * 24, strict=True, examples=[168])


class ApiKeyOut(ApiModel):
    """An API key, without its secret."""

    id: str = Field(examples=["key_0c5e"])
    name: str = Field(examples=["the site"])
    scopes: list[ApiScopeText] = Field(examples=[["entitlements:read"]])
    state: ApiKeyState = Field(
        description="`active`, `replaced` (rotated, and valid until it expires), `expired` or `revoked`.",
        examples=["active"],
    )
    created_at: datetime = Field(examples=["2026-03-08T18:00:00Z"])
    created_by: str | None = Field(examples=["staff:admin-1"])
    expires_at: datetime | None = Field(description="Null: never.", examples=["2027-03-08T18:00:00Z"])
    last_used_at: datetime | None = Field(
        description="To within five minutes; null: it was not used since this is recorded.",
        examples=["2026-03-09T18:00:00Z"],
    )
    replaced_by: str | None = Field(description="ID of the key that it was rotated to.", examples=[None])
    revoked_at: datetime | None = Field(examples=[None])

    @classmethod
    def of(cls, key: ApiKey, *, now: datetime) -> "ApiKeyOut":
        """Return the body for a key."""
        return cls(
            id=key.id,
            name=key.name,
            scopes=list(key.scopes),
            state=key.state(now=now),
            created_at=key.created_at,
            created_by=key.created_by,
            expires_at=key.expires_at,
            last_used_at=key.last_used_at,
            replaced_by=key.replaced_by,
            revoked_at=key.revoked_at,
        )


class ApiKeysOut(ApiModel):
    """All API keys, the oldest first."""

    data: list[ApiKeyOut]


class NewApiKeyOut(ApiModel):
    """A new API key. It is shown only here: the database stores its hash."""

    id: str = Field(examples=["key_0c5e"])
    key: str = Field(examples=["nsk_…"])
    expires_at: datetime | None = Field(description="Null: never.", examples=["2027-03-08T18:00:00Z"])

    @classmethod
    def of(cls, made: NewKey) -> "NewApiKeyOut":
        """Return the body for a new key."""
        return cls(id=made.id, key=made.key, expires_at=made.expires_at)


def _not_stored(response: Response) -> None:
    response.headers["Cache-Control"] = "no-store"


@router.get("")
async def list_api_keys(_: Admin, ctx: Ctx, now: RealNow) -> ApiKeysOut:
    """List all API keys."""
    return ApiKeysOut(data=[ApiKeyOut.of(key, now=now) for key in await api_keys.list_all(ctx)])


@router.post("", status_code=201, responses=problems(UnknownScope, InvalidKeyLife))
async def create_api_key(
    body: ApiKeyIn, admin: RecentAdmin, response: Response, ctx: Ctx, now: RealNow
) -> NewApiKeyOut:
    """Create an API key."""
    life = None if body.expires_in_days is None else timedelta(days=body.expires_in_days)
    _not_stored(response)
    return NewApiKeyOut.of(await api_keys.create(ctx, body.name, body.scopes, by=admin.actor, now=now, life=life))


@router.post("/{key_id}/rotate", status_code=201, responses=problems(NotFound, KeyReplaced, InvalidKeyLife))
async def rotate_api_key(
    key_id: str, body: RotationIn, admin: RecentAdmin, response: Response, ctx: Ctx, now: RealNow
) -> NewApiKeyOut:
    """Create a key with the same name, scopes and lifetime. The old one stays valid for the overlap."""
    _not_stored(response)
    overlap = timedelta(hours=body.overlap_hours)
    return NewApiKeyOut.of(await api_keys.rotate(ctx, key_id, by=admin.actor, now=now, overlap=overlap))


@router.delete("/{key_id}", status_code=204, responses=problems(NotFound))
async def revoke_api_key(key_id: str, admin: Admin, ctx: Ctx) -> None:
    """Revoke an API key. Every process refuses it within a second."""
    await api_keys.revoke(ctx, key_id, by=admin.actor)
