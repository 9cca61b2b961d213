"""Creating a subscription: its items, its first invoice and its first payment."""

from dataclasses import dataclass, field
from typing import Literal

from sandbox.billing import (
    cancellation,
    charges,
    discounts,
    invoice_lines,
    invoicing,
    payments,
    periods,
    renewals,
    trials,
)
from sandbox.errors import StripeError, invalid
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account, new_id

_EXPIRES_INCOMPLETE = 23 * 3600


@dataclass(kw_only=True)
class SubscriptionSpec:
    """The parameters of a new subscription."""

    customer: str
    items: list[tuple[JsonObject, int, dict[str, str]]]
    """Price, quantity and metadata of each item."""
    metadata: dict[str, str] = field(default_factory=dict)
    discounts: list[tuple[str, str | None]] = field(default_factory=list)
    """Coupon IDs, and the promotion codes they come from."""
    default_payment_method: str | None = None
    automatic_tax: bool = False
    description: str | None = None
    billing_mode: Literal["classic", "flexible"] = "flexible"
    checkout_session: str | None = None
    trial_end: int | None = None
    missing_payment_method: Literal["cancel", "create_invoice", "pause"] = "create_invoice"
    days_until_due: int | None = None
    """Days until an invoice is due, for `send_invoice`; None charges automatically."""


def check_prices(prices: list[JsonObject], *, param: str) -> None:
    """
    Raise Stripe's 400 unless all prices are active, recurring and in one currency.

    :param param: the name of the parameter, with `{}` for the index.
    """
    for index, price in enumerate(prices):
        where = param.format(index)
        if not price["active"]:
            raise invalid("The price specified is inactive. This field only accepts active prices.", param=where)
        if price["recurring"] is None:
            message = (
                "The price specified is set to `type=one_time` but this field only accepts prices with "
                "`type=recurring`."
            )
            raise invalid(message, param=where)
        if price["currency"] != prices[0]["currency"]:
            raise invalid("All prices of a subscription must have the same currency.", param=where)
        if not periods.are_compatible(price["recurring"], prices[0]["recurring"]):
            message = "The intervals of the prices of a subscription must be multiples of the shortest one."
            raise invalid(message, param=where)


def create(account: Account, wanted: SubscriptionSpec) -> tuple[JsonObject, JsonObject]:
    """
    Create a subscription and its first invoice. Return both.

    The subscription is `incomplete` and the invoice open. With `send_invoice`, they are `active` and a draft.
    """
    customer = account.get("customer", wanted.customer)
    now = account.now_for(customer["id"])
    if wanted.automatic_tax and customer.get("_tax_location_invalid"):
        raise invoicing.tax_location_error()
    subscription = _subscription(account, wanted, customer, now)
    account.emit("customer.subscription.created", subscription)
    lines = [
        *invoice_lines.for_pending_items(account, customer["id"], subscription["id"]),
        *invoice_lines.for_subscription_items(account, subscription, trial=subscription["status"] == "trialing"),
    ]
    spec = invoicing.InvoiceSpec(reason="subscription_create", period=(now, now), created_at=now, entries=lines)
    invoice = invoicing.create_draft(account, subscription, spec)
    subscription["latest_invoice"] = invoice["id"]
    if wanted.days_until_due is not None:
        renewals.schedule_collection(account, invoice, now)
        return subscription, invoice
    invoice["default_payment_method"] = None
    invoicing.finalize(account, invoice, now=now)
    if subscription["status"] == "incomplete":
        due = now + _EXPIRES_INCOMPLETE
        account.scheduler.schedule(customer["test_clock"], due, "subscription.incomplete_expiry", subscription["id"])
    return subscription, invoice


def pay_first_invoice(
    account: Account, subscription: JsonObject, invoice: JsonObject, method: JsonObject | None, behavior: str
) -> None:
    """
    Try to pay the first invoice as `payment_behavior` says.

    :raises StripeError: 402 if the payment fails with `error_if_incomplete`; the subscription is then expired.
    """
    now = account.now_for(subscription["customer"])
    if subscription["collection_method"] == "send_invoice":
        return
    if invoice["amount_due"] == 0:
        invoicing.mark_paid(account, invoice, now=now)
        payments.activate_subscription(account, subscription, "paid")
    elif behavior != "default_incomplete":
        if method is None:
            raise payments.no_payment_method()
        outcome = payments.pay(account, invoice, charges.Attempt(method=method, now=now))
        if outcome in ("paid", "processing"):
            payments.activate_subscription(account, subscription, outcome)
            return
        error: StripeError = payments.card_error(account, invoice)
        if behavior == "error_if_incomplete":
            cancellation.expire_incomplete(account, subscription)
            raise error
        payments.record_failure(account, invoice, outcome)


def _subscription(account: Account, wanted: SubscriptionSpec, customer: JsonObject, now: int) -> JsonObject:
    subscription_id = new_id("sub")
    intervals = [price["recurring"] for price, _, _ in wanted.items]
    if wanted.billing_mode == "classic" and any(each != intervals[0] for each in intervals):
        message = "Prices with different intervals require the billing mode flexible."
        raise invalid(message, param="billing_mode")
    subscription: JsonObject = {
        "id": subscription_id,
        "object": "subscription",
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": wanted.automatic_tax,
            "liability": {"type": "self"} if wanted.automatic_tax else None,
        },
        "billing_cycle_anchor": wanted.trial_end or now,
        "billing_mode": {
            "flexible": {"proration_discounts": "included"} if wanted.billing_mode == "flexible" else None,
            "type": wanted.billing_mode,
        },
        "billing_schedules": [],
        "cancel_at_period_end": False,
        "cancellation_details": {"comment": None, "feedback": None, "reason": None},
        "collection_method": "charge_automatically" if wanted.days_until_due is None else "send_invoice",
        "created": now,
        "currency": wanted.items[0][0]["currency"],
        "customer": customer["id"],
        "days_until_due": wanted.days_until_due,
        "default_payment_method": wanted.default_payment_method,
        "default_tax_rates": [],
        "description": wanted.description,
        "discounts": [],
        "invoice_settings": {
            "account_tax_ids": None,
            "custom_fields": None,
            "description": None,
            "footer": None,
            "issuer": {"type": "self"},
        },
        "livemode": False,
        "metadata": wanted.metadata,
        "payment_settings": {
            "payment_method_options": None,
            "payment_method_types": None,
            "save_default_payment_method": "off",
        },
        "start_date": now,
        "status": "trialing" if wanted.trial_end else "incomplete" if wanted.days_until_due is None else "active",
        "test_clock": customer["test_clock"],
        "trial_end": wanted.trial_end,
        "trial_settings": trials.settings_of(wanted.missing_payment_method),
        "trial_start": now if wanted.trial_end else None,
        "_items": [
            add_item(
                account,
                subscription_id,
                line,
                (now, wanted.trial_end or periods.next_boundary(now, line[0]["recurring"], now)),
                now,
            )["id"]
            for line in wanted.items
        ],
    }
    account.add(subscription)
    for coupon_id, promotion_code_id in wanted.discounts:
        discount = discounts.redeem(
            account,
            coupon_id,
            promotion_code_id,
            customer_id=customer["id"],
            subscription=subscription_id,
            checkout_session=wanted.checkout_session,
        )
        subscription["discounts"].append(discount["id"])
    customer["currency"] = customer["currency"] or subscription["currency"]
    renewals.schedule_renewal(account, subscription)
    trials.schedule_trial_will_end(account, subscription)
    return subscription


def add_item(
    account: Account,
    subscription_id: str,
    line: tuple[JsonObject, int, dict[str, str]],
    period: tuple[int, int],
    now: int,
) -> JsonObject:
    """Create a subscription item."""
    price, quantity, metadata = line
    return account.add(
        {
            "id": new_id("si", length=14),
            "object": "subscription_item",
            "created": now,
            "current_period_end": period[1],
            "current_period_start": period[0],
            "discounts": [],
            "metadata": metadata,
            "quantity": quantity,
            "subscription": subscription_id,
            "tax_rates": [],
            "_price": price["id"],
        }
    )
