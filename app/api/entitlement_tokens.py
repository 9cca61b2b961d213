"""``/v1/me/entitlement-tokens`` and ``/.well-known/jwks.json``: signed tokens that edge servers verify themselves."""

from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import Field

from app.api.deps import Api, CurrentReader, Now, RealNow
from app.api.models import ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.domain.errors import DatabaseUnavailable
from app.domain.signing_keys import CACHED_FOR, NoSigningKey

router = APIRouter(tags=["entitlements"], route_class=Described)


class TokenOut(ApiModel):
    """A JWT with the reader's entitlements, and its expiration time."""

    token: str = Field(examples=["eyJ0eXAiOiJlbnRpd…"])
    expires_at: datetime = Field(examples=["2026-03-01T18:05:00Z"])


class KeyOut(ApiModel):
    """A public key in JWK format (RFC 7517)."""

    kty: str = Field(examples=["EC"])
    crv: str = Field(examples=["P-256"])
    x: str = Field(examples=["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"])
    y: str = Field(examples=["x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"])
    kid: str = Field(examples=["vT0Uo2dYk5lq"])
    alg: str = Field(examples=["ES256"])
    use: str = Field(examples=["sig"])


class KeysOut(ApiModel):
    """All keys needed to verify tokens that have not expired."""

    keys: list[KeyOut] = Field(min_length=1)


@router.post("/v1/me/entitlement-tokens", responses=problems(DatabaseUnavailable, NoSigningKey))
async def mint_entitlement_token(reader: CurrentReader, api: Api, now: Now, real_now: RealNow) -> TokenOut:
    """Create an entitlement token. Edge servers verify it themselves; it expires within minutes."""
    granted = await api.entitlements.all_features(reader.sub, now=now)
    minted = await api.signer.mint(
        granted.sub, granted.features, granted.version, lasts=granted.valid_for, now=real_now
    )
    return TokenOut(token=minted.token, expires_at=minted.expires_at)


@router.get("/.well-known/jwks.json", responses=problems(NoSigningKey))
async def signing_keys(response: Response, api: Api, real_now: RealNow) -> KeysOut:
    """List the keys that verify entitlement tokens. A new key is published before it signs."""
    found = await api.signer.published(now=real_now)
    response.headers["Cache-Control"] = f"public, max-age={int(CACHED_FOR.total_seconds())}"
    return KeysOut(keys=[KeyOut.model_validate(key) for key in found])
