"""Receiving webhooks: unique, signed events of about 4 KB, stored durably before the response."""

import hashlib
import hmac
import itertools
import json
import time
from collections.abc import Iterator

from bench import load_generator
from bench.environment import WEBHOOK_SECRET, Environment
from bench.runner import Benchmark, Side

REQUESTS_PER_SECOND = 6_000  # prepared for each second of a run: more than either side handles


def _line(number: int) -> dict[str, object]:
    return {
        "id": f"il_1RbenchLine{number:014d}",
        "object": "line_item",
        "amount": 4900,
        "currency": "usd",
        "description": "1 x 24 Issues Per Year: Digital Edition (at $49.00 / year)",
        "discount_amounts": [],
        "discountable": True,
        "invoice": "in_1RbenchInvoice0000000000",
        "livemode": False,
        "metadata": {"newsstand_subscriber": "rdr_1f0c3b6a59d84e7c92ab1d3f5e7a90"},
        "parent": {
            "type": "subscription_item_details",
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": "sub_1RbenchSubscription0000",
                "subscription_item": f"si_Rbench{number:014d}",
            },
        },
        "period": {"start": 1_772_323_200, "end": 1_803_859_200},
        "pricing": {
            "type": "price_details",
            "price_details": {"price": "price_1RbenchPrice00000000000", "product": "prod_newsstand_annual_digital"},
            "unit_amount_decimal": "4900",
        },
        "quantity": 1,
        "taxes": [],
    }


def _event(event_id: str, subscription: str) -> bytes:
    invoice: dict[str, object] = {
        "id": "in_1RbenchInvoice0000000000",
        "object": "invoice",
        "account_country": "US",
        "account_name": "The Lantern Review",
        "amount_due": 7300,
        "amount_paid": 7300,
        "amount_remaining": 0,
        "attempt_count": 1,
        "attempted": True,
        "auto_advance": False,
        "automatic_tax": {"enabled": False, "liability": None, "provider": None, "status": None},
        "billing_reason": "subscription_cycle",
        "collection_method": "charge_automatically",
        "created": 1_772_323_200,
        "currency": "usd",
        "customer": "cus_RbenchCustomer0",
        "customer_address": {"city": "Springfield", "country": "US", "line1": "1 Lantern Street", "state": "IL"},
        "customer_email": "ada@example.com",
        "customer_name": "Ada Invented",
        "default_tax_rates": [],
        "discounts": [],
        "hosted_invoice_url": "https://invoice.example/i/acct_1/test_" + "YWNjdF8xUmJlbmNo" * 8,
        "invoice_pdf": "https://pay.example/invoice/acct_1/test_" + "YWNjdF8xUmJlbmNo" * 8,
        "lines": {"object": "list", "data": [_line(1)], "has_more": False, "total_count": 1},
        "livemode": False,
        "metadata": {},
        "number": "RBENCH01-0002",
        "parent": {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {"metadata": {}, "subscription": subscription},
        },
        "period_start": 1_772_323_200,
        "period_end": 1_772_323_200,
        "status": "paid",
        "status_transitions": {"finalized_at": 1_772_326_800, "paid_at": 1_772_326_802, "voided_at": None},
        "subtotal": 7300,
        "total": 7300,
        "total_taxes": [],
    }
    event = {
        "id": event_id,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": 1_772_326_802,
        "data": {"object": invoice},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "invoice.paid",
    }
    return json.dumps(event, indent=2).encode()  # as Stripe sends it


_TEMPLATE = _event("evt_EVENT", "sub_SUBSCRIPTION")


def _deliveries() -> Iterator[bytes]:
    """Yield requests with different events, each signed when it is generated."""
    for number in itertools.count(1):
        body = _TEMPLATE.replace(b"evt_EVENT", b"evt_1Rbench%017d" % number)
        body = body.replace(b"sub_SUBSCRIPTION", b"sub_1Rbench%016d" % number)
        timestamp = str(int(time.time()))
        signature = hmac.digest(WEBHOOK_SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hex()
        yield load_generator.post_request(
            "/webhooks/stripe", body, {"Stripe-Signature": f"t={timestamp},v1={signature}"}
        )


def _sides(environment: Environment) -> tuple[Side, Side]:
    minimal = environment.baseline(
        "minimal_ingest", BENCH_DATABASE_URL=environment.empty_database("minimal"), BENCH_SECRET=WEBHOOK_SECRET
    )

    def side(port: int) -> Side:
        deliveries = _deliveries()  # separate for each side, because each has its own database

        def run(seconds: float) -> load_generator.Run:
            return environment.run(
                port, list(itertools.islice(deliveries, int(seconds * REQUESTS_PER_SECOND) + 1)), seconds
            )

        return run

    return side(environment.service()), side(minimal)


BENCHMARKS = (
    Benchmark(
        name="ingest_vs_minimal",
        unit="events/s",
        description="receive a webhook, against a minimal hand-written endpoint",
        sides=_sides,
    ),
)
