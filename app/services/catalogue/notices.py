"""The entries of [[policies.notices]]: what is wrong with them, and the policies that they are."""

from collections import Counter
from collections.abc import Iterator

from app.domain.notification_policies import DAYS_AHEAD, NotificationPolicy
from app.domain.places import ANYWHERE, is_area
from app.postal_addresses import is_country
from app.services.catalogue.schema import CatalogueFile, NoticeTable, Problem

AREAS = ("EU", "EEA", ANYWHERE)


def check_notices(file: CatalogueFile) -> Iterator[Problem]:
    """Check that places exist, that days are in the range of the kind, and that no two entries are for the same."""
    entries = file.policies.notices or []
    for index, entry in enumerate(entries):
        key = f"policies.notices.{index}"
        for place in entry.places:
            if not _is_place(place):
                yield f"{key}.places", f"{place!r} is not a place, such as US, US-CA, EU or EEA"
        yield from ((f"{key}.days", problem) for problem in _problems_of_days(entry))
    named = Counter((entry.kind, tuple(sorted(entry.places)), entry.since) for entry in entries)
    for (kind, places, since), times in named.items():
        if times > 1:
            where = ", ".join(places) or "all places"
            yield "policies.notices", f"two entries of {kind} for {where} apply from {since.isoformat()}"


def _is_place(place: str) -> bool:
    return place in AREAS or (is_area(place) and is_country(place.partition("-")[0]))


def _problems_of_days(entry: NoticeTable) -> Iterator[str]:
    allowed = DAYS_AHEAD.get(entry.kind)
    if entry.days is None:
        return
    if allowed is None:
        yield f"not allowed: {entry.kind} is sent when it happens"
    elif not allowed[0] <= entry.days <= allowed[1]:
        yield f"must be {allowed[0]} to {allowed[1]} days before the event, for {entry.kind}"


def notification_policy(entry: NoticeTable) -> NotificationPolicy:
    """Return the policy of an entry. Without days, it is the default of its kind."""
    default = DAYS_AHEAD[entry.kind][2] if entry.kind in DAYS_AHEAD else 0
    return NotificationPolicy(
        kind=entry.kind,
        since=entry.since,
        places=tuple(entry.places),
        days=default if entry.days is None else entry.days,
        channel=entry.channel,
        template=entry.template,
    )
