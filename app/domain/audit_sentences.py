"""
Entries of the audit log as sentences: "Robin Vance requested a refund of $49 to Ada Invented".

A sentence has a part in brackets for each fact that an entry may lack. An action without a sentence is shown by its code.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

READER = "reader"  # the fact that pages show as a link
SENTENCES: Mapping[str, str] = {
    "access.restored": "restored access[ of {reader}]",
    "access.suspended": "suspended access[ of {reader}]",
    "address.added": "added a postal address[ of {reader}]",
    "address.changed": "changed the postal address[ of {reader}]",
    "address.removed": "removed a temporary postal address[ of {reader}]",
    "api_key.created": "created the API key {object}",
    "api_key.revoked": "revoked the API key {object}",
    "api_key.rotated": "rotated the API key {object}",
    "attention.dismissed": "dismissed the item {object}[ about {reader}]",
    "audit.actor_replaced": "replaced the reader in earlier entries of this log",
    "back_issue.approved": "approved a back issue[ for {reader}]",
    "back_issue.ordered": "ordered a back issue[ for {reader}]",
    "back_issue.rejected": "rejected a back issue[ for {reader}]",
    "back_issue.requested": "ordered a back issue above the limit[ for {reader}]",
    "checkout.duplicate_allowed": "let {reader} subscribe although another account has the same email address",
    "claim.approved": "approved the claim of a copy[ of {reader}]",
    "claim.made": "claimed a copy[ of {reader}]",
    "claim.rejected": "rejected the claim of a copy[ of {reader}]",
    "claim.requested": "claimed a copy above the limit[ of {reader}]",
    "circulation.entered": "entered the press run of {object}",
    "circulation.sampled": "downloaded labels of {object} for an auditor",
    "comp.given": "gave complimentary access[ to {reader}]",
    "comp.rejected": "rejected complimentary access[ for {reader}]",
    "comp.requested": "requested complimentary access above the limit[ for {reader}]",
    "comp.taken_back": "revoked complimentary access[ of {reader}]",
    "console.form_refused": "sent a form that was refused",
    "console.refused": "tried to do something without the role for it",
    "console.roles_changed": "changed the roles of {object}",
    "console.session_ended": "ended the session of {object}",
    "console.sessions_ended": "ended all sessions of {object}",
    "console.sign_in_refused": "was refused at sign-in",
    "console.signed_in": "signed in",
    "console.signed_out": "signed out",
    "customer.deleted": "deleted the Stripe customer[ of {reader}]",
    "declaration.cancellation": "recorded the cancellation {object}[ of {reader}]",
    "declaration.withdrawal": "recorded the withdrawal {object}[ of {reader}]",
    "dispute.lost": "ended access[ of {reader}] after a lost dispute",
    "event.replay": "replayed the event {object}",
    "event.replay_all": "replayed events",
    "extension.rejected": "rejected an extension[ for {reader}]",
    "extension.requested": "requested an extension above the limit[ for {reader}]",
    "fraud_warning.acted": "acted on a fraud warning[ about {reader}]",
    "hold.added": "put copies on hold[ for {reader}]",
    "hold.lifted": "lifted a hold of copies[ of {reader}]",
    "issue.added": "added {object}",
    "issue.changed": "changed {object}",
    "labels.downloaded": "downloaded the labels of {object}",
    "labels.frozen": "froze the labels of {object}",
    "labels.supplemented": "froze a supplement to the labels of {object}",
    "liability.closed": "closed the month {object} in the liability report",
    "liability.downloaded": "downloaded the liability report {object} by subscription",
    "notification.not_delivered": "could not deliver a message[ to {reader}]",
    "payment.credited": "credited a payment[ of {reader}]",
    "price_change.announced": "told {reader} of a new price[ of {amount}]",
    "price_change.made": "changed the price[ of {reader}][ to {amount}]",
    "price_change.stopped": "left the price[ of {reader}] unchanged",
    "price_migration.finished": "finished the price migration {object}",
    "price_migration.started": "started the price migration {object}",
    "price_migration.stopped": "stopped the price migration {object}",
    "print_edition.add_failed": "recorded that print was not added[ for {reader}]",
    "print_edition.add_requested": "requested the print edition[ for {reader}]",
    "print_edition.added": "added the print edition[ for {reader}]",
    "print_edition.drop_requested": "requested to drop the print edition[ of {reader}]",
    "print_edition.dropped": "dropped the print edition[ of {reader}]",
    "print_edition.restored": "took the print edition[ of {reader}] off hold",
    "print_edition.suspended": "put the print edition[ of {reader}] on hold",
    "print_edition.payment_awaited": "asked to confirm the payment for print[ of {reader}]",
    "reader.erased": "erased the data of {reader}",
    "reader.erasure_requested": "requested the erasure of {reader}",
    "reader.exported": "exported the data of {reader}",
    "readers.exported": "exported a list of readers",
    "refund.approved": "approved a refund[ of {amount}][ to {reader}]",
    "refund.confirmed": "refunded[ {amount}][ to {reader}]",
    "refund.failed": "recorded that a refund[ of {amount}][ to {reader}] failed",
    "refund.rejected": "rejected a refund[ of {amount}][ to {reader}]",
    "refund.requested": "requested a refund[ of {amount}][ to {reader}]",
    "refund.withdrawn": "withdrew a refund[ of {amount}][ to {reader}]",
    "subscriber.claimed": "connected an imported subscription[ to {reader}]",
    "subscriber.contact_changed": "changed the contact details[ of {reader}]",
    "subscribers.imported": "imported subscribers",
    "subscription.cancel_at_period_end": "scheduled the end of the subscription[ of {reader}]",
    "subscription.cancel_now": "ended the subscription[ of {reader}] immediately",
    "subscription.duplicate": "ended a duplicate subscription[ of {reader}]",
    "subscription.extend": "extended the subscription[ of {reader}]",
    "subscription.resume": "resumed the subscription[ of {reader}]",
    "subscription.subscribe_again": "ended the unpaid subscription[ of {reader}], who subscribed again",
    "webhook_endpoint.created": "added the webhook endpoint {object}",
    "webhook_endpoint.deleted": "deleted the webhook endpoint {object}",
    "webhook_endpoint.disabled": "disabled the webhook endpoint {object}",
    "webhook_endpoint.enabled": "enabled the webhook endpoint {object}",
    "webhook_endpoint.replayed": "sent events to the webhook endpoint {object} again",
    "webhook_endpoint.rotated": "replaced the secret of the webhook endpoint {object}",
    "webhook_endpoint.tested": "sent a test to the webhook endpoint {object}",
    "work_item.assigned": "assigned {object} to {assignee}[, about {reader}]",
    "work_item.noted": "changed the note of {object}[, about {reader}]",
    "work_item.snoozed": "snoozed {object}[, about {reader}]",
    "work_item.woken": "woke up {object}[, about {reader}]",
}
_PART = re.compile(r"\[([^\]]*)\]")
_FACT = re.compile(r"(\{\w+\})")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a sentence."""

    text: str
    is_reader: bool = False


def sentence(action: str, facts: Mapping[str, str]) -> Sequence[Part]:
    """
    Return the sentence of an entry without its subject, in parts.

    :param facts: ``object`` always; ``reader``, ``amount`` and ``assignee`` if they are known.
    """
    template = SENTENCES.get(action)
    if template is None:
        template = f"{action.replace('.', ': ').replace('_', ' ')}[, {{reader}}]"
    kept = _PART.sub(lambda match: match[1] if _missing(match[1], facts) is None else "", template)
    parts = []
    for piece in _FACT.split(kept):
        if not piece:
            continue
        name = piece[1:-1] if _FACT.fullmatch(piece) else None
        text = piece if name is None else _named(name, facts)
        parts.append(Part(text, is_reader=name == READER))
    return parts


def _named(name: str, facts: Mapping[str, str]) -> str:
    """Return a fact as people say it: ``iss_42`` is issue 42."""
    return re.sub(r"^iss_(?=\d+$)", "issue ", facts.get(name, "a reader"))


def _missing(template: str, facts: Mapping[str, str]) -> str | None:
    """Return a fact that is used and not known."""
    return next((name for name in re.findall(r"\{(\w+)\}", template) if not facts.get(name)), None)
