"""
Sending stored requests to Stripe.

Stripe repeats its answer to a key for a day, refusals and server errors included. So an intent that was answered is settled,
and the next attempt uses a new key. Without an answer the intent stays open, and the next attempt repeats the key.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from app.db import audit, intents
from app.db.engine.session import Session, Sessions
from app.db.intents import Intent
from app.domain.errors import StripeFault, StripeRefused
from app.gateway.client import Gone

T = TypeVar("T")
Find = Callable[[], Awaitable[T | None]]
OnRefusal = Callable[[Session, StripeRefused | Gone], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAction:
    """An action in the audit log: recorded with its intent, before Stripe is asked, and again if Stripe declines."""

    actor: str
    name: str
    object_id: str
    subscriber_id: str
    before: Mapping[str, object]
    after: Mapping[str, object]

    async def record(self, session: Session, *, reason: str | None) -> None:
        """Record that the action was requested, and what it changes."""
        await self._record(session, self.actor, self.name, reason, before=self.before, after=self.after)

    async def record_refusal(self, session: Session, refusal: StripeRefused | Gone) -> None:
        """Record that Stripe declined the action, so that nothing changed."""
        code = refusal.facts.get("stripe_code")
        why = code if isinstance(code, str) else refusal.code
        await self._record(session, "stripe", f"{self.name}.refused", why, before=self.before, after=self.before)

    async def _record(
        self,
        session: Session,
        actor: str,
        action: str,
        reason: str | None,
        *,
        before: Mapping[str, object],
        after: Mapping[str, object],
    ) -> None:
        await audit.record(
            session,
            actor=actor,
            action=action,
            object_id=self.object_id,
            subscriber_id=self.subscriber_id,
            reason=reason,
            before=before,
            after=after,
        )


async def send(
    sessions: Sessions,
    intent: Intent,
    request: Awaitable[T],
    *,
    find: Find[T] | None = None,
    on_refusal: OnRefusal | None = None,
) -> T:
    """
    Await the request of a stored intent, and settle the intent if Stripe declined it or had a server error.

    After success the caller settles the intent, in the transaction that records the result.

    :param find: looks up what the request creates. Called if Stripe declined or had a server error, because an earlier
        attempt may have succeeded. What it finds is returned.
    :param on_refusal: records the refusal, in the transaction that settles the intent.
    :raises StripeRefused: Stripe declined.
    :raises Gone: an object that the request names does not exist.
    :raises StripeFault: Stripe had a server error, and nothing was found.
    :raises StripeUnavailable: there was no answer. The intent is still open.
    """
    try:
        return await request
    except (StripeRefused, StripeFault, Gone) as failure:
        found = await find() if find is not None and not isinstance(failure, Gone) else None
        if found is not None:
            return found
        async with sessions.begin() as session:
            if on_refusal is not None and not isinstance(failure, StripeFault):
                await on_refusal(session, failure)
            await intents.settle(session, intent.key)
        raise
