"""Disputes. Test cards and the control API create and decide them (`sandbox.billing.disputes`)."""

from sandbox.billing import disputes
from sandbox.control.simulations import simulation
from sandbox.errors import invalid, unsupported
from sandbox.http.pagination import in_range
from sandbox.http.parameters import unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.metadata import merged


@route("GET", "/v1/disputes/{dispute}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a dispute."""
    return call.account.get("dispute", call.ids["dispute"])


@route("GET", "/v1/disputes", takes="charge created payment_intent")
def list_all(call: Call) -> Page:
    """List disputes by charge or payment intent."""
    params = call.params
    return Page(
        [
            dispute
            for dispute in call.account.all("dispute")
            if all(dispute[name] == params[name] for name in ("charge", "payment_intent") if name in params)
            and in_range(dispute["created"], params.get("created"))
        ]
    )


@route("POST", "/v1/disputes/{dispute}", takes="evidence metadata submit")
def update(call: Call) -> JsonObject:
    """Update the metadata or the evidence, which is submitted unless `submit` is false."""
    account, params = call.account, call.params
    dispute = account.get("dispute", call.ids["dispute"])
    given = params.get("evidence", {})
    if "enhanced_evidence" in given:
        raise unsupported("the parameter evidence[enhanced_evidence] on POST /v1/disputes/{dispute}")
    if given and dispute["status"].removeprefix("warning_") != "needs_response":
        raise invalid(
            f"You cannot change the evidence of a dispute with the status {dispute['status']}.", param="evidence"
        )
    with account.track_changes(dispute, "charge.dispute.updated"):
        dispute["metadata"] = merged(dispute["metadata"], params.get("metadata"))
        dispute["evidence"] |= {name: unset(value) for name, value in given.items()}
        if params.get("submit", bool(given)):
            disputes.submit_evidence(account, dispute)
    return dispute


@route("POST", "/v1/disputes/{dispute}/close")
def close(call: Call) -> JsonObject:
    """Close a dispute, which loses it."""
    account = call.account
    dispute = account.get("dispute", call.ids["dispute"])
    if dispute["status"] != "needs_response":
        raise invalid(f"You can only close a dispute with the status needs_response; this one has {dispute['status']}.")
    disputes.change_status(account, dispute, "lost")
    return dispute


@simulation("charges/{id}/dispute")
def begin(account: Account, charge_id: str, wanted: JsonObject) -> JsonObject:
    """Simulate a dispute: `{"kind": "chargeback"}` or `"inquiry"`, with optional `reason`, `amount` and `currency`."""
    charge = account.get("charge", charge_id)
    kind = wanted.get("kind", "chargeback")
    if kind not in ("chargeback", "inquiry"):
        raise invalid("kind must be 'chargeback' or 'inquiry'.", param="kind")
    return disputes.create_dispute(
        account,
        charge,
        kind=kind,
        reason=str(wanted.get("reason", "product_not_received")),
        brand=charge["payment_method_details"].get("card", {}).get("brand"),
        now=account.now_for(charge["customer"]),
        amount=wanted.get("amount"),
        currency=wanted.get("currency"),
    )


@simulation("charges/{id}/warn")
def warn(account: Account, charge_id: str, wanted: JsonObject) -> JsonObject:
    """Simulate an early fraud warning."""
    charge = account.get("charge", charge_id)
    return disputes.create_fraud_warning(account, charge, now=account.now_for(charge["customer"]))


@simulation("disputes/{id}")
def decide(account: Account, dispute_id: str, wanted: JsonObject) -> JsonObject:
    """Simulate the bank's decision, such as `{"status": "won"}`."""
    dispute = account.get("dispute", dispute_id)
    disputes.change_status(account, dispute, str(wanted.get("status")))
    return dispute
