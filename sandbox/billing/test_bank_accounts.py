"""
Stripe's test bank accounts for SEPA, ACH and Bacs direct debits, and their behavior.

A debit stays `processing` for a while (`debit_seconds`, a setting) and then succeeds or fails. "Delayed" accounts take
three minutes longer. (https://docs.stripe.com/payments/sepa-debit, https://docs.stripe.com/payments/ach-direct-debit,
https://docs.stripe.com/payments/payment-methods/bacs-debit)
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

from sandbox.json_types import JsonObject

DebitType = Literal["sepa_debit", "us_bank_account", "bacs_debit"]
Result = Literal["succeeds", "fails", "disputed", "processing"]

CURRENCIES: dict[str, str] = {"sepa_debit": "eur", "us_bank_account": "usd", "bacs_debit": "gbp"}
"""The only currency of each type of debit."""
_MESSAGES = {
    "insufficient_funds": "The customer's account has insufficient funds to cover this payment.",
    "account_closed": "The customer's bank account has been closed.",
    "no_account": "The bank account could not be located.",
    "debit_not_authorized": "The customer has notified their bank that this payment was unauthorized.",
    "generic_could_not_process": "The payment could not be processed by the customer's bank.",
    "charge_exceeds_source_limit": "The payment exceeds the volume limit of the bank account.",
    "charge_exceeds_weekly_limit": "The payment exceeds the transaction limit of the bank account.",
    "charge_exceeds_transaction_limit": "The payment exceeds the transaction limit of the bank account.",
}
_SORT_CODE, _ROUTING_NUMBER = "108800", "110000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAccount:
    """What is kept of a bank account."""

    type: DebitType
    last4: str
    country: str
    result: Result = "succeeds"
    failure_code: str = "generic_could_not_process"
    delayed: bool = False
    """Whether the result takes three minutes longer."""

    @property
    def failure_message(self) -> str:
        """The message of a failed debit."""
        return _MESSAGES[self.failure_code]

    def details(self) -> JsonObject:
        """Return the bank account as a payment method shows it."""
        common: JsonObject = {"fingerprint": f"sandbox{self.type}{self.last4}", "last4": self.last4}
        match self.type:
            case "sepa_debit":
                generated: JsonObject = {"charge": None, "setup_attempt": None}
                return {
                    **common,
                    "bank_code": "19043",
                    "branch_code": "",
                    "country": self.country,
                    "generated_from": generated,
                }
            case "bacs_debit":
                return {**common, "sort_code": _SORT_CODE}
            case _:
                return {
                    **common,
                    "account_holder_type": "individual",
                    "account_type": "checking",
                    "bank_name": "STRIPE TEST BANK",
                    "financial_connections_account": None,
                    "networks": {"preferred": "ach", "supported": ["ach"]},
                    "routing_number": _ROUTING_NUMBER,
                    "status_details": {},
                }

    def charge_details(self, *, mandate: str) -> JsonObject:
        """Return the bank account as a charge shows it."""
        common: JsonObject = {
            "expected_debit_date": None,
            "fingerprint": f"sandbox{self.type}{self.last4}",
            "last4": self.last4,
            "mandate": mandate,
        }
        match self.type:
            case "sepa_debit":
                return {**common, "bank_code": "19043", "branch_code": "", "country": self.country}
            case "bacs_debit":
                return {**common, "sort_code": _SORT_CODE}
            case _:
                return {
                    **common,
                    "account_holder_type": "individual",
                    "account_type": "checking",
                    "bank_name": "STRIPE TEST BANK",
                    "payment_reference": None,
                    "routing_number": _ROUTING_NUMBER,
                }


def _account(
    kind: DebitType, number: str, result: Result = "succeeds", failure: str = "", *, delayed: bool = False
) -> BankAccount:
    country = number[:2] if kind == "sepa_debit" else {"us_bank_account": "US", "bacs_debit": "GB"}[kind]
    account = BankAccount(type=kind, last4=number[-4:], country=country, result=result, delayed=delayed)
    return replace(account, failure_code=failure) if failure else account


_SEPA: tuple[tuple[str, str, Result, str, bool], ...] = (
    ("AT611904300234573201", "pm_success_at", "succeeds", "", False),
    ("AT321904300235473204", "pm_successDelayed_at", "succeeds", "", True),
    ("AT861904300235473202", "pm_failed_at", "fails", "", False),
    ("AT051904300235473205", "pm_failedDelayed_at", "fails", "", True),
    ("AT591904300235473203", "pm_disputed_at", "disputed", "", False),
    ("AT981904300000343434", "pm_exceedsWeeklyVolumeLimit_at", "fails", "charge_exceeds_source_limit", False),
    ("AT601904300000121212", "pm_exceedsWeeklyTransactionLimit_at", "fails", "charge_exceeds_weekly_limit", False),
    ("AT981904300002222227", "pm_insufficientFunds_at", "fails", "insufficient_funds", False),
    ("DE89370400440532013000", "pm_success_de", "succeeds", "", False),
    ("DE08370400440532013003", "pm_successDelayed_de", "succeeds", "", True),
    ("DE62370400440532013001", "pm_failed_de", "fails", "", False),
    ("DE78370400440532013004", "pm_failedDelayed_de", "fails", "", True),
    ("DE35370400440532013002", "pm_disputed_de", "disputed", "", False),
)
_ACH: tuple[tuple[str, str, Result, str], ...] = (
    ("000123456789", "pm_usBankAccount_success", "succeeds", ""),
    ("000111111113", "pm_usBankAccount_accountClosed", "fails", "account_closed"),
    ("000111111116", "pm_usBankAccount_noAccount", "fails", "no_account"),
    ("000222222227", "pm_usBankAccount_insufficientFunds", "fails", "insufficient_funds"),
    ("000333333335", "pm_usBankAccount_debitNotAuthorized", "fails", "debit_not_authorized"),
    ("000555555559", "pm_usBankAccount_dispute", "disputed", ""),
    ("000000000009", "pm_usBankAccount_processing", "processing", ""),
)
_BACS: tuple[tuple[str, str, Result, str, bool], ...] = (
    ("00012345", "pm_bacsDebit_success", "succeeds", "", False),
    ("90012345", "pm_bacsDebit_successDelayed", "succeeds", "", True),
    ("33333335", "pm_bacsDebit_debitNotAuthorized", "fails", "debit_not_authorized", False),
    ("93333335", "pm_bacsDebit_debitNotAuthorizedDelayed", "fails", "debit_not_authorized", True),
    ("22222227", "pm_bacsDebit_insufficientFunds", "fails", "insufficient_funds", False),
    ("92222227", "pm_bacsDebit_insufficientFundsDelayed", "fails", "insufficient_funds", True),
    ("55555559", "pm_bacsDebit_dispute", "disputed", "", True),
    ("34343434", "pm_bacsDebit_exceedsWeeklyLimit", "fails", "charge_exceeds_source_limit", False),
    ("12121212", "pm_bacsDebit_exceedsTransactionLimit", "fails", "charge_exceeds_transaction_limit", False),
)

_BY_NUMBER: dict[tuple[str, str], BankAccount] = {}
_BY_METHOD: dict[str, BankAccount] = {}
for _number, _method, _result, _code, _delayed in _SEPA:
    _BY_METHOD[_method] = _BY_NUMBER["sepa_debit", _number] = _account(
        "sepa_debit", _number, _result, _code, delayed=_delayed
    )
for _number, _method, _result, _code in _ACH:
    _BY_METHOD[_method] = _BY_NUMBER["us_bank_account", _number] = _account("us_bank_account", _number, _result, _code)
for _number, _method, _result, _code, _delayed in _BACS:
    _BY_METHOD[_method] = _BY_NUMBER["bacs_debit", _number] = _account(
        "bacs_debit", _number, _result, _code, delayed=_delayed
    )


def by_number(kind: str, number: str) -> BankAccount | None:
    """Return the test bank account with an IBAN or account number, or None."""
    return _BY_NUMBER.get((kind, re.sub(r"[\s-]", "", number).upper()))


def by_method(method_id: str) -> BankAccount | None:
    """Return the bank account of a test payment method such as `pm_success_at`, or None."""
    return _BY_METHOD.get(method_id)


def methods() -> list[str]:
    """Return the IDs of all test payment methods with a bank account."""
    return list(_BY_METHOD)


def is_valid_iban(iban: str) -> bool:
    """Return whether an IBAN has the right form and check digits."""
    text = re.sub(r"[\s-]", "", iban).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", text):
        return False
    return int("".join(str(int(character, 36)) for character in text[4:] + text[:4])) % 97 == 1
