"""When the nightly removal of personal data runs."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo


def night_of(now: datetime, *, begins_at: time, zone: ZoneInfo) -> date:
    """Return the day on which the newest night has begun, at a time of the zone."""
    local = now.astimezone(zone)
    return local.date() if local.time() >= begins_at else local.date() - timedelta(days=1)
