"""
Credit notes: all or part of an invoice is credited.

For an open invoice, the amount due decreases. What was paid already is refunded (`refund_amount`), was refunded before
(`refunds[]`), was returned outside Stripe (`out_of_band_amount`), or is added to the customer's balance
(`credit_amount`); these amounts must add up.
"""

from sandbox.billing import customer_balance, invoicing, payments
from sandbox.errors import invalid
from sandbox.http.pagination import in_range
from sandbox.http.parameters import unset
from sandbox.http.routing import Call, Page, route
from sandbox.json_types import JsonObject
from sandbox.resources import refunds
from sandbox.resources.credit_note_lines import Credit, compute_credit
from sandbox.store.accounts import Account, new_id
from sandbox.store.metadata import merged


@route(
    "POST",
    "/v1/credit_notes",
    takes=(
        "amount credit_amount effective_at email_type invoice lines memo metadata out_of_band_amount reason refund_amount "
        "refunds"
    ),
)
def create(call: Call) -> JsonObject:
    """Create a credit note for an amount or for lines."""
    account, params = call.account, call.params
    invoice = account.get("invoice", params["invoice"], param="invoice", status=400)
    if invoice["status"] not in ("open", "paid"):
        raise invalid(f"You cannot create a credit note for an invoice whose status is {invoice['status']}.")
    credit = compute_credit(invoice, params)
    _check_total(account, invoice, credit.total)
    paid = max(0, credit.total - invoice["amount_remaining"])
    refund_links = _refund_links(account, invoice, params) if paid else _check_no_destinations(params)
    if paid:
        _check_destinations(params, refund_links, paid)
    if params.get("refund_amount"):
        refund_links.append(_refund(account, invoice, params["refund_amount"]))
    note = _note(account, invoice, params, credit, refund_links)
    account.add(note)
    if params.get("credit_amount"):
        note["customer_balance_transaction"] = customer_balance.change(
            account,
            account.get("customer", invoice["customer"]),
            -params["credit_amount"],
            currency=invoice["currency"],
            kind="credit_note",
            invoice=invoice["id"],
            credit_note=note["id"],
        )["id"]
    _apply_to_invoice(account, invoice, before_payment=credit.total - paid, after_payment=paid)
    account.emit("credit_note.created", note)
    return note


@route("GET", "/v1/credit_notes/{id}")
def retrieve(call: Call) -> JsonObject:
    """Retrieve a credit note."""
    return call.account.get("credit_note", call.ids["id"])


@route("GET", "/v1/credit_notes", takes="created customer invoice")
def list_all(call: Call) -> Page:
    """List credit notes by invoice or customer."""
    params = call.params
    return Page(
        [
            note
            for note in call.account.all("credit_note")
            if all(note[name] == params[name] for name in ("customer", "invoice") if name in params)
            and in_range(note["created"], params.get("created"))
        ]
    )


@route("GET", "/v1/credit_notes/{credit_note}/lines")
def lines(call: Call) -> Page:
    """List the lines of a credit note."""
    return Page(call.account.get("credit_note", call.ids["credit_note"])["lines"]["data"])


@route("POST", "/v1/credit_notes/{id}", takes="memo metadata")
def update(call: Call) -> JsonObject:
    """Update the memo or the metadata."""
    account, params = call.account, call.params
    note = account.get("credit_note", call.ids["id"])
    with account.track_changes(note, "credit_note.updated"):
        note["metadata"] = merged(note["metadata"], params.get("metadata"))
        note["memo"] = unset(params.get("memo", note["memo"]))
    return note


@route("POST", "/v1/credit_notes/{id}/void")
def void(call: Call) -> JsonObject:
    """Void a credit note of an open invoice. The amount is due again."""
    account = call.account
    note = account.get("credit_note", call.ids["id"])
    invoice = account.get("invoice", note["invoice"])
    if note["status"] == "void":
        raise invalid("This credit note is already void.")
    if note["type"] != "pre_payment" or invoice["status"] != "open":
        raise invalid("You can only void a credit note of an open invoice.")
    with account.track_changes(note, "credit_note.updated"):
        note["status"] = "void"
        note["voided_at"] = account.now_for(note["customer"])
    account.emit("credit_note.voided", note)
    _apply_to_invoice(account, invoice, before_payment=-note["total"], after_payment=0)
    return note


def _check_total(account: Account, invoice: JsonObject, total: int) -> None:
    if total <= 0:
        raise invalid("The credit note amount must be greater than zero.", param="amount")
    credited_before = sum(
        note["total"]
        for note in account.all("credit_note")
        if note["invoice"] == invoice["id"] and note["status"] == "issued"
    )
    if total > invoice["total"] - credited_before:
        message = (
            f"The sum of credit notes ({credited_before + total}) cannot be greater than the invoice's total "
            f"({invoice['total']})."
        )
        raise invalid(message, param="amount")


def _check_no_destinations(params: JsonObject) -> list[JsonObject]:
    for name in ("credit_amount", "refund_amount", "refunds", "out_of_band_amount"):
        if params.get(name):
            raise invalid(f"You cannot specify {name} for an invoice that is not paid.", param=name)
    return []


def _refund_links(account: Account, invoice: JsonObject, params: JsonObject) -> list[JsonObject]:
    """Return links to existing refunds of this invoice. A refund cannot be linked beyond its amount."""
    refund_links = []
    for index, given in enumerate(params.get("refunds", [])):
        param = f"refunds[{index}]"
        if "refund" not in given:
            raise invalid(
                f"Missing required param: {param}[refund].", param=f"{param}[refund]", code="parameter_missing"
            )
        refund = account.get("refund", given["refund"], param=f"{param}[refund]", status=400)
        amount = given.get("amount_refunded", refund["amount"])
        if not _pays(account, invoice, refund):
            message = f"The refund {refund['id']} does not belong to a payment of the invoice {invoice['id']}."
            raise invalid(message, param=f"{param}[refund]")
        if refund["status"] in ("failed", "canceled"):
            raise invalid(f"The refund {refund['id']} is {refund['status']}.", param=f"{param}[refund]")
        if not 0 < amount <= refund["amount"] - _already_linked(account, refund["id"]):
            message = f"The amount {amount} exceeds the amount of the refund {refund['id']} that can still be credited."
            raise invalid(message, param=f"{param}[amount_refunded]")
        refund_links.append({"amount_refunded": amount, "refund": refund["id"], "type": "refund"})
    return refund_links


def _pays(account: Account, invoice: JsonObject, refund: JsonObject) -> bool:
    """Return whether a refund belongs to a payment of an invoice."""
    return any(
        payment["payment"].get("payment_intent", "") == refund["payment_intent"]
        or payment["payment"].get("charge", "") == refund["charge"]
        for payment in invoicing.payments_of(account, invoice["id"])
    )


def _already_linked(account: Account, refund_id: str) -> int:
    return sum(
        entry["amount_refunded"]
        for note in account.all("credit_note")
        if note["status"] == "issued"
        for entry in note["refunds"]
        if entry["refund"] == refund_id
    )


def _check_destinations(params: JsonObject, refund_links: list[JsonObject], total: int) -> None:
    refunded = params.get("refund_amount", 0) + sum(entry["amount_refunded"] for entry in refund_links)
    elsewhere = params.get("out_of_band_amount", 0) + params.get("credit_amount", 0)
    if refunded + elsewhere != total:
        message = (
            "The sum of credit amount, refund amount and out of band amount must equal the post payment credit amount: "
            f"{total} (given: {refunded + elsewhere})."
        )
        raise invalid(message, param="refund_amount")


def _refund(account: Account, invoice: JsonObject, amount: int) -> JsonObject:
    intent = account.find("payment_intent", invoice["_payment_intent"])
    if intent is None or intent["status"] != "succeeded":
        raise invalid("The invoice has no payment that can be refunded.", param="refund_amount")
    charge = account.get("charge", intent["latest_charge"])
    refund = refunds.make(account, charge, amount=amount, reason=None, metadata={})
    return {"amount_refunded": amount, "refund": refund["id"], "type": "refund"}


def _apply_to_invoice(account: Account, invoice: JsonObject, *, before_payment: int, after_payment: int) -> None:
    """Update the amounts of the invoice. An open invoice with nothing left to pay is paid."""
    with account.track_changes(invoice, "invoice.updated"):
        invoice["post_payment_credit_notes_amount"] += after_payment
        invoice["pre_payment_credit_notes_amount"] += before_payment
        invoice["amount_due"] -= before_payment
        invoice["amount_remaining"] -= before_payment
    if invoice["status"] == "open" and invoice["amount_remaining"] == 0:
        invoicing.mark_paid(account, invoice, now=account.now_for(invoice["customer"]))
        subscription = account.find("subscription", invoice["_subscription"])
        if subscription:
            payments.activate_subscription(account, subscription, "paid")


def _note(
    account: Account, invoice: JsonObject, params: JsonObject, credit: Credit, refund_links: list[JsonObject]
) -> JsonObject:
    note_id = new_id("cn")
    now = account.now_for(invoice["customer"])
    earlier = sum(note["invoice"] == invoice["id"] for note in account.all("credit_note"))
    paid = max(0, credit.total - invoice["amount_remaining"])
    return {
        "id": note_id,
        "object": "credit_note",
        "amount": credit.total,
        "amount_shipping": 0,
        "created": now,
        "currency": invoice["currency"],
        "customer": invoice["customer"],
        "discount_amount": 0,
        "discount_amounts": [],
        "effective_at": params.get("effective_at", now),
        "invoice": invoice["id"],
        "lines": {
            "object": "list",
            "data": credit.lines,
            "has_more": False,
            "url": f"/v1/credit_notes/{note_id}/lines",
        },
        "livemode": False,
        "memo": params.get("memo"),
        "metadata": merged({}, params.get("metadata")),
        "number": f"{invoice['number']}-CN-{earlier + 1:02d}",
        "out_of_band_amount": params.get("out_of_band_amount"),
        "pdf": f"https://pay.stripe.com/credit_notes/{account.id}/test_{note_id}/pdf",
        "post_payment_amount": paid,
        "pre_payment_amount": credit.total - paid,
        "pretax_credit_amounts": [],
        "reason": params.get("reason"),
        "refunds": refund_links,
        "status": "issued",
        "subtotal": credit.subtotal,
        "subtotal_excluding_tax": credit.subtotal,
        "total": credit.total,
        "total_excluding_tax": credit.total - credit.tax,
        "total_taxes": credit.taxes,
        "type": "mixed" if 0 < paid < credit.total else "post_payment" if paid else "pre_payment",
    }
