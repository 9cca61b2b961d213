"""The register of personal data, continued: what readers were told by mail. See :mod:`app.db.personal_data`."""

from collections.abc import Mapping

from app.domain.personal_data import Column, Table

_KEPT = (
    "until the reader is erased: on request, or after NEWSSTAND_FORMER_READERS_KEPT. Without a reader: 3 years, or as long"
    " as the declaration that it acknowledges"
)


def _proof(erased: str = "NULL") -> Column:
    return Column(purpose="Proves what the reader was told, where and with what result", kept=_KEPT, erased=erased)


TABLES_OF_NOTIFICATIONS: Mapping[str, Table] = {
    "issue_delays": Table(plain="number planned_on expected_on known_at"),
    "notification_opt_outs": Table(plain="subscriber_id kind since", of="subscriber_id = :reader", deleted=True),
    "notification_policies": Table(plain="id content since"),
    "notifications": Table(
        plain="id kind about subscriber_id subscription_id locale event_at send_at template status channel rendered_at"
        " settled_at bounced_at created_at work_key due_at attempts",
        personal={
            "recipient": _proof(),
            "data": _proof("'{}'"),
            "subject": _proof(),
            "text": _proof(),
            "html": _proof(),
            "result": _proof(),
            "bounce": _proof(),
            "last_error": Column(
                purpose="Helps to find out why a message was not accepted",
                kept="until the message is accepted",
                erased="NULL",
            ),
        },
        # A cancellation without a sign-in is acknowledged before anybody knows whose it is.
        of="(subscriber_id = :reader OR (kind = 'cancellation_received' AND about = ANY(:ids)))",
    ),
}
