"""Disputes, as the API shows them. Test cards make them, in `sandbox.billing.disputes`; a test decides them."""

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
    """One dispute."""
    return call.account.get("dispute", call.ids["dispute"])


@route("GET", "/v1/disputes", takes="charge created payment_intent")
def list_all(call: Call) -> Page:
    """Disputes, by charge or payment intent."""
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
    """Give evidence, which is sent to the bank unless `submit` is false, or change the metadata."""
    account, params = call.account, call.params
    dispute = account.get("dispute", call.ids["dispute"])
    given = params.get("evidence", {})
    if "enhanced_evidence" in given:
        raise unsupported("the parameter evidence[enhanced_evidence] on POST /v1/disputes/{dispute}")
    if given and dispute["status"].removeprefix("warning_") != "needs_response":
        raise invalid(f"This dispute is {dispute['status']}: its evidence cannot change.", param="evidence")
    with account.track_changes(dispute, "charge.dispute.updated"):
        dispute["metadata"] = merged(dispute["metadata"], params.get("metadata"))
        dispute["evidence"] |= {name: unset(value) for name, value in given.items()}
        if params.get("submit", bool(given)):
            disputes.submit_evidence(account, dispute)
    return dispute


@route("POST", "/v1/disputes/{dispute}/close")
def close(call: Call) -> JsonObject:
    """Give a dispute up: it is lost."""
    account = call.account
    dispute = account.get("dispute", call.ids["dispute"])
    if dispute["status"] != "needs_response":
        raise invalid(f"You can only close a dispute that needs a response; this one is {dispute['status']}.")
    disputes.change_status(account, dispute, "lost")
    return dispute


@simulation("charges/{id}/dispute")
def begin(account: Account, charge_id: str, wanted: JsonObject) -> JsonObject:
    """The bank disputes a charge: `{"kind": "chargeback"}` or `inquiry`, and perhaps a `reason`, `amount`, `currency`."""
    charge = account.get("charge", charge_id)
    kind = wanted.get("kind", "chargeback")
    if kind not in ("chargeback", "inquiry"):
        raise invalid("A dispute's kind is chargeback or inquiry.", param="kind")
    return disputes.create_dispute(
        account,
        charge,
        kind=kind,
        reason=str(wanted.get("reason", "product_not_received")),
        brand=account.get("payment_method", charge["payment_method"])["_card"].brand,
        now=account.now_for(charge["customer"]),
        amount=wanted.get("amount"),
        currency=wanted.get("currency"),
    )


@simulation("charges/{id}/warn")
def warn(account: Account, charge_id: str, wanted: JsonObject) -> JsonObject:
    """The bank warns that a charge is fraudulent."""
    charge = account.get("charge", charge_id)
    return disputes.create_fraud_warning(account, charge, now=account.now_for(charge["customer"]))


@simulation("disputes/{id}")
def decide(account: Account, dispute_id: str, wanted: JsonObject) -> JsonObject:
    """The bank decides: `{"status": "won"}` or `lost`; of an inquiry `warning_closed`; see `disputes.decide`."""
    dispute = account.get("dispute", dispute_id)
    disputes.change_status(account, dispute, str(wanted.get("status")))
    return dispute
