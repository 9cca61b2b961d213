"""Parsing and validation of the checkout form."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sandbox.billing import test_bank_accounts, test_cards
from sandbox.errors import StripeError
from sandbox.http.parameters import address
from sandbox.json_types import JsonObject
from sandbox.pages.formatting import known_email
from sandbox.resources import checkout_payment
from sandbox.resources.checkout_payment import Payer
from sandbox.resources.promotion_codes import find_active
from sandbox.store.accounts import Account

_EXPIRY = re.compile(r"^\s*(\d{1,2})\s*/\s*(\d{2}|\d{4})\s*$", re.ASCII)
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_CARD_FIELDS = ("card_number", "card_cvc", "iban", "account_number")
"""Fields that are never shown again."""
_WITH_STATES = ("US", "CA", "AU")
_WITHOUT_POSTAL_CODES = ("AE", "HK", "QA", "PA", "JM", "BS")


@dataclass(kw_only=True)
class Form:
    """The submitted values, the errors, and the payer if there are none."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    promotion_code: JsonObject | None = None
    optional: tuple[int, ...] = ()
    """Indexes of the selected optional items."""
    payer: Payer | None = None

    def value(self, name: str) -> str:
        """Return the value of a field."""
        return self.values.get(name, "")

    def error(self, name: str) -> str | None:
        """Return the error of a field, if any."""
        return self.errors.get(name)


def read(account: Account, session: JsonObject, fields: dict[str, str]) -> Form:
    """Return the form with its errors. It has no payer if the customer only applied a promotion code."""
    fields = {name: value.strip()[:500] for name, value in fields.items()}
    form = Form(values={name: value for name, value in fields.items() if name not in _CARD_FIELDS})
    form.optional = tuple(i for i, _ in enumerate(session["optional_items"] or []) if form.value(f"optional_{i}"))
    _promotion_code(account, session, form)
    if fields.get("action") == "apply":
        return form
    email = known_email(account, session) or form.value("email")
    if not _EMAIL.match(email):
        form.errors["email"] = "Enter your email address." if not email else "Your email address is not valid."
    shipping = _shipping(session, form) if session["shipping_address_collection"] else None
    computed = checkout_payment.lines(account, session, promotion_code=form.promotion_code, optional=form.optional)
    card, bank, expiry = None, None, (12, 2040)
    if checkout_payment.needs_card(session, sum(line.total for line in computed)):
        if payment_method(session, form) == "card":
            card, expiry = _card(fields, form, now=account.now_for(session["customer"]))
        else:
            bank = _bank(session, fields, form)
    if not form.errors:
        form.payer = Payer(
            email=email,
            name=form.value("card_name") or form.value("account_name") or (shipping or {}).get("name"),
            card=card,
            bank=bank,
            expiry=expiry,
            shipping=shipping,
            promotion_code=form.promotion_code,
            optional=form.optional,
        )
    return form


def _promotion_code(account: Account, session: JsonObject, form: Form) -> None:
    text = form.value("promotion_code")
    if not text or not session["allow_promotion_codes"]:
        return
    code = find_active(account, text)
    if code is None:
        form.errors["promotion_code"] = "This code is invalid."
        return
    try:
        checkout_payment.validate_promotion_code(account, session, code, form.optional)
    except StripeError as error:
        form.errors["promotion_code"] = error.message
        return
    form.promotion_code = code


def _shipping(session: JsonObject, form: Form) -> JsonObject | None:
    country = form.value("shipping_country")
    if country not in session["shipping_address_collection"]["allowed_countries"]:
        form.errors["shipping_country"] = "Select a country."
    needed = {
        "shipping_name": "Enter a name.",
        "shipping_line1": "Enter an address.",
        "shipping_city": "Enter a city.",
    }
    if country not in _WITHOUT_POSTAL_CODES:
        needed["shipping_postal_code"] = "Enter a postal code."
    if country in _WITH_STATES:
        needed["shipping_state"] = "Enter a state or province."
    for name, message in needed.items():
        if not form.value(name):
            form.errors[name] = message
    fields = {line: form.value(f"shipping_{line}") for line in ("city", "line1", "line2", "postal_code", "state")}
    return {"address": address({**fields, "country": country}), "name": form.value("shipping_name")}


def payment_method(session: JsonObject, form: Form) -> str:
    """Return the selected payment method type. The first of the session is selected by default."""
    selected = form.value("payment_method")
    types: list[str] = session["payment_method_types"]
    return selected if selected in types else types[0]


def _bank(session: JsonObject, fields: dict[str, str], form: Form) -> test_bank_accounts.BankAccount | None:
    kind = payment_method(session, form)
    name = "iban" if kind == "sepa_debit" else "account_number"
    number = fields.get(name, "")
    if not form.value("account_name"):
        form.errors["account_name"] = "Enter the name on the account."
    if not number:
        form.errors[name] = "Enter your IBAN." if kind == "sepa_debit" else "Enter your account number."
        return None
    if kind == "sepa_debit" and not test_bank_accounts.is_valid_iban(number):
        form.errors[name] = "The IBAN you entered is invalid."
        return None
    bank = test_bank_accounts.by_number(kind, number)
    if bank is None:
        form.errors[name] = "Use a test bank account in test mode."
    return bank


def _card(fields: dict[str, str], form: Form, *, now: int) -> tuple[test_cards.Card | None, tuple[int, int]]:
    number = re.sub(r"[\s-]", "", fields.get("card_number", ""))
    card: test_cards.Card | None = None
    if not number:
        form.errors["card_number"] = "Your card number is incomplete."
    elif not test_cards.is_valid_number(number):
        form.errors["card_number"] = "Your card number is invalid."
    else:
        card = test_cards.by_number(number)
    length = 4 if card and card.brand == "amex" else 3
    if not re.fullmatch(rf"[0-9]{{{length}}}", fields.get("card_cvc", "")):
        form.errors["card_cvc"] = "Your card's security code is incomplete."
    return card, _expiry(fields.get("card_expiry", ""), form, now=now)


def _expiry(text: str, form: Form, *, now: int) -> tuple[int, int]:
    """Return until which month and year a card is valid, as of the customer's time."""
    found = _EXPIRY.match(text)
    month, year = (int(found[1]), int(found[2])) if found else (0, 0)
    year += 2000 if year < 100 else 0
    if not 1 <= month <= 12:
        form.errors["card_expiry"] = "Your card's expiration date is incomplete."
    elif year * 12 + month < _this_month(now):
        form.errors["card_expiry"] = "Your card's expiration date is in the past."
    return month, year


def _this_month(now: int) -> int:
    today = datetime.fromtimestamp(now, UTC)
    return today.year * 12 + today.month
