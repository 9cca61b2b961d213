"""The publisher's rules: the catalogue, the access policy and the time zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from app.domain.dunning import AccessPolicy
from app.domain.notification_policies import NotificationPolicy
from app.domain.notifications import NotificationKind
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

    @property
    def templates(self) -> frozenset[tuple[NotificationKind, str]]:
        """The templates that the policy for notifications names, each with its kind."""
        return frozenset((one.kind, one.template) for one in self.notifications if one.template is not None)
