"""
What the pages about a withdrawal say, in the reader's language.

The labels of the link and the button are those of Directive 2011/83/EU, article 11a.
"""

from collections.abc import Mapping

from app.account import labels
from app.domain.declarations import Language
from app.domain.errors import DomainError

TEXTS: Mapping[Language, Mapping[str, str]] = {
    Language.ENGLISH: {
        "title": "Withdraw from contract",
        "until": "until {}",
        "lead": "You can leave this contract without giving a reason. If you confirm:",
        "lead_until": "You can leave this contract without giving a reason, until {}. If you confirm:",
        "refund": "We refund {} to your card: everything you paid.",
        "refund_with_tax": "We refund {} to your card: everything you paid, including {} tax.",
        "to_balance": "We return {} to your balance, which paid it.",
        "by_staff": "We can’t refund this automatically. Our staff will process it and email you.",
        "no_charge": "You won’t be charged. If a payment is already on its way, we refund it when it arrives.",
        "ends": "Your subscription ends today and won’t renew.",
        "no_copies": "No more print issues are sent. You can keep those that you have.",
        "guarantee_stays": "You can still use our money-back guarantee later.",
        "contract": "Contract",
        "digital": "digital",
        "print": "print and digital",
        "number": "Number",
        "name": "Name",
        "acknowledged_to": "Acknowledgment to",
        "confirm": "Confirm withdrawal",
        "keep_subscription": "Keep my subscription",
        "impossible": "Withdrawal isn’t possible",
        "use_guarantee": "Use the money-back guarantee",
        "subscription": "Your subscription",
        "help": "Get help",
        "withdrawal_received": "We received your withdrawal",
        "cancellation_received": "We received your cancellation",
        "keep": "Keep this acknowledgment: print this page, or save it as a file.",
        "save": "Save as a file",
    },
    Language.GERMAN: {
        "title": "Vertrag widerrufen",
        "until": "bis {}",
        "lead": "Sie können diesen Vertrag ohne Angabe von Gründen widerrufen. Wenn Sie bestätigen:",
        "lead_until": "Sie können diesen Vertrag bis {} ohne Angabe von Gründen widerrufen. Wenn Sie bestätigen:",
        "refund": "Wir erstatten {} auf Ihre Karte: alles, was Sie bezahlt haben.",
        "refund_with_tax": "Wir erstatten {} auf Ihre Karte: alles, was Sie bezahlt haben, einschließlich {} Steuer.",
        "to_balance": "Wir schreiben {} Ihrem Guthaben wieder gut, mit dem bezahlt wurde.",
        "by_staff": "Wir können das nicht automatisch erstatten. Wir bearbeiten es und schreiben Ihnen eine E-Mail.",
        "no_charge": "Es wird nichts abgebucht. Eine Zahlung, die schon unterwegs ist, erstatten wir, sobald sie eingeht.",
        "ends": "Ihr Abo endet heute und verlängert sich nicht.",
        "no_copies": "Wir senden keine gedruckten Hefte mehr. Die Hefte, die Sie haben, können Sie behalten.",
        "guarantee_stays": "Unsere Geld-zurück-Garantie können Sie später noch nutzen.",
        "contract": "Vertrag",
        "digital": "digital",
        "print": "gedruckt und digital",
        "number": "Nummer",
        "name": "Name",
        "acknowledged_to": "Bestätigung an",
        "confirm": "Widerruf bestätigen",
        "keep_subscription": "Abo behalten",
        "impossible": "Ein Widerruf ist nicht möglich",
        "use_guarantee": "Geld-zurück-Garantie nutzen",
        "subscription": "Ihr Abo",
        "help": "Hilfe",
        "withdrawal_received": "Ihr Widerruf ist eingegangen",
        "cancellation_received": "Ihre Kündigung ist eingegangen",
        "keep": "Bewahren Sie diese Bestätigung auf: Drucken Sie diese Seite, oder speichern Sie sie als Datei.",
        "save": "Als Datei speichern",
    },
}
GERMAN_REFUSALS: Mapping[str, str] = {
    "already_withdrawn": "Sie haben diesen Vertrag bereits widerrufen.",
    "no_withdrawal_right": "An Ihrem Wohnort gibt es kein Widerrufsrecht.",
    "withdrawal_period_over": "Ihre Widerrufsfrist ist abgelaufen.",
    "already_ended": "Ihr Abo ist bereits beendet.",
    "refund_in_progress": "Eine Zahlung wird gerade erstattet. Bitte versuchen Sie es später erneut.",
}


def refusal(problem: DomainError, language: Language) -> str:
    """Return why a withdrawal is refused."""
    if language is Language.GERMAN and problem.code in GERMAN_REFUSALS:
        return GERMAN_REFUSALS[problem.code]
    return labels.error(problem)
