"""The publisher's rules: the catalogue, the access policy and the time zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.domain.dunning import AccessPolicy
from app.domain.notification_policies import NotificationPolicy
from app.domain.plans import Catalogue


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Passed to every use case, so that none reads a setting or a file."""

    catalogue: Catalogue
    access: AccessPolicy
    zone: ZoneInfo

    @property
    def notifications(self) -> Sequence[NotificationPolicy]:
        """The policy for notifications."""
        return self.catalogue.policies.notices
