"""The register of personal data, continued: what readers ask for about their copies. See :mod:`app.db.personal_data`."""

from collections.abc import Mapping

from app.domain.personal_data import Column, Table

_NOTE = Column(purpose="Says why something was done about a copy", kept="NEWSSTAND_NOTES_KEPT", erased="NULL")
_WHO = Column(
    purpose="Says which member of staff did something about a reader's copies, or that it was the reader",
    kept="as long as the entry",
    staff=True,
)

_ADDRESS = ("name", "company", "line1", "line2", "district", "city", "region", "postal_code")
_FAULT = Column(
    purpose="Helps to find the cause of a failure; an error message of Stripe may quote what it is about",
    kept="until the next attempt succeeds",
    erased="NULL",
)

TABLES_OF_COPIES: Mapping[str, Table] = {
    "back_issues": Table(
        plain="id subscriber_id subscription_id issue_number created_at",
        personal={"note": _NOTE, "ordered_by": _WHO},
        of="subscriber_id = :reader",
    ),
    "claims": Table(
        plain="id subscriber_id subscription_id term issue_number run_number address_id reason resolution created_at"
        " granted_at",
        personal={"note": _NOTE, "claimed_by": _WHO},
        of="subscriber_id = :reader",
    ),
    "electronic_copies": Table(plain="issue_number subscription_id term amount_paid", of="subscription_id = ANY(:ids)"),
    "holds": Table(
        plain="id subscriber_id starts_on until issues keeps_digital ended_on over_by created_at",
        personal={"created_by": _WHO},
        of="subscriber_id = :reader",
    ),
    "issue_circulation": Table(
        plain="issue_number press_run dealer_sales single_copies_mailed free_outside_mail entered_at",
        personal={"entered_by": _WHO},
    ),
    "labels": Table(
        plain="run_id position issue_number subscription_id term address_id kind claim_id country band expire control flags"
        " mail_class is_paid amount_paid",
        personal={
            name: Column(
                purpose="Proves to which address a copy went, for claims and auditors of circulation",
                kept="NEWSSTAND_ADDRESSES_KEPT",
                erased="NULL",
            )
            for name in (*_ADDRESS, "lines")
        },
        of="subscription_id = ANY(:ids)",
    ),
    "postal_addresses": Table(
        plain="id subscriber_id checkout_id country problems is_usable since until saved_at replaced_at"
        " work_key due_at attempts",
        personal={
            **{
                name: Column(
                    purpose="Copies of the print edition are sent there",
                    kept="until it is replaced, and NEWSSTAND_ADDRESSES_KEPT",
                    erased="NULL",
                )
                for name in (*_ADDRESS, "lines")
            },
            "last_error": _FAULT,
        },
        of="subscriber_id = :reader",
        deleted=True,
    ),
}
