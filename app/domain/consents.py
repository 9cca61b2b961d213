"""
Consents: what a reader saw and agreed to when they subscribed, kept unchanged as a proof.

It is stored before the reader gets the link to the payment page, so there is no payment without it. What the publisher's
site says about the reader's browser and its terms is optional, and stored as it was sent.
"""

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.errors import Invalid
from app.domain.plans import Plan
from app.domain.text import Wording, is_showable


class ConsentInvalid(Invalid):
    """A field of ``consent`` is invalid."""

    code = "consent_invalid"
    title = "Invalid consent"


LONGEST_USER_AGENT, LONGEST_VERSION = 500, 100  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentDetails:
    """What the site says about the reader's browser and about its terms."""

    ip: str | None = None
    user_agent: str | None = None
    terms_version: str | None = None

    def checked(self) -> "ConsentDetails":
        """
        Return the details, with the address in its usual form.

        :raises ConsentInvalid: the address is none, or a text has characters that can't be shown.
        """
        ip = None
        if self.ip is not None:
            try:
                ip = str(ipaddress.ip_address(self.ip.strip()))
            except ValueError:
                raise ConsentInvalid("`consent.ip` must be an IP address", field="consent.ip") from None
        for name, text in (("user_agent", self.user_agent), ("terms_version", self.terms_version)):
            if text is not None and not is_showable(text):
                raise ConsentInvalid(f"`consent.{name}` has characters that can't be shown", field=f"consent.{name}")
        return ConsentDetails(ip=ip, user_agent=self.user_agent, terms_version=self.terms_version)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """A consent as it is stored."""

    id: str  # cns_…
    checkout_id: str
    subscriber_id: str
    agreed_at: datetime  # when the reader went on to the payment page
    shown: Mapping[str, Any]
    digest: str  # of what was shown and of the details; the ID if the reader was erased
    details: ConsentDetails = field(default_factory=ConsentDetails)
    stripe_subscription_id: str | None = None  # that was paid for; None: none was


def renewal_text(plan: Plan, amount: str) -> str:
    """Return what readers are told about the renewal. ``amount`` is the price of a term, as people write it."""
    return f"Renews every {plan.interval} for {amount} until you cancel. {plan.cancellation_title}."


def offer_shown(
    plan: Plan,
    *,
    publisher: str,
    print_edition: bool,
    promotion_code: str | None,
    guaranteed: bool,
    wording: Wording,
) -> dict[str, Any]:
    """
    Return what a reader is shown when they subscribe: the offer, its prices and its terms, as JSON.

    ``version`` is the fingerprint of all of it: two readers with the same version were shown the same.
    """
    prices = plan.components(print_edition=print_edition)
    total, currency = sum(one.price.amount for one in prices), prices[0].price.currency
    shown: dict[str, Any] = {
        "publisher": publisher,
        "plan": plan.code,
        "title": plan.title,
        "offer": list(plan.offer_lines(guaranteed=guaranteed)),
        "issues": plan.issues,
        "interval": plan.interval,
        "prices": [
            {
                "component": one.component,
                "title": one.title,
                "amount": one.price.amount,
                "currency": one.price.currency,
                "tax_behavior": one.tax_behavior,
                "lookup_key": one.lookup_key,
            }
            for one in prices
        ],
        "total": {"amount": total, "currency": currency, "formatted": wording.money(total, currency)},
        "promotion_code": promotion_code,
        "guarantee": plan.guarantee.title if guaranteed else None,
        "cancellation": plan.cancellation_title,
        "renewal": renewal_text(plan, wording.money(total, currency)),
    }
    return {**shown, "version": _fingerprint(shown)[:16]}


def digest_of(shown: Mapping[str, Any], details: ConsentDetails) -> str:
    """Return the fingerprint of a consent: the same consent to the same checkout is stored once."""
    said = {"shown": shown, "ip": details.ip, "user_agent": details.user_agent, "terms": details.terms_version}
    return _fingerprint(said)


def _fingerprint(said: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
