"""``/v1/support/subscribers/{id}/evidence``: what a reader agreed to, got and was told, for a dispute."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter
from pydantic import Field

from app.api.deps import Ctx, Now, SupportAgent, seen_by
from app.api.models import ApiModel
from app.api.openapi import Described
from app.api.problems import problems
from app.api.withdrawals import DeclarationOut
from app.domain.consents import Consent
from app.domain.errors import NotFound
from app.domain.evidence import Evidence, Message, evidence_text, stripe_fields
from app.localization import Localization
from app.services import evidence

router = APIRouter(prefix="/v1/support/subscribers", tags=["support"], route_class=Described)


class ConsentOut(ApiModel):
    """What a reader saw and agreed to before the payment page. Nothing of it ever changes."""

    id: str = Field(examples=["cns_0c5e"])
    agreed_at: datetime = Field(examples=["2026-03-01T18:00:00Z"])
    subscription: str | None = Field(
        description="Stripe's ID of what was paid for; null if nothing was.", examples=["sub_123"]
    )
    shown: dict[str, Any] = Field(
        description="The offer, its prices and its terms.",
        examples=[
            {"title": "24 Issues Per Year", "renewal": "Renews every year for $49 until you cancel. Cancel anytime."}
        ],
    )
    ip: str | None = Field(examples=["203.0.113.7"])
    user_agent: str | None = Field(examples=["Mozilla/5.0"])
    terms_version: str | None = Field(examples=["2026-03"])
    digest: str = Field(description="Fingerprint of all of this, SHA-256.", examples=["9f86d081884c7d65"])

    @classmethod
    def of(cls, consent: Consent) -> "ConsentOut":
        """Return the body for a consent."""
        return cls(
            id=consent.id,
            agreed_at=consent.agreed_at,
            subscription=consent.stripe_subscription_id,
            shown=dict(consent.shown),
            ip=consent.details.ip,
            user_agent=consent.details.user_agent,
            terms_version=consent.details.terms_version,
            digest=consent.digest,
        )


class MessageOut(ApiModel):
    """A message that was sent to the reader."""

    notice: str = Field(description="Which notice it was.", examples=["renewal_ahead"])
    channel: str = Field(examples=["email"])
    at: datetime = Field(examples=["2027-02-01T15:00:00Z"])
    result: str = Field(examples=["sent"])
    text: str = Field(examples=["Your subscription renews on March 1, 2027 for $49."])

    @classmethod
    def of(cls, message: Message) -> "MessageOut":
        """Return the body for a message."""
        return cls(
            notice=message.kind, channel=message.channel, at=message.at, result=message.result, text=message.text
        )


class EvidenceOut(ApiModel):
    """The evidence about one reader. ``stripe`` has the text for each of Stripe's fields, within its limits."""

    subscriber: str = Field(examples=["rdr_0c5e"])
    created_at: datetime = Field(examples=["2026-05-01T18:00:00Z"])
    consents: list[ConsentOut]
    declarations: list[DeclarationOut]
    messages: list[MessageOut]
    stripe: dict[str, str] = Field(
        description="The text for Stripe's evidence fields, to submit in Stripe's Dashboard or by its API.",
        examples=[{"customer_email_address": "ada@example.com", "customer_purchase_ip": "203.0.113.7"}],
    )
    text: str = Field(description="All of it as one text file.", examples=["Slow Ferry: evidence about rdr_0c5e\n…"])

    @classmethod
    def of(cls, found: Evidence, prices: Localization) -> "EvidenceOut":
        """Return the body for a reader's evidence."""
        return cls(
            subscriber=found.subscriber_id,
            created_at=found.created_at,
            consents=[ConsentOut.of(one) for one in found.consents],
            declarations=[DeclarationOut.of(one) for one in found.declarations],
            messages=[MessageOut.of(one) for one in found.messages],
            stripe=dict(stripe_fields(found, prices)),
            text=evidence_text(found, prices),
        )


@router.get("/{subscriber_id}/evidence", responses=problems(NotFound))
async def reader_evidence(subscriber_id: str, agent: SupportAgent, ctx: Ctx, now: Now) -> EvidenceOut:
    """Retrieve the evidence for a dispute: consents, deliveries and messages."""
    found = await evidence.of_reader(ctx, subscriber_id, viewer=seen_by(agent), now=now)
    return EvidenceOut.of(found, ctx.localization)
