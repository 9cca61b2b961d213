"""The register of personal data: the outbox and webhooks. See :mod:`app.db.personal_data`."""

from collections.abc import Mapping

from app.domain.personal_data import Column, Table

TABLES_OF_EVENTS: Mapping[str, Table] = {
    "outbox_events": Table(
        plain="id sequence type version subscriber_id created_at queued_at",
        personal={
            "sub": Column(
                purpose="Tells the publisher's systems which reader an event is about", kept="NEWSSTAND_OUTBOX_KEPT"
            ),
            "data": Column(
                purpose="Tells the publisher's systems what changed. That of `notice.due` has the email address and the"
                " message",
                kept="NEWSSTAND_OUTBOX_KEPT",
            ),
        },
        of="subscriber_id = :reader",
        deleted=True,
    ),
    "webhook_deliveries": Table(
        plain="endpoint_id sequence event_id type subscriber_id lane status attempts created_at first_tried_at last_tried_at"
        " finished_at response_status duration_ms",
        personal={
            name: Column(
                purpose="Shows why a delivery failed; a receiver may quote what it received",
                kept="NEWSSTAND_OUTBOX_KEPT",
            )
            for name in ("error", "response_body")
        },
        of="subscriber_id = :reader",
        deleted=True,
    ),
    "webhook_endpoints": Table(
        plain="id name url types encrypted_secret previous_encrypted_secret previous_secret_expires_at created_at"
        " failing_since last_failed_at resting_until disabled_at disabled_reason",
        personal={
            "created_by": Column(purpose="Says who added the endpoint", kept="as long as the endpoint", staff=True)
        },
    ),
    "webhook_lanes": Table(plain="id endpoint_id work_key due_at attempts last_error"),
}
