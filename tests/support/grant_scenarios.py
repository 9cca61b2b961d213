"""Readers with random grants: subscriptions of several plans in every state, and comps."""

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from app.aggregates import grants
from app.db import subscribers, subscriptions
from app.db.engine.session import Session, Sessions
from app.domain.dunning import AccessPolicy
from app.domain.plans import Catalogue
from app.domain.rules import Rules
from app.domain.subscriptions import StripeItemState, StripeSubscriptionState, Term
from tests.support.shop import CATALOGUE
from tests.support.wording import american

FIRST_DAY, DAYS = (
    datetime(2030, 1, 1, tzinfo=UTC),
    800,
)  # in the future, so that no token has expired for an edge
ANNOUNCED_DATE = datetime(2030, 7, 1, tzinfo=UTC)
POLICY = AccessPolicy(
    renewal_allowance=timedelta(days=3), grace_period=timedelta(days=14), zone=ZoneInfo("UTC"), wording=american()
)
SMALL = """
[plans.small]
title = "Small"
issues = 6
interval = "year"
features = ["digital_edition", "audio", "ad_free"]
guarantee = { days = 60, title = "60-Day money back guarantee!" }
cancellation = { policy = "anytime", title = "Cancel anytime" }

[plans.small.prices.digital]
title = "Small Edition"
lookup_key = "newsstand_small_digital"
amount = 900
currency = "usd"
tax_code = "txcd_10303002"
tax_behavior = "exclusive"
"""


def write_two_plan_catalogue(folder: Path) -> Path:
    """Write a catalogue with a second plan and a date for the announced feature."""
    announced = f"announced = true\navailable_from = {ANNOUNCED_DATE:%Y-%m-%dT%H:%M:%SZ}"
    written, found = re.subn(r"^announced = true$", announced, CATALOGUE.read_text(), flags=re.MULTILINE)
    assert found == 1
    written = written.replace("{ days = 92 }", "{ days = 3650 }")  # nobody has to approve the complimentary access
    path = folder / "catalogue.toml"
    path.write_text(written + SMALL)
    return path


@dataclass(frozen=True, slots=True)
class GivenSubscription:
    """A subscription of a reader: its ID and its invoices."""

    id: str
    invoices: Sequence[str]


def rules_for(offer: Catalogue) -> Rules:
    return Rules(catalogue=offer, access=POLICY, zone=POLICY.zone)


async def add_subscription(
    sessions: Sessions, offer: Catalogue, sub: str, chance: random.Random, *, kind: str | None = None
) -> GivenSubscription:
    """Add a subscription in a random state to a reader, with the resulting grants."""
    async with sessions.begin() as session:
        reader = await subscribers.ensure(session, sub=sub, email=None, name=None)
        seen, terms = _life(chance, kind or chance.choice(KINDS))
        kept = await subscriptions.save(session, reader.id, seen, if_version=0)
        await subscriptions.save_terms(session, kept.id, terms)
        for term in terms:
            match chance.choice(("kept",) * 5 + ("refunded", "disputed")):
                case "refunded":
                    await subscriptions.mark_term_refunded(session, term.invoice_id, "guarantee", at=term.starts_at)
                case "disputed":
                    await subscriptions.suspend_term(session, term.invoice_id, "dispute_open")
        await grants.derive(session, rules_for(offer), reader, kept)
    return GivenSubscription(kept.id, [term.invoice_id for term in terms])


KINDS = ("active", "active", "past_due", "ends", "ended", "failed", "trial", "incomplete")


def _life(chance: random.Random, kind: str) -> tuple[StripeSubscriptionState, list[Term]]:
    name = f"{chance.getrandbits(48):x}"
    plan, in_print = chance.choice(("annual", "annual", "small")), chance.random() < 0.3
    starts = FIRST_DAY + timedelta(days=chance.randrange(DAYS // 2), seconds=chance.randrange(86_400))
    terms = []
    for number in range(0 if kind == "incomplete" else chance.choice((1, 1, 2))):
        ends = starts + timedelta(days=chance.randrange(5, 200))
        terms.append(
            Term(
                invoice_id=f"in_{name}_{number}",
                plan=plan,
                print_edition=in_print and plan == "annual",
                starts_at=starts,
                ends_at=ends,
                issues_owed=offer_issues(plan),
            )
        )
        starts = ends
    begun = terms[0].starts_at if terms else starts
    seen = StripeSubscriptionState(
        id=f"sub_{name}",
        customer_id=f"cus_{name}",
        status="active",
        currency="usd",
        created_at=begun,
        items=(
            StripeItemState(
                id=f"si_{name}",
                plan=plan,
                component="digital",
                unit_amount=4900,
                period_start=begun,
                period_end=starts,
            ),
        ),
        cancel_at=None,
        canceled_at=None,
        ended_at=None,
        end_reason=None,
        invoices=(),
    )
    return replace(seen, **_changes(kind, chance, begun, starts)), terms


def offer_issues(plan: str) -> int:
    """Return the number of issues in a term of a plan."""
    return {"annual": 24, "small": 6}[plan]


def _changes(kind: str, chance: random.Random, begun: datetime, ends: datetime) -> Mapping[str, Any]:
    midway = begun + chance.random() * (ends - begun)
    midway = midway.replace(microsecond=0)
    changes: Mapping[str, Mapping[str, Any]] = {
        "past_due": {"status": "past_due"},
        "ends": {"cancel_at": ends},
        "ended": {"status": "canceled", "ended_at": midway, "end_reason": "cancellation_requested"},
        "failed": {"status": "canceled", "ended_at": ends, "end_reason": "payment_failed"},
        "trial": {"trial_end": begun + timedelta(days=7)},
        "incomplete": {"status": "incomplete"},
    }
    return changes.get(kind, {})


async def end_subscription(
    sessions: Sessions, offer: Catalogue, sub: str, scenario: GivenSubscription, chance: random.Random
) -> str:
    """End the grants of a subscription by a refund, a dispute, or an immediate end. Return which."""
    how = chance.choice(("refunded", "disputed", "immediate"))
    async with sessions.begin() as session:
        reader = await _locked(session, sub)
        for invoice in scenario.invoices:
            if how == "refunded":
                await subscriptions.mark_term_refunded(session, invoice, "guarantee", at=FIRST_DAY)
            if how == "disputed":
                await subscriptions.suspend_term(session, invoice, "dispute_open")
        kept = await subscriptions.by_id(session, scenario.id)
        assert kept is not None
        if how == "immediate":
            kept = replace(kept, access_ended_at=FIRST_DAY)
        await grants.derive(session, rules_for(offer), reader, kept)
    return how


async def _locked(session: Session, sub: str) -> subscribers.Subscriber:
    found = await subscribers.by_sub(session, sub)
    assert found is not None
    return await subscribers.lock(session, found.id)
