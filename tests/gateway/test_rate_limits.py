"""The endpoint of a request, for Stripe's rate limit of each endpoint."""

import pytest

from app.gateway.rate_limits import endpoint_of


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("get", "/v1/subscriptions/sub_1", "GET subscriptions/{id}"),
        ("get", "/v1/subscriptions?status=all&limit=100", "GET subscriptions"),
        ("post", "/v1/invoices/in_1/void", "POST invoices/{id}/void"),
        ("post", "/v1/checkout/sessions", "POST checkout/sessions"),
        ("post", "/v1/checkout/sessions/cs_1/expire", "POST checkout/sessions/{id}/expire"),
        ("get", "/v1/invoice_payments?payment[type]=payment_intent", "GET invoice_payments"),
    ],
)
def test_a_request_counts_for_its_endpoint(method: str, path: str, endpoint: str) -> None:
    assert endpoint_of(method, f"https://api.stripe.com{path}") == endpoint
