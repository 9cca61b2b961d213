"""
The preview of an import: which customers are unusual, and what staff will see.

It only reads, and decides by the same rules as the import (:mod:`app.domain.imports`).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from app.context import Context
from app.db import subscriptions
from app.domain.disputes import effect_of
from app.domain.imports import (
    DISPUTE_OPEN,
    SEVERAL_SUBSCRIPTIONS,
    history_anomalies,
    open_disputes,
    returned_earlier,
    several_subscriptions,
)
from app.domain.payments import payments_of
from app.domain.reconciliation import Difference, ListedInvoice
from app.domain.subscriptions import LIVE, ForeignStripeObject, StripeSubscriptionState
from app.domain.terms import terms_of
from app.gateway import refunds as refunds_at_stripe
from app.gateway import subscriptions as at_stripe
from app.gateway.client import Gone


class ImportPreview:
    """Compares the pages of one sweep with each other, so it cannot continue an interrupted one."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._running: dict[str, list[str]] = {}  # live subscriptions, by customer
        self._ended: dict[str, datetime] = {}  # by subscription
        self._shown: set[str] = set()  # subscriptions whose history was looked at

    def follow(self, states: Sequence[StripeSubscriptionState]) -> None:
        """Note which subscriptions of a page are running, and when the others ended."""
        for one in states:
            if not any(item.plan in self._ctx.rules.catalogue.plans for item in one.items):
                continue
            if one.ended_at is not None:
                self._ended[one.id] = one.ended_at
            elif one.status in LIVE:
                self._running.setdefault(one.customer_id, []).append(one.id)

    def several_running(self) -> list[Difference]:
        """Return the customers who have several running subscriptions, after the last page of subscriptions."""
        return [
            Difference(
                object_id=customer,
                words=f"customer {customer}: {several_subscriptions(running)}",
                key=None,
                code=SEVERAL_SUBSCRIPTIONS,
            )
            for customer, running in self._running.items()
            if len(running) > 1
        ]

    async def late_payments(self, listed: ListedInvoice) -> list[Difference]:
        """Return what staff will see if an invoice was paid after its subscription had ended."""
        ended_at = self._ended.get(str(listed.subscription_id))
        late = [one for one in listed.invoice.payments if ended_at is not None and one.paid_at > ended_at]
        return await self._history(str(listed.subscription_id)) if late else []

    async def history(self, payment_id: str) -> list[Difference]:
        """Return what staff will see of the subscription that a payment was made for."""
        try:
            invoice = await refunds_at_stripe.invoice_of(self._ctx.gateway, payment_id)
            return await self._history(await at_stripe.of_invoice(self._ctx.gateway, invoice))
        except (ForeignStripeObject, Gone):
            return []

    async def _history(self, stripe_id: str) -> list[Difference]:
        if stripe_id in self._shown:
            return []
        self._shown.add(stripe_id)
        async with self._ctx.sessions.begin() as session:
            is_known = bool(await subscriptions.by_stripe_ids(session, [stripe_id]))
        if is_known:
            return []
        state, catalogue = await at_stripe.fetch(self._ctx.gateway, stripe_id), self._ctx.rules.catalogue
        if state.plan not in catalogue.plans:
            return []
        paid = [replace(one, is_history=True) for one in payments_of(state, catalogue)]
        through_stripe = [one.id for one in paid if not one.is_outside_stripe]
        states = {one: await refunds_at_stripe.payment_state(self._ctx.gateway, one) for one in through_stripe}
        returned = returned_earlier(paid, states)
        disputed = [one for seen in states.values() for one in seen.disputes if effect_of(one.status).is_open]
        zone, terms = self._ctx.rules.zone, terms_of(state, catalogue)
        found = history_anomalies(state.status, state.ended_at, terms, paid, returned, zone=zone)
        if disputed:
            found[DISPUTE_OPEN] = open_disputes([(one.id, one.status) for one in disputed])
        return [
            Difference(object_id=stripe_id, words=f"customer {state.customer_id}: {words}", key=None, code=code)
            for code, words in found.items()
        ]
