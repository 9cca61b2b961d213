"""The register of personal data, continued: what proves consents and declarations. See :mod:`app.db.personal_data`."""

from collections.abc import Mapping

from app.domain.personal_data import Column, Table

EVIDENCE = "3 years, or 1 year after the end if that is later. When the reader is erased, only that it happened is kept"
_AGREED = Column(purpose="Proves who agreed to the terms, in a dispute of the payment", kept=EVIDENCE, erased="NULL")

TABLES_OF_EVIDENCE: Mapping[str, Table] = {
    "consents": Table(
        plain="id checkout_id subscriber_id agreed_at shown terms_version",
        personal={
            "ip": _AGREED,
            "user_agent": _AGREED,
            "digest": Column(
                purpose="Recognizes a consent that is sent again. The address could be computed from it",
                kept=EVIDENCE,
                erased="id",
            ),
        },
        of="subscriber_id = :reader",
    ),
    "declarations": Table(
        plain="id kind channel received_at subscriber_id subscription_id place law status ends_at refund_id settled_at"
        " work_key due_at attempts",
        personal={
            "words": Column(
                purpose="Proves what the reader declared to leave: their name, their email address and what they wrote",
                kept=EVIDENCE,
                erased="'{}'",
            ),
            "acknowledgment": Column(purpose="Proves what was acknowledged, and when", kept=EVIDENCE, erased="''"),
            "last_error": Column(
                purpose="Helps to find the cause of a failure", kept="until the next attempt succeeds", erased="NULL"
            ),
            "settled_by": Column(
                purpose="Says which member of staff settled it", kept="as long as the entry", staff=True
            ),
        },
        of="subscriber_id = :reader",
    ),
}
