"""
Renewals.

As at Stripe, a new period starts and a draft invoice is created when the old period ends, and the draft is finalized and
charged an hour later. A failed payment makes the subscription `past_due` and is retried as the account's settings say. A
trial ends in the same way. `invoice.upcoming` is sent a week before.
"""

from collections.abc import Callable, Sequence

from sandbox.billing import cancellation, charges, invoice_lines, invoicing, pausing, payments, periods
from sandbox.errors import StripeError
from sandbox.json_types import JsonObject
from sandbox.store.accounts import Account
from sandbox.store.scheduler import job

DRAFT_PERIOD = 3600
_DAY = 86400
UPCOMING_NOTICE = 7 * _DAY
"""How long before a renewal `invoice.upcoming` is sent: one of the choices in Stripe's Dashboard."""

BEFORE_RENEWAL: list[Callable[[Account, JsonObject, int], None]] = []
"""Called with the subscription and the time before a period ends."""


def items_of(account: Account, subscription: JsonObject) -> list[JsonObject]:
    """Return the items of a subscription in order."""
    return [account.get("subscription_item", item_id) for item_id in subscription["_items"]]


def period_end(account: Account, subscription: JsonObject) -> int:
    """Return the end of the current period."""
    return int(min(item["current_period_end"] for item in items_of(account, subscription)))


def schedule_renewal(account: Account, subscription: JsonObject) -> None:
    """Schedule the end of the current period, and `invoice.upcoming` before it."""
    end = period_end(account, subscription)
    cancellation.check_at(account, subscription, end)
    warned_at = end - UPCOMING_NOTICE
    if warned_at > account.now_for(subscription["customer"]):
        account.scheduler.schedule(subscription["test_clock"], warned_at, "invoice.upcoming", subscription["id"])


@job("subscription.period_end")
def _on_period_end(account: Account, subscription_id: str, at: int) -> None:
    subscription = account.find("subscription", subscription_id)
    if subscription is None or subscription["status"] in (*cancellation.ENDED_STATUSES, "incomplete"):
        return
    if period_end(account, subscription) <= at:
        for prepare in BEFORE_RENEWAL:
            prepare(account, subscription, at)
        if subscription["status"] in cancellation.ENDED_STATUSES:
            return
    if subscription["cancel_at"] is not None and subscription["cancel_at"] <= at:
        cancellation.cancel(account, subscription)
    elif subscription["status"] == "paused":
        return
    elif period_end(account, subscription) <= at and not _trial_ends_unpaid(account, subscription):
        _renew(account, subscription, at)


def _trial_ends_unpaid(account: Account, subscription: JsonObject) -> bool:
    """Return whether a trial ended without a payment method, after applying its `missing_payment_method` setting."""
    if subscription["status"] != "trialing" or payments.payment_method_for(account, subscription) is not None:
        return False
    match subscription["trial_settings"]["end_behavior"]["missing_payment_method"]:
        case "cancel":
            cancellation.cancel(account, subscription)
        case "pause":
            pausing.pause(account, subscription, why="trial_end_without_payment_method")
        case _:
            return False
    return True


def next_period(account: Account, subscription: JsonObject) -> tuple[int, int]:
    """Return the next period of the items that renew next."""
    return period_after(account, subscription, due_items(account, subscription)[0])


def due_items(account: Account, subscription: JsonObject) -> list[JsonObject]:
    """Return the items that renew next. With mixed intervals, these are not all."""
    end = period_end(account, subscription)
    return [item for item in items_of(account, subscription) if item["current_period_end"] == end]


def period_after(account: Account, subscription: JsonObject, item: JsonObject) -> tuple[int, int]:
    """Return the period of an item after its current one."""
    end = item["current_period_end"]
    recurring = account.get("price", item["_price"])["recurring"]
    return end, periods.next_boundary(subscription["billing_cycle_anchor"], recurring, end)


def _renew(account: Account, subscription: JsonObject, at: int) -> None:
    items = due_items(account, subscription)
    ended = (items[0]["current_period_start"], items[0]["current_period_end"])
    with account.track_changes(subscription, "customer.subscription.updated"):
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        for item in items:
            period = period_after(account, subscription, item)
            item["current_period_start"], item["current_period_end"] = period
        lines = [
            *invoice_lines.for_pending_items(account, subscription["customer"], subscription["id"]),
            *invoice_lines.for_subscription_items(account, subscription, items=items),
        ]
        spec = invoicing.InvoiceSpec(reason="subscription_cycle", period=ended, created_at=at, entries=lines)
        invoice = invoicing.create_draft(account, subscription, spec)
        subscription["latest_invoice"] = invoice["id"]
    schedule_renewal(account, subscription)
    if subscription["status"] == "unpaid":
        invoice["auto_advance"] = False
    elif subscription["pause_collection"]:
        pausing.handle_paused_collection(account, subscription, invoice, now=at)
    else:
        schedule_collection(account, invoice, at)


def schedule_collection(account: Account, invoice: JsonObject, now: int) -> None:
    """Schedule the finalization of a draft, or the charge of an open invoice, in an hour."""
    due = now + DRAFT_PERIOD
    invoice["automatically_finalizes_at"] = due if invoice["status"] == "draft" else None
    invoice["next_payment_attempt"] = due
    account.scheduler.schedule(invoice["test_clock"], due, "invoice.collect", invoice["id"])


@job("invoice.collect")
def _collect(account: Account, invoice_id: str, at: int) -> None:
    """Finalize a draft and charge it, or retry an open invoice."""
    invoice = account.find("invoice", invoice_id)
    if invoice is None or not invoice["auto_advance"] or invoice["status"] not in ("draft", "open"):
        return
    if invoice["next_payment_attempt"] != at or account.find("customer", invoice["customer"]) is None:
        return
    if invoice["status"] == "draft":
        try:
            invoicing.finalize(account, invoice, now=at)
        except StripeError:
            return  # the invoice stays a draft until it is finalized through the API
        if invoice["collection_method"] == "send_invoice":
            send(account, invoice)
    if invoice["collection_method"] == "charge_automatically" or invoice["amount_remaining"] == 0:
        attempt_collection(account, invoice, at)


def send(account: Account, invoice: JsonObject) -> None:
    """Send an invoice to the customer, who pays it by hand."""
    invoice["next_payment_attempt"] = None
    account.emit("invoice.sent", invoice)


@job("invoice.overdue")
def _overdue(account: Account, invoice_id: str, at: int) -> None:
    invoice = account.find("invoice", invoice_id)
    if invoice is None or invoice["status"] != "open" or invoice["due_date"] != at:
        return
    account.emit("invoice.overdue", invoice)
    invoicing.set_delinquent(account, invoice["customer"], delinquent=True)
    subscription = account.find("subscription", invoice["_subscription"])
    if subscription and subscription["status"] == "active":
        with account.track_changes(subscription, "customer.subscription.updated"):
            subscription["status"] = "past_due"


def attempt_collection(account: Account, invoice: JsonObject, at: int) -> payments.Outcome:
    """Charge an open invoice. On failure, mark its subscription as overdue and schedule a retry."""
    subscription = account.find("subscription", invoice["_subscription"])
    method = payments.payment_method_for_invoice(account, invoice)
    outcome: payments.Outcome = "declined"
    if invoice["amount_remaining"] == 0:
        invoicing.mark_paid(account, invoice, now=at)
        outcome = "paid"
    elif method is not None:
        outcome = payments.pay(account, invoice, charges.Attempt(method=method, now=at))
    if outcome not in ("paid", "processing"):
        on_payment_failure(account, subscription, invoice, outcome, at)
    elif subscription:
        payments.activate_subscription(account, subscription, outcome)
    return outcome


def invoice_now(account: Account, subscription: JsonObject, spec: invoicing.InvoiceSpec) -> JsonObject:
    """Create, finalize and charge an invoice of a subscription immediately."""
    invoice = invoicing.create_draft(account, subscription, spec)
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["latest_invoice"] = invoice["id"]
    if invoice["collection_method"] == "send_invoice":
        schedule_collection(account, invoice, spec.created_at)
        return invoice
    invoicing.finalize(account, invoice, now=spec.created_at)
    attempt_collection(account, invoice, spec.created_at)
    return invoice


def on_payment_failure(
    account: Account, subscription: JsonObject | None, invoice: JsonObject, outcome: payments.Outcome, at: int
) -> None:
    """
    Record a failed attempt, schedule the next one and update the subscription.

    :param outcome: `processing` for a direct debit that failed after it began.
    """
    counted = outcome == "processing"
    delays, attempts = account.settings.retry_days, invoice["attempt_count"] + (0 if counted else 1)
    collects = invoice["auto_advance"] and invoice["status"] == "open"
    retry = at + int(delays[attempts - 1] * _DAY) if collects and attempts <= len(delays) else None
    payments.record_failure(account, invoice, outcome, next_attempt=retry, counted=counted)
    if retry is not None:
        account.scheduler.schedule(invoice["test_clock"], retry, "invoice.collect", invoice["id"])
    if subscription is None or subscription["status"] in (*cancellation.ENDED_STATUSES, "paused"):
        return
    final = "past_due" if retry is not None else account.settings.after_retries
    if attempts == 1 and account.settings.after_first_failure == "pause":
        pausing.pause(account, subscription, why="first_payment_failure")
        return
    if final == "pause":
        pausing.pause(account, subscription, why="final_payment_failure")
        return
    if final == "cancel":
        cancellation.cancel(account, subscription, reason="payment_failed")
        return
    with account.track_changes(subscription, "customer.subscription.updated"):
        subscription["status"] = final


@job("invoice.upcoming")
def _upcoming(account: Account, subscription_id: str, at: int) -> None:
    subscription = account.find("subscription", subscription_id)
    if subscription is None or subscription["status"] not in ("active", "trialing", "past_due"):
        return
    end = period_end(account, subscription)
    ends_before = subscription["cancel_at"] is not None and subscription["cancel_at"] <= end
    if end - UPCOMING_NOTICE == at and not ends_before:
        preview = upcoming(account, subscription)
        del preview["id"]
        account.emit("invoice.upcoming", preview)


def upcoming(account: Account, subscription: JsonObject, *, added: Sequence[invoice_lines.LineItem] = ()) -> JsonObject:
    """Return a preview of the next renewal invoice, with additional lines."""
    items = due_items(account, subscription)
    period = next_period(account, subscription)
    lines = [
        *invoice_lines.for_pending_items(account, subscription["customer"], subscription["id"]),
        *invoice_lines.for_subscription_items(account, subscription, period=period, items=items),
        *added,
    ]
    started = items[0]["current_period_start"]
    spec = invoicing.InvoiceSpec(reason="upcoming", period=(started, period[0]), created_at=period[0], entries=lines)
    return invoicing.preview(account, subscription, spec)
