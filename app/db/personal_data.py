"""
The register of personal data: what every column says about a person, why, for how long, and what erasing does to it.

The export, the erasure and the table in the documentation follow this register. A column that is missing here fails
``tests/security/test_personal_data.py``. What the nightly job removes is in :mod:`app.db.retention`.

``of`` finds the rows of one reader. It may use the parameters ``:reader`` (our ID), ``:sub`` (the identity provider's) and
``:ids`` (the reader's ID and those of everything that belongs to them, here and at Stripe).
"""

from collections.abc import Mapping

from app.db.personal_data_of_copies import TABLES_OF_COPIES
from app.db.personal_data_of_events import TABLES_OF_EVENTS
from app.db.personal_data_of_evidence import TABLES_OF_EVIDENCE
from app.db.personal_data_of_notifications import TABLES_OF_NOTIFICATIONS
from app.domain.erasures import ERASED
from app.domain.personal_data import Column, Table

BOOKS = "Part of the books, which tax law requires to be kept"
ACCOUNTABILITY = "Says which member of staff did something to someone's money, access or data"
FAULT = "Helps to find the cause of a failure; an error message of Stripe may quote what it is about"
UNTIL_ERASED = "until the reader is erased: on request, or after NEWSSTAND_FORMER_READERS_KEPT"
SESSION_KEPT = "until the session expires, or 30 days after somebody ended it"


def _staff(purpose: str = ACCOUNTABILITY, kept: str = "as long as the entry") -> Column:
    return Column(purpose=purpose, kept=kept, staff=True)


def _requester(kept: str) -> Column:
    return Column(
        purpose=f"{ACCOUNTABILITY}, or that it was the reader",
        kept=kept,
        erased="replace(requested_by, 'reader:' || :sub, 'reader:' || :reader)",
        staff=True,
    )


def _fault() -> Column:
    return Column(purpose=FAULT, kept="until the next attempt succeeds", erased="NULL")


def _note(kept: str = "NEWSSTAND_NOTES_KEPT") -> Column:
    return Column(purpose="Says why something was done to the reader's money or access", kept=kept, erased="NULL")


_SUB = Column(
    purpose="Identifies the reader at the identity provider", kept=UNTIL_ERASED, erased=f"'{ERASED}' || :reader"
)
_OF_IDS = "subscription_id = ANY(:ids)"
_DUE = "work_key due_at attempts"

TABLES: Mapping[str, Table] = {
    **TABLES_OF_COPIES,
    **TABLES_OF_NOTIFICATIONS,
    **TABLES_OF_EVIDENCE,
    **TABLES_OF_EVENTS,
    "anomalies": Table(
        plain="id object_id code subscriber_id seen_at gone_at",
        personal={
            "reason": Column(
                purpose="Tells staff what to check; may quote the email addresses here and at Stripe",
                kept="1 year after it was resolved",
            )
        },
        of="subscriber_id = :reader OR object_id = ANY(:ids)",
        deleted=True,
    ),
    "api_keys": Table(
        plain="id hash name scopes created_at expires_at last_used_at replaced_by revoked_at",
        personal={"created_by": _staff("Says who created the key", "as long as the key")},
    ),
    "approval_requests": Table(
        plain="id kind subscriber_id subscription_id amount plan until issues reason status decided_at created_at",
        personal={"note": _note(), "decision_note": _note(), "requested_by": _staff(), "decided_by": _staff()},
        of="subscriber_id = :reader",
    ),
    "audit_log": Table(
        plain="id at action object_id subscriber_id reason before after request_id note_hash",
        personal={
            "actor": Column(
                purpose=f"{ACCOUNTABILITY}. A reader is recorded by our own ID",
                kept="without limit: entries of the chain are never deleted",
                erased="'reader:' || :reader",
                staff=True,
            )
        },
        of="subscriber_id = :reader OR actor IN ('reader:' || :sub, 'reader:' || :reader)",
        apart=True,
    ),
    "audit_chain": Table(plain="seq audit_id hash previous"),
    "audit_notes": Table(
        plain="audit_id",
        personal={
            "words": Column(purpose="Says why something was done, in words", kept="NEWSSTAND_NOTES_KEPT"),
            "salt": Column(purpose="Without it, the note can't be guessed from its hash", kept="as long as the note"),
        },
        of="audit_id IN (SELECT id FROM audit_log WHERE subscriber_id = :reader"
        " OR actor IN ('reader:' || :sub, 'reader:' || :reader))",
        deleted=True,
    ),
    "audit_unsealed": Table(plain=f"id {_DUE} last_error"),
    "buckets": Table(plain="name tokens at"),
    "calendar_edition": Table(plain="id token"),
    "calendar_work": Table(plain=f"id told change run_id {_DUE} last_error"),
    "checkouts": Table(
        plain="id stripe_id subscriber_id plan print_edition promotion_code status payment_status expires_at"
        " stripe_subscription_id created_at",
        personal={
            "url": Column(
                purpose="Stripe's payment page, which shows the reader's email address; opened again by the reader",
                kept="7 days",
                erased="NULL",
            )
        },
        of="subscriber_id = :reader",
    ),
    "comps": Table(
        plain="id subscriber_id plan issues starts_at until removed_at",
        personal={
            "reason": Column(
                purpose="Says why access was given; may have a note", kept=UNTIL_ERASED, erased="'erased'"
            ),
            "given_by": _staff(),
            "removed_by": _staff(),
        },
        of="subscriber_id = :reader",
    ),
    "contact_changes": Table(
        plain=f"id subscriber_id changed_at {_DUE}",
        personal={
            "email": Column(purpose="Finds a reader by a former email address", kept="NEWSSTAND_FORMER_CONTACTS_KEPT"),
            "name": Column(purpose="Finds a reader by a former name", kept="NEWSSTAND_FORMER_CONTACTS_KEPT"),
            "last_error": _fault(),
        },
        of="subscriber_id = :reader",
        deleted=True,
    ),
    "credits": Table(plain="id kind subscription_id invoice_id amount currency created_at", of=_OF_IDS),
    "differences": Table(
        plain="id sweep_id object_id key code",
        personal={
            "words": Column(
                purpose="Tells operators what a reconciliation or an import found; may quote a `sub`", kept="90 days"
            )
        },
        of="object_id = ANY(:ids) OR position(' ' || :sub || ' ' IN words) > 0",  # as a whole word
        deleted=True,
    ),
    "dismissals": Table(
        plain="object_id dismissed_at",
        personal={
            "dismissed_by": _staff(),
            "reason": Column(
                purpose="Says why an item needs no more attention", kept="NEWSSTAND_NOTES_KEPT", erased="'erased'"
            ),
        },
        of="object_id = ANY(:ids)",
    ),
    "derivation_runs": Table(
        plain=f"id kind change editions found visited changed created_at finished_at {_DUE} last_error"
    ),
    "disputes": Table(
        plain="id payment_id charge_id subscriber_id status amount currency reason due_by is_charge_refundable opened_at"
        " closed_at lost_at concern",
        of="subscriber_id = :reader",
    ),
    "entitlements": Table(
        plain="subscriber_id version access changed_in", personal={"sub": _SUB}, of="subscriber_id = :reader"
    ),
    "erasures": Table(
        plain="id subscriber_id requested_at finished_at report work_key due_at attempts",
        personal={
            "sub": Column(
                purpose="Lets the erasure continue, and revokes the reader's tokens", kept="2 hours after the erasure"
            ),
            "customer_ids": Column(purpose="What is erased at Stripe", kept="2 hours after the erasure"),
            "requested_by": _staff(kept="without limit: proves that the request was fulfilled"),
            "last_error": _fault(),
        },
        of="subscriber_id = :reader",
        apart=True,
    ),
    "events": Table(
        plain="id type api_version livemode object_id created_at received_at applied_at state payload is_reduced"
        f" {_DUE}",
        personal={
            "reason": Column(purpose="Says why an event was ignored", kept="NEWSSTAND_EVENTS_KEPT", erased="NULL"),
            "last_error": Column(purpose=FAULT, kept="NEWSSTAND_EVENTS_KEPT", erased="NULL"),
        },
        of="object_id = ANY(:ids) OR work_key IN (SELECT kind || ':' || id FROM unnest(:ids) AS id,"
        " unnest(ARRAY['subscription', 'payment', 'invoice', 'credited', 'checkout', 'customer', 'rivals']) AS kind)",
    ),
    "figures": Table(plain=f"id content taken_at took {_DUE} last_error"),
    "fraud_warnings": Table(
        plain="id payment_id subscriber_id actionable fraud_type created_at acted_as acted_at",
        of="subscriber_id = :reader",
    ),
    "grants": Table(plain="id subscriber_id subscription_id source features", of="subscriber_id = :reader"),
    "idempotent_requests": Table(
        plain="route key body_hash object_id running_until status created_at",
        personal={
            "caller": Column(purpose="A repeated request gets the first answer", kept="24 hours"),
            "answer": Column(purpose="A repeated request gets the first answer", kept="24 hours"),
        },
        of="caller = 'reader:' || :sub OR object_id = ANY(:ids) OR object_id = :reader",
        deleted=True,
    ),
    "intents": Table(
        plain="key row_id action attempt created_at settled_at",
        personal={
            "parameters": Column(
                purpose="A request to Stripe is repeated as it was; may have the email address, the name or a comment",
                kept="30 days after Stripe's answer",
                erased="'{}'",
            )
        },
        of="row_id = ANY(:ids)",
    ),
    "issue_adjustments": Table(
        plain="id invoice_id subscription_id kind issues reason created_at",
        personal={"note": _note(UNTIL_ERASED), "by": _staff()},
        of=_OF_IDS,
        apart=True,
    ),
    "issues": Table(
        plain="number title cover_date planned_mail_date actual_mail_date label_cutoff counts_as frozen_at"
    ),
    "label_runs": Table(
        plain="id issue_number number as_of mail_date frozen_at copies control_sum counts columns emptied_at"
        " announced addresses_announced addresses_through electronic",
        personal={"frozen_by": _staff(kept="as long as the run")},
    ),
    "leases": Table(plain="key owner until counted"),
    "liability_closings": Table(plain="month totals closed_at", personal={"closed_by": _staff()}),
    "liability_entries": Table(plain="subscription_id month currency sold earned reversed refunded", of=_OF_IDS),
    "offer_versions": Table(plain="id plan offer since"),
    "offers": Table(plain="id content"),
    "payments": Table(
        plain="id invoice_id invoice_number subscription_id amount tax currency paid_at billing_reason kind print_from"
        " print_until print_amount print_part print_whole credited credited_at credited_parts is_history version",
        of=_OF_IDS,
    ),
    "pending_revocations": Table(
        plain="id version",
        personal={"sub": Column(purpose="Becomes a revocation", kept="seconds")},
        of="sub = :sub",
        apart=True,
    ),
    "price_changes": Table(
        plain="id migration_id stripe_id subscription_id subscriber_id status reason currency items renewal_at total tax"
        f" before announced_at notices act_at {_DUE}",
        personal={"last_error": _fault()},
        of="subscriber_id = :reader",
    ),
    "price_migrations": Table(
        plain="id plan currency targets versions from_at status publisher_sends_notices created_at ended_at list_again_at"
        f" {_DUE}",
        personal={
            "requested_by": _staff("Says who started the migration", "as long as the migration"),
            "last_error": _fault(),
        },
    ),
    "print_changes": Table(
        plain="id subscription_id subscriber_id kind status issues first_issue price total tax due currency price_id"
        f" starts_at ends_at created_at invoice_id failure_reason to_balance dropped_at {_DUE}",
        personal={
            "requested_by": _requester("as long as the change"),
            "pay_url": Column(purpose="Lets the reader confirm a payment", kept="until it is decided", erased="NULL"),
            "address": Column(purpose="Says where the copies will go", kept="until it is decided", erased="NULL"),
            "last_error": _fault(),
        },
        of="subscriber_id = :reader",
    ),
    "reader_name_parts": Table(
        plain="subscriber_id",
        personal={
            "part": Column(
                purpose="Finds a reader by a part of a name or postal address", kept="as long as the name or address"
            )
        },
        of="subscriber_id = :reader",
        deleted=True,
    ),
    "reader_views": Table(
        plain="id subscriber_id place slot at",
        personal={"viewer": _staff("Says which member of staff saw a reader", "NEWSSTAND_READER_VIEWS_KEPT")},
        of="subscriber_id = :reader",
    ),
    "recoveries": Table(plain="since began_at numbers_from"),
    "refunds": Table(
        plain="id payment_id subscriber_id act_id basis amount tax currency reason status stripe_refund_id credit_note_id"
        f" failure_reason attention decided_at created_at made_at recorded_at is_history request_hash {_DUE}",
        personal={
            "note": _note(),
            "requested_by": _requester("as long as the refund"),
            "decided_by": _staff(kept="as long as the refund"),
            "last_error": _fault(),
        },
        of="subscriber_id = :reader",
    ),
    "retention_runs": Table(plain=f"id finished_at removed progress {_DUE} last_error"),
    "revocations": Table(
        plain="id version at",
        personal={"sub": Column(purpose="Tells edge servers whose tokens are revoked", kept="2 hours")},
        of="sub = :sub",
        apart=True,
    ),
    "sign_outs": Table(
        plain="at",
        personal={"sub": Column(purpose="Ends the sessions of a person who has signed out", kept="30 days")},
        of="sub = :sub",
        deleted=True,
    ),
    "staff_sessions": Table(
        plain="id roles started_at signed_in_at acr checked_at checking_until ended_at",
        personal={
            "sub": _staff("Identifies the member of staff who is signed in", SESSION_KEPT),
            "name": _staff("Shows who is signed in", SESSION_KEPT),
            "sid": _staff("Ends the session with the identity provider's", SESSION_KEPT),
            "refresh_token": _staff("Checks the roles again; encrypted", "until the session ends"),
        },
        of="sub = :sub",
    ),
    "staff_members": Table(
        plain="roles seen_at",
        personal={
            "sub": _staff("Identifies a member of staff", "3 years after the last sign-in"),
            "name": _staff("Shows who did something", "3 years after the last sign-in"),
            "email": _staff("Finds what somebody did in the audit log", "3 years after the last sign-in"),
        },
        of="sub = :sub",
    ),
    "logout_tokens": Table(plain="hash until"),
    "signing_keys": Table(plain="id public sealed created_at signs_from signs_until withdrawn_at"),
    "subscribers": Table(
        plain="id created_at email_verified contact_as_of",
        personal={
            "sub": _SUB,
            "email": Column(
                purpose="Receipts, search by staff, and claiming an imported subscription",
                kept=UNTIL_ERASED,
                erased="NULL",
            ),
            "name": Column(purpose="Invoices, and search by staff", kept=UNTIL_ERASED, erased="NULL"),
            "locale": Column(
                purpose="Says in which language they are told something", kept=UNTIL_ERASED, erased="NULL"
            ),
            "indexed_name": Column(purpose="Says which name the search finds", kept=UNTIL_ERASED, erased="NULL"),
            "joined_name": Column(
                purpose="Says which name the search finds without its dashes", kept=UNTIL_ERASED, erased="NULL"
            ),
            "stripe_customer_id": Column(purpose="The customer at Stripe", kept=UNTIL_ERASED, erased="NULL"),
        },
        of="id = :reader",
    ),
    "subscriptions": Table(
        plain="id stripe_id subscriber_id version plan print_edition status price_amount currency created_at"
        " current_period_start current_period_end cancel_at canceled_at ended_at end_reason ended_by ended_here_at trial_end"
        f" collection_paused keeps_discount pause renewal check_at closed_at came_from followed_since {_DUE}",
        personal={
            "pay_url": Column(
                purpose="Stripe's page of an open invoice, which shows the reader's name",
                kept=UNTIL_ERASED,
                erased="NULL",
            ),
            "card_brand": Column(
                purpose="Tells staff and the reader which card pays", kept=UNTIL_ERASED, erased="NULL"
            ),
            "card_expires_on": Column(
                purpose="Tells the reader that their card expires", kept=UNTIL_ERASED, erased="NULL"
            ),
            "card_last4": Column(purpose="Finds a reader by the card that paid", kept=UNTIL_ERASED, erased="NULL"),
            **{
                name: Column(purpose="Decides which laws protect the reader", kept=UNTIL_ERASED, erased="NULL")
                for name in ("card_country", "tax_country", "tax_region")
            },
            "last_error": _fault(),
        },
        of="subscriber_id = :reader",
    ),
    "sweeps": Table(
        plain=f"id kind dry_run since phase cursor counts created_at finished_at {_DUE}",
        personal={"by": _staff("Says who ran a reconciliation or an import", "90 days"), "last_error": _fault()},
    ),
    "terms": Table(
        plain="invoice_id subscription_id plan print_edition starts_at ends_at issues_owed print_from print_until price"
        " discount earlier_print paid_by_balance credited_at refunded_as refunded_at suspended_as restored_as"
        " print_suspended_from refund_failed last_issue offer copies copies_ended_at expire lacks_address grace_sent",
        of=_OF_IDS,
    ),
    "work_item_marks": Table(
        plain="object_id version snoozed_until snoozed_state changed_at",
        personal={"assigned_to": _staff("Says who works on an item", "NEWSSTAND_NOTES_KEPT"), "note": _note()},
        of="object_id = ANY(:ids) OR object_id IN (SELECT id FROM events WHERE object_id = ANY(:ids))",
    ),
}
