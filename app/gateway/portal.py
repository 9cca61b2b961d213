"""Stripe's customer portal."""

from collections.abc import Mapping
from typing import Any

from app.gateway.client import Gateway


async def open_session(gateway: Gateway, parameters: Mapping[str, Any], *, key: str) -> str:
    """
    Create the portal session of a stored intent, and return its URL. It expires after some minutes.

    :raises Gone: the customer was deleted.
    """
    made = await gateway.call(
        gateway.sdk.v1.billing_portal.sessions.create_async(dict(parameters), {"idempotency_key": key})  # type: ignore[arg-type]
    )
    return made.url
