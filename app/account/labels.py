"""What the pages call things, and what they say about a subscription, to its reader."""

import re
from collections.abc import Mapping
from datetime import datetime

from jinja2 import pass_context
from jinja2.runtime import Context

from app.domain.cancellations import SubscriptionPaused
from app.domain.declarations import DeclarationKind, Language
from app.domain.entitlements import AccessReason, OtherAccess
from app.domain.errors import DomainError
from app.domain.promotion_codes import PromotionCodeInvalid
from app.domain.refunds import ENDING
from app.domain.subscriptions import SubscriptionStatus
from app.localization import Localization
from app.services.subscriptions import SubscriptionDetails

STATUSES: Mapping[str, str] = {
    SubscriptionStatus.ACTIVE: "Your subscription is active.",
    SubscriptionStatus.TRIALING: "You’re on a free trial.",
    SubscriptionStatus.PAST_DUE: "We couldn’t charge your card.",
    SubscriptionStatus.UNPAID: "We couldn’t charge your card.",
    SubscriptionStatus.INCOMPLETE: "Your first payment hasn’t arrived yet.",
    SubscriptionStatus.INCOMPLETE_EXPIRED: "Your first payment never arrived, so your subscription didn’t start.",
    SubscriptionStatus.PAUSED: "Your subscription is paused.",
}
REFUNDED_AT_THE_END = "You keep access until then, and we refund the issues you haven’t received."
NEXT_PAYMENT: Mapping[str, str] = {
    SubscriptionStatus.ACTIVE: "It renews on {}.",
    SubscriptionStatus.TRIALING: "Your first payment is on {}.",
}
SAID_BY_STATUS = frozenset({"ended", "ends"})  # notices that only repeat the status
# How notices say that access has ended, with the first letter of the cause.
_ACCESS_ENDED_BECAUSE = re.compile("^Your access has ended, because (.)")
AND_ACCESS_ENDED = ", and your access has ended."
PAID_PERIOD = "until the end of the period you paid for"
ERRORS: Mapping[str, str] = {
    "already_subscribed": "You already have a subscription, so you don’t need another one.",
    "no_subscription": "You don’t have a subscription.",
    "already_withdrawn": "You have already withdrawn from this contract.",
    "no_withdrawal_right": "There is no right of withdrawal where you live.",
    "withdrawal_period_over": "Your withdrawal period has ended.",
    "already_ended": "Your subscription has already ended.",
    "subscription_paused": "Your subscription is paused. To resume it, please contact us.",
    "stripe_unavailable": "Our payment processor isn’t responding. Nothing was changed. Please try again in a minute.",
    "stripe_refused": "Our payment processor declined this. Nothing was changed. Please try again, or ask us for help.",
    "database_unavailable": "We’re having trouble right now. Nothing was changed. Please try again in a minute.",
    "too_many_requests": "Too many attempts. Nothing was changed. Please wait a minute and try again.",
    "idempotency_key_in_use": "We’re still working on your first request. You don’t need to send it again.",
    "idempotency_key_reused": "This form was sent before, with other values. To do it a second time, send the form again.",
    "idempotency_key_required": "This form is damaged. Nothing was changed. Please check it and send it again.",
    "idempotency_key_invalid": "This form is damaged. Nothing was changed. Please check it and send it again.",
    "price_unavailable": "This plan can’t be bought at the moment. Please try again later.",
    "currency_in_use": "You’re billed in another currency. Please ask us for help.",
    "print_address_required": "Please enter the address for your copies.",
    "no_paid_term": "Print can only be changed while your subscription is active and paid.",
    "refund_in_progress": "A refund of your payment is in progress. Please try again later.",
    "unknown_plan": "This plan is no longer sold. Please choose another one.",
    "possible_duplicate": "Another account with your email address already has a subscription. "
    "Sign out and use that account, or subscribe with this one too.",
}
PAUSED_UNPAID = "Your subscription is paused, because a payment failed. It resumes when you pay the open invoice."
PROMOTION_CODES: Mapping[str, str] = {
    "first_time_only": "The code “{code}” is only for new subscribers.",
    "below_minimum": "The code “{code}” is only for larger orders.",
    "other_currency": "The code “{code}” isn’t valid in your currency.",
    "other_customer": "The code “{code}” was made for another reader.",
    "not_applicable": "The code “{code}” can’t be used for this subscription.",
}
INVOICE_STATUSES: Mapping[str, str] = {
    "draft": "In preparation",
    "open": "To be paid",
    "paid": "Paid",
    "uncollectible": "Not paid",
    "void": "Canceled",
}
# Why a reader cancels. Codes are stored with the cancellation.
CANCEL_REASONS: Mapping[str, str] = {
    "too_expensive": "It’s too expensive",
    "not_reading": "I don’t find the time to read it",
    "content": "The articles aren’t for me",
    "delivery": "Copies came late, damaged or not at all",
    "technical": "The site or app doesn’t work well",
    "switching": "I read something else now",
    "other": "Another reason",
}

# The page on which a contract is canceled without a sign-in. The German labels of its link and its button are those of
# section 312k BGB.
CONTRACT_CANCELLATION: Mapping[Language, Mapping[str, str]] = {
    Language.ENGLISH: {
        "title": "Cancel a contract",
        "intro": "You don’t need to sign in. We acknowledge your cancellation at once, here and by email.",
        "name": "Your name",
        "email": "Email address",
        "contract": "Contract: its name, or a number from your account or invoice",
        "type": "Type of cancellation",
        "ordinary": "Ordinary cancellation",
        "extraordinary": "Extraordinary cancellation, for cause",
        "needs_reason": "Please give the reason below.",
        "reason": "Reason",
        "ends_on": "When should the contract end?",
        "soonest": "(leave empty: as early as possible)",
        "confirm": "Cancel now",
        "received": "We received your cancellation",
        "keep": "Keep this acknowledgment: print this page. We also sent it to the address that you entered.",
        "too_many": "Too many attempts. Nothing was stored. Please wait a while and try again.",
        "fault_long": "This is too long, or has invalid characters.",
        "fault_type": "Choose the type of cancellation.",
        "fault_name": "Enter your name.",
        "fault_email": "Enter an email address.",
        "fault_contract": "Enter the contract.",
        "fault_reason": "An extraordinary cancellation needs a reason.",
        "fault_ends_on": "Enter a date that is not in the past, or leave it empty.",
    },
    Language.GERMAN: {
        "title": "Verträge hier kündigen",
        "intro": "Sie müssen sich nicht anmelden. Wir bestätigen Ihre Kündigung sofort, hier und per E-Mail.",
        "name": "Ihr Name",
        "email": "E-Mail-Adresse",
        "contract": "Vertrag: seine Bezeichnung oder eine Nummer aus Ihrem Konto oder Ihrer Rechnung",
        "type": "Art der Kündigung",
        "ordinary": "Ordentliche Kündigung",
        "extraordinary": "Außerordentliche Kündigung",
        "needs_reason": "Bitte geben Sie unten den Grund an.",
        "reason": "Kündigungsgrund",
        "ends_on": "Wann soll der Vertrag enden?",
        "soonest": "(leer: zum nächstmöglichen Zeitpunkt)",
        "confirm": "jetzt kündigen",
        "received": "Ihre Kündigung ist eingegangen",
        "keep": "Bewahren Sie diese Bestätigung auf: drucken Sie diese Seite. Wir haben sie auch an die genannte Adresse"
        " gesendet.",
        "too_many": "Zu viele Versuche. Es wurde nichts gespeichert. Bitte warten Sie und versuchen Sie es erneut.",
        "fault_long": "Das ist zu lang oder enthält ungültige Zeichen.",
        "fault_type": "Wählen Sie die Art der Kündigung.",
        "fault_name": "Geben Sie Ihren Namen ein.",
        "fault_email": "Geben Sie eine E-Mail-Adresse ein.",
        "fault_contract": "Geben Sie den Vertrag an.",
        "fault_reason": "Eine außerordentliche Kündigung braucht einen Grund.",
        "fault_ends_on": "Geben Sie ein Datum ein, das nicht vergangen ist, oder lassen Sie das Feld leer.",
    },
}


def error(problem: DomainError) -> str:
    """Return the message for a refusal: ours if we have one for its code, otherwise the rule's."""
    if isinstance(problem, PromotionCodeInvalid):
        text = PROMOTION_CODES.get(str(problem.facts.get("reason")), "The code “{code}” isn’t valid or has expired.")
        return text.format(code=problem.facts.get("promotion_code"))
    if isinstance(problem, SubscriptionPaused) and problem.awaits_payment:
        return PAUSED_UNPAID
    text = ERRORS.get(problem.code) or str(problem)
    return typographic(text if text.endswith((".", "!", "?")) else f"{text}.")


def status(details: SubscriptionDetails, localization: Localization, *, notice: datetime | None = None) -> str:
    """
    Return the status of a subscription and what happens next, with one date, in one or two sentences.

    :param notice: when it ends at a month's notice.
    """
    subscription = details.subscription
    if notice is not None and subscription.over_at is None and not details.status.has_lapsed and not details.on_hold:
        return f"Your subscription ends on {localization.date(notice)}. {REFUNDED_AT_THE_END}"
    lapsed = details.status.until if details.status.has_lapsed else subscription.cancel_at
    ends_at = subscription.over_at or lapsed
    ends = localization.date(ends_at) if ends_at is not None else None
    message = STATUSES.get(subscription.effective_status, "Your subscription has ended.")
    if subscription.ended_by in ENDING:
        return f"Your subscription was refunded and ended on {ends}." if ends else "Your subscription was refunded."
    if subscription.effective_status == SubscriptionStatus.INCOMPLETE_EXPIRED:
        return message
    if subscription.effective_status == SubscriptionStatus.CANCELED:
        if details.status.has_access and details.status.until is not None:
            return f"Canceled. You have access until {localization.date(details.status.until)}."
        return f"Your subscription ended on {ends}." if ends else message
    if details.status.has_lapsed:
        return f"Your access ended on {ends}." if ends else "Your access has ended."
    if details.on_hold:
        return "Your access is on hold."
    if ends:
        return f"Canceled. You have access until {ends}."
    follows = NEXT_PAYMENT.get(subscription.effective_status)
    is_collected = subscription.collection_paused is None
    if follows and subscription.current_period_end is not None and subscription.is_live and is_collected:
        return f"{message} {follows.format(localization.date(subscription.current_period_end))}"
    return message


def notice(details: SubscriptionDetails, localization: Localization, *, headline: str) -> str | None:
    """
    Return the text of a notice, with the date until which the reader keeps access.

    :param headline: what :func:`status` says. The notice doesn't repeat it.
    """
    found = details.notice
    if found is None or found.code in SAID_BY_STATUS:
        return None
    text = typographic(found.text)
    if details.status.has_lapsed and headline.startswith("Your access"):
        text = _ACCESS_ENDED_BECAUSE.sub(lambda cause: cause[1].upper(), text)
        text = text.replace(AND_ACCESS_ENDED, ".")
    if found.until is not None and details.status.has_access:
        until = f"until {localization.date(found.until)}"
        text = text.replace(PAID_PERIOD, until)
        if until not in f"{headline} {text}":
            text += f" You keep access {until}."
    sentences = re.split(r"(?<=[.!?]) ", text)
    return " ".join(sentence for sentence in sentences if sentence not in headline) or None


def editions(details: SubscriptionDetails, localization: Localization) -> str:
    """Return what a subscription includes now, and from when on print, if only the next renewal includes it."""
    subscription = details.subscription
    if not details.print_is_later:
        return "Digital and print" if subscription.print_edition else "Digital"
    if subscription.cancel_at is not None or subscription.current_period_end is None:
        return "Digital"
    return f"Digital. Print starts with your renewal on {localization.date(subscription.current_period_end)}"


@pass_context
def other_access(context: Context, access: OtherAccess) -> str:
    """Return what the reader may read apart from a subscription, as a sentence."""
    source = "complimentary access" if access.reason == AccessReason.COMP else "access from another subscription"
    localization: Localization = context["localization"]
    return f"You have {source}{f' until {localization.date(access.until)}' if access.until else ''}."


def declared(kind: str) -> str:
    """Return the name of a declaration's acknowledgment."""
    return "Withdrawal from the contract" if kind == DeclarationKind.WITHDRAWAL else "Cancellation"


def invoice_status(code: str) -> str:
    """Return the status of an invoice."""
    return INVOICE_STATUSES.get(code, code)


def typographic(text: str) -> str:
    """Return a text of the rules with typographic apostrophes."""
    return text.replace("'", "’")
