"""All routers of the API, in the order of the OpenAPI document. Plain ASGI routes are not among them."""

from app.api import (
    anomalies,
    approvals,
    audit,
    billing,
    cancellations,
    checkout_sessions,
    comps,
    disputes,
    entitlement_tokens,
    entitlements,
    events,
    health,
    issued_refunds,
    issues,
    my_plans,
    my_refunds,
    plans,
    reader_views,
    refunds,
    revocations,
    subscriptions,
    support,
)

ROUTERS = tuple(
    module.router
    for module in (
        plans,
        my_plans,
        checkout_sessions,
        subscriptions,
        billing,
        entitlements,
        entitlement_tokens,
        revocations,
        my_refunds,
        refunds,
        issued_refunds,
        approvals,
        comps,
        support,
        cancellations,
        disputes,
        issues,
        anomalies,
        events,
        audit,
        reader_views,
        health,
    )
)
