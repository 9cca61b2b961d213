"""``/v1/me/entitlement-tokens`` and ``/.well-known/jwks.json``: what an edge needs to answer by itself."""

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
    """A JWT that says what a reader may use, and until when it may be believed."""

    token: str = Field(examples=["eyJ0eXAiOiJlbnRpd…"])
    expires_at: datetime = Field(examples=["2026-03-01T18:05:00Z"])


class KeyOut(ApiModel):
    """A public key, as RFC 7517 has it."""

    kty: str = Field(examples=["EC"])
    crv: str = Field(examples=["P-256"])
    x: str = Field(examples=["f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"])
    y: str = Field(examples=["x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"])
    kid: str = Field(examples=["vT0Uo2dYk5lq"])
    alg: str = Field(examples=["ES256"])
    use: str = Field(examples=["sig"])


class KeysOut(ApiModel):
    """Every key by which a living token may have to be checked."""

    keys: list[KeyOut] = Field(min_length=1)


@router.post("/v1/me/entitlement-tokens", responses=problems(DatabaseUnavailable, NoSigningKey))
async def mint_entitlement_token(reader: CurrentReader, api: Api, now: Now, real_now: RealNow) -> TokenOut:
    """Sign what the reader may use, for servers that check it by themselves. It lives for minutes."""
    held = await api.entitlements.everything(reader.sub, now=now)
    minted = await api.signer.mint(held.sub, held.features, held.version, lasts=held.lasts, now=real_now)
    return TokenOut(token=minted.token, expires_at=minted.expires_at)


@router.get("/.well-known/jwks.json", responses=problems(NoSigningKey))
async def signing_keys(response: Response, api: Api, real_now: RealNow) -> KeysOut:
    """Tell the keys by which entitlement tokens are checked. A new one is here before it signs."""
    found = await api.signer.published(now=real_now)
    response.headers["Cache-Control"] = f"public, max-age={int(CACHED_FOR.total_seconds())}"
    return KeysOut(keys=[KeyOut.model_validate(key) for key in found])
