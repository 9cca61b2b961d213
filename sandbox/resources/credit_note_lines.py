"""Credit note arithmetic: lines, amounts and tax."""

from dataclasses import dataclass
from decimal import Decimal

from sandbox.billing.amounts import round_half_up
from sandbox.errors import StripeError, invalid, missing, unsupported
from sandbox.json_types import JsonObject
from sandbox.store.accounts import new_id


@dataclass(frozen=True, kw_only=True)
class Credit:
    """The amounts of a credit note, in minor units."""

    lines: list[JsonObject]
    subtotal: int
    """Without exclusive tax."""
    tax: int
    total: int
    taxes: list[JsonObject]


def compute_credit(invoice: JsonObject, params: JsonObject) -> Credit:
    """
    Return the amounts that a request credits.

    :raises StripeError: 400 unless it has exactly one of `amount` and `lines`, or for a line of another invoice.
    """
    given = [name for name in ("amount", "lines") if params.get(name) is not None]
    if len(given) != 1:
        raise invalid("You must specify exactly one of `amount`, `lines` or `shipping_cost`.", param="amount")
    if given == ["amount"]:
        return _of_amount(invoice, params["amount"])
    return _of_lines(invoice, params["lines"])


def _of_amount(invoice: JsonObject, amount: int) -> Credit:
    """Return the credit for an amount, which includes its share of the invoice's tax."""
    taxes = _share(invoice["total_taxes"], amount, invoice["total"])
    exclusive = sum(entry["amount"] for entry in taxes if entry["tax_behavior"] == "exclusive")
    line = _line(amount=amount - exclusive, description="Credit", quantity=1, invoice_line=None, taxes=taxes)
    tax = sum(entry["amount"] for entry in taxes)
    return Credit(lines=[line], subtotal=amount - exclusive, tax=tax, total=amount, taxes=taxes)


def _of_lines(invoice: JsonObject, wanted: list[JsonObject]) -> Credit:
    lines = [_credit_line(invoice, given, f"lines[{index}]") for index, given in enumerate(wanted)]
    taxes = [entry for line in lines for entry in line["taxes"]]
    exclusive = sum(entry["amount"] for entry in taxes if entry["tax_behavior"] == "exclusive")
    subtotal = sum(line["amount"] - line["discount_amount"] for line in lines)
    tax = sum(entry["amount"] for entry in taxes)
    return Credit(lines=lines, subtotal=subtotal, tax=tax, total=subtotal + exclusive, taxes=taxes)


def _credit_line(invoice: JsonObject, given: JsonObject, param: str) -> JsonObject:
    for name in given.keys() - {"type", "invoice_line_item", "amount", "quantity", "unit_amount", "description"}:
        raise unsupported(f"the parameter lines[][{name}] on POST /v1/credit_notes")
    if given["type"] == "custom_line_item":
        if "unit_amount" not in given or "description" not in given:
            raise invalid("A custom_line_item requires a unit_amount and a description.", param=param)
        quantity = given.get("quantity", 1)
        amount = given["unit_amount"] * quantity
        return _line(amount=amount, description=given["description"], quantity=quantity, invoice_line=None, taxes=[])
    source = _source(invoice, given, param)
    if ("amount" in given) == ("quantity" in given):
        raise invalid("An invoice_line_item requires exactly one of amount and quantity.", param=param)
    creditable = source["amount"] - sum(entry["amount"] for entry in source["discount_amounts"])
    share = Decimal(creditable) * given.get("quantity", 0) / source["quantity"]
    amount = given.get("amount", round_half_up(share))
    if not 0 < amount <= creditable:
        raise _exceeds_line(amount, creditable, param)
    return _line(
        amount=amount,
        description=source["description"],
        quantity=given.get("quantity"),
        invoice_line=source["id"],
        taxes=_share(source["taxes"], amount, creditable),
    )


def _source(invoice: JsonObject, given: JsonObject, param: str) -> JsonObject:
    wanted = given.get("invoice_line_item", "")
    for line in invoice["lines"]["data"]:
        if line["id"] == wanted:
            return dict(line)
    raise missing("invoice line item", wanted, param=f"{param}[invoice_line_item]", status=400)


def _exceeds_line(amount: int, creditable: int, param: str) -> StripeError:
    return invalid(f"Invalid amount {amount}: the line can be credited by 1 to {creditable}.", param=f"{param}[amount]")


def _share(taxes: list[JsonObject], part: int, whole: int) -> list[JsonObject]:
    shares = []
    for entry in taxes:
        shared = dict(entry)
        for name in ("amount", "taxable_amount"):
            if entry[name] is not None:
                shared[name] = round_half_up(Decimal(entry[name]) * part / whole) if whole else 0
        shares.append(shared)
    return shares


def _line(
    *, amount: int, description: str, quantity: int | None, invoice_line: str | None, taxes: list[JsonObject]
) -> JsonObject:
    return {
        "id": new_id("cnli"),
        "object": "credit_note_line_item",
        "amount": amount,
        "description": description,
        "discount_amount": 0,
        "discount_amounts": [],
        "invoice_line_item": invoice_line,
        "livemode": False,
        "metadata": {},
        "pretax_credit_amounts": [],
        "quantity": quantity,
        "tax_rates": [],
        "taxes": taxes,
        "type": "invoice_line_item" if invoice_line else "custom_line_item",
        "unit_amount": None,
        "unit_amount_decimal": None,
    }
