"""A shop with a mail server, as for the notifications."""

from tests.journeys.notifications.conftest import mail, mailing_shop

__all__ = ["mail", "mailing_shop"]
